//! `mailward check` and `mailward lookup` on domains in the lab's world: no store, no daemon.

use std::time::{Duration, Instant};

use mailward_lab::{Answer, Behaviour, CertificateKind, Fault, Security, World};
use serde_json::{Value, json};

use crate::command::{ids, mailward, run_command};
use crate::mail_world::{configuration_with, configured, in_world, unbound};

/// Everything in order, DANE included.
pub fn perfect(world: &World, domain: &str) {
    let mx = world.good_domain(domain).unwrap();
    let key = world.mx_hosts.identity(mx).unwrap().spki_sha256();
    world.set(&format!("_25._tcp.mx1.{domain}"), "TLSA", &[&format!("3 1 1 {key}")]).unwrap();
}

/// The same with a mail server whose certificate has expired, and no DANE.
fn expired(world: &World, domain: &str) {
    let mx = world.good_domain(domain).unwrap();
    let identity = world.ca.issue(&[&format!("mx1.{domain}")], CertificateKind::Expired);
    assert!(world.mx_hosts.set_certificate(mx, identity));
}

#[test]
fn a_domain_in_order() {
    let world = configured();
    perfect(&world, "good.test");
    let document = in_world(&world, &["check", "--json", "good.test"]).exits(0).json();
    assert_eq!(document["schema"], "mailward.check/1");
    assert_eq!(document["domain"], "good.test");
    let summary = &document["summary"];
    assert_eq!(
        (&summary["mta_sts"], &summary["tls_rpt"], &summary["dane"]),
        (&json!("enforce"), &json!("present"), &json!("full")),
        "{document}"
    );
    assert!(["ok", "info", "warning"].contains(&summary["worst"].as_str().unwrap()), "{summary}");
    assert_eq!(document["policy"]["mode"], "enforce");
    let mx = &document["mx"][0];
    assert_eq!((&mx["host"], &mx["preference"]), (&json!("mx1.good.test"), &json!(10)));
    let address = &mx["addresses"][0];
    for key in ["ip", "starttls", "tls_version", "chain", "mta_sts", "dane", "error"] {
        assert!(address.get(key).is_some(), "{key} is missing: {address}");
    }
    assert_eq!(address["starttls"], true);
    assert!(!address["chain"].as_array().unwrap().is_empty());
    for key in ["checked_at", "records"] {
        assert!(document.get(key).is_some(), "{key} is missing");
    }
    let told = in_world(&world, &["check", "good.test"]).exits(0);
    assert!(told.stdout.contains("good.test") && told.stdout.contains("enforce"), "{}", told.stdout);
    assert!(!told.stdout.contains('\u{1b}') && told.stderr.is_empty(), "{}", told.stderr);
}

