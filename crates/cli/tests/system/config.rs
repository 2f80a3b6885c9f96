//! The configuration: where it is found, what an error says, how it is shown.

use std::io::Write;
use std::path::Path;

use crate::command::{Ran, mailward, run, run_command};

fn in_directory(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = mailward();
    run_command(command.current_dir(directory).args(arguments).envs(environment.iter().copied()), b"")
}

fn file(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.display().to_string()
}

#[test]
fn the_file_is_found_in_the_order_told() {
    let folder = tempfile::tempdir().unwrap();
    let timeout = |ran: Ran| ran.exits(0).json()["values"]["dns"]["timeout"].as_str().unwrap().to_owned();
    let show = ["config", "show", "--json"];
    assert_eq!(timeout(in_directory(folder.path(), &show, &[])), "4s", "the default");
    file(folder.path(), "mailward.toml", "[dns]\ntimeout = \"1s\"\n");
    let named = file(folder.path(), "named.toml", "[dns]\ntimeout = \"2s\"\n");
    let variable = file(folder.path(), "variable.toml", "[dns]\ntimeout = \"3s\"\n");
    let set = ("MAILWARD_CONFIG", variable.as_str());
    assert_eq!(timeout(in_directory(folder.path(), &show, &[])), "1s", "./mailward.toml");
    assert_eq!(timeout(in_directory(folder.path(), &show, &[set])), "3s", "$MAILWARD_CONFIG");
    let with_file = [&["--config", &named], &show[..]].concat();
    assert_eq!(timeout(in_directory(folder.path(), &with_file, &[set])), "2s", "--config");
    let behind = [&show[..], &["--config", &named, "--set", "dns.timeout=5s"]].concat();
    assert_eq!(timeout(in_directory(folder.path(), &behind, &[set])), "5s", "--set, behind the command");
    let gone = in_directory(folder.path(), &["config", "check", "--config", "gone.toml"], &[]).exits(2);
    assert!(gone.stderr.contains("gone.toml"), "{}", gone.stderr);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    for (text, wrong, nearest) in [
        ("[dns]\nserver = [\"127.0.0.1:53\"]\n", "dns.server", "dns.servers"),
        ("[outsid]\nhelo = \"a\"\n", "outsid", "outside"),
        ("[outside]\nallow_private_adresses = true\n", "allow_private_adresses", "allow_private_addresses"),
        ("[polcy_host]\n", "polcy_host", "policy_host"),
        ("storre = 1\n", "storre", "store"),
    ] {
        let path = file(folder.path(), "wrong.toml", text);
        for command in [&["config", "check"][..], &["check", "example.com"], &["serve"]] {
            let ran = run(&[&["--config", &path], command].concat()).exits(2);
            assert!(ran.stderr.contains(wrong) && ran.stderr.contains(nearest), "{text}: {}", ran.stderr);
            assert!(ran.stderr.contains("wrong.toml"), "the file is named: {}", ran.stderr);
        }
    }
    let ran = run(&["config", "check", "--set", "dns.timeuot=5s"]).exits(2);
    assert!(ran.stderr.contains("dns.timeout"), "{}", ran.stderr);
    for set in ["dns.timeout", "=x", "dns.timeout=soon", "outside.smtp_port=70000", "outside.smtp_port=mail"]
    {
        let ran = run(&["config", "check", "--set", set]).exits(2);
        let key = set.split('=').next().unwrap();
        assert!(ran.stderr.contains(key), "{set}: {}", ran.stderr);
    }
    let no_toml = file(folder.path(), "no.toml", "[dns\n");
    run(&["config", "check", "--config", &no_toml]).exits(2);
}

#[test]
fn bare_values_need_no_quotes() {
    let values = run(&[
        "config",
        "show",
        "--json",
        "--set",
        "dns.servers=127.0.0.1:5353,[::1]:53",
        "--set",
        "dns.dnssec=off",
        "--set",
        "dns.timeout=2s",
        "--set",
        "outside.smtp_port=2525",
        "--set",
        "outside.allow_private_addresses=true",
        "--set",
        "web.listen=127.0.0.1:1234",
        "--set",
        "store.url=sqlite:/tmp/x.db",
    ])
    .exits(0)
    .json()["values"]
        .clone();
    assert_eq!(values["dns"]["servers"], serde_json::json!(["127.0.0.1:5353", "[::1]:53"]));
    assert_eq!(values["dns"]["dnssec"], "off");
    assert_eq!(values["dns"]["timeout"], "2s");
    assert_eq!(values["outside"]["smtp_port"], 2525);
    assert_eq!(values["outside"]["allow_private_addresses"], true);
    assert_eq!(values["web"]["listen"], serde_json::json!(["127.0.0.1:1234"]));
    assert_eq!(values["store"]["url"], "sqlite:/tmp/x.db");
}

#[test]
fn the_example_is_a_configuration() {
    let example = run(&["config", "example"]).exits(0).stdout;
    for table in
        ["[store]", "[dns]", "[tls]", "[outside]", "[web]", "[policy_host]", "[reports.https]", "[monitor]"]
    {
        assert!(example.contains(table), "{table} is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "example.toml", &example);
    let ran = run(&["config", "check", "--json", "--config", &path]).exits(0);
    assert_eq!(ran.json()["usable"], true);
    let uncommented: String = example
        .lines()
        .filter_map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')))
        .flat_map(|l| [l, "\n"])
        .collect();
    let path = file(folder.path(), "whole.toml", &uncommented);
    let shown = run(&["config", "show", "--config", &path]).exits(0).stdout;
    assert!(!shown.contains("# default"), "everything is set: {shown}");
}

#[test]
fn what_is_shown_marks_defaults_and_hides_passwords() {
    let shown =
        run(&["config", "show", "--set", "store.url=postgres://mw:geheim@db/mailward"]).exits(0).stdout;
    assert!(!shown.contains("geheim"), "{shown}");
    assert!(shown.contains("smtp_port = 25  # default"), "{shown}");
    assert!(shown.lines().any(|l| l.starts_with("url = ") && !l.contains("default")), "{shown}");
    let document = run(&["config", "show", "--json", "--set", "store.url=postgres://mw:geheim@db/mailward"]);
    assert!(!document.exits(0).stdout.contains("geheim"));
}

#[test]
fn roots_that_are_not_there_are_found_at_once() {
    let ran = run(&["config", "check", "--set", "tls.extra_roots=/nonexistent/ca.pem"]).exits(2);
    assert!(ran.stderr.contains("/nonexistent/ca.pem"), "{}", ran.stderr);
    // Offline commands work beside a broken configuration.
    let mut command = mailward();
    command.env("MAILWARD_CONFIG", "/nonexistent.toml").args(["explain", "STS-MX-001"]);
    run_command(&mut command, b"").exits(0);
}

#[test]
fn data_lives_where_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().display().to_string();
    let url = |environment: &[(&str, &str)]| {
        let ran = in_directory(folder.path(), &["config", "show", "--json"], environment).exits(0);
        ran.json()["values"]["store"]["url"].as_str().unwrap().to_owned()
    };
    assert_eq!(url(&[("HOME", &home)]), format!("sqlite:{home}/.local/share/mailward/mailward.db"));
    let xdg = format!("{home}/data");
    assert_eq!(url(&[("XDG_DATA_HOME", &xdg)]), format!("sqlite:{xdg}/mailward/mailward.db"));
    let state = [("STATE_DIRECTORY", home.as_str()), ("XDG_DATA_HOME", &xdg)];
    assert_eq!(url(&state), format!("sqlite:{home}/mailward.db"), "systemd's");
}
