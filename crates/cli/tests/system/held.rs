//! Domains held, from the command line alone: no daemon, no terminal.

use mailward_lab::{CertificateKind, Security, World};
use serde_json::json;

use crate::command::{mailward, run_command, shared};
use crate::mail_world::{configured, in_world};
use crate::wait;

/// A domain with one good mail server and nothing else.
fn bare(world: &World, domain: &str) {
    world.zone(domain, Security::Signed).unwrap();
    let host = format!("mx1.{domain}");
    world.mx(&host, mailward_lab::Behaviour::Good, CertificateKind::Good).unwrap();
    world.set(domain, "MX", &[&format!("10 {host}.")]).unwrap();
}

#[test]
fn a_domain_is_added_shown_and_removed() {
    let world = configured();
    bare(&world, "own.test");
    let added = in_world(&world, &["domain", "add", "own.test"]).exits(0);
    assert!(added.stdout.contains("mx1.own.test") && added.stdout.contains("testing"), "{}", added.stdout);
    let list = in_world(&world, &["domain", "list", "--json"]).exits(0).json();
    let held = &list["domains"][0];
    assert_eq!(
        (&held["domain"], &held["mode"], &held["max_age"], &held["mx"]),
        (&json!("own.test"), &json!("testing"), &json!(86_400), &json!(["mx1.own.test"])),
        "{list}"
    );
    let body = held["policy_body"].as_str().unwrap();
    assert_eq!(body, "version: STSv1\nmode: testing\nmx: mx1.own.test\nmax_age: 86400\n");
    // The id carries the body's mark: anyone can check that they belong together.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let hex: String = digest.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect();
    let id = held["policy_id"].as_str().unwrap().to_owned();
    assert!(id.ends_with(&hex) && id.len() == 28 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");

    let again = in_world(&world, &["domain", "add", "own.test", "--json"]).exits(0).json();
    assert_eq!(
        (&again["changed"], &again["domain"]["policy_id"]),
        (&json!(false), &json!(id)),
        "the same again"
    );
    let changed =
        in_world(&world, &["domain", "add", "OWN.test.", "--mx", "*.own.test", "--json"]).exits(0).json();
    assert_eq!(changed["changed"], true);
    assert_ne!(changed["domain"]["policy_id"], json!(id), "another body, another id");
    let shown = in_world(&world, &["domain", "show", "own.test", "--json"]).exits(0).json();
    assert!(shown["log"].as_array().unwrap().len() >= 2, "every act is in the log: {shown}");
    assert!(in_world(&world, &["domain", "show", "own.test"]).exits(0).stdout.contains("*.own.test"));

    in_world(&world, &["domain", "remove", "own.test"]).exits(0);
    assert_eq!(in_world(&world, &["domain", "list", "--json"]).exits(0).json()["domains"], json!([]));
    for command in
        [&["domain", "show", "own.test"][..], &["domain", "remove", "own.test"], &["dns", "own.test"]]
    {
        let ran = in_world(&world, command).exits(2);
        assert!(ran.stderr.contains("mailward domain add own.test"), "{}", ran.stderr);
    }
}

#[test]
fn what_cannot_be_held_is_refused() {
    let world = configured();
    world.zone("nomail.test", Security::Signed).unwrap();
    world.set("nomail.test", "MX", &["0 ."]).unwrap();
    for arguments in [
        &["not a name"][..],
        &["nomail.test"],
        &["own.test", "--mx", "*.*.own.test"],
        &["own.test", "--mx", "192.0.2.1"],
        &["own.test", "--mx", "mx.own.test", "--rua", "ftp://x.test"],
    ] {
        let ran = in_world(&world, &[&["domain", "add"], arguments].concat()).exits(2);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{arguments:?}");
    }
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = format!("dns.servers={nobody}");
    let ran = in_world(&world, &["domain", "add", "own.test", "--set", &servers, "--set", "dns.timeout=1s"])
        .exits(3);
    assert!(ran.stderr.contains("--mx"), "says what to do: {}", ran.stderr);
    in_world(&world, &["domain", "add", "own.test", "--mx", "mx.own.test", "--set", &servers]).exits(0);
    // A store that cannot be opened is not a wrong word.
    let ran =
        in_world(&world, &["domain", "list", "--set", "store.url=sqlite:/proc/nowhere/mailward.db"]).exits(3);
    assert!(ran.stderr.contains("store"), "{}", ran.stderr);
    in_world(&world, &["status", "--set", "store.url=postgres://nobody@127.0.0.1:1/none"]).exits(3);
    in_world(&world, &["status", "--set", "store.url=mysql://x"]);
}

#[test]
fn a_file_says_what_is_held() {
    let world = configured();
    bare(&world, "one.test");
    let file = world.directory.join("domains.toml");
    std::fs::write(&file, "[[domain]]\nname = \"one.test\"\n[[domain]]\nname = \"two.test\"\nmx = [\"mx.two.test\"]\nmode = \"enforce\"\nmax_age = 604800\n").unwrap();
    let dry = in_world(&world, &["domain", "apply", "domains.toml", "--dry-run"]).exits(0);
    assert!(dry.stdout.contains("one.test") && dry.stdout.contains("two.test"), "{}", dry.stdout);
    assert_eq!(in_world(&world, &["domain", "list", "--json"]).json()["domains"], json!([]), "only said");
    in_world(&world, &["domain", "apply", "domains.toml"]).exits(0);
    let list = in_world(&world, &["domain", "list", "--json"]).json();
    assert_eq!(list["domains"].as_array().unwrap().len(), 2);
    let again = in_world(&world, &["domain", "apply", "domains.toml", "--json"]).exits(0).json();
    assert_eq!(again["changes"], json!([]), "idempotent");
    assert_eq!(in_world(&world, &["domain", "list", "--json"]).json(), list, "ids and dates stay");
    std::fs::write(&file, "[[domain]]\nnam = \"one.test\"\n").unwrap();
    let ran = in_world(&world, &["domain", "apply", "domains.toml"]).exits(2);
    assert!(ran.stderr.contains("nam"), "{}", ran.stderr);
}

#[test]
fn records_to_publish_in_their_order() {
    let world = configured();
    bare(&world, "own.test");
    let rua = "mailto:tls@own.test";
    in_world(&world, &["domain", "add", "own.test", "--rua", rua]).exits(0);
    let before = in_world(&world, &["dns", "own.test", "--json"]).exits(0).json();
    let list = before.as_array().unwrap();
    for record in list {
        let mut keys: Vec<&String> = record.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["name", "order", "reason", "seen", "type", "value"]);
        assert!(!record["reason"].as_str().unwrap().is_empty());
    }
    let orders: Vec<u64> = list.iter().map(|r| r["order"].as_u64().unwrap()).collect();
    assert!(orders.is_sorted() && orders[0] == 1, "{orders:?}");
    let at = |name: &str| {
        list.iter().position(|r| r["name"] == name).unwrap_or_else(|| panic!("{name}: {before}"))
    };
    let (record, host) = (at("_mta-sts.own.test"), at("mta-sts.own.test"));
    assert!(host < record, "the policy can be fetched before it is announced");
    assert_eq!(list[at("_smtp._tls.own.test")]["value"], format!("v=TLSRPTv1; rua={rua}"));
    assert_eq!(list[record]["seen"], false);
    let value = list[record]["value"].as_str().unwrap();
    let held = in_world(&world, &["domain", "list", "--json"]).json()["domains"][0].clone();
    assert_eq!(value, format!("v=STSv1; id={};", held["policy_id"].as_str().unwrap()));

    world.set("_mta-sts.own.test", "TXT", &[value]).unwrap();
    wait::until("the record is seen", 5, || {
        let after = in_world(&world, &["dns", "own.test", "--format", "json"]).exits(0).json();
        after.as_array().unwrap().iter().any(|r| r["name"] == "_mta-sts.own.test" && r["seen"] == true)
    });
    let zone = in_world(&world, &["dns", "own.test", "--format", "zone"]).exits(0).stdout;
    assert!(
        zone.contains(&format!("\"{value}\"")) && zone.contains("IN TXT") || zone.contains("TXT"),
        "{zone}"
    );
    let table = in_world(&world, &["dns", "own.test"]).exits(0).stdout;
    assert!(table.contains("● seen") && table.contains("▲ not seen yet"), "{table}");
}

