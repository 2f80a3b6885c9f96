use super::*;
use crate::config::load::from_text;

const FREE: &str = "[policyd]\nlisten = [\"127.0.0.1:8461\"]\n";

fn postfix(version: &str, policy_maps: &str) -> Postfix {
    Postfix {
        version: Version::parse(version).unwrap(),
        chroot: None,
        policy_maps: policy_maps.to_owned(),
        security_level: "dane".to_owned(),
        dns_support_level: "dnssec".to_owned(),
        owner: "postfix".to_owned(),
    }
}

/// Severity, about, and message of every point.
fn told(config: &str, servers: &[&str], postfix: &Postfix, user: Option<&User>) -> Vec<String> {
    let config = from_text(config, &[]).unwrap();
    let servers: Vec<SocketAddr> = servers.iter().map(|s| s.parse().unwrap()).collect();
    advice(&config, &servers, Some(postfix), user)
        .into_iter()
        .map(|a| format!("{:?} {}: {} {}", a.severity, a.about, a.message, a.main_cf.unwrap_or_default()))
        .collect()
}

#[test]
fn nothing_is_said_without_a_policy_daemon() {
    let config = from_text("[dns]\ndnssec = \"off\"\n", &[]).unwrap();
    assert_eq!(advice(&config, &[], None, None), []);
}

#[test]
fn who_validates() {
    let fine = postfix("3.7.11", "");
    for (config, servers, part) in [
        ("[dns]\ndnssec = \"off\"\n", &["127.0.0.1:53"][..], Some("DANE IS OFF")),
        ("", &["127.0.0.1:53", "192.0.2.1:53"], Some("192.0.2.1:53 is not on loopback")),
        ("", &["192.0.2.1:53", "192.0.2.2:53"], Some("192.0.2.1:53, 192.0.2.2:53 are not")),
        ("", &["127.0.0.1:53", "[::1]:53", "[::ffff:127.0.0.1]:53"], None),
        ("[dns]\ndnssec = \"validate\"\n", &["192.0.2.1:53"], None),
    ] {
        let told = told(&format!("{config}{FREE}"), servers, &fine, None);
        let found = told.iter().find(|t| t.starts_with("Warning dns."));
        assert_eq!(found.is_some(), part.is_some(), "{told:?}");
        assert!(part.is_none_or(|part| found.unwrap().contains(part)), "{told:?}");
    }
}

#[test]
fn what_postfix_is_to_be_told() {
    let line = |map: &str| format!("smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:{map}");
    let maps = |map: &str| format!("hash:/etc/postfix/tls_policy, socketmap:inet:127.0.0.1:8461:{map}");
    for (version, maps, expected) in [
        ("3.7.11", String::new(), format!("Info smtp_tls_policy_maps: so that Postfix 3.7.11 asks mailward, in main.cf: {}", line("mailward"))),
        ("3.10.13", String::new(), format!("in main.cf: {}", line("mailward-tlsrpt"))),
        ("3.10.13", maps("mailward-tlsrpt"), "asks mailward, by the map mailward-tlsrpt".to_owned()),
        ("3.9.1", maps("mailward-tlsrpt"), "Warning smtp_tls_policy_maps: main.cf names the map mailward-tlsrpt; for Postfix 3.9.1 it must be mailward:".to_owned()),
        ("3.10.13", maps("mailward"), "it must be mailward-tlsrpt".to_owned()),
        ("3.10.2", String::new(), "3.10.5 does".to_owned()),
        ("3.3.0", String::new(), "cannot read the answers".to_owned()),
    ] {
        let told = told(FREE, &["127.0.0.1:53"], &postfix(version, &maps), None);
        assert!(told.iter().any(|t| t.contains(&expected)), "{expected}: {told:?}");
    }
    let mut weak = postfix("3.7.11", "");
    weak.security_level = String::new();
    weak.dns_support_level = "enabled".to_owned();
    let found = told(FREE, &["127.0.0.1:53"], &weak, None);
    for parameter in ["smtp_dns_support_level", "smtp_tls_security_level"] {
        assert!(
            found.iter().any(|t| t.starts_with(&format!("Warning {parameter}"))),
            "{parameter}: {found:?}"
        );
    }
    let jailed = Postfix { chroot: Some("/var/spool/postfix".into()), ..postfix("3.7.11", "") };
    let found = told("[policyd]\nlisten = [\"unix:/run/x.sock\"]\n", &["127.0.0.1:53"], &jailed, None);
    assert!(found.iter().any(|t| t.contains("sees none of these sockets")), "{found:?}");
}

#[test]
fn whether_postfix_reaches_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let user = User { uid: 4_000_000, groups: vec![("postfix".to_owned(), 4_000_001)] };
    let open = folder.path().display();
    for (keys, part) in [
        (format!("listen = [\"unix:{open}/a.sock\"]"), None),
        (format!("listen = [\"unix:{open}/gone/a.sock\"]"), Some("gone is not there")),
        (format!("listen = [\"unix:{open}/closed/a.sock\"]"), Some("may not enter")),
        (
            format!("listen = [\"unix:{open}/a.sock\"]\nsocket_mode = \"0660\""),
            Some("mode 0660 Postfix may not write"),
        ),
        (
            format!("listen = [\"unix:{open}/a.sock\"]\nsocket_mode = \"0660\"\nsocket_group = \"mail\""),
            Some("mode 0660 and group mail"),
        ),
        (
            format!("listen = [\"unix:{open}/a.sock\"]\nsocket_mode = \"0660\"\nsocket_group = \"postfix\""),
            None,
        ),
        (format!("listen = [\"unix:/{}\"]", "x".repeat(120)), Some("at most 107 bytes")),
        ("listen = [\"192.0.2.1:8461\"]".to_owned(), Some("not on loopback")),
    ] {
        let told =
            told(&format!("[policyd]\n{keys}\n"), &["127.0.0.1:53"], &postfix("3.7.11", ""), Some(&user));
        let found = told.iter().find(|t| t.starts_with("Warning policyd."));
        assert_eq!(found.is_some(), part.is_some(), "{keys}: {told:?}");
        assert!(part.is_none_or(|part| found.unwrap().contains(part)), "{keys}: {told:?}");
    }
}

#[test]
fn users_are_found_with_their_groups() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\npostfix:x:101:102::/var/spool/postfix:/usr/sbin/nologin\n";
    let group = "root:x:0:\npostfix:x:102:\nmailward:x:200:opendkim,postfix\nother:x:300:postfixer\n";
    let groups = vec![("postfix".to_owned(), 102), ("mailward".to_owned(), 200)];
    assert_eq!(User::find("postfix", passwd, group), Some(User { uid: 101, groups }));
    assert_eq!(User::find("exim", passwd, group), None);
}
