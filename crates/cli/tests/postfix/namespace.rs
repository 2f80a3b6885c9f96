//! A machine of its own for a test: network, mounts and processes, all gone when the test ends.
//!
//! The test program starts itself again inside, told to run the one test. As the first process there it
//! takes everything with it when it ends, however that comes about.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::skip;
use crate::mta::Release;

/// Set inside.
const MARK: &str = "MAILWARD_TEST_NAMESPACE";

/// Namespaces of network, mounts and processes, with a /proc that shows them.
const UNSHARE: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Runs a test inside.
#[track_caller]
pub fn inside(test: &str, release: Release, play: fn(Release)) {
    if std::env::var_os(MARK).is_some() {
        let lo = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(lo.success(), "loopback cannot be switched on");
        play(release);
        return;
    }
    if !root_of(release).join(".made-by").exists() {
        skip(&format!("Postfix {} is not unpacked: run `make parts` as root", release.version));
        return;
    }
    if !Command::new("unshare").args(UNSHARE).arg("true").output().is_ok_and(|o| o.status.success()) {
        skip("no namespaces without being root");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.args(UNSHARE).arg(program).args(["--exact", test, "--nocapture"]);
    // Process ids are the same in each namespace, and names made from them. The path is short, since that
    // of a socket must be.
    let directory = tempfile::Builder::new().prefix("mw-").tempdir().unwrap();
    again.env(MARK, "1").env("TMPDIR", directory.path());
    let output = again.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "inside the namespace:\n{told}\n{complaints}");
    // A test that was not found there would pass, too.
    assert!(told.contains("1 passed"), "{told}");
    println!("{told}");
}

/// Where `scripts/postfix` unpacks a release.
pub fn root_of(release: Release) -> PathBuf {
    parts().join(format!("postfix-{}", release.version))
}

/// Where `make parts` puts what is not installed.
pub fn parts() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("parts")
}

/// Mounts a directory over another, inside.
pub fn bind(from: &Path, over: &Path) {
    let mounted = Command::new("mount").arg("--bind").arg(from).arg(over).status().unwrap();
    assert!(mounted.success(), "{} over {}", from.display(), over.display());
}
