//! `mailward demo`: every story comes out as told, and the world that stays up can be looked at.

use std::net::SocketAddr;

use serde_json::Value;

use crate::command::{mailward, run, run_command};
use crate::daemon::Daemon;
use crate::http::get;

fn names() -> Vec<String> {
    let list = run(&["demo", "--list", "--json"]).exits(0).json();
    let rows = list.as_array().unwrap();
    for row in rows {
        let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "summary"]);
    }
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Each in the `scenario` macro below has a test of its own; this one sees that none is missing there.
#[test]
fn every_scenario_is_played_here() {
    let mut listed = names();
    listed.sort();
    let mut played = PLAYED.to_vec();
    played.sort_unstable();
    assert_eq!(listed, played);
}

macro_rules! scenarios {
    ($($test:ident $name:literal,)*) => {
        const PLAYED: &[&str] = &[$($name),*];
        $(#[test] fn $test() { play($name); })*
    };
}

scenarios! {
    clean_rollout "clean-rollout",
    forgotten_backup_mx "forgotten-backup-mx",
    expired_certificate "expired-certificate",
    stripped_starttls "stripped-starttls",
    two_organisations "two-organisations",
    same_id_new_policy "same-id-new-policy",
    new_id_old_policy "new-id-old-policy",
    policy_host_down "policy-host-down",
    lying_report "lying-report",
    living_world "living-world",
}

fn play(name: &str) {
    let ran = run(&["demo", "--once", name]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("It came out as told"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn an_unknown_scenario_is_a_matter_of_usage() {
    for arguments in [&["demo", "nowhere"][..], &["demo", "--once", "nowhere"]] {
        let ran = run(arguments).exits(2);
        assert!(ran.stderr.contains("nowhere") && ran.stderr.contains("--list"), "{}", ran.stderr);
    }
    let told = run(&["demo", "--list"]).exits(0).stdout;
    assert!(names().iter().all(|name| told.contains(name.as_str())), "{told}");
}

/// Starts a demo with no home at all.
pub fn demo() -> (Daemon, SocketAddr) {
    let mut daemon = Daemon::start(mailward().env_remove("HOME").arg("demo"));
    let address = daemon.says("http://", 60);
    let address = address.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    (daemon, address)
}

#[test]
fn two_demos_side_by_side() {
    let (first, one) = demo();
    let (second, two) = demo();
    assert_ne!(one, two);
    for (daemon, address) in [(&first, one), (&second, two)] {
        assert!(address.ip().is_loopback());
        let api: Value = get(address, "/api/domains", "").unwrap().json();
        assert!(api.to_string().contains(".test"), "{api}");
        let page = get(address, "/", "").unwrap();
        assert_eq!(page.status, 200);
        assert!(page.body.contains(".test"), "{}", page.body);
        assert_eq!(get(address, "/healthz", "").unwrap().status, 200);
        // What it says to try works.
        wait_for_tips(daemon);
        let printed = daemon.stdout();
        let tips: Vec<&str> =
            printed.lines().filter_map(|l| l.trim().strip_prefix("mailward --config ")).collect();
        assert!(tips.len() >= 5, "{printed}");
        for tip in tips {
            let arguments: Vec<&str> = ["--config"].into_iter().chain(tip.split_whitespace()).collect();
            let ran = run_command(mailward().args(&arguments), b"");
            assert!([0, 1].contains(&ran.code), "{tip}: {} {}", ran.stdout, ran.stderr);
        }
    }
    first.terminate();
    second.terminate();
}

fn wait_for_tips(daemon: &Daemon) {
    crate::wait::until("what to try", 10, || daemon.stdout().contains(" lookup "));
}

#[test]
fn a_demo_ends_while_it_still_plays() {
    let mut daemon = Daemon::start(mailward().args(["demo", "clean-rollout"]));
    daemon.says("1. ", 60);
    daemon.terminate();
}
