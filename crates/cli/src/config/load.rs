//! Finds, reads and checks the configuration.

use std::path::{Path, PathBuf};

use super::{Config, keys};

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file named on purpose cannot be read.
    #[error("cannot read the configuration {path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// No TOML.
    #[error("{place} is no TOML: {why}")]
    Syntax {
        /// File or option.
        place: String,
        /// With line and column.
        why: String,
    },
    /// A key that does not exist.
    #[error(
        "{place} sets {key:?}, which does not exist. The nearest key is {nearest:?}; `mailward config example` shows them all."
    )]
    UnknownKey {
        /// File or option.
        place: String,
        /// As written.
        key: String,
        /// A known one.
        nearest: &'static str,
    },
    /// A value that does not fit.
    #[error("{place}: {why}")]
    Value {
        /// File or option.
        place: String,
        /// What is wrong with which key.
        why: String,
    },
}

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file, if there was one.
    pub file: Option<PathBuf>,
    /// Names of the keys that were set.
    pub set: Vec<String>,
}

/// `--config`, else `$MAILWARD_CONFIG`, else `./mailward.toml`, else `/etc/mailward/mailward.toml`, else
/// defaults; `--set` on top.
///
/// # Errors
/// A [`ConfigError`] that names file, key and what to write instead.
pub fn load(named: Option<&Path>, set: &[String]) -> Result<Loaded, ConfigError> {
    let file = match named {
        Some(path) => Some(path.to_owned()),
        None => {
            ["mailward.toml", "/etc/mailward/mailward.toml"].iter().map(PathBuf::from).find(|p| p.is_file())
        }
    };
    let text = match &file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|why| ConfigError::Unreadable { path: path.clone(), why })?,
        None => String::new(),
    };
    let place = file.as_ref().map_or_else(|| "the configuration".to_owned(), |f| f.display().to_string());
    let table = merge(&text, &place, set)?;
    let mut names = vec![];
    leaf_names("", &table, &mut names);
    Ok(Loaded { config: read(table, &place)?, file, set: names })
}

/// The configuration in a text, for tests and the demo.
///
/// # Errors
/// As [`load`].
pub fn from_text(text: &str, set: &[String]) -> Result<Config, ConfigError> {
    read(merge(text, "the configuration", set)?, "the configuration")
}

fn merge(text: &str, place: &str, set: &[String]) -> Result<toml::Table, ConfigError> {
    let mut table: toml::Table = text.parse().map_err(|why: toml::de::Error| ConfigError::Syntax {
        place: place.to_owned(),
        why: why.to_string(),
    })?;
    check_keys(&table, place)?;
    for option in set {
        let place = format!("--set {option}");
        let Some((name, value)) = option.split_once('=') else {
            return Err(ConfigError::Value { place, why: "write it as table.key=value".to_owned() });
        };
        let name = name.trim();
        if !keys::all().any(|k| k.name == name) {
            return Err(ConfigError::UnknownKey {
                place,
                key: name.to_owned(),
                nearest: keys::nearest(name),
            });
        }
        insert(&mut table, name, bare_value(value.trim()));
    }
    Ok(table)
}

/// A TOML value, or bare text: `5s`, `127.0.0.1:53` and `a,b` need no quotes on a command line.
fn bare_value(text: &str) -> toml::Value {
    let parsed = format!("v = {text}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    match parsed {
        Some(toml::Value::Datetime(_)) | None => toml::Value::String(text.to_owned()),
        Some(value) => value,
    }
}

fn insert(table: &mut toml::Table, name: &str, value: toml::Value) {
    match name.split_once('.') {
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !inner.is_table() {
                *inner = toml::Value::Table(toml::Table::new());
            }
            if let toml::Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
        None => {
            let is_list =
                keys::all().any(|k| k.name.ends_with(&format!(".{name}")) && k.example.starts_with('['));
            let value = match value {
                // A list key takes one bare value, or several with commas.
                toml::Value::String(text) if is_list => toml::Value::Array(
                    text.split(',').map(|t| toml::Value::String(t.trim().to_owned())).collect(),
                ),
                value => value,
            };
            table.insert(name.to_owned(), value);
        }
    }
}

fn check_keys(table: &toml::Table, place: &str) -> Result<(), ConfigError> {
    let mut names = vec![];
    leaf_names("", table, &mut names);
    let tables =
        table.iter().filter(|(_, v)| v.as_table().is_some_and(toml::Table::is_empty)).map(|(k, _)| k.clone());
    let known = |name: &String| {
        keys::all().any(|k| k.name == name)
            || keys::TABLES.iter().any(|t| t.name == name)
            || name == "reports"
    };
    match names.into_iter().chain(tables).find(|n| !known(n)) {
        Some(key) => {
            Err(ConfigError::UnknownKey { place: place.to_owned(), nearest: keys::nearest(&key), key })
        }
        None => Ok(()),
    }
}

