//! The configuration: a TOML file, `--set table.key=value` on top, every value with a default.
//!
//! [`keys`] is the one list of what can be set. The check for unknown keys, `config example`,
//! `config show` and the manual all come from it; a test keeps it in step with [`Config`].

mod collector;
mod duration;
pub mod keys;
pub mod load;
mod policyd;
mod reporter;
mod size;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use collector::CollectorTable;
pub use duration::Span;
pub use load::{ConfigError, Loaded, load};
pub use policyd::{FirstContact, ListenAddress, PolicydTable};
pub use reporter::ReporterTable;
pub use size::Size;

/// Everything that can be set. A table that is `None` names a duty that does not run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where things are remembered.
    pub store: StoreTable,
    /// How names are looked up.
    pub dns: DnsTable,
    /// Which certificates are trusted.
    pub tls: TlsTable,
    /// How other people's servers are reached.
    pub outside: OutsideTable,
    /// Dashboard, API, metrics.
    pub web: WebTable,
    /// The policy host.
    pub policy_host: Option<PolicyHostTable>,
    /// Reports that others send us.
    pub reports: ReportsTable,
    /// Our own audits.
    pub monitor: Option<MonitorTable>,
    /// What is proposed for domains held.
    pub publish: PublishTable,
    /// What Postfix asks.
    pub policyd: Option<PolicydTable>,
    /// What mail servers tell of their sessions.
    pub collector: Option<CollectorTable>,
    /// The daily reports that we send.
    pub reporter: Option<ReporterTable>,
}

/// `[store]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreTable {
    /// `sqlite:/path` or `postgres://…`; `None` is `mailward.db` in the data directory.
    pub url: Option<String>,
}

impl StoreTable {
    /// The URL in force.
    pub fn url(&self) -> String {
        self.url.clone().unwrap_or_else(|| format!("sqlite:{}", data_dir().join("mailward.db").display()))
    }
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsTable {
    /// Servers in order; empty means the system's.
    pub servers: Vec<SocketAddr>,
    /// Who validates.
    pub dnssec: DnssecMode,
    /// Anchor file for `validate`.
    pub trust_anchor: Option<PathBuf>,
    /// Deadline of one question.
    pub timeout: Span,
}

impl Default for DnsTable {
    fn default() -> Self {
        Self { servers: vec![], dnssec: DnssecMode::TrustAd, trust_anchor: None, timeout: Span::seconds(4) }
    }
}

/// `dns.dnssec`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnssecMode {
    /// Believe the AD bit of the servers.
    TrustAd,
    /// Validate in process.
    Validate,
    /// Nobody validates.
    Off,
}

/// `[tls]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsTable {
    /// PEM files beside the platform's roots.
    pub extra_roots: Vec<PathBuf>,
}

/// `[outside]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutsideTable {
    /// Name given in EHLO; `None` is this host's name.
    pub helo: Option<String>,
    /// Port of MX hosts.
    pub smtp_port: u16,
    /// Port of policy hosts.
    pub https_port: u16,
    /// Whether private and loopback addresses may be connected to.
    pub allow_private_addresses: bool,
}

impl Default for OutsideTable {
    fn default() -> Self {
        Self { helo: None, smtp_port: 25, https_port: 443, allow_private_addresses: false }
    }
}

/// `[web]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebTable {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
}

impl Default for WebTable {
    fn default() -> Self {
        Self { listen: vec![SocketAddr::from(([127, 0, 0, 1], 8460))] }
    }
}

/// `[policy_host]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyHostTable {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// A directory of PEM pairs.
    pub certificates: PathBuf,
}

impl Default for PolicyHostTable {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 443))],
            certificates: data_dir().join("certificates"),
        }
    }
}

/// `[reports]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportsTable {
    /// Intake by HTTPS POST.
    pub https: Option<ReportsHttpsTable>,
    /// Intake from a maildir.
    pub maildir: Option<ReportsMaildirTable>,
}

/// `[reports.https]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportsHttpsTable {
    /// Own addresses; empty means on the policy host's listener only.
    pub listen: Vec<SocketAddr>,
    /// The path that takes reports.
    pub path: String,
    /// Tokens: a report posted to `path/TOKEN` counts as trusted.
    pub trusted_tokens: Vec<String>,
}

impl Default for ReportsHttpsTable {
    fn default() -> Self {
        Self { listen: vec![], path: "/v1/tls-rpt".to_owned(), trusted_tokens: vec![] }
    }
}

/// `[reports.maildir]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReportsMaildirTable {
    /// The maildir.
    pub path: PathBuf,
    /// How often it is looked into.
    #[serde(default = "ReportsMaildirTable::interval")]
    pub interval: Span,
}

impl ReportsMaildirTable {
    fn interval() -> Span {
        Span::seconds(10)
    }
}

/// `[monitor]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorTable {
    /// How often every domain held is looked at.
    pub interval: Span,
}

impl Default for MonitorTable {
    fn default() -> Self {
        Self { interval: Span::seconds(3600) }
    }
}

/// `[publish]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishTable {
    /// Report addresses proposed for domains that are added without any.
    pub rua: Vec<String>,
    /// The name that `mta-sts.<domain>` should be a CNAME to; `None` proposes addresses.
    pub policy_host_name: Option<String>,
}

/// Where the database and the certificates live unless configured: systemd's state directory, else
/// `$XDG_DATA_HOME`, else the user's own data directory, or `/var/lib/mailward` for root at home.
pub fn data_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("STATE_DIRECTORY") {
        return dir;
    }
    if let Some(dir) = set("XDG_DATA_HOME") {
        return dir.join("mailward");
    }
    let owner = |path: &Path| std::fs::metadata(path).ok().map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    let root = owner(Path::new("/proc/self")) == Some(0);
    // Root by `sudo` may keep the home of somebody else, where it must leave no files of its own.
    let system = |home: &Path| home == Path::new("/") || home == Path::new("/root");
    let own = |home: &PathBuf| !root || (owner(home) == Some(0) && !system(home));
    match set("HOME").filter(own) {
        Some(home) => home.join(".local/share/mailward"),
        None if root => PathBuf::from("/var/lib/mailward"),
        None => PathBuf::from("mailward"),
    }
}
