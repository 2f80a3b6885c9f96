//! The one list of what can be set.

/// A key: its full name, the value in `config example` (TOML), and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `table.key`
    pub name: &'static str,
    /// As TOML.
    pub example: &'static str,
    /// One line.
    pub doc: &'static str,
    /// Whether the example is what holds when nothing is set.
    pub is_default: bool,
}

const fn default(name: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key { name, example, doc, is_default: true }
}

const fn example(name: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key { name, example, doc, is_default: false }
}

/// A table, what its presence means, and its keys.
pub struct Table {
    /// `table` or `table.sub`.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// In the order of the example.
    pub keys: &'static [Key],
}

/// Everything that can be set.
pub const TABLES: &[Table] = &[
    Table {
        name: "store",
        doc: "Where mailward remembers.",
        keys: &[example(
            "store.url",
            r#""sqlite:/var/lib/mailward/mailward.db""#,
            "SQLite file or postgres://user@host/db; default: mailward.db in the data directory",
        )],
    },
    Table {
        name: "dns",
        doc: "How names are looked up.",
        keys: &[
            example("dns.servers", r#"["127.0.0.1:53"]"#, "resolvers in order; default: the system's"),
            default(
                "dns.dnssec",
                r#""trust-ad""#,
                r#""trust-ad" believes the AD bit of resolvers on loopback, "validate" checks signatures itself, "off" does neither"#,
            ),
            example(
                "dns.trust_anchor",
                r#""anchor.key""#,
                r#"anchor file for "validate"; default: the IANA root"#,
            ),
            default("dns.timeout", r#""4s""#, "deadline of one question"),
        ],
    },
    Table {
        name: "tls",
        doc: "Which certificates of others are trusted.",
        keys: &[default("tls.extra_roots", "[]", "PEM files beside the platform's roots")],
    },
    Table {
        name: "outside",
        doc: "How other people's servers are reached.",
        keys: &[
            example("outside.helo", r#""mail.example.com""#, "name given in EHLO; default: this host's name"),
            default("outside.smtp_port", "25", "port of MX hosts"),
            default("outside.https_port", "443", "port of policy hosts"),
            default(
                "outside.allow_private_addresses",
                "false",
                "connect to private and loopback addresses as well",
            ),
        ],
    },
    Table {
        name: "web",
        doc: "Dashboard, JSON API, /metrics and /healthz. Always on.",
        keys: &[default(
            "web.listen",
            r#"["127.0.0.1:8460"]"#,
            "addresses; off loopback nothing is shown without a token",
        )],
    },
    Table {
        name: "policy_host",
        doc: "Serves https://mta-sts.<domain>/.well-known/mta-sts.txt for every domain held. Runs when the table is there.",
        keys: &[
            default("policy_host.listen", r#"["[::]:443"]"#, "addresses"),
            example(
                "policy_host.certificates",
                r#""/var/lib/mailward/certificates""#,
                "directory of NAME.crt + NAME.key or NAME/fullchain.pem + NAME/privkey.pem, read again when files change",
            ),
        ],
    },
    Table {
        name: "reports.https",
        doc: "Takes TLS-RPT reports by HTTPS POST. Runs when the table is there.",
        keys: &[
            example(
                "reports.https.listen",
                r#"["[::]:8443"]"#,
                "own addresses beside the policy host's listener",
            ),
            default("reports.https.path", r#""/v1/tls-rpt""#, "the path that takes reports"),
            default("reports.https.trusted_tokens", "[]", "a report posted to path/TOKEN counts as trusted"),
        ],
    },
    Table {
        name: "reports.maildir",
        doc: "Takes report mails from a maildir. Runs when the table is there.",
        keys: &[
            example(
                "reports.maildir.path",
                r#""/var/mail/tls-reports""#,
                "the maildir that the rua address delivers to",
            ),
            default("reports.maildir.interval", r#""10s""#, "how often it is looked into"),
        ],
    },
    Table {
        name: "monitor",
        doc: "Looks at every domain held from outside. Runs when the table is there.",
        keys: &[default("monitor.interval", r#""1h""#, "how often each domain is looked at")],
    },
    Table {
        name: "publish",
        doc: "What is proposed for domains held.",
        keys: &[
            default("publish.rua", "[]", "report addresses (URIs) for domains added without any"),
            example(
                "publish.policy_host_name",
                r#""policy.example.net""#,
                "the name that mta-sts.<domain> is a CNAME to; default: addresses are proposed",
            ),
        ],
    },
    Table {
        name: "policyd",
        doc: "Tells Postfix what each next hop must meet (socketmap). Runs when the table is there.",
        keys: &[
            default(
                "policyd.listen",
                r#"["unix:/run/mailward/policyd.sock", "127.0.0.1:8461"]"#,
                "unix:/path or address:port; a chrooted smtp(8) sees addresses, and paths below the queue directory",
            ),
            default(
                "policyd.socket_mode",
                r#""0666""#,
                "permissions of unix sockets; Postfix must be able to write",
            ),
            example(
                "policyd.socket_group",
                r#""postfix""#,
                "group of unix sockets; default: that of the process",
            ),
            default(
                "policyd.on_dns_failure",
                r#""last-known""#,
                r#"when the DNS cannot say whether DANE applies: "last-known" goes by what was known in the last day, else mail waits; "defer": mail waits; "open": MTA-STS alone"#,
            ),
            default("policyd.recheck", r#""1h""#, "how long a policy's record, once looked at, is believed"),
            default(
                "policyd.first_contact",
                r#""wait""#,
                r#"the first question about a domain: "wait" for DNS and policy (5 s at most), or "async": for the DNS only, the policy holds from the next question on"#,
            ),
            default(
                "policyd.max_memory",
                r#""512MiB""#,
                "what the policies in memory may take; the database keeps all",
            ),
            default(
                "policyd.probe",
                "true",
                "with a collector: probe the MX hosts of domains in use whose policy is in testing mode, each once a day",
            ),
        ],
    },
    Table {
        name: "collector",
        doc: "Counts what mail servers tell of their TLS sessions (libtlsrpt, Postfix 3.10). Runs when the table is there.",
        keys: &[
            default(
                "collector.socket",
                r#""/run/mailward/tlsrpt.sock""#,
                "datagram socket, at most 107 bytes; not used when systemd passes one",
            ),
            default("collector.mode", r#""0666""#, "its permissions; mail servers must be able to write"),
            example("collector.owner", r#""postfix""#, "its owner; default: that of the process"),
            example("collector.group", r#""postfix""#, "its group; default: that of the process"),
        ],
    },
    Table {
        name: "reporter",
        doc: "Makes and sends the daily reports (TLS-RPT). Runs when the table is there; organization and contact must be set.",
        keys: &[
            example("reporter.organization", r#""Example""#, "name of the organisation that reports"),
            example(
                "reporter.contact",
                r#""tls-rpt@example.com""#,
                "address for questions; its domain is who reports and signs",
            ),
            example(
                "reporter.from",
                r#""noreply-tls-rpt@example.com""#,
                "address in From of report mails; default: contact",
            ),
            default(
                "reporter.submit",
                r#""smtp://127.0.0.1:25""#,
                "where report mails are handed in: smtp://, smtps:// or smtp+starttls://",
            ),
            example("reporter.user", r#""reports""#, "user there (AUTH PLAIN or LOGIN)"),
            example(
                "reporter.password_file",
                r#""/etc/mailward/submit.password""#,
                "file with its password, on one line",
            ),
            example(
                "reporter.dkim",
                r#"[{ domain = "example.com", selector = "tlsrpt", key = "tlsrpt.pem" }]"#,
                "keys that sign, RSA and Ed25519; the domain is that of contact",
            ),
            default("reporter.spread", r#""4h""#, "over how long after midnight UTC first tries are spread"),
            default("reporter.success_only", "true", "report days on which nothing failed as well"),
            default(
                "reporter.probes",
                "false",
                "tell in reports what our own probes found, marked as probes and without counting sessions",
            ),
        ],
    },
];

/// Every key.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|t| t.keys)
}

/// The known name nearest to an unknown one: a key or a table.
pub fn nearest(unknown: &str) -> &'static str {
    let names = all().map(|k| k.name).chain(TABLES.iter().map(|t| t.name));
    names.min_by_key(|name| (distance(unknown, name), *name)).unwrap_or("store.url")
}

/// Edit distance: insertions, deletions, replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The whole example file.
pub fn example_file() -> String {
    let mut text = String::from(
        "# mailward.toml: every key, with its default or an example. Uncomment what you need.\n",
    );
    for table in TABLES {
        text.push_str(&format!("\n# {}\n#[{}]\n", table.doc, table.name));
        for key in table.keys {
            let short = key.name.strip_prefix(table.name).unwrap_or(key.name).trim_start_matches('.');
            let kind = if key.is_default { "default" } else { "example" };
            text.push_str(&format!("# {} ({kind})\n#{short} = {}\n", key.doc, key.example));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, load};

    /// The example with everything uncommented.
    fn uncommented() -> String {
        example_file()
            .lines()
            .filter_map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')))
            .map(|l| format!("{l}\n"))
            .collect()
    }

    #[test]
    fn the_list_and_the_structs_are_in_step() {
        let config: Config = toml::from_str(&uncommented()).expect("every example is a value of its key");
        fn leaves(prefix: &str, value: &toml::Value, to: &mut Vec<String>) {
            match value {
                toml::Value::Table(table) => {
                    for (key, value) in table {
                        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                        leaves(&name, value, to);
                    }
                }
                _ => to.push(prefix.to_owned()),
            }
        }
        let mut names = vec![];
        leaves("", &toml::Value::try_from(&config).expect("serialises"), &mut names);
        names.sort();
        let mut listed: Vec<String> = all().map(|k| k.name.to_owned()).collect();
        listed.sort();
        assert_eq!(names, listed);
    }

    #[test]
    fn defaults_in_the_list_are_the_defaults() {
        // Tables of duties are absent by default; these lines make all of them present.
        let frame = "[reporter]\norganization = \"x\"\ncontact = \"a@example.com\"\n[collector]\n[policyd]\n[policy_host]\n[monitor]\n[reports.https]\n[reports.maildir]\npath = \"/var/mail/x\"\n";
        let base = load::from_text(frame, &[]).expect("the frame is a configuration");
        for key in all().filter(|k| k.is_default) {
            let set = load::from_text(frame, &[format!("{}={}", key.name, key.example)]);
            assert_eq!(set.expect("a default is a value"), base, "{}", key.name);
        }
    }

    #[test]
    fn typing_errors_are_near() {
        for (wrong, right) in [
            ("dns.server", "dns.servers"),
            ("polcy_host", "policy_host"),
            ("monitor.intervall", "monitor.interval"),
        ] {
            assert_eq!(nearest(wrong), right);
        }
    }
}
