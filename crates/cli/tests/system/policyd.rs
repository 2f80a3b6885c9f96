//! The sending side from outside: `serve` with `[policyd]`, and every command that speaks to it.

use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use mailward_lab::{Answer, Security, World};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::check::perfect;
use crate::command::{Ran, mailward, run, run_command};
use crate::daemon::Daemon;
use crate::http::get;
use crate::mail_world::{configuration, in_world, world};
use crate::wait;

/// A daemon that answers Postfix, in a world of its own.
struct Answering {
    daemon: Daemon,
    world: World,
    socket: PathBuf,
    tcp: String,
    web: SocketAddr,
}

const STRICT: &str = "OK secure match=mx1.strict.test servername=hostname";

/// A world with a domain for each case, and the configuration to answer Postfix in it.
fn sending_world(keys: &str) -> (World, PathBuf) {
    let world = world();
    world.good_domain("strict.test").unwrap();
    perfect(&world, "dane.test");
    world.good_domain("trying.test").unwrap();
    let body = "version: STSv1\nmode: testing\nmx: mx1.trying.test\nmax_age: 86400\n";
    assert!(world.policy_hosts.set_body("mta-sts.trying.test", body));
    world.zone("plain.test", Security::Unsigned).unwrap();
    world.set("plain.test", "MX", &["10 mx1.strict.test."]).unwrap();
    let socket = world.directory.join("run/policyd.sock");
    let text = format!(
        "{}[web]\nlisten = [\"127.0.0.1:0\"]\n[policyd]\nlisten = [\"unix:{}\", \"127.0.0.1:0\"]\n{keys}",
        configuration(&world),
        socket.display()
    );
    std::fs::write(world.directory.join("mailward.toml"), text).unwrap();
    (world, socket)
}

fn answering(keys: &str) -> Answering {
    let (world, socket) = sending_world(keys);
    start(world, socket)
}

fn start(world: World, socket: PathBuf) -> Answering {
    let mut daemon = Daemon::start(mailward().current_dir(&world.directory).arg("serve"));
    let places = daemon.says("Postfix is answered on ", 20);
    let (unix, tcp) = places.trim_end_matches('.').split_once(" and ").unwrap();
    assert_eq!(unix, format!("unix:{}", socket.display()));
    let tcp = tcp.to_owned();
    let web = daemon.says("Dashboard: http://", 20).parse().unwrap();
    Answering { daemon, world, socket, tcp, web }
}

impl Answering {
    fn run(&self, arguments: &[&str]) -> Ran {
        in_world(&self.world, arguments)
    }

    /// What Postfix is told.
    fn told(&self, key: &str) -> String {
        self.run(&["policyd", "query", "--json", key]).json()["answer"].as_str().unwrap().to_owned()
    }

    fn lookup(&self, arguments: &[&str]) -> Value {
        self.run(&[&["lookup", "--json"], arguments].concat()).exits(0).json()
    }

    /// Ends the daemon and hands back its world.
    fn end(self) -> (World, PathBuf) {
        self.daemon.terminate();
        (self.world, self.socket)
    }
}

