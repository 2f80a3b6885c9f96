//! The audit for people: one line a fact, errors with consequence, fix and reference, no score.

use mailward_core::audit::{AddressVerdict, Audit, DaneState, MxVerdict, ReportingState, StsState};
use mailward_core::{Finding, Severity};

use super::Checked;
use crate::output::{self, clean, faint, severity_word, strong, wrap};

/// Groups of findings in the order in which they are shown.
const GROUPS: [(&str, &[&str]); 4] = [
    ("MTA-STS", &["STS-"]),
    ("MX", &["SMTP-", "DNS-", "DANE-", "BOTH-"]),
    ("TLS-RPT", &["RPT-"]),
    ("Reports", &["REP-"]),
];

/// Prints one domain.
pub(super) fn print(checked: &Checked, smtp: bool) {
    anstream::print!("{}", render(checked, smtp));
}

fn render(checked: &Checked, smtp: bool) -> String {
    let audit = &checked.audit;
    let mut text = headline(checked);
    if !audit.summary.consequence.is_empty() {
        text.push_str(&format!("\n{}\n", wrap(&clean(&audit.summary.consequence), 0)));
    }
    for (title, prefixes) in GROUPS {
        let findings: Vec<&Finding> = audit
            .findings
            .iter()
            .filter(|f| f.severity != Severity::Untested && prefixes.iter().any(|p| f.id.starts_with(p)))
            .collect();
        let facts = match title {
            "MTA-STS" => sts_facts(audit),
            "MX" => mx_table(audit, smtp),
            "TLS-RPT" => tlsrpt_facts(audit),
            _ => String::new(),
        };
        if findings.is_empty() && facts.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{}\n{facts}", strong(title)));
        findings.iter().for_each(|f| text.push_str(&finding(f)));
    }
    text.push_str(&untested(audit, smtp));
    text.push('\n');
    text
}

fn headline(checked: &Checked) -> String {
    let audit = &checked.audit;
    let sts = match audit.summary.mta_sts {
        StsState::Absent => "absent",
        StsState::Broken => "broken",
        StsState::None => "none",
        StsState::Testing => "testing",
        StsState::Enforce => "enforce",
    };
    let dane = match audit.summary.dane {
        DaneState::Absent => "absent",
        DaneState::Broken => "broken",
        DaneState::Partial => "partial",
        DaneState::Full => "full",
    };
    let reports = match audit.summary.tls_rpt {
        ReportingState::Absent => "absent",
        ReportingState::Broken => "broken",
        ReportingState::Present => "present",
    };
    let of = |severity| audit.findings.iter().filter(|f| f.severity == severity).count();
    let plural = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        _ => format!("{n} {word}s"),
    };
    let mut counts: Vec<String> = vec![];
    for (severity, word) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        if of(severity) > 0 {
            counts.push(output::styled(output::severity_style(severity), plural(of(severity), word)));
        }
    }
    let counts = if counts.is_empty() { "nothing to mend".to_owned() } else { counts.join("  ") };
    let unicode = audit.domain.to_unicode();
    let name =
        if unicode == audit.domain.as_str() { unicode } else { format!("{unicode} ({})", audit.domain) };
    format!(
        "{}     MTA-STS {sts}   DANE {dane}   TLS-RPT {reports}     {counts}     {}\n",
        strong(name),
        faint(format!("{:.1} s", checked.took.as_secs_f64())),
    )
}

fn sts_facts(audit: &Audit) -> String {
    let mut text = String::new();
    if let Some(id) = &audit.records.mta_sts_id {
        let ttl = audit.records.mta_sts_ttl.map(|t| format!(", TTL {t}")).unwrap_or_default();
        text.push_str(&format!("  ok    record    id {}{ttl}\n", clean(id)));
    }
    if let Some(policy) = &audit.policy {
        let mx: Vec<String> = policy.mx.iter().map(ToString::to_string).collect();
        let body = audit.policy_text.as_ref().map(|t| format!(", {} bytes", t.len())).unwrap_or_default();
        text.push_str(&format!(
            "  ok    policy    mode {}, max_age {}{body}\n",
            policy.mode,
            age(policy.max_age)
        ));
        text.push_str(&format!("        mx        {}\n", wrap(&mx.join(", "), 18)));
    }
    text
}

fn age(seconds: u32) -> String {
    match seconds {
        86_400 => format!("{seconds} (1 day)"),
        s if s >= 86_400 && s % 86_400 == 0 => format!("{s} ({} days)", s / 86_400),
        s => s.to_string(),
    }
}

fn tlsrpt_facts(audit: &Audit) -> String {
    match &audit.records.rua[..] {
        [] => String::new(),
        rua => format!("  ok    reports go to {}\n", wrap(&clean(&rua.join(", ")), 22)),
    }
}

