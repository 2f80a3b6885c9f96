//! `report import`, killed anywhere: a later import loses nothing and counts nothing twice.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use crate::command::mailward;
use crate::daemon::Daemon;
use crate::held::report;
use crate::mail_world::in_directory;

const REPORTS: u64 = 5_000;
const KILLS: u64 = 20;

#[test]
fn an_import_killed_twenty_times() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    let url = format!(
        "[store]\nurl = \"sqlite:{}/mailward.db\"\n[dns]\nservers = [\"127.0.0.1:1\"]\n[web]\nlisten = [\"127.0.0.1:0\"]\n",
        directory.display()
    );
    std::fs::write(directory.join("mailward.toml"), url).unwrap();
    std::fs::create_dir(directory.join("reports")).unwrap();
    let mut truth = BTreeMap::new();
    for n in 0..REPORTS {
        // No two alike: the same content under another id is one report.
        let (domain, successful, failed) = (format!("d{}.test", n % 7), 1 + n, n % 5);
        std::fs::write(directory.join(format!("reports/{n}.json")), report(&domain, n, successful, failed))
            .unwrap();
        truth.insert(format!("{n:05}@mail.example"), (domain, successful, failed));
    }

    let mut alive = 0;
    for n in 0..KILLS {
        let mut child = mailward()
            .current_dir(directory)
            .args(["report", "import", "reports"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Another moment each time: in the start, in the migrations, in the middle of the reports.
        let life = Duration::from_millis(10 + (n * 7_919) % 400);
        let deadline = std::time::Instant::now() + life;
        while std::time::Instant::now() < deadline {
            std::thread::park_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
        }
        alive += u64::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
        if n % 5 == 0 {
            // Readable at any time; never a report that is not true.
            compare(directory, &truth, false);
        }
    }
    assert!(alive >= KILLS / 2, "only {alive} imports were killed under way");

    let last = in_directory(directory, &["report", "import", "reports", "--json"]).exits(0).json();
    let (new, known) = (last["new"].as_u64().unwrap(), last["duplicates"].as_u64().unwrap());
    assert_eq!(new + known, REPORTS, "{last}");
    compare(directory, &truth, true);
    let again = in_directory(directory, &["report", "import", "reports", "--json"]).exits(0).json();
    assert_eq!((again["new"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(REPORTS)));

    let mut daemon = Daemon::start(mailward().current_dir(directory).arg("serve"));
    daemon.says("Dashboard: http://", 20);
    // An import beside the daemon, and the lists while it runs.
    in_directory(directory, &["report", "import", "reports/1.json"]).exits(0);
    compare(directory, &truth, true);
    daemon.terminate();
}

fn compare(directory: &std::path::Path, truth: &BTreeMap<String, (String, u64, u64)>, whole: bool) {
    let mut seen = BTreeMap::new();
    for line in in_directory(directory, &["report", "export", "--json"]).exits(0).lines() {
        let id = line["report-id"].as_str().unwrap().to_owned();
        let entry = &line["policies"][0];
        let count = |key: &str| entry["summary"][key].as_u64().unwrap();
        let value = (
            entry["policy"]["policy-domain"].as_str().unwrap().to_owned(),
            count("total-successful-session-count"),
            count("total-failure-session-count"),
        );
        assert_eq!(truth.get(&id), Some(&value), "{id}");
        assert!(seen.insert(id.clone(), value).is_none(), "{id} twice");
    }
    if whole {
        assert_eq!(seen.len(), truth.len());
    }
}