#[test]
fn postfix_is_answered() {
    let (world, socket) = sending_world("");
    // Left behind by a process that was killed: replaced.
    std::fs::create_dir(socket.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    let answering = start(world, socket);
    let shown = answering.daemon.stdout();
    let line = format!("smtp_tls_policy_maps = socketmap:unix:{}:mailward", answering.socket.display());
    assert!(shown.contains(&line), "{shown}");

    let reports = format!(
        "{STRICT} policy_type=sts policy_domain=strict.test {{ policy_string = version: STSv1 }} \
         {{ policy_string = mode: enforce }} {{ policy_string = mx: mx1.strict.test }} \
         {{ policy_string = max_age: 1209600 }} mx_host_pattern=mx1.strict.test"
    );
    for (key, map, answer, code) in [
        ("strict.test", "mailward", STRICT, 0),
        ("STRICT.test.", "mailward", STRICT, 0),
        ("strict.test:25", "QUERY", STRICT, 0),
        ("strict.test", "mailward-tlsrpt", &reports, 0),
        ("dane.test", "mailward-tlsrpt", "OK dane-only", 0),
        ("trying.test", "mailward", "NOTFOUND ", 0),
        ("plain.test", "mailward", "NOTFOUND ", 0),
        (".strict.test", "mailward", "NOTFOUND ", 0),
        ("[mx1.strict.test]", "mailward", "NOTFOUND ", 0),
        ("strict.test:587", "mailward", "NOTFOUND ", 0),
        ("", "mailward", "NOTFOUND ", 0),
        ("strict.test", "nonsense", "PERM unknown map name; use mailward or mailward-tlsrpt", 2),
    ] {
        let asked = ["policyd", "query", key, "--map", map];
        assert_eq!(answering.run(&asked).exits(code).stdout, format!("{answer}\n"), "{key} {map}");
    }
    let by_address = answering.run(&["policyd", "query", "strict.test", "--socket", &answering.tcp]);
    assert_eq!(by_address.exits(0).stdout, format!("{STRICT}\n"));
    let document = answering.run(&["policyd", "query", "--json", "strict.test"]).exits(0).json();
    assert_eq!((&document["schema"], &document["status"]), (&json!("mailward.query/1"), &json!("OK")));

    wait::until("health", 10, || get(answering.web, "/healthz", "").is_ok_and(|r| r.status == 200));
    let health = get(answering.web, "/healthz", "").unwrap().json().to_string();
    for duty in ["\"dnssec\"", "\"policy\"", "\"policyd\""] {
        assert!(health.contains(duty), "{duty}: {health}");
    }
    let metrics = get(answering.web, "/metrics", "").unwrap().body;
    assert!(metrics.contains("mailward_dnssec_secure 1"), "{metrics}");
    let answers = "mailward_policy_answers_total{level=\"secure\",from=\"memory\"}";
    assert!(metrics.lines().any(|l| l.starts_with(answers) && !l.ends_with(" 0")), "{metrics}");
    for (level, reason) in [
        ("secure", "sts-enforce"),
        ("dane-only", "dane-full"),
        ("no-demand", "sts-testing"),
        ("no-demand", "no-record"),
    ] {
        let decided = format!("mailward_policy_decisions_total{{level=\"{level}\",reason=\"{reason}\"}}");
        assert!(metrics.contains(&decided), "{decided} {metrics}");
    }

    let socket = format!("unix:{}", answering.socket.display());
    let (_world, path) = answering.end();
    assert!(!path.exists(), "the socket file is taken away");
    let nobody = run(&["policyd", "query", "strict.test", "--socket", &socket]).exits(3);
    assert!(nobody.stderr.contains(&socket), "{}", nobody.stderr);
}

#[test]
fn a_look_asks_the_daemon_where_one_runs() {
    let answering = answering("");
    for (domain, decision, postfix) in [
        ("strict.test", "mta-sts-enforce", STRICT),
        ("dane.test", "dane", "OK dane-only"),
        ("trying.test", "mta-sts-testing", "NOTFOUND "),
        ("plain.test", "opportunistic", "NOTFOUND "),
    ] {
        for (source, option) in [("cache", &[][..]), ("live", &["--live"])] {
            let document = answering.lookup(&[&[domain], option].concat());
            assert_eq!(document["schema"], "mailward.lookup/1");
            assert_eq!(
                (&document["source"], &document["decision"], &document["postfix"]),
                (&json!(source), &json!(decision), &json!(postfix)),
                "{document}"
            );
            assert!(document["postfix_tlsrpt"].as_str().unwrap().starts_with(postfix.trim_end()));
            assert!(document["mx"][0]["requirement"].is_string(), "{document}");
        }
    }
    let by_address = answering.lookup(&["strict.test", "--socket", &answering.tcp]);
    assert_eq!(by_address["source"], "cache");
    let other_port = answering.lookup(&["dane.test:26"]);
    assert_eq!(other_port["decision"], "mta-sts-enforce", "no TLSA records there: {other_port}");
    answering.run(&["lookup", "strict.test:587"]).exits(2);
    let words = answering.run(&["lookup", "strict.test"]).exits(0).stdout;
    for part in ["mta-sts-enforce", "as the daemon at unix:", "ok  mx1.strict.test", "mailward-tlsrpt", "Why"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let live = answering.run(&["lookup", "--live", "strict.test"]).exits(0).stdout;
    assert!(live.contains("looked up now"), "{live}");

    let tcp = answering.tcp.clone();
    let (world, _) = answering.end();
    let gone = in_world(&world, &["lookup", "strict.test", "--socket", &tcp]).exits(3);
    assert!(gone.stderr.contains(&tcp), "{}", gone.stderr);
    let alone = in_world(&world, &["lookup", "--json", "strict.test"]).exits(0);
    assert!(alone.stderr.contains("No policy daemon answers"), "{}", alone.stderr);
    assert_eq!(alone.json()["source"], "live");
}

#[test]
fn the_operators_word_holds_within_seconds() {
    let answering = answering("");
    let told = |key: &str, answer: &str| {
        wait::until(&format!("{key}: {answer}"), 15, || answering.told(key) == answer);
    };
    told("strict.test", STRICT);
    let set = |domain: &str, require: &str, more: &[&str]| {
        let arguments = ["policy", "set", domain, "--require", require, "--reason", "a test of words"];
        answering.run(&[&arguments[..], more].concat())
    };
    set("strict.test", "none", &["--until", "+2d", "--author", "Ada"]).exits(0);
    told("strict.test", "OK may");
    set("plain.test", "encrypt", &[]).exits(0);
    told("plain.test", "OK encrypt");
    set("PLAIN.test", "dane", &[]).exits(0);
    told("plain.test", "OK dane-only");
    set("trying.test", "sts", &[]).exits(0);
    told("trying.test", "OK secure match=mx1.trying.test servername=hostname");

    for option in [&[][..], &["--live"]] {
        let document = answering.lookup(&[&["strict.test"], option].concat());
        let operator = &document["operator"];
        assert_eq!(
            (&operator["require"], &operator["reason"], &operator["author"]),
            (&json!("none"), &json!("a test of words"), &json!("Ada")),
            "{document}"
        );
        assert!(operator["until"].is_string(), "{document}");
    }
    let words = answering.run(&["lookup", "strict.test"]).exits(0).stdout;
    assert!(words.contains("requires none until ") && words.contains("by Ada: a test of words"), "{words}");

    let listed = answering.run(&["policy", "list", "--json"]).exits(0).json();
    assert_eq!(listed["schema"], "mailward.overrides/1");
    let rows = listed["overrides"].as_array().unwrap();
    let domains: Vec<&str> = rows.iter().map(|row| row["domain"].as_str().unwrap()).collect();
    assert_eq!(domains, ["plain.test", "strict.test", "trying.test"]);
    assert!(rows.iter().all(|row| row["holds"] == true), "{listed}");
    assert!(answering.run(&["policy", "list"]).exits(0).stdout.contains("a test of words"));

    answering.run(&["policy", "unset", "strict.test", "--reason", "mended"]).exits(0);
    told("strict.test", STRICT);
    let nothing = answering.run(&["policy", "unset", "strict.test", "--reason", "again"]).exits(2);
    assert!(nothing.stderr.contains("mailward policy list"), "{}", nothing.stderr);
    for (more, part) in [
        (&["--until", "2020-01-01"][..], "over already"),
        (&["--until", "soon"], "--until"),
        (&["--reason", " "], "--reason"),
        (&["--require", "starttls"], "--require"),
    ] {
        let wrong = [&["policy", "set", "x.test"], more].concat();
        let wrong = match more[0] {
            "--until" => [&wrong[..], &["--require", "none", "--reason", "x"]].concat(),
            "--reason" => [&wrong[..], &["--require", "none"]].concat(),
            _ => [&wrong[..], &["--reason", "x"]].concat(),
        };
        let ran = answering.run(&wrong).exits(2);
        assert!(ran.stderr.contains(part), "{more:?}: {}", ran.stderr);
    }
    // It runs out by itself.
    let soon = Timestamp::now() + SignedDuration::from_secs(8);
    set("strict.test", "none", &["--until", &soon.to_string()]).exits(0);
    told("strict.test", "OK may");
    told("strict.test", STRICT);
    let listed = answering.run(&["policy", "list", "--json"]).exits(0).json();
    let ran_out = listed["overrides"].as_array().unwrap().iter().find(|row| row["domain"] == "strict.test");
    assert_eq!(ran_out.unwrap()["holds"], false, "{listed}");
    assert!(answering.run(&["policy", "list"]).exits(0).stdout.contains("ran out"));
    answering.end();
}

#[test]
fn a_restart_forgets_nothing() {
    let answering = answering("");
    assert_eq!(answering.told("strict.test"), STRICT);
    let (world, socket) = answering.end();
    // An attacker hides the policy from those who know nothing yet.
    world.set("_mta-sts.strict.test", "TXT", &[]).unwrap();
    let live = in_world(&world, &["lookup", "--live", "--json", "strict.test"]).exits(0).json();
    assert_eq!(live["decision"], "opportunistic", "{live}");
    let mut answering = start(world, socket);
    assert_eq!(answering.told("strict.test"), STRICT);
    // Killed without warning, it leaves a socket behind, and has written what it knew.
    answering.daemon.kill();
    let answering = start(answering.world, answering.socket);
    assert_eq!(answering.told("strict.test"), STRICT);
    answering.end();
}

#[test]
fn two_daemons_do_not_share_a_socket() {
    let answering = answering("");
    let ran = answering.run(&["serve"]).exits(2);
    assert!(ran.stderr.contains("another process listens there"), "{}", ran.stderr);
    assert!(ran.stderr.contains("policyd.sock"), "{}", ran.stderr);
    assert_eq!(answering.told("strict.test"), STRICT, "the first goes on");
    answering.end();
}

#[test]
fn dane_that_is_off_is_said_loudly() {
    let (world, _socket) = sending_world("");
    let mut command = mailward();
    let off = ["serve", "--set", "dns.dnssec=off"];
    let mut daemon = Daemon::start(command.current_dir(&world.directory).args(off));
    let web: SocketAddr = daemon.says("Dashboard: http://", 20).parse().unwrap();
    wait::until("the log tells", 10, || daemon.stderr().contains("DANE IS OFF"));
    wait::until("health", 10, || get(web, "/healthz", "").is_ok_and(|r| r.status == 200));
    let health = get(web, "/healthz", "").unwrap().json();
    let dnssec = health["duties"].as_array().unwrap().iter().find(|d| d["duty"] == "dnssec").unwrap();
    assert!(dnssec["reason"].as_str().unwrap().contains("DANE IS OFF"), "{health}");
    assert!(get(web, "/metrics", "").unwrap().body.contains("mailward_dnssec_secure 0"));
    daemon.terminate();
    let checked = in_world(&world, &["config", "check", "--set", "dns.dnssec=off"]).exits(0).stdout;
    assert!(checked.contains("DANE IS OFF"), "{checked}");
}

#[test]
fn the_configuration_is_checked_against_postfix() {
    let (world, socket) = sending_world("");
    let bin = world.directory.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let check = |version: &str, chroot: &str| {
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = -M ]; then echo 'smtp unix - - {chroot} - - smtp'; exit; fi\n\
             cat <<END\nmail_version = {version}\nqueue_directory = /var/spool/postfix\n\
             smtp_tls_policy_maps =\nsmtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\n\
             mail_owner = nobody\nEND\n"
        );
        let path = bin.join("postconf");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = mailward();
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).current_dir(&world.directory);
        run_command(command.args(["config", "check", "--json"]), b"").exits(0).json()
    };
    for (version, chroot, map) in [
        ("3.7.11", "n", format!("socketmap:unix:{}:mailward", socket.display())),
        ("3.10.13", "n", format!("socketmap:unix:{}:mailward-tlsrpt", socket.display())),
        ("3.10.13", "y", "socketmap:inet:127.0.0.1:0:mailward-tlsrpt".to_owned()),
    ] {
        let document = check(version, chroot);
        assert_eq!(document["usable"], true);
        let advice = document["advice"].as_array().unwrap();
        let maps = advice.iter().find(|a| a["about"] == "smtp_tls_policy_maps").unwrap();
        assert_eq!(
            maps["main_cf"],
            format!("smtp_tls_policy_maps = {map}"),
            "{version} {chroot}: {document}"
        );
    }
}

