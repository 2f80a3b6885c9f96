//! What `config check` says beside "usable" where `[policyd]` is there: Postfix, DNSSEC, sockets. Nothing
//! here stops the daemon; each point is what an operator would otherwise find in the mail queue.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use mailward_core::Severity;
use serde::Serialize;

use crate::config::{Config, DnssecMode, ListenAddress, PolicydTable};
use crate::postfix::{Postfix, Version};

/// The longest path of a unix socket, with the final zero byte.
const LONGEST_PATH: usize = 108;

/// One point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// Info or warning.
    pub severity: Severity,
    /// The key, or the parameter of Postfix, that it is about.
    pub about: String,
    /// What is so, what it means, what to do.
    pub message: String,
    /// The line that main.cf needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_cf: Option<String>,
}

impl Advice {
    fn with_line(self, line: impl Into<String>) -> Self {
        Self { main_cf: Some(line.into()), ..self }
    }
}

pub(super) fn warning(about: &str, message: impl Into<String>) -> Advice {
    Advice { severity: Severity::Warning, about: about.to_owned(), message: message.into(), main_cf: None }
}

pub(super) fn info(about: &str, message: impl Into<String>) -> Advice {
    Advice { severity: Severity::Info, about: about.to_owned(), message: message.into(), main_cf: None }
}

/// A user of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    uid: u32,
    groups: Vec<(String, u32)>,
}

impl User {
    /// By name, from the texts of passwd(5) and group(5).
    pub fn find(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let entry = passwd.lines().map(fields).find(|entry| entry.first().is_some_and(|n| n == name))?;
        let (uid, own) = (entry.get(2)?.parse().ok()?, entry.get(3)?.parse::<u32>().ok()?);
        let groups = group.lines().map(fields).filter_map(|entry| {
            let gid = entry.get(2)?.parse().ok()?;
            let member = gid == own || entry.get(3)?.split(',').any(|member| member == name);
            member.then(|| (entry[0].clone(), gid))
        });
        Some(Self { uid, groups: groups.collect() })
    }

    fn is_in(&self, gid: u32) -> bool {
        self.groups.iter().any(|(_, group)| *group == gid)
    }

    /// Whether the search permission of a folder covers this user.
    fn may_enter(&self, folder: &std::fs::Metadata) -> bool {
        let bits = folder.permissions().mode();
        let shift = if folder.uid() == self.uid {
            6
        } else if self.is_in(folder.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || bits >> shift & 1 == 1
    }
}

/// Everything there is to say. `servers` are those that will be asked.
pub fn advice(
    config: &Config,
    servers: &[SocketAddr],
    postfix: Option<&Postfix>,
    user: Option<&User>,
) -> Vec<Advice> {
    let Some(table) = &config.policyd else { return vec![] };
    let mut all = vec![];
    all.extend(dnssec(config.dns.dnssec, servers));
    for address in &table.listen {
        match address {
            ListenAddress::Tcp(address) if !address.ip().is_loopback() => all.push(warning(
                "policyd.listen",
                format!("{address} is not on loopback: whoever reaches it may ask, and the protocol knows no login. Keep it behind a firewall."),
            )),
            ListenAddress::Tcp(_) => {}
            ListenAddress::Unix(path) => all.extend(socket(path, table, user)),
        }
    }
    match postfix {
        Some(postfix) => all.extend(postfix_advice(postfix, table)),
        None => all.push(info(
            "smtp_tls_policy_maps",
            "postconf is not on this machine, so Postfix was not looked at. The map to name in main.cf is mailward-tlsrpt for Postfix 3.10 and later, else mailward.",
        )),
    }
    all
}

fn dnssec(mode: DnssecMode, servers: &[SocketAddr]) -> Option<Advice> {
    match mode {
        DnssecMode::Validate => None,
        DnssecMode::Off => Some(warning(
            "dns.dnssec",
            "DANE IS OFF: with \"off\" nobody validates DNSSEC, so TLSA records protect no mail. Set \"trust-ad\" with a validating resolver on this machine, such as unbound, or \"validate\".",
        )),
        DnssecMode::TrustAd => {
            let far: Vec<String> = servers
                .iter()
                .filter(|server| !server.ip().to_canonical().is_loopback())
                .map(ToString::to_string)
                .collect();
            (!far.is_empty()).then(|| {
                warning(
                    "dns.servers",
                    format!(
                        "{} not on loopback, so what it says of DNSSEC is not believed (anybody on the way can set that bit): answers from there count as unsigned, and DANE is off for them. Run a validating resolver on this machine, such as unbound, and name it in dns.servers; or set dns.dnssec = \"validate\".",
                        match &far[..] {
                            [one] => format!("{one} is"),
                            many => format!("{} are", many.join(", ")),
                        }
                    ),
                )
            })
        }
    }
}

fn socket(path: &Path, table: &PolicydTable, user: Option<&User>) -> Vec<Advice> {
    let about = "policyd.listen";
    if path.as_os_str().len() >= LONGEST_PATH {
        return vec![warning(
            about,
            format!("{}: a unix socket's path has at most {} bytes", path.display(), LONGEST_PATH - 1),
        )];
    }
    let mut found = vec![];
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        found.push(warning(
            about,
            format!("the folder {} is not there. `mailward serve` makes it where it may; under systemd RuntimeDirectory= does, as in the unit that comes with mailward.", folder.display()),
        ));
    }
    let Some(user) = user else { return found };
    let closed = folder
        .ancestors()
        .filter_map(|folder| Some((folder, std::fs::metadata(folder).ok()?)))
        .find(|(_, metadata)| !user.may_enter(metadata));
    if let Some((closed, _)) = closed {
        found.push(warning(
            about,
            format!(
                "Postfix may not enter {}, so it cannot reach {}: chmod o+x it, or listen elsewhere.",
                closed.display(),
                path.display()
            ),
        ));
    }
    let by_group =
        table.socket_group.as_ref().is_some_and(|name| user.groups.iter().any(|(group, _)| group == name));
    let mode = table.socket_mode.0;
    if mode & 0o002 == 0 && !(by_group && mode & 0o020 != 0) {
        found.push(warning(
            "policyd.socket_mode",
            format!(
                "with mode {mode:04o}{} Postfix may not write to the socket: set policyd.socket_mode = \"0666\", or \"0660\" with policyd.socket_group = \"postfix\".",
                table.socket_group.as_ref().map(|group| format!(" and group {group}")).unwrap_or_default()
            ),
        ));
    }
    found
}

