//! `mailward serve`: the daemon on the system's clock, with signals, log and systemd.

use mailward_web::Access;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::Context;
use crate::config::{self, Config, ListenAddress};
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome, Result};
use crate::postfix::{self, Postfix};

/// Runs until SIGTERM or SIGINT.
pub async fn run(context: &Context) -> Result {
    log_to_stderr();
    let config = effective(context);
    let mut signals = Signals::new()?;
    let daemon = Daemon::start(&config, context.clock.clone(), Access::Token).await?;
    first_token(context, &daemon).await?;
    for duty in &daemon.running {
        tracing::info!(duty, "runs");
    }
    for address in &daemon.web {
        anstream::println!("Dashboard: http://{address}");
    }
    tell_postfix(&daemon.policyd);
    if daemon.store.domains().await?.is_empty() && config.policyd.is_none() {
        anstream::println!("No domain is held yet. In another terminal: mailward domain add example.com");
    }
    tell_systemd(&[sd_notify::NotifyState::Ready]);
    while let Told::Reload = signals.next().await {
        reload(context, &daemon).await;
    }
    tracing::info!("stopping");
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    daemon.stop().await;
    Ok(Outcome::Fine)
}

/// With no configuration at all, the monitor runs beside the dashboard.
fn effective(context: &Context) -> Config {
    let mut config = context.loaded.config.clone();
    if context.loaded.file.is_none() && context.loaded.set.iter().all(|key| !key.starts_with("monitor")) {
        config.monitor.get_or_insert_default();
    }
    config
}

/// The first start prints a token, once.
async fn first_token(context: &Context, daemon: &Daemon) -> Result<()> {
    if !daemon.store.tokens().await?.is_empty() {
        return Ok(());
    }
    let (secret, sha256) = mailward_web::new_token().map_err(Failure::unavailable)?;
    daemon.store.add_token("first", &sha256, context.clock.now()).await?;
    anstream::println!("Access token, shown this once: {secret}");
    Ok(())
}

/// The line that main.cf needs, by the Postfix of this machine where there is one.
fn tell_postfix(listen: &[ListenAddress]) {
    let Some(first) = listen.first() else { return };
    let places: Vec<String> = listen.iter().map(ToString::to_string).collect();
    anstream::println!("Postfix is answered on {}.", places.join(" and "));
    match Postfix::here() {
        Some(postfix) => match postfix.main_cf(listen) {
            Some(line) => anstream::println!("In main.cf, for Postfix {}: {line}", postfix.version),
            None => anstream::println!(
                "smtp(8) runs chrooted and sees none of these: `mailward config check` says what to do."
            ),
        },
        None => anstream::println!(
            "In main.cf: {}\n(for Postfix 3.10 and later: mailward-tlsrpt at the end)",
            postfix::main_cf(first, "mailward")
        ),
    }
}

async fn reload(context: &Context, daemon: &Daemon) {
    // With Type=notify-reload, systemd wants to know since when.
    let mut reloading = vec![sd_notify::NotifyState::Reloading];
    reloading.extend(sd_notify::NotifyState::monotonic_usec_now());
    tell_systemd(&reloading);
    daemon.reload().await;
    match config::load(context.global.config.as_deref(), &context.global.set) {
        Ok(loaded) if loaded.config == context.loaded.config => {
            tracing::info!("certificates and policies are read again")
        }
        Ok(_) => tracing::warn!(
            "certificates and policies are read again; changes of the configuration need a restart"
        ),
        Err(error) => {
            tracing::warn!(%error, "certificates and policies are read again; the configuration has an error")
        }
    }
    tell_systemd(&[sd_notify::NotifyState::Ready]);
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("MAILWARD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second subscriber (in a test) is no reason not to run.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

fn tell_systemd(states: &[sd_notify::NotifyState<'_>]) {
    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}

enum Told {
    Reload,
    Stop,
}

/// Signals that end or reload a daemon.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::unavailable(format!("cannot listen to signals: {e}")));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
        }
    }

    /// Waits for the end; a wish to reload is passed over.
    pub async fn stop(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}