#[test]
fn the_gate_and_the_page_of_all_domains() {
    let world = configured();
    bare(&world, "own.test");
    assert!(
        in_world(&world, &["status"]).exits(0).stdout.contains("mailward domain add"),
        "an empty page teaches"
    );
    in_world(&world, &["domain", "add", "own.test"]).exits(0);
    let shown = in_world(&world, &["rollout", "own.test", "show", "--json"]).exits(1).json();
    assert_eq!(shown["verdict"], "not-yet", "one day in testing is not enough");
    assert!(shown["obstacles"].as_array().unwrap().contains(&json!(1)), "{shown}");
    assert_eq!(shown["items"].as_array().unwrap().len(), 11);
    let told = in_world(&world, &["rollout", "own.test"]).exits(1).stdout;
    assert!(told.contains("G1") && told.contains("G11"), "{told}");
    in_world(&world, &["rollout", "elsewhere.test"]).exits(2);
    let status = in_world(&world, &["status", "--json"]).exits(0).json();
    assert_eq!(status["domains"][0]["mode"], "testing");
    assert!(in_world(&world, &["status"]).stdout.contains("own.test"));
}

#[test]
fn reports_from_files() {
    let world = configured();
    let folder = world.directory.join("reports");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..70 {
        std::fs::write(folder.join(format!("{n}.json")), report("own.test", n, 10 + n, n % 3)).unwrap();
    }
    std::fs::write(folder.join("garbage.json"), "{\"organization-name\":").unwrap();
    let first = in_world(&world, &["report", "import", "reports", "--json"]).exits(0).json();
    assert_eq!((&first["new"], &first["duplicates"]), (&json!(70), &json!(0)), "{first}");
    let again = in_world(&world, &["report", "import", "reports", "--json"]).exits(0).json();
    assert_eq!(again["new"], 0, "idempotent: {again}");
    assert!(again["duplicates"].as_u64().unwrap() >= 70, "{again}");

    let page = in_world(&world, &["report", "list", "--json"]).exits(0).json();
    let rows = page["reports"].as_array().unwrap();
    assert!(rows.len() >= 50, "pages of at least 50");
    let mut seen: Vec<String> = rows.iter().map(|r| r["report_id"].as_str().unwrap().to_owned()).collect();
    let next = page["next"].as_i64().expect("there is another page").to_string();
    let rest = in_world(&world, &["report", "list", "--json", "--before", &next]).exits(0).json();
    seen.extend(
        rest["reports"].as_array().unwrap().iter().map(|r| r["report_id"].as_str().unwrap().to_owned()),
    );
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 70);
    let told = in_world(&world, &["report", "list", "--limit", "100"]).exits(0).stdout;
    assert!((0..70).all(|n| told.contains(&format!("{n:05}@mail.example"))), "{told}");

    let lines = in_world(&world, &["report", "export", "--json"]).exits(0).lines();
    assert_eq!(lines.len(), 70);
    let total: u64 = lines
        .iter()
        .map(|l| l["policies"][0]["summary"]["total-failure-session-count"].as_u64().unwrap())
        .sum();
    assert_eq!(total, (0..70).map(|n| n % 3).sum::<u64>());
    let csv = in_world(&world, &["report", "export"]).exits(0).stdout;
    assert!(csv.starts_with("day,domain,") && csv.lines().count() > 70, "{}", &csv[..200]);

    let shown = in_world(&world, &["report", "show", "00002@mail.example", "--json"]).exits(0).json();
    assert_eq!(shown["report"]["report-id"], "00002@mail.example");
    let raw = in_world(&world, &["report", "show", "00002@mail.example", "--raw"]).exits(0).stdout;
    assert_eq!(raw, report("own.test", 2, 12, 2), "the bytes as they arrived");
    in_world(&world, &["report", "show", "no-such-id"]).exits(2);
    in_world(&world, &["report", "import", "no-such-folder"]).exits(2);
    let failed = in_world(&world, &["report", "list", "--failed", "--json", "--limit", "100"]).json();
    assert_eq!(failed["reports"].as_array().unwrap().len(), (0..70).filter(|n| n % 3 > 0).count());
}

