//! The dashboard in a real Chromium: pages that render, obey their own content security policy, and fit
//! a phone.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::skip;
use crate::scenarios::demo;

const WIDTHS: [u32; 2] = [1280, 375];

fn chromium() -> Option<&'static str> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|p| Path::new(p).exists())
}

/// One visit: the document as it stands after the load, what the browser complained about, a picture.
fn visit(program: &str, profile: &Path, url: &str, width: u32, picture: &Path) -> (String, String) {
    let browser = |extra: &[String]| {
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
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={width},900"))
            .args(extra)
            .arg(url)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let (dom, complaints) =
        browser(&["--dump-dom".to_owned(), format!("--screenshot={}", picture.display())]);
    (dom, complaints)
}

#[test]
fn every_page_in_a_real_browser() {
    let Some(program) = chromium() else { return skip("Chromium is not installed") };
    let (daemon, address) = demo();
    let folder = tempfile::tempdir().unwrap();
    for (n, path) in pages(address).iter().enumerate() {
        for width in WIDTHS {
            let url = format!("http://{address}{path}");
            let picture = folder.path().join(format!("{n}-{width}.png"));
            let (dom, complaints) = visit(program, &folder.path().join("profile"), &url, width, &picture);
            assert!(dom.contains("<h1"), "{url}: {dom}");
            assert!(!complaints.contains("Content Security Policy"), "{url}: {complaints}");
            assert!(!complaints.contains("Uncaught"), "{url}: {complaints}");
            let bytes = std::fs::read(&picture).map_or(0, |p| p.len());
            assert!(bytes > 5_000, "{url} at {width}: a picture of {bytes} bytes shows nothing");
        }
    }
    daemon.terminate();
}

/// The pages of a first visit: those in the navigation, and one domain and one report behind them.
fn pages(address: SocketAddr) -> Vec<String> {
    let mut paths: Vec<String> = vec!["/".into()];
    let link = |page: &str, wanted: &str| {
        let body = crate::http::get(address, page, "").unwrap().body;
        let links = body.split("href=\"").skip(1).map(|l| l.split('"').next().unwrap().to_owned());
        links.filter(|l| l.starts_with(wanted) && l.len() > wanted.len()).collect::<Vec<_>>()
    };
    for page in [
        "/domains",
        "/problems",
        "/reports",
        "/reports/reporters",
        "/reports/quarantine",
        "/sending",
        "/settings",
        "/explain",
    ] {
        assert_eq!(crate::http::get(address, page, "").unwrap().status, 200, "{page}");
        paths.push(page.into());
    }
    paths.push(link("/domains", "/domains/").first().expect("a domain is linked").clone());
    // The demo's policy daemon is asked, and the name servers of its world.
    let lookup = "/sending/nobody-wrote-there.test?look=1";
    let asked = crate::http::get(address, lookup, "").unwrap();
    assert!(asked.status == 200 && asked.body.contains("What Postfix is told"), "{}", asked.body);
    paths.push(lookup.into());
    let number =
        link("/reports", "/reports/").into_iter().find(|l| l[9..].bytes().all(|b| b.is_ascii_digit()));
    paths.push(number.expect("a report is linked"));
    paths
}
