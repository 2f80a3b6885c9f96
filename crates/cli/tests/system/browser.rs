//! The dashboard in a real Chromium: pages that render, obey their own content security policy, and fit
//! a phone.

use std::net::SocketAddr;

use crate::scenarios::demo;

#[path = "../../../web/tests/chromium/mod.rs"]
mod chromium;

#[test]
fn every_page_in_a_real_browser() {
    let Some(program) = chromium::find() else { return };
    let (daemon, address) = demo();
    let folder = tempfile::tempdir().unwrap();
    for path in pages(address) {
        for width in chromium::WIDTHS {
            chromium::look(program, folder.path(), &format!("http://{address}{path}"), width);
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
        "/outgoing",
        "/outgoing/preview",
        "/outgoing/suppressed",
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
