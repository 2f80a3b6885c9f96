//! A real Chromium, without a window, for the tests of this crate and of the whole product.

use std::path::Path;
use std::process::{Command, Stdio};

/// A desk and a phone.
pub const WIDTHS: [u32; 2] = [1280, 375];

/// Where it is; without it, says why the test is not run. On CI everything must be there.
#[track_caller]
pub fn find() -> Option<&'static str> {
    let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = places.into_iter().find(|p| Path::new(p).exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "Chromium is not installed");
        println!("skipped: Chromium is not installed");
    }
    found
}

/// Looks at a page in a window of this width: it has a heading, draws something, and breaks neither its own
/// content security policy nor its script. `folder` holds the browser's profile and the picture.
pub fn look(program: &str, folder: &Path, url: &str, width: u32) {
    let picture = folder.join("picture.png");
    let _ = std::fs::remove_file(&picture);
    let output = Command::new(program)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--mute-audio",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args([
            "--disable-default-apps",
            "--disable-extensions",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
        ])
        .args(["--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--window-size={width},900"))
        .args(["--dump-dom".to_owned(), format!("--screenshot={}", picture.display())])
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (dom, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{url}: {complaints}");
    assert!(dom.contains("<h1"), "{url}: {dom}");
    for word in ["Content Security Policy", "Uncaught"] {
        assert!(!complaints.contains(word), "{url} at {width}: {complaints}");
    }
    let bytes = std::fs::read(&picture).map_or(0, |p| p.len());
    assert!(bytes > 5_000, "{url} at {width}: a picture of {bytes} bytes shows nothing");
}