/// One report; the same arguments give the same bytes.
pub fn report(domain: &str, n: u64, successful: u64, failed: u64) -> String {
    let day = format!("2026-{:02}-{:02}", 1 + n / 28 % 10, 1 + n % 28);
    let details = if failed > 0 {
        format!(
            r#"{{"result-type":"certificate-expired","receiving-mx-hostname":"mx1.{domain}","failed-session-count":{failed}}}"#
        )
    } else {
        String::new()
    };
    format!(
        r#"{{"organization-name":"Mail","date-range":{{"start-datetime":"{day}T00:00:00Z","end-datetime":"{day}T23:59:59Z"}},"contact-info":"tls@mail.example","report-id":"{n:05}@mail.example","policies":[{{"policy":{{"policy-type":"sts","policy-string":["version: STSv1","mode: testing","mx: mx1.{domain}","max_age: 86400"],"policy-domain":"{domain}","mx-host":["mx1.{domain}"]}},"summary":{{"total-successful-session-count":{successful},"total-failure-session-count":{failed}}},"failure-details":[{details}]}}]}}"#
    )
}

#[test]
fn reports_as_they_are_in_the_wild() {
    let Some(folder) = shared("samples/reports") else {
        return println!("skipped: no reports beside the workspace");
    };
    let world = configured();
    let folder = folder.display().to_string();
    let first = in_world(&world, &["report", "import", &folder, "--json"]).exits(0).json();
    assert!(first["new"].as_u64().unwrap() > 20, "{first}");
    let exported = in_world(&world, &["report", "export", "--json"]).exits(0).lines();
    let again = in_world(&world, &["report", "import", &folder, "--json"]).exits(0).json();
    assert_eq!(again["new"], 0, "{again}");
    assert_eq!(in_world(&world, &["report", "export", "--json"]).lines(), exported);
}

#[test]
fn tokens_are_made_listed_and_removed() {
    let world = configured();
    let made = in_world(&world, &["admin", "token", "create", "ci"]).exits(0);
    let secret = made.stdout.trim();
    assert!(
        secret.starts_with("mailward_") && secret.len() > 30 && !made.stdout.trim().contains('\n'),
        "{secret}"
    );
    in_world(&world, &["admin", "token", "create", "ci"]).exits(2);
    let list = in_world(&world, &["admin", "token", "list", "--json"]).exits(0).stdout;
    assert!(list.contains("\"ci\"") && !list.contains(secret), "{list}");
    in_world(&world, &["admin", "token", "remove", "ci"]).exits(0);
    in_world(&world, &["admin", "token", "remove", "ci"]).exits(2);
}

#[test]
fn nothing_asks_a_question() {
    let world = configured();
    let mut command = mailward();
    command.current_dir(&world.directory).args(["domain", "add", "own.test", "--mx", "mx.own.test"]);
    let ran = run_command(&mut command, b"").exits(0);
    assert!(!ran.stdout.contains('?') && ran.stderr.is_empty(), "{} {}", ran.stdout, ran.stderr);
}
