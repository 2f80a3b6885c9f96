//! A decision for people: what, who, why, and what Postfix is told.

use jiff::Timestamp;
use mailward_sending::policy::{Document, OperatorLine};

use crate::config::ListenAddress;
use crate::output::{self, clean, faint, strong, wrap};

/// Prints it; `daemon` is where it comes from, if from a daemon.
pub fn print(document: &Document, daemon: Option<&ListenAddress>, now: Timestamp) {
    let source = match daemon {
        Some(socket) => format!("as the daemon at {socket} knows it"),
        None => "looked up now".to_owned(),
    };
    anstream::println!("{}  {}  {}", strong(&document.domain), strong(&document.decision), faint(source));
    if let Some(last) = document.trace.last() {
        // It begins with "so".
        let conclusion = last.strip_prefix("so ").unwrap_or(last);
        anstream::println!("  {}", wrap(&clean(conclusion), 2));
    }
    if let Some(operator) = &document.operator {
        anstream::println!("\n  {}", wrap(&word(operator, now), 2));
    }
    hosts(document);
    steps(document);
    if let Some(until) = document.expires_at {
        anstream::println!("\n  A sender may keep this policy until {}.", output::moment(until, now));
    }
    anstream::println!("\n  Postfix is told");
    for (map, answer) in [("mailward", &document.postfix), ("mailward-tlsrpt", &document.postfix_tlsrpt)] {
        anstream::println!("    {}  {}", faint(format!("{map:<15}")), clean(answer.trim_end()));
    }
}

/// By whose word, until when and why.
fn word(operator: &OperatorLine, now: Timestamp) -> String {
    let until = operator.until.map(|at| format!(" until {}", output::moment(at, now))).unwrap_or_default();
    let author = operator.author.as_deref().map(|by| format!(", by {}", clean(by))).unwrap_or_default();
    format!("Operator: requires {}{until}{author}: {}", operator.require.as_str(), clean(&operator.reason))
}

fn hosts(document: &Document) {
    if document.mx.is_empty() {
        return;
    }
    anstream::println!("\n  Mail servers");
    let widest = document.mx.iter().map(|host| host.host.len()).max().unwrap_or(0);
    for host in &document.mx {
        let mark = if host.allowed { "ok" } else { "NO" };
        let name = strong(format!("{:widest$}", clean(&host.host)));
        let text = wrap(&format!("{} ({})", clean(&host.requirement), clean(&host.why)), widest + 10);
        anstream::println!("    {mark}  {name}  {text}");
    }
}

fn steps(document: &Document) {
    anstream::println!("\n  Why");
    for (n, step) in document.trace.iter().enumerate() {
        anstream::println!("  {:>3}  {}", n + 1, wrap(&clean(step), 7));
    }
}
