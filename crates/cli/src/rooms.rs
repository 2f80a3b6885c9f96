//! Builds the rooms of the house from the configuration.

use std::sync::Arc;

use mailward_core::Clock;
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};
use mailward_store::Store;

use crate::config::{Config, DnssecMode};
use crate::exit::{Failure, Result};

/// Time that one policy fetch may take in all (facts: 20 s in the background).
const FETCH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// The way out, as `[dns]`, `[tls]` and `[outside]` say.
pub fn outside(config: &Config, clock: Arc<dyn Clock>) -> Result<Outside> {
    let resolver = Resolver::new(&dns_options(config), clock.clone())
        .map_err(|e| Failure::usage(format!("[dns]: {e}")))?;
    let roots = Roots::load(&config.tls.extra_roots)
        .map_err(|e| Failure::usage(format!("[tls] extra_roots: {e}")))?;
    let options = OutsideOptions {
        helo: config.outside.helo.clone().unwrap_or_else(host_name),
        smtp_port: config.outside.smtp_port,
        https_port: config.outside.https_port,
        allow_private_addresses: config.outside.allow_private_addresses,
        fetch_timeout: FETCH_TIMEOUT,
        probe: mailward_net::smtp::ProbeTimeouts::default(),
    };
    Ok(Outside { resolver, roots: Arc::new(roots), options: Arc::new(options), clock })
}

/// `[dns]` as the resolver takes it.
pub fn dns_options(config: &Config) -> DnsOptions {
    DnsOptions {
        servers: config.dns.servers.clone(),
        dnssec: match config.dns.dnssec {
            DnssecMode::TrustAd => Dnssec::TrustAd,
            DnssecMode::Validate => Dnssec::Validate(config.dns.trust_anchor.clone()),
            DnssecMode::Off => Dnssec::Off,
        },
        timeout: config.dns.timeout.0,
    }
}

/// The store, as `[store]` says.
pub async fn store(config: &Config) -> Result<Store> {
    let url = config.store.url();
    Store::open(&url).await.map_err(|e| {
        Failure::unavailable(format!(
            "cannot open the store {}: {e}. Set store.url to another place.",
            without_password(&url)
        ))
    })
}

/// Whether there is a store to open: a server, or a file that exists. [`store`] would make the file.
pub fn has_store(config: &Config) -> bool {
    let url = config.store.url();
    match url.strip_prefix("sqlite:") {
        Some(path) => std::path::Path::new(path.trim_start_matches("//")).exists(),
        None => true,
    }
}

/// A database URL that can be shown.
pub fn without_password(url: &str) -> String {
    match url
        .split_once("://")
        .and_then(|(scheme, rest)| rest.split_once('@').map(|(user, host)| (scheme, user, host)))
    {
        Some((scheme, user, host)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}@{host}")
        }
        None => url.to_owned(),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    mailward_core::DomainName::parse(name.trim()).map_or_else(|_| "localhost".to_owned(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://mw:secret@db/mailward", "postgres://mw@db/mailward"),
            ("postgres://mw@db/mailward", "postgres://mw@db/mailward"),
            ("sqlite:/a/b.db", "sqlite:/a/b.db"),
        ] {
            assert_eq!(super::without_password(url), shown);
        }
    }
}