fn mx_table(audit: &Audit, smtp: bool) -> String {
    use output::table::Align::{Left, Right};
    let mut rows = vec![];
    for mx in &audit.mx {
        let v4: Vec<&AddressVerdict> = mx.addresses.iter().filter(|a| a.ip.is_ipv4()).collect();
        let v6: Vec<&AddressVerdict> = mx.addresses.iter().filter(|a| a.ip.is_ipv6()).collect();
        let first = |f: fn(&AddressVerdict) -> Option<String>| {
            let mut values: Vec<String> = mx.addresses.iter().filter_map(f).collect();
            values.dedup();
            values.first().map_or_else(
                || "-".to_owned(),
                |v| if values.len() > 1 { format!("{v} …") } else { v.clone() },
            )
        };
        rows.push(vec![
            format!("  {}", mx.preference),
            clean(mx.host.as_str()),
            family(&v4, smtp),
            family(&v6, smtp),
            first(|a| a.tls_version.clone()),
            certificate(mx, audit),
            match mx.in_policy {
                Some(true) => "in policy".to_owned(),
                Some(false) => output::styled(output::severity_style(Severity::Error), "NOT IN POLICY"),
                None => "-".to_owned(),
            },
            first(|a| a.mta_sts.clone()),
            first(|a| a.dane.clone()),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let headings = [
        ("", Right),
        ("host", Left),
        ("v4", Left),
        ("v6", Left),
        ("TLS", Left),
        ("certificate", Left),
        ("policy", Left),
        ("web PKI", Left),
        ("DANE", Left),
    ];
    output::table::render(&headings, &rows)
}

fn family(addresses: &[&AddressVerdict], smtp: bool) -> String {
    if addresses.is_empty() {
        return "-".to_owned();
    }
    if !smtp {
        return "not probed".to_owned();
    }
    let bad = addresses.iter().filter(|a| a.error.is_some()).count();
    match (bad, addresses.len()) {
        (0, 1) => "ok".to_owned(),
        (0, n) => format!("{n} ok"),
        (1, 1) => output::styled(output::severity_style(Severity::Error), "ERROR"),
        (bad, n) => output::styled(output::severity_style(Severity::Error), format!("{bad} of {n} ERROR")),
    }
}

fn certificate(mx: &MxVerdict, audit: &Audit) -> String {
    let ends = mx.addresses.iter().filter_map(|a| a.chain.first()).map(|c| c.not_after).min();
    ends.map_or_else(
        || "-".to_owned(),
        |end| match end.duration_since(audit.checked_at).as_hours() / 24 {
            days if days < 0 => {
                output::styled(output::severity_style(Severity::Error), format!("expired {} days ago", -days))
            }
            days => format!("{days} days left"),
        },
    )
}

/// One finding with its consequence, fix and reference.
pub fn finding(f: &Finding) -> String {
    let indent = 12;
    let mut text = format!(
        "  {}{}  {}\n",
        severity_word(f.severity),
        strong(&f.id),
        wrap(&format!("{}: {}", clean(&f.subject), clean(&f.message)), 20),
    );
    if f.severity == Severity::Info {
        return text;
    }
    let mut line = |label: &str, body: &str| {
        text.push_str(&format!(
            "{:indent$}{}  {}\n",
            "",
            faint(format!("{label:<8}")),
            wrap(&clean(body), indent + 10)
        ));
    };
    if !f.consequence.is_empty() {
        line("means", &f.consequence);
    }
    for (n, step) in f.fix.iter().enumerate() {
        line(if n == 0 { "fix" } else { "" }, &format!("{}  {step}", n + 1));
    }
    let mut see: Vec<&str> = vec![];
    if !f.reference.is_empty() {
        see.push(&f.reference);
    }
    let explain = format!("mailward explain {}", f.id);
    see.push(&explain);
    line("see", &see.join("; "));
    text
}

/// What could not be tested, and what no look from outside can prove.
fn untested(audit: &Audit, smtp: bool) -> String {
    let mut text = String::from("\n");
    let mut lines: Vec<String> = audit
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Untested)
        .map(|f| format!("{} ({}: {})", clean(&f.message), f.id, clean(&f.subject)))
        .collect();
    if !smtp {
        lines.push("mail servers were not asked (--no-smtp)".to_owned());
    }
    match &lines[..] {
        [] => text.push_str("Could not test: nothing.\n"),
        lines => lines.iter().for_each(|l| text.push_str(&format!("Could not test: {}\n", wrap(l, 16)))),
    }
    let beyond = match audit.summary.tls_rpt {
        ReportingState::Present => {
            "what real senders meet on their way stands in the TLS-RPT reports they send you: mailward report import"
        }
        _ => {
            "what real senders meet on their way, such as an attacker who strips STARTTLS elsewhere, only TLS-RPT reports tell: publish a TLS-RPT record"
        }
    };
    text.push_str(&faint(format!("Not seen from here: {}", wrap(beyond, 20))));
    text.push('\n');
    text
}
