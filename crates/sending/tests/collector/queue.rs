//! The socket's queue, in a network namespace where nobody has raised its limit yet.
//!
//! The test runs itself again as a child in a namespace of its own, which takes root.

use std::process::Command;

use crate::house::{DAY, House, success};

const CHILD: &str = "MAILWARD_QUEUE_TEST";

fn limit() -> u64 {
    std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap()
}

/// Not a test of its own: what the child runs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_burst_of_a_thousand_is_not_lost as a child process"]
async fn child() {
    let Some(what) = std::env::var_os(CHILD) else { return };
    let folder = tempfile::tempdir().unwrap();
    assert!(limit() < 100, "a new namespace begins with a short queue");
    let house = House::open(folder.path()).await;
    if what == "raised" {
        let datagram = success("d.test");
        // Each from a socket of its own, as Postfix does: one alone has a limit of its own, in bytes.
        for n in 0..1000 {
            house.server().send(&datagram).unwrap_or_else(|error| panic!("number {n} is lost: {error}"));
        }
        house.until(DAY, "d.test", 1000).await;
        assert_eq!(house.status.health().reason, None);
        assert_eq!(limit(), 4096);
    } else {
        crate::house::until("it has begun", async || house.status.health().ok).await;
        let reason = house.status.health().reason.expect("it works, but");
        assert!(reason.contains("sysctl -w net.unix.max_dgram_qlen=4096"), "{reason}");
    }
    house.close().await;
    println!("the child is content");
}

/// Runs the child after a preparation by the shell.
fn in_namespace(what: &str, preparation: &str) {
    let own = std::env::current_exe().unwrap();
    let script = format!("{preparation} exec \"$0\" queue::child --exact --ignored --nocapture");
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .arg(&own)
        .env(CHILD, what)
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("the child is content"), "{said}\n{errors}");
}

fn may_make_namespaces() -> bool {
    let may =
        Command::new("unshare").args(["--net", "--mount", "true"]).output().is_ok_and(|o| o.status.success());
    assert!(may || std::env::var_os("CI").is_none(), "no namespace can be made here");
    if !may {
        eprintln!("skipped: no namespace can be made here");
    }
    may
}

#[test]
fn a_burst_of_a_thousand_is_not_lost() {
    if may_make_namespaces() {
        in_namespace("raised", "");
    }
}

#[test]
fn where_the_queue_cannot_be_raised_the_health_says_what_to_do() {
    if may_make_namespaces() {
        in_namespace("short", "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys &&");
    }
}
