//! Kill -9: what was stored stays, what was not yet is all that is missing, and the next run goes on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mailward_duty::StopSignal;
use mailward_sending::collector::Collector;
use mailward_store::Store;

use crate::house::{DAY, Hand, House, options, server, stored, success, tell, until, url};

/// Set for the child only.
const FOLDER: &str = "MAILWARD_COLLECTOR_TEST_FOLDER";

/// Not a test of its own: what the child runs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by kills_cost_what_was_not_stored as a child process"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = Store::open(&url(folder)).await.unwrap();
    let clock = Arc::new(Hand::at("2028-02-29T12:00:00Z"));
    let collector = Collector::bind(&options(&folder.join("tlsrpt.sock")), store, clock).unwrap();
    println!("collects");
    let (_stop, ear) = StopSignal::new();
    collector.run(ear).await;
}

fn start(folder: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["killed::child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    assert!(lines.into_iter().any(|line| line.ends_with("collects")), "the child does not start");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_cost_what_was_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&url(folder.path())).await.unwrap();
    let mut least = 0;
    for round in 0..4 {
        let mut child = start(folder.path());
        let socket = server(&folder.path().join("tlsrpt.sock"));
        socket.set_nonblocking(false).unwrap();
        let before = least;
        // These become durable by themselves, …
        tell(&socket, &success("d.test"), 300);
        until("they are stored", async || stored(&store, DAY, "d.test").await == before + 300).await;
        // … these may not: a kill at once, somewhere between socket and commit.
        tell(&socket, &success("d.test"), 100 * round);
        child.kill().unwrap();
        child.wait().unwrap();
        let now = stored(&store, DAY, "d.test").await;
        assert!((before + 300..=before + 300 + 100 * round).contains(&now), "{before} {now}");
        least = now;
    }
    store.close().await;
    // The socket's file is stale now.
    let house = House::open(folder.path()).await;
    house.server().send(&success("d.test")).unwrap();
    house.until(DAY, "d.test", least + 1).await;
    house.close().await;
}