/// The cache of a postfix-mta-sts-resolver with these rows: domain, age in seconds, id, fields.
fn resolver_cache(path: &std::path::Path, rows: &[(&str, i64, &str, &str)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut database: SqliteConnection = options.connect().await.unwrap();
        for statement in [
            "CREATE TABLE proactive_fetch_ts (id integer primary key, last_fetch_ts integer)",
            "CREATE TABLE sts_policy_cache (domain text, ts integer, pol_id text, pol_body text)",
        ] {
            sqlx::query(statement).execute(&mut database).await.unwrap();
        }
        for (domain, age, id, fields) in rows {
            sqlx::query("INSERT INTO sts_policy_cache VALUES ($1, $2, $3, $4)")
                .bind(domain)
                .bind(Timestamp::now().as_second() - age)
                .bind(id)
                .bind(fields)
                .execute(&mut database)
                .await
                .unwrap();
        }
        database.close().await.unwrap();
    });
}

#[test]
fn what_another_daemon_knows_is_taken_over() {
    let (world, socket) = sending_world("");
    // Hidden from everybody who has not seen them before.
    for domain in ["strict.test", "dane.test"] {
        world.set(&format!("_mta-sts.{domain}"), "TXT", &[]).unwrap();
    }
    let fields = |mode: &str, mx: &str| {
        json!({"version": "STSv1", "mode": mode, "max_age": 604_800, "mx": [mx]}).to_string()
    };
    resolver_cache(
        &world.directory.join("cache.db"),
        &[
            ("strict.test", 3600, "20260101", &fields("enforce", "mx1.strict.test")),
            ("old.test", 700_000, "20260101", &fields("enforce", "mx1.old.test")),
            ("bad.test", 60, "20260101", &fields("enforce", "mx1.bad.test ciphers=low")),
            ("worse.test", 60, "20260101", "{"),
        ],
    );
    std::fs::write(
        world.directory.join("policies.txt"),
        "plain.test                   secure match=mx1.strict.test:.else.test servername=hostname\n\
         dane.test                    dane-only\n\
         odd.test                     secure\n",
    )
    .unwrap();
    let import = |file: &str| in_world(&world, &["policyd", "import", "--json", file]).exits(0).json();
    let numbers = |document: &Value| {
        ["taken", "there_already", "expired", "invalid", "dane"]
            .map(|key| document["totals"][key].as_u64().unwrap())
    };
    let first = import("cache.db");
    assert_eq!(first["source"], "postfix-mta-sts-resolver");
    assert_eq!(numbers(&first), [1, 0, 1, 2, 0], "{first}");
    let left_out = first["totals"]["left_out"].to_string();
    for part in ["old.test", "expired at", "bad.test", "worse.test", "JSON object"] {
        assert!(left_out.contains(part), "{part}: {left_out}");
    }
    assert_eq!(numbers(&import("cache.db")), [0, 1, 1, 2, 0], "the same again changes nothing");
    let text = import("policies.txt");
    assert_eq!((&text["source"], numbers(&text)), (&json!("postfix-tlspol"), [1, 0, 0, 1, 1]), "{text}");
    let words = in_world(&world, &["policyd", "import", "policies.txt"]).exits(0).stdout;
    assert!(words.contains("There already: 1.") && words.contains("odd.test"), "{words}");
    for (file, content, part) in [
        ("image.png", &b"\x89PNG\r\n\x1a\n"[..], "no text"),
        ("gone.txt", b"", "gone.txt"),
        ("prose.txt", b"Dear operator,\nthis is no export.\n", "nothing in prose.txt is a policy"),
    ] {
        if !content.is_empty() {
            std::fs::write(world.directory.join(file), content).unwrap();
        }
        let ran = in_world(&world, &["policyd", "import", file]).exits(2);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let own = in_world(&world, &["policyd", "import", "mailward.db"]).exits(2);
    assert!(own.stderr.contains("no table sts_policy_cache"), "{}", own.stderr);

    let answering = start(world, socket);
    assert_eq!(answering.told("strict.test"), STRICT);
    assert_eq!(answering.told("plain.test"), "OK secure match=mx1.strict.test servername=hostname");
    // A daemon that runs sees an import as well, also of a domain of which it knows better.
    for domain in ["asked.test", "unasked.test"] {
        answering.world.zone(domain, Security::Unsigned).unwrap();
        answering.world.set(domain, "MX", &["10 mx1.strict.test."]).unwrap();
    }
    assert_eq!(answering.told("asked.test"), "NOTFOUND ");
    let later = "asked.test    secure match=mx1.strict.test servername=hostname\n\
                 unasked.test  secure match=mx1.strict.test servername=hostname\n";
    std::fs::write(answering.world.directory.join("later.txt"), later).unwrap();
    answering.run(&["policyd", "import", "later.txt"]).exits(0);
    wait::until("the import is seen", 20, || answering.told("asked.test") == STRICT);
    assert_eq!(answering.told("unasked.test"), STRICT);
    answering.end();
}

/// From a question of Postfix to what we would report: with a collector beside policyd.
#[test]
fn what_policyd_sees_is_in_the_preview_of_the_report() {
    let (world, socket) = sending_world("");
    let file = world.directory.join("mailward.toml");
    let more = format!(
        "[collector]\nsocket = \"{}\"\n[reporter]\norganization = \"Sender\"\ncontact = \"tls@sender.test\"\n",
        world.directory.join("tlsrpt.sock").display()
    );
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &more).unwrap();
    world.policy_hosts.set_answer("mta-sts.strict.test", Answer::Status(500));
    let answering = start(world, socket);
    assert_eq!(answering.told("strict.test"), "NOTFOUND ");
    let preview = || answering.run(&["report", "outgoing", "preview", "strict.test", "--json"]);
    wait::until("it is tallied", 20, || preview().code == 0);
    let report = &preview().json()["report"]["policies"];
    let [policy] = &report.as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(policy["policy"]["policy-type"], "sts");
    assert_eq!(
        policy["summary"],
        json!({"total-successful-session-count": 0, "total-failure-session-count": 1})
    );
    assert_eq!(
        policy["failure-details"],
        json!([{"result-type": "sts-policy-fetch-error", "failed-session-count": 1, "failure-reason-code": "http-500"}])
    );
    answering.end();
}