fn postfix_advice(postfix: &Postfix, table: &PolicydTable) -> Vec<Advice> {
    let mut found = vec![];
    let Postfix { version, policy_maps, .. } = postfix;
    let map = version.map();
    if *version < Version::SERVERNAME {
        found.push(warning(
            "mail_version",
            format!("Postfix {version} is older than 3.4 and cannot read the answers"),
        ));
        return found;
    }
    match postfix.main_cf(&table.listen) {
        None => found.push(warning(
            "policyd.listen",
            format!(
                "smtp(8) is locked into {} (master.cf, column chroot) and sees none of these sockets: add \"127.0.0.1:8461\", or a path below that folder.",
                postfix.chroot.as_deref().unwrap_or(Path::new("its queue")).display()
            ),
        )),
        Some(_) if is_asked(postfix, &table.listen) => {
            found.push(info("smtp_tls_policy_maps", format!("Postfix {version} asks mailward, by the map {map}")));
        }
        Some(line) => found.push(match wrong_map(policy_maps, &table.listen, map) {
            Some(wrong) => {
                let message = format!("main.cf names the map {wrong}; for Postfix {version} it must be {map}:");
                warning("smtp_tls_policy_maps", message).with_line(line)
            }
            None => {
                let message = format!("so that Postfix {version} asks mailward, in main.cf:");
                info("smtp_tls_policy_maps", message).with_line(line)
            }
        }),
    }
    if postfix.dns_support_level != "dnssec" {
        let message =
            "is not dnssec: Postfix cannot do DANE, and defers mail where it is told dane-only. In main.cf:";
        found.push(warning("smtp_dns_support_level", message).with_line("smtp_dns_support_level = dnssec"));
    }
    if matches!(postfix.security_level.as_str(), "" | "none") {
        let message = "is none: mail to domains without a policy goes in clear text. In main.cf:";
        found.push(warning("smtp_tls_security_level", message).with_line("smtp_tls_security_level = dane"));
    }
    if (Version::TLSRPT..Version::PATTERNS).contains(version) {
        found.push(info(
            "mail_version",
            format!("Postfix {version} does not compare MX names with a policy itself (3.10.5 does); mailward's answers name the hosts one by one, so nothing is lost."),
        ));
    }
    found
}

/// Whether main.cf names the right map at one of our addresses that smtp(8) sees.
fn is_asked(postfix: &Postfix, listen: &[ListenAddress]) -> bool {
    let wanted: Vec<String> = listen
        .iter()
        .filter_map(|address| postfix.sees(address))
        .map(|seen| format!("socketmap:{}:{}", seen.as_postfix_writes_it(), postfix.version.map()))
        .collect();
    postfix.policy_maps.split([',', ' ']).any(|map| wanted.iter().any(|wanted| map == wanted))
}

/// The map that main.cf names at one of our addresses, where it is another than wanted.
fn wrong_map<'a>(maps: &'a str, listen: &[ListenAddress], wanted: &str) -> Option<&'a str> {
    let ours = |map: &&'a str| {
        listen
            .iter()
            .any(|address| map.starts_with(&format!("socketmap:{}:", address.as_postfix_writes_it())))
    };
    let name = maps.split([',', ' ']).find(ours)?.rsplit(':').next()?;
    (name != wanted).then_some(name)
}

#[cfg(test)]
mod tests;