#[test]
fn findings_are_stable_and_say_what_to_do() {
    let world = configured();
    expired(&world, "old.test");
    let first = in_world(&world, &["check", "--json", "old.test"]).exits(1).json();
    let second = in_world(&world, &["check", "--json", "old.test"]).exits(1).json();
    assert_eq!(first["findings"], second["findings"], "two runs can be compared");
    assert!(ids(&first).contains(&"SMTP-009"), "{:?}", ids(&first));
    assert_eq!(first["summary"]["worst"], "error");
    let ranks: Vec<usize> = first["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| ["error", "warning", "untested", "info"].iter().position(|s| f["severity"] == *s).unwrap())
        .collect();
    assert!(
        ranks.is_sorted_by_key(|r| if *r == 2 { 1 } else { *r }) || ranks.is_sorted(),
        "worst first: {ranks:?}"
    );
    let finding = first["findings"].as_array().unwrap().iter().find(|f| f["id"] == "SMTP-009").unwrap();
    assert!(finding["subject"].as_str().unwrap().contains("mx1.old.test"));
    assert!(!finding["consequence"].as_str().unwrap().is_empty());
    assert!(!finding["fix"].as_array().unwrap().is_empty());
    let told = in_world(&world, &["check", "old.test"]).exits(1).stdout;
    assert!(told.contains("SMTP-009"), "{told}");
}

#[test]
fn another_day_and_another_threshold() {
    let world = configured();
    perfect(&world, "good.test");
    // Good certificates of the world have 90 days to go.
    in_world(&world, &["check", "--at", "+1d", "good.test"]).exits(0);
    let later = in_world(&world, &["check", "--json", "--at", "+120d", "good.test"]).exits(1).json();
    let expired = later["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "error").count();
    assert!(expired >= 2, "mail server and policy host: {later}");

    let mx = world.good_domain("soon.test").unwrap();
    world.mx_hosts.set_certificate(mx, world.ca.issue_with_days_left(&["mx1.soon.test"], 14));
    let document = in_world(&world, &["check", "--json", "soon.test"]).exits(0).json();
    assert_eq!(document["summary"]["worst"], "warning", "{document}");
    in_world(&world, &["check", "--fail-on", "warning", "soon.test"]).exits(1);
    in_world(&world, &["check", "--fail-on", "error", "soon.test"]).exits(0);
}

#[test]
fn mail_servers_are_left_alone_when_asked() {
    let world = configured();
    let mx = world.good_domain("quiet.test").unwrap();
    let document = in_world(&world, &["check", "--json", "--no-smtp", "quiet.test"]).exits(0).json();
    assert_eq!(world.mx_hosts.connections(mx), 0);
    assert_eq!(document["summary"]["mta_sts"], "enforce");
    assert!(!ids(&document).iter().any(|id| id.starts_with("SMTP-0")), "{:?}", ids(&document));
}

#[test]
fn what_cannot_be_tested_is_not_called_broken() {
    let world = configured();
    // Nobody can connect to a group of hosts: the system says so without a packet.
    world.good_domain("far.test").unwrap();
    world.set("mx1.far.test", "A", &["224.0.0.1"]).unwrap();
    let far = in_world(&world, &["check", "--json", "far.test"]).exits(3).json();
    assert!(ids(&far).contains(&"SMTP-016"), "{:?}", ids(&far));
    assert_eq!(far["summary"]["worst"], "untested");
    assert!(!far["findings"].as_array().unwrap().iter().any(|f| f["severity"] == "error"), "{far}");

    // No resolver at all.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for _ in 0..5 {
        let servers = format!("dns.servers={nobody}");
        let dead =
            in_world(&world, &["check", "--json", "--set", &servers, "--set", "dns.timeout=1s", "far.test"]);
        let dead = dead.exits(3).json();
        assert!(!dead["findings"].as_array().unwrap().iter().any(|f| f["severity"] == "error"), "{dead}");
        let ran =
            in_world(&world, &["lookup", "--json", "--set", &servers, "--set", "dns.timeout=1s", "far.test"]);
        let looked = ran.exits(3).json();
        assert_eq!(looked["decision"], "defer");
        assert!(looked["postfix"].as_str().unwrap().starts_with("TEMP "), "{looked}");
    }

    // A domain whose own lookups fail is broken for senders, too.
    world.good_domain("servfail.test").unwrap();
    world.dns.fault("_mta-sts.servfail.test", Some("TXT"), Some(Fault::ServFail)).unwrap();
    let broken = in_world(&world, &["check", "--json", "servfail.test"]).exits(1).json();
    assert!(ids(&broken).contains(&"STS-TXT-002"), "{:?}", ids(&broken));
}

#[test]
fn private_addresses_are_not_touched_unless_allowed() {
    let world = configured();
    let mx = world.good_domain("inside.test").unwrap();
    let closed = ["--set", "outside.allow_private_addresses=false"];
    let ran = in_world(&world, &[&["check", "--json", "inside.test"], &closed[..]].concat()).exits(3);
    assert_eq!(world.mx_hosts.connections(mx), 0);
    assert_eq!(world.policy_hosts.requests("mta-sts.inside.test"), 0);
    assert_eq!(ran.json()["summary"]["worst"], "untested");
}

/// Three hundred domains on one mail server and one policy host, as a hoster has them.
fn many(world: &World, count: usize) -> Vec<String> {
    world.zone("hoster.test", Security::Signed).unwrap();
    world.mx("mx.hoster.test", Behaviour::Good, CertificateKind::Good).unwrap();
    let names: Vec<String> = (0..count).map(|n| format!("d{n}.test")).collect();
    for name in &names {
        world.set(name, "MX", &["10 mx.hoster.test."]).unwrap();
        world.set(&format!("_smtp._tls.{name}"), "TXT", &["v=TLSRPTv1; rua=mailto:r@hoster.test"]).unwrap();
        world.announce(name, "1").unwrap();
        let body = "version: STSv1\nmode: enforce\nmx: mx.hoster.test\nmax_age: 1209600\n";
        world.policy(name, body, Answer::Ok, CertificateKind::Good).unwrap();
    }
    names
}

#[test]
fn three_hundred_domains_from_a_file() {
    let world = configured();
    let mut names = many(&world, 300);
    let path = world.directory.join("domains.txt");
    std::fs::write(&path, format!("# the hoster's\n\n{}  # last\n", names.join("\n"))).unwrap();
    let began = Instant::now();
    let ran = in_world(&world, &["check", "--from", "domains.txt", "--format", "jsonl"]).exits(0);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let lines = ran.lines();
    let mut seen: Vec<&str> = lines.iter().map(|l| l["domain"].as_str().unwrap()).collect();
    seen.sort_unstable();
    names.sort_unstable();
    assert_eq!(seen, names, "each once");
    assert!(lines.iter().all(|l| l["summary"]["mta_sts"] == "enforce" && l["schema"] == "mailward.check/1"));

    // From standard input, one of them broken: 1 by findings.
    expired(&world, "old.test");
    let mut command = mailward();
    command.current_dir(&world.directory).args(["check", "--from", "-", "--jobs", "2", "--format", "jsonl"]);
    let ran = run_command(&mut command, b"d1.test\nold.test\r\nd2.test").exits(1);
    assert_eq!(ran.lines().len(), 3);
    let bad = run_command(
        mailward().current_dir(&world.directory).args(["check", "--from", "-"]),
        b"d1.test\nno good\n",
    );
    assert!(bad.exits(2).stderr.contains("line 2"));
    // Several named domains as JSON: an array.
    let ran = in_world(&world, &["check", "--json", "d1.test", "d2.test"]).exits(0);
    assert_eq!(ran.json().as_array().map(Vec::len), Some(2));
}

#[test]
fn forms_for_machines() {
    let world = configured();
    perfect(&world, "good.test");
    expired(&world, "old.test");
    let of = |format: &str| {
        in_world(&world, &["check", "--format", format, "good.test", "old.test"]).exits(1).stdout
    };

    let sarif: Value = serde_json::from_str(&of("sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules: Vec<&str> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].as_str().unwrap())
        .collect();
    let results = run["results"].as_array().unwrap();
    assert!(results.iter().any(|r| r["ruleId"] == "SMTP-009" && r["level"] == "error"), "{results:?}");
    for result in results {
        assert!(rules.contains(&result["ruleId"].as_str().unwrap()), "every result has its rule: {result}");
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert!(!result["locations"].as_array().unwrap().is_empty());
    }

    let junit = of("junit");
    assert!(junit.starts_with("<?xml"), "{junit}");
    assert_eq!(junit.matches("<testsuite ").count(), 2, "{junit}");
    assert!(junit.contains("<failure ") && junit.contains("SMTP-009"), "{junit}");
    balanced(&junit);

    let metrics = of("prometheus");
    let sample = |name: &str| {
        let line =
            metrics.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(sample("mailward_check_findings{domain=\"old.test\",severity=\"error\"}") >= 1.0);
    assert!(sample("mailward_check_findings{domain=\"good.test\",severity=\"error\"}") == 0.0);
    assert_eq!(metrics.matches("# TYPE mailward_check_findings gauge").count(), 1);
}

/// Tags of an XML text are closed in the order in which they were opened.
fn balanced(xml: &str) {
    let mut open = vec![];
    for tag in xml.split('<').skip(1).map(|t| t.split('>').next().unwrap()) {
        match tag.strip_prefix('/') {
            _ if tag.starts_with('?') || tag.ends_with('/') => {}
            Some(name) => assert_eq!(open.pop(), Some(name), "{xml}"),
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn what_a_sender_must_do() {
    let world = configured();
    world.good_domain("strict.test").unwrap();
    world.good_domain("trying.test").unwrap();
    let body = "version: STSv1\nmode: testing\nmx: mx1.trying.test\nmax_age: 86400\n";
    assert!(world.policy_hosts.set_body("mta-sts.trying.test", body));
    world.good_domain("elsewhere.test").unwrap();
    let body = "version: STSv1\nmode: enforce\nmx: other.test\nmax_age: 86400\n";
    assert!(world.policy_hosts.set_body("mta-sts.elsewhere.test", body));
    world.zone("plain.test", Security::Unsigned).unwrap();
    world.set("plain.test", "MX", &["10 mx1.strict.test."]).unwrap();
    for (domain, decision, postfix) in [
        ("strict.test", "mta-sts-enforce", "OK secure match=mx1.strict.test servername=hostname"),
        ("trying.test", "mta-sts-testing", "NOTFOUND "),
        ("elsewhere.test", "defer", "OK secure match=mta-sts-no-mx-match.invalid servername=hostname"),
        ("plain.test", "opportunistic", "NOTFOUND "),
    ] {
        let document = in_world(&world, &["lookup", "--json", domain]).exits(0).json();
        assert_eq!(document["schema"], "mailward.lookup/1");
        assert_eq!(
            (&document["decision"], &document["postfix"]),
            (&json!(decision), &json!(postfix)),
            "{document}"
        );
        assert!(!document["trace"].as_array().unwrap().is_empty());
        for host in document["mx"].as_array().unwrap() {
            for key in ["host", "allowed", "requirement", "why"] {
                assert!(host.get(key).is_some(), "{key}: {host}");
            }
        }
        let told = in_world(&world, &["lookup", domain]).exits(0).stdout;
        assert!(told.contains(decision), "{told}");
    }
    let upper = in_world(&world, &["lookup", "--json", "STRICT.test."]).exits(0).json();
    assert_eq!(upper["domain"], "strict.test");
}

/// A validating resolver between us and the world, believed by its AD bit.
#[test]
fn behind_a_real_resolver() {
    let world = configured();
    perfect(&world, "good.test");
    world.zone("bogus.test", Security::Bogus).unwrap();
    world.set("bogus.test", "MX", &["10 mx1.good.test."]).unwrap();
    let Some((_unbound, listen)) = unbound(&world) else { return };
    std::fs::write(world.directory.join("mailward.toml"), configuration_with(&world, listen, "trust-ad"))
        .unwrap();
    let document = in_world(&world, &["check", "--json", "good.test"]).exits(0).json();
    assert_eq!(
        (&document["summary"]["mta_sts"], &document["summary"]["dane"]),
        (&json!("enforce"), &json!("full")),
        "{document}"
    );
    let bogus = in_world(&world, &["check", "--json", "bogus.test"]).exits(1).json();
    let told = bogus["findings"].to_string();
    assert!(told.contains("bogus") || told.contains("DNSSEC"), "{told}");
    let off = in_world(&world, &["check", "--json", "--set", "dns.dnssec=off", "good.test"]).json();
    assert_ne!(off["summary"]["dane"], "full", "nobody vouches for the records");
}
