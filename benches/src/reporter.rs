//! Reports that go out: what a day of ten thousand domains costs from tallies to signed mails.
//!
//! The yardstick is the least that anybody would have to do: the same counts as generic JSON, gzip, one
//! signature, a row ([`crate::bare_reporter`]). It asks no DNS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mailward_core::chain::TrustAnchors;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::{PolicyType, ResultType};
use mailward_core::{DomainName, PolicyDomain};
use mailward_duty::StopSignal;
use mailward_lab::{Security, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::smtp::ProbeTimeouts;
use mailward_net::submit::SubmitServer;
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};
use mailward_sending::reporter::SigningKey;
use mailward_sending::{Reporter, ReporterOptions};
use mailward_store::Store;
use mailward_store::outgoing::OutgoingFilter;
use mailward_store::tallies::{Increment, TallySource};

use crate::bare_reporter;
use crate::measure::{self, RealClock, Stopwatch};
use crate::table::{Row, Table, thousands};

/// The day that has a goal.
const DOMAINS: usize = 10_000;
/// Another, for what memory depends on.
const MORE: usize = 40_000;
/// Processor seconds for all of [`DOMAINS`].
const GOAL: f64 = 20.0;

/// Measures and prints.
pub fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let key = folder.path().join("dkim.pem");
    let made = std::process::Command::new("openssl").arg("genrsa").arg("-out").arg(&key).arg("2048").output();
    if !made.map_err(|e| e.to_string())?.status.success() {
        return Err("openssl makes no key".to_owned());
    }
    let [made, signed, peak] = child(folder.path(), &key, DOMAINS)?;
    let bare = bare_reporter::run(folder.path(), &key, DOMAINS)?;
    let [_, _, peak_of_more] = child(folder.path(), &key, MORE)?;
    let mut table = Table::default();
    let number = thousands(DOMAINS as f64);
    table.row(Row {
        what: format!("{number} domains: looked up, reports built and queued"),
        ours: format!("{made:.1} s"),
        yardstick: format!("{:.1} s", bare.built),
        ratio: format!("{:.2}", made / bare.built),
        goal: String::new(),
    });
    table.row(Row {
        what: "read again, mails written and signed (RSA 2048)".into(),
        ours: format!("{signed:.1} s"),
        yardstick: format!("{:.1} s", bare.signed),
        ratio: format!("{:.2}", signed / bare.signed),
        goal: String::new(),
    });
    let all = made + signed;
    table.row(Row {
        what: "processor time together".into(),
        ours: format!("{all:.1} s"),
        yardstick: format!("{:.1} s", bare.built + bare.signed),
        ratio: format!("{:.2}", all / (bare.built + bare.signed)),
        goal: format!("< {GOAL} s, {}", if all < GOAL { "met" } else { "missed" }),
    });
    let growth = peak_of_more / peak;
    table.row(Row {
        what: format!("peak memory, {} domains and {number}", thousands(MORE as f64)),
        ours: format!("{peak_of_more:.0} and {peak:.0} MiB"),
        ratio: format!("{growth:.2}"),
        goal: format!("the same, {}", if growth <= 1.25 { "met" } else { "missed" }),
        ..Row::default()
    });
    table.print("reporter");
    Ok(())
}

