//! `mailward check`: audits domains from outside, many at once, in constant memory.

mod human;
mod machine;

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use mailward_core::audit::{self, Audit, AuditOptions};
use mailward_core::{Finding, PolicyDomain, Severity};
use mailward_net::Outside;
use mailward_net::observe::{Depth, observe};

use crate::Context;
use crate::args::{Check, CheckFormat, FailOn};
use crate::exit::{Failure, Outcome, Result};
use crate::{rooms, when};

pub use human::finding as finding_line;

/// One domain, audited, and how long it took.
struct Checked {
    audit: Audit,
    took: Duration,
}

/// Runs it.
pub async fn run(context: &Context, args: Check) -> Result {
    let now = context.clock.now();
    let at = args.at.as_deref().map(|at| when::moment("--at", at, now)).transpose()?;
    let offset = at.map(|at| at.duration_since(now));
    let format =
        if context.json() && args.format == CheckFormat::Human { CheckFormat::Json } else { args.format };
    let outside = rooms::outside(&context.loaded.config, context.clock.clone())?;
    let depth = if args.no_smtp { Depth::WithoutSmtp } else { Depth::Full };
    let domains = domains(&args)?;
    let many = args.from.is_some() || args.domains.len() > 1;
    let progress = progress_bar(many, args.from.is_none().then_some(args.domains.len()));

    let mut checks = stream::iter(domains)
        .map(|domain| {
            let outside = outside.clone();
            async move {
                let domain = domain?;
                tokio::spawn(check(outside, domain, depth, offset)).await.map_err(Failure::unavailable)
            }
        })
        .buffer_unordered(usize::from(args.jobs));

    let mut printer = machine::Printer::new(format, many);
    let mut worst = None;
    let mut unknown = false;
    while let Some(checked) = checks.next().await {
        let checked = checked?;
        worst = worst.max(checked.audit.findings.iter().map(|f| f.severity).max());
        unknown |= could_not_find_out(&checked.audit.findings);
        progress.inc(1);
        progress.suspend(|| match format {
            CheckFormat::Human => human::print(&checked, !args.no_smtp),
            _ => printer.print(checked.audit),
        });
    }
    progress.finish_and_clear();
    printer.finish();
    let threshold = if args.fail_on == FailOn::Warning { Severity::Warning } else { Severity::Error };
    Ok(match worst {
        Some(worst) if worst >= threshold => Outcome::Findings,
        // Exit 3 only where one domain was asked for and the question could not be answered.
        _ if unknown && !many => Outcome::Unknown,
        _ => Outcome::Fine,
    })
}

async fn check(
    outside: Outside,
    domain: PolicyDomain,
    depth: Depth,
    offset: Option<SignedDuration>,
) -> Checked {
    let began = tokio::time::Instant::now();
    let facts = observe(&outside, &domain, depth).await;
    let at = facts.observed_at.checked_add(offset.unwrap_or_default()).unwrap_or(facts.observed_at);
    let audit = audit::audit(&facts, &AuditOptions { at, smtp: depth == Depth::Full });
    Checked { audit, took: began.elapsed() }
}

/// Whether something could not be found out: our resolver is dead, port 25 is closed, an address private.
/// A missing IPv6 route alone is none of these: the same hosts were tested over IPv4.
fn could_not_find_out(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.severity == Severity::Untested && !(f.id == "SMTP-016" && f.subject == "route"))
}

/// The domains, read as they are needed: a file of a million names takes no memory.
fn domains(args: &Check) -> Result<Box<dyn Iterator<Item = Result<PolicyDomain>> + Send>> {
    let parse = |text: String| {
        PolicyDomain::parse(&text).map_err(|e| Failure::usage(format!("{text:?} is no domain: {e}")))
    };
    let named: Vec<_> = args.domains.iter().cloned().map(parse).collect::<Result<_>>()?;
    let named = named.into_iter().map(Ok);
    let Some(from) = &args.from else { return Ok(Box::new(named)) };
    let reader: Box<dyn BufRead + Send> = match from.as_str() {
        "-" => Box::new(std::io::BufReader::new(std::io::stdin())),
        path => {
            let file =
                std::fs::File::open(path).map_err(|e| Failure::usage(format!("cannot read {path}: {e}")))?;
            Box::new(std::io::BufReader::new(file))
        }
    };
    let from = from.clone();
    let lines = reader.lines().enumerate().filter_map(move |(n, line)| {
        let place = |why: String| Failure::usage(format!("{from} line {}: {why}", n + 1));
        match line {
            Err(e) => Some(Err(place(e.to_string()))),
            Ok(line) => {
                let text = line.split('#').next().unwrap_or_default().trim();
                (!text.is_empty()).then(|| {
                    PolicyDomain::parse(text).map_err(|e| place(format!("{text:?} is no domain: {e}")))
                })
            }
        }
    });
    Ok(Box::new(named.chain(lines)))
}

fn progress_bar(many: bool, total: Option<usize>) -> ProgressBar {
    if !many || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match total {
        Some(total) => ProgressBar::new(total as u64),
        None => ProgressBar::no_length(),
    };
    let template = if total.is_some() {
        "{bar:30} {pos}/{len} domains  {per_sec}"
    } else {
        "{spinner} {pos} domains  {per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
