//! The complete table as one snapshot: MX answer × states of one and two hosts × MTA-STS, and below it what
//! holds when the DNS fails × what was known × what the operator chose.

use mailward_core::delivery::{DaneBranch, OnDnsFailure};

use crate::world::{Case, case};

const STATES: [&str; 5] = ["dane", "unusable", "none", "no-address", "failed"];

/// Column and policy.
const POLICIES: [(&str, &str); 7] = [
    ("no record", "no-record"),
    ("mode none", "none"),
    ("testing", "testing a.test b.test"),
    ("enforce both", "enforce a.test b.test"),
    ("enforce a", "enforce a.test"),
    ("enforce other", "enforce other.test"),
    ("TXT fails", "dns-unavailable"),
];

const FAILURES: [(&str, OnDnsFailure); 3] =
    [("last-known", OnDnsFailure::LastKnown), ("defer", OnDnsFailure::Defer), ("open", OnDnsFailure::Open)];

fn lasts() -> Vec<(String, Option<(DaneBranch, i64)>)> {
    let fresh = DaneBranch::ALL.into_iter().map(|dane| (dane.as_str().to_owned(), Some((dane, 600))));
    let day = 86_400;
    [("nothing".to_owned(), None)]
        .into_iter()
        .chain(fresh)
        .chain([("full, a day ago".to_owned(), Some((DaneBranch::Full, day)))])
        .collect()
}

/// All that may hold when the DNS fails for this case, one row for each choice and memory.
fn when_dns_fails(mx: &'static str, hosts: &str) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    for (word, choice) in FAILURES {
        for (name, last) in lasts() {
            let cells = POLICIES.iter().map(|(_, sts)| {
                let case = Case { last, ..case(mx, hosts, sts).on_dns_failure(choice) };
                case.told()
            });
            rows.push((format!("{word}, {name}"), cells.collect()));
        }
    }
    rows
}

/// What a case comes to, whatever was known; `(dns)` where that and the choice decide. The choice "defer" also
/// tells where only the TXT lookup fails, so it is shown beside the other two.
fn cell(mx: &'static str, hosts: &str, sts: &'static str) -> String {
    let of = |choice| {
        let mut told: Vec<String> = lasts()
            .into_iter()
            .map(|(_, last)| Case { last, ..case(mx, hosts, sts).on_dns_failure(choice) }.told())
            .collect();
        told.dedup();
        told
    };
    let [known, defer, open] = FAILURES.map(|(_, choice)| of(choice));
    match (known.as_slice(), defer.as_slice(), open.as_slice()) {
        ([known], [defer], [open]) if known == defer && known == open => known.clone(),
        ([known], [defer], [open]) if known == open => format!("{known} (defer: {defer})"),
        _ => "(dns)".to_owned(),
    }
}

fn render(title: &str, head: &str, rows: &[(String, Vec<String>)]) -> String {
    let columns = POLICIES.map(|(name, _)| name);
    let width = |at: usize| {
        rows.iter().map(|(_, cells)| cells[at].len()).chain([columns[at].len()]).max().unwrap_or(0)
    };
    let first = rows.iter().map(|(name, _)| name.len()).chain([head.len()]).max().unwrap_or(0);
    let line = |name: &str, cells: &[String]| {
        let cells: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| format!("{cell:width$}", width = width(at))).collect();
        format!("{name:first$} | {}", cells.join(" | ")).trim_end().to_owned()
    };
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!("## {title}"), line(head, &columns)];
    lines.extend(rows.iter().map(|(name, cells)| line(name, cells)));
    lines.join("\n")
}

#[test]
fn the_whole_table() {
    let mut sections = Vec::new();
    let mut pairs: Vec<String> = STATES.iter().map(ToString::to_string).collect();
    for one in STATES {
        pairs.extend(STATES.iter().map(|two| format!("{one} {two}")));
    }
    let failing = when_dns_fails("secure", "failed failed");
    for mx in ["secure", "insecure", "absent", "null", "error"] {
        let hosts: Vec<String> = match mx {
            "secure" | "insecure" => pairs.clone(),
            "absent" => STATES.iter().map(ToString::to_string).collect(),
            _ => vec![String::new()],
        };
        let rows: Vec<(String, Vec<String>)> = hosts
            .iter()
            .map(|hosts| {
                let cells: Vec<String> = POLICIES.iter().map(|(_, sts)| cell(mx, hosts, sts)).collect();
                if cells.contains(&"(dns)".to_owned()) && mx == "secure" && hosts.contains(' ') {
                    assert_eq!(
                        when_dns_fails(mx, hosts),
                        failing,
                        "one table holds for all of these: {hosts}"
                    );
                }
                (hosts.replace(' ', " + "), cells)
            })
            .collect();
        sections.push(render(&format!("MX {mx}"), "hosts", &rows));
    }
    sections.push(render("(dns): every host's lookup fails", "choice, last known", &failing));
    sections.push(render("(dns): the MX lookup fails", "choice, last known", &when_dns_fails("error", "")));
    insta::assert_snapshot!(sections.join("\n\n"));
}