/// Processor seconds of making and of signing, peak memory; in a process of its own, beside the world.
fn child(folder: &Path, key: &Path, domains: usize) -> Result<[f64; 3], String> {
    let world = World::start(&WorldOptions::default()).map_err(|e| e.to_string())?;
    world.zone("test", Security::Unsigned).map_err(|e| e.to_string())?;
    let database = folder.join(format!("{domains}.db"));
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let store =
            Store::open(&format!("sqlite:{}", database.display())).await.map_err(|e| e.to_string())?;
        let mut increments = Vec::with_capacity(domains);
        for number in 0..domains {
            let name = format!("d{number}.test");
            let record = format!("v=TLSRPTv1; rua=mailto:tls@{name}");
            world.set(&format!("_smtp._tls.{name}"), "TXT", &[&record]).map_err(|e| e.to_string())?;
            increments.push(seen(&name, &record, number)?);
        }
        for piece in increments.chunks(1_000) {
            store.add_tallies(piece).await.map_err(|e| e.to_string())?;
        }
        store.close().await;
        Ok::<(), String>(())
    })?;
    let myself = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = std::process::Command::new(myself);
    command.arg("reporter-run").arg(world.resolver.to_string()).arg(&database).arg(key);
    let output = command.output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures[..] {
        [count, made, signed, peak] if output.status.success() && count == domains as f64 => {
            Ok([made, signed, peak])
        }
        _ => Err(format!("reporter-run: {text} {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// The day that is reported on.
pub fn yesterday() -> Result<Date, String> {
    measure::now().to_zoned(TimeZone::UTC).date().yesterday().map_err(|e| e.to_string())
}

/// What a mail server saw of a domain: two thirds without a failure, the rest with three kinds.
fn seen(name: &str, record: &str, number: usize) -> Result<Increment, String> {
    let failure = |n: usize| SessionFailure {
        result_type: ResultType::CertificateExpired,
        sending_mta_ip: "192.0.2.1".parse().ok(),
        receiving_mx_hostname: Some(format!("mx{n}.{name}")),
        receiving_mx_helo: Some(format!("mx{n}.{name}")),
        receiving_ip: "192.0.2.2".parse().ok(),
        additional_information: None,
        failure_reason_code: Some("certificate has expired".into()),
    };
    let kinds = if number.is_multiple_of(3) { 3 } else { 0 };
    Ok(Increment {
        day: yesterday()?,
        domain: PolicyDomain::parse(name).map_err(|e| e.to_string())?,
        record: record.to_owned(),
        source: TallySource::MailServer,
        policy: SessionPolicy {
            policy_type: PolicyType::Sts,
            policy_domain: DomainName::parse(name).map_err(|e| e.to_string())?,
            policy_string: vec!["version: STSv1".into(), "mode: enforce".into(), "max_age: 604800".into()],
            mx_host: vec![format!("*.{name}")],
        },
        successful: 1_000,
        failed: kinds as u64,
        failures: (0..kinds).map(|n| (failure(n), 1)).collect(),
    })
}

/// The child: makes the reports of yesterday, then writes and signs each mail.
pub fn make(resolver: &str, database: &Path, key: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let store =
            Store::open(&format!("sqlite:{}", database.display())).await.map_err(|e| e.to_string())?;
        let pem = std::fs::read(key).map_err(|e| e.to_string())?;
        let domain = DomainName::parse("sender.example").map_err(|e| e.to_string())?;
        let key = SigningKey::from_pem(&pem, &domain, "tlsrpt").map_err(|e| e.to_string())?;
        let reporter = reporter(resolver, &store, vec![Arc::new(key)])?;
        let (_signal, stop) = StopSignal::new();
        let watch = Stopwatch::start();
        let made = reporter.make(&stop).await.map_err(|e| e.to_string())?;
        let built = watch.cost().cpu;
        let watch = Stopwatch::start();
        let mut before = None;
        loop {
            let filter = OutgoingFilter::default();
            let page = store.outgoing_reports(&filter, before, 500).await.map_err(|e| e.to_string())?;
            for row in &page.rows {
                let report = store.outgoing_report(row.number).await.map_err(|e| e.to_string())?;
                let report = report.ok_or("a report is gone")?;
                std::hint::black_box(reporter.mail(&report, "tls@receiver.example")?);
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        println!("{made} {built} {} {}", watch.cost().cpu, measure::peak_memory("self"));
        store.close().await;
        Ok(())
    })
}

/// A reporter that signs with these keys and sends nothing.
pub fn reporter(resolver: &str, store: &Store, keys: Vec<Arc<SigningKey>>) -> Result<Reporter, String> {
    let options = ReporterOptions {
        organization: "Sender".into(),
        contact: "tls@sender.example".into(),
        from: "noreply@sender.example".into(),
        submit: "smtp://127.0.0.1:1".parse::<SubmitServer>()?,
        login: None,
        keys,
        spread: SignedDuration::from_hours(4),
        success_only: true,
        probes: false,
        alone: true,
    };
    Reporter::new(store.clone(), outside(resolver)?, options).map_err(|e| e.to_string())
}

/// The way out to a resolver, and to nothing else.
fn outside(resolver: &str) -> Result<Outside, String> {
    let dns = DnsOptions {
        servers: vec![resolver.parse::<SocketAddr>().map_err(|e| e.to_string())?],
        dnssec: Dnssec::Off,
        timeout: std::time::Duration::from_secs(4),
    };
    let clock = Arc::new(RealClock);
    let options = OutsideOptions {
        helo: "bench.test".into(),
        smtp_port: 25,
        https_port: 443,
        allow_private_addresses: false,
        fetch_timeout: std::time::Duration::from_secs(20),
        probe: ProbeTimeouts::default(),
    };
    let none: [Vec<u8>; 0] = [];
    let (anchors, _) = TrustAnchors::from_der(&none);
    Ok(Outside {
        resolver: Resolver::new(&dns, clock.clone()).map_err(|e| e.to_string())?,
        roots: Arc::new(Roots::new(anchors).map_err(|e| e.to_string())?),
        options: Arc::new(options),
        clock,
    })
}
