//! `mailward explain`, and what holds for every command: help, colours, pipes.

use std::process::Stdio;

use crate::command::{mailward, run, run_command};

#[test]
fn everything_that_can_be_met_is_explained() {
    for (id, word) in [
        ("STS-MX-001", "policy"),
        ("sts-mx-001", "policy"),
        ("certificate-host-mismatch", "certificate"),
        ("starttls-not-supported", "STARTTLS"),
        ("STARTTLS-NOT-OFFERED", "STARTTLS"),
        ("SMTP-016", "25"),
    ] {
        let document = run(&["explain", "--json", id]).exits(0).json();
        assert_eq!(document["schema"], "mailward.explain/1");
        assert_eq!(document["id"], id, "the id as asked");
        assert!(document["names"].is_array());
        let text = document.to_string();
        assert!(text.contains(word), "{id}: {text}");
        // Meaning, fault and mending: three sentences at the least.
        let sentences = text.matches(". ").count() + text.matches(".\"").count();
        assert!(sentences >= 3, "{id}: {text}");
        assert!(!run(&["explain", id]).exits(0).stdout.is_empty());
    }
    let vendor = run(&["explain", "--json", "starttls-not-offered"]).exits(0).stdout;
    assert!(vendor.contains("starttls-not-supported"), "the RFC 8460 type it stands for: {vendor}");
}

#[test]
fn an_unknown_id_names_the_nearest() {
    for (id, nearest) in [
        ("STS-MX-01", "STS-MX-001"),
        ("certificate-expird", "certificate-expired"),
        ("starttls-not-suported", "starttls-not-supported"),
        ("DANE-9999", "DANE-"),
    ] {
        let ran = run(&["explain", id]).exits(2);
        assert!(ran.stdout.is_empty());
        assert!(ran.stderr.contains(nearest), "{id}: {}", ran.stderr);
        assert!(!ran.stderr.contains('['), "a sentence, not a dump: {}", ran.stderr);
    }
    run(&["explain", ""]).exits(2);
    run(&["explain", &"x".repeat(100_000)]).exits(2);
}

#[test]
fn every_help_states_the_exit_codes() {
    let mut todo = vec![vec![]];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        let mut arguments: Vec<String> = path.clone();
        arguments.push("--help".into());
        let help = run(&arguments).exits(0).stdout;
        assert!(help.contains("Exit codes: 0"), "{path:?}: {help}");
        assert!(help.contains("3 could not find out"), "{path:?}");
        seen += 1;
        let below = help.split("Commands:\n").nth(1).unwrap_or_default();
        for line in below.lines().take_while(|l| !l.is_empty() && !l.starts_with(char::is_alphabetic)) {
            let indent = line.len() - line.trim_start().len();
            if let (2, Some(name)) = (indent, line.split_whitespace().next()) {
                todo.push([path.clone(), vec![name.to_owned()]].concat());
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn usage_errors_exit_2_and_say_so_on_stderr() {
    for arguments in [
        &[][..],
        &["chekc"],
        &["check"],
        &["check", "--jobs", "0", "example.com"],
        &["check", "--at", "soon", "example.com"],
        &["check", "not a domain"],
        &["check", "--from", "/nonexistent"],
        &["check", "--format", "xml", "example.com"],
        &["lookup", ".."],
        &["explain"],
        &["demo", "no-such-scenario"],
        &["demo", "--once", "no-such-scenario"],
        &["--color", "maybe", "explain", "STS-MX-001"],
    ] {
        let ran = run(arguments).exits(2);
        assert!(ran.stdout.is_empty(), "{arguments:?}: {}", ran.stdout);
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
    let version = run(&["--version"]).exits(0).stdout;
    assert_eq!(version, format!("mailward {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let explained = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = mailward();
        command.args(arguments).args(["explain", "STS-MX-001"]).envs(environment.iter().copied());
        run_command(&mut command, b"").exits(0).stdout.contains('\u{1b}')
    };
    assert!(!explained(&[], &[]), "no terminal, no colours");
    assert!(explained(&["--color", "always"], &[]));
    assert!(explained(&["--color=always"], &[("NO_COLOR", "1")]), "what is typed outweighs what is set");
    assert!(!explained(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!explained(&[], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), "NO_COLOR is honoured");
    let errors = run(&["explain", "nonsense"]).exits(2).stderr;
    assert!(!errors.contains('\u{1b}'), "{errors:?}");
    // The global options stand behind the command as well.
    assert!(run(&["explain", "--color", "always", "STS-MX-001"]).exits(0).stdout.contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    // Nothing is read at all: every write of the command meets a closed pipe.
    for arguments in [
        &["config", "example"][..],
        &["explain", "STS-MX-001"],
        &["demo", "--list"],
        &["--help"],
        &["config", "show"],
    ] {
        let mut child = mailward()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        assert_ne!(output.status.code(), Some(101), "{arguments:?}: {told}");
    }
}
