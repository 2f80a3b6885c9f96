//! What all duties share: how they are told to stop and how they tell how they are.
//!
//! A duty is a value with `run(self, stop)`: it works until told to stop, ends what it has begun, and
//! returns. Both sides, sending and receiving, are made of duties; they do not know each other, so what
//! they have in common stands here and knows neither. The binary turns a [`Status`] into `/healthz`.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// How a duty is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Name of the duty, as in the configuration: `policy_host`, `reports.maildir`, …
    pub duty: &'static str,
    /// Whether it does what it is there for.
    pub ok: bool,
    /// What is wrong; or, while it works, what somebody should look at.
    pub reason: Option<String>,
}

/// The health of one duty: written by the duty, read by anybody. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Status(Arc<Mutex<Health>>);

impl Status {
    /// A duty that has not worked yet.
    pub fn starting(duty: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Health { duty, ok: false, reason: Some("starting".to_owned()) })))
    }

    /// As last told.
    pub fn health(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It works.
    pub fn works(&self) {
        self.set(true, None);
    }

    /// It works, and somebody should look at this.
    pub fn works_but(&self, reason: impl Into<String>) {
        self.set(true, Some(reason.into()));
    }

    /// It does not work.
    pub fn fails(&self, reason: impl Into<String>) {
        self.set(false, Some(reason.into()));
    }

    fn set(&self, ok: bool, reason: Option<String>) {
        let mut health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if health.ok != ok || health.reason != reason {
            match (&reason, ok) {
                (Some(reason), false) => tracing::warn!(duty = health.duty, reason, "duty does not work"),
                (Some(reason), true) => tracing::warn!(duty = health.duty, reason, "duty works, but"),
                (None, _) => tracing::info!(duty = health.duty, "duty works"),
            }
        }
        health.ok = ok;
        health.reason = reason;
    }
}

/// Tells duties to stop; dropping it does so too.
#[derive(Debug)]
pub struct StopSignal(watch::Sender<bool>);

/// What a duty listens to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl StopSignal {
    /// A signal, and what to hand to the duties.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Tells them.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// For a duty wired to a channel of the binary: stops when it turns `true` or its sender is gone.
    pub fn from_watch(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Waits until told to stop.
    pub async fn requested(&mut self) {
        // An error means that the sender is gone: nobody is left who could tell us.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether told already.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Sleeps, unless told to stop: `false` then.
    pub async fn sleep(&mut self, time: std::time::Duration) -> bool {
        tokio::select! {
            () = self.requested() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// How often [`Turns`] looks.
const LOOK: std::time::Duration = std::time::Duration::from_secs(60);

/// For what is done once for each value of something, such as the day.
#[derive(Debug)]
pub struct Turns<K> {
    stop: Stop,
    done: Option<K>,
    has_looked: bool,
}

impl<K: PartialEq> Turns<K> {
    /// Nothing is done yet.
    pub fn new(stop: Stop) -> Self {
        Self { stop, done: None, has_looked: false }
    }

    /// The next value that is not done: at once the first time, then looked for once a minute. `None` when told
    /// to stop.
    pub async fn next(&mut self, key: impl Fn() -> K) -> Option<K> {
        loop {
            if std::mem::replace(&mut self.has_looked, true) && !self.stop.sleep(LOOK).await {
                return None;
            }
            let now = key();
            if self.done.as_ref() != Some(&now) {
                return Some(now);
            }
        }
    }

    /// Says that it was done for this value; else it comes again a minute later.
    pub fn done(&mut self, key: K) {
        self.done = Some(key);
    }
}