fn leaf_names(prefix: &str, table: &toml::Table, to: &mut Vec<String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => leaf_names(&name, inner, to),
            _ => to.push(name),
        }
    }
}

fn read(table: toml::Table, place: &str) -> Result<Config, ConfigError> {
    let wrong = |why: String| ConfigError::Value { place: place.to_owned(), why };
    let config: Config =
        table.try_into().map_err(|e: toml::de::Error| wrong(e.to_string().trim().to_owned()))?;
    if config.policy_host.as_ref().is_some_and(|host| host.certificates.as_os_str() == "acme") {
        return Err(wrong(
            "policy_host.certificates = \"acme\" is not available in this version; name a directory of PEM pairs"
                .to_owned(),
        ));
    }
    if config.policyd.as_ref().is_some_and(|policyd| policyd.listen.is_empty()) {
        return Err(wrong(
            "policyd.listen is empty: name a socket, such as unix:/run/mailward/policyd.sock, or leave the key away"
                .to_owned(),
        ));
    }
    if let Some(reporter) = &config.reporter {
        reporter.check().map_err(wrong)?;
    }
    if let Some(https) = &config.reports.https {
        if !https.path.starts_with('/') {
            return Err(wrong(format!("reports.https.path is {:?}; it must begin with /", https.path)));
        }
        if https.listen.is_empty() && config.policy_host.is_none() {
            return Err(wrong(
                "reports.https has no listener: set reports.https.listen, or add [policy_host], whose listener it shares".to_owned(),
            ));
        }
        if config.policy_host.is_none() {
            return Err(wrong(
                "reports.https takes its certificates from policy_host.certificates: add a [policy_host] table".to_owned(),
            ));
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_text_and_options() {
        let set = [
            "dns.servers=127.0.0.1:5353",
            "dns.timeout=2s",
            "outside.smtp_port=2525",
            "tls.extra_roots=a.pem,b.pem",
            "policyd.listen=unix:/a/b.sock,127.0.0.1:8461",
            "policyd.max_memory=1000000",
            "policyd.socket_mode=0660",
            "policyd.first_contact=async",
        ];
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        let config = from_text("[dns]\ndnssec = \"off\"\n[monitor]\n", &set).unwrap();
        assert_eq!(config.dns.servers, ["127.0.0.1:5353".parse().unwrap()]);
        assert_eq!(config.dns.timeout.to_string(), "2s");
        assert_eq!(config.outside.smtp_port, 2525);
        assert_eq!(config.tls.extra_roots.len(), 2);
        assert_eq!(config.monitor.unwrap().interval.to_string(), "1h");
        let policyd = config.policyd.unwrap();
        assert_eq!(policyd.listen.len(), 2);
        assert_eq!((policyd.max_memory.0, policyd.socket_mode.0), (1_000_000, 0o660));
        assert_eq!(policyd.first_contact, crate::config::FirstContact::Async);
    }

    #[test]
    fn errors_name_the_place() {
        for (text, set, part) in [
            (
                "[dns]\nserver = []\n",
                None,
                "\"dns.server\", which does not exist. The nearest key is \"dns.servers\"",
            ),
            ("[polcyhost]\n", None, "\"polcyhost\""),
            ("x", None, "is no TOML"),
            ("[dns]\ndnssec = \"maybe\"\n", None, "dnssec"),
            ("[dns]\ntimeout = \"soon\"\n", None, "4s, 90m"),
            ("", Some("dns.timeuot=4s"), "--set dns.timeuot=4s"),
            ("", Some("dns.timeout"), "table.key=value"),
            ("[policy_host]\ncertificates = \"acme\"\n", None, "not available"),
            ("[reports.https]\n", None, "reports.https"),
            ("[policyd]\nlisten = []\n", None, "policyd.listen is empty"),
            ("[policyd]\nlisten = [\"localhost:1\"]\n", None, "127.0.0.1:8461"),
            ("[policyd]\nmax_memory = 0\n", None, "512MiB"),
            ("[policyd]\non_dns_failure = \"fail\"\n", None, "last-known"),
            ("[policyd]\nlisten_on = []\n", None, "policyd.listen"),
        ] {
            let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
            let error = from_text(text, &set).unwrap_err().to_string();
            assert!(error.contains(part), "{text} {set:?}: {error}");
        }
    }
}
