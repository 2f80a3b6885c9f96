//! Audits of many domains at once, in a world on loopback: how many a second, with how many questions,
//! in how much memory.
//!
//! The world answers from another process on the same processors, so a rate by the clock has its work
//! in it, as the rate of the yardstick has.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures_util::{StreamExt, stream};
use mailward_core::audit::{AuditOptions, audit};
use mailward_core::{PolicyDomain, Severity};
use mailward_net::Outside;
use mailward_net::observe::{Depth, observe};

use crate::bare::Bare;
use crate::measure::{self, Cost, Stopwatch};
use crate::table::{Row, Table, thousands};
use crate::world::{Elsewhere, domain};

/// Domains looked at together.
const CONCURRENCY: usize = 64;
/// Domains in the world, and in the run whose memory is compared with that of the small run.
const MANY: usize = 5_000;
const FEW: usize = 1_000;
/// Domains in a run for speed.
const SPEED: usize = 3_000;

/// Measures and prints. The binary is `target/release/mailward`; without it that part is left out.
pub fn run(binary: &Path) -> Result<(), String> {
    let watch = Stopwatch::start();
    let mut world = Elsewhere::start(MANY)?;
    println!("a world of {} domains, made in {:.1} s", thousands(MANY as f64), watch.elapsed().as_secs_f64());
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        // Signatures are made at the first question, certificates at the first handshake.
        bare(&world, MANY, true).await?;
        let mut table = Table::default();
        in_process(&mut world, &mut table).await?;
        if binary.is_file() {
            real_binary(binary, &world, &mut table).await?;
        } else {
            println!("{} is not there: the command itself is not measured", binary.display());
        }
        table.print("Auditing domains, 64 at once");
        Ok(())
    })
}

async fn in_process(world: &mut Elsewhere, table: &mut Table) -> Result<(), String> {
    let outside = world.outside()?;
    for (what, depth, goal) in
        [("everything", Depth::Full, 600.0), ("without SMTP", Depth::WithoutSmtp, 1_200.0)]
    {
        let smtp = depth == Depth::Full;
        let (mut ours, mut theirs) = (Cost::default(), Cost::default());
        let before = world.questions()?;
        let cpu_before = world.cpu_seconds();
        ours.add(audits(&outside, SPEED, depth).await?);
        let world_cpu = world.cpu_seconds() - cpu_before;
        let questions = (world.questions()? - before) as f64 / SPEED as f64;
        theirs.add(bare(world, SPEED, smtp).await?);
        let count = SPEED as f64;
        table.rate(
            &format!("{what}, by the clock, world and all"),
            count / ours.wall,
            count / theirs.wall,
            "/s",
            goal,
        );
        table.rate(
            &format!("{what}, by processor time of the asker"),
            count / ours.cpu,
            count / theirs.cpu,
            "/s",
            0.0,
        );
        table.row(Row {
            what: format!("{what}: DNS questions for a domain"),
            ours: format!("{questions:.2}"),
            yardstick: "8".into(),
            ratio: format!("{:.2}", questions / 8.0),
            goal: format!("≤ 10, {}", if questions <= 10.0 { "met" } else { "missed" }),
        });
        table.row(Row {
            what: format!("{what}: processor time of the world for a domain"),
            ours: format!("{:.2} ms", world_cpu * 1000.0 / count),
            ..Row::default()
        });
    }
    Ok(())
}

/// Audits the first so many domains.
async fn audits(outside: &Outside, domains: usize, depth: Depth) -> Result<Cost, String> {
    let watch = Stopwatch::start();
    let mut looks = stream::iter(0..domains)
        .map(|number| {
            let outside = outside.clone();
            tokio::spawn(async move {
                let domain = PolicyDomain::parse(&domain(number)).map_err(|e| e.to_string())?;
                let facts = observe(&outside, &domain, depth).await;
                let options = AuditOptions { at: facts.observed_at, smtp: depth == Depth::Full };
                let audit = audit(&facts, &options);
                match audit.findings.iter().find(|f| f.severity >= Severity::Error) {
                    Some(finding) => Err(format!("{domain}: {} {}", finding.id, finding.message)),
                    None => Ok(audit),
                }
            })
        })
        .buffer_unordered(CONCURRENCY);
    while let Some(audit) = looks.next().await {
        std::hint::black_box(audit.map_err(|e| e.to_string())??);
    }
    Ok(watch.cost())
}

/// The yardstick over the first so many domains.
async fn bare(world: &Elsewhere, domains: usize, smtp: bool) -> Result<Cost, String> {
    let asker = Bare::new(world, smtp)?;
    let watch = Stopwatch::start();
    let askers: Vec<_> =
        (0..CONCURRENCY).map(|first| tokio::spawn(asker.clone().ask(first, CONCURRENCY, domains))).collect();
    for asker in askers {
        asker.await.map_err(|e| e.to_string())?.map_err(|e| format!("yardstick: {e}"))?;
    }
    Ok(watch.cost())
}

/// What a run of the command came to.
struct Run {
    cost: Cost,
    peak: f64,
}

async fn real_binary(binary: &Path, world: &Elsewhere, table: &mut Table) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let config = configuration(folder.path(), world)?;
    for (what, arguments, smtp, goal) in
        [("everything", &[][..], true, 600.0), ("without SMTP", &["--no-smtp"][..], false, 1_200.0)]
    {
        let list = domain_list(folder.path(), SPEED)?;
        let ours = command(binary, &config, &list, arguments).await?;
        let theirs = bare(world, SPEED, smtp).await?;
        let count = SPEED as f64;
        table.rate(
            &format!("mailward check --format jsonl, {what}, by the clock"),
            count / ours.cost.wall,
            count / theirs.wall,
            "/s",
            goal,
        );
    }
    let few = command(binary, &config, &domain_list(folder.path(), FEW)?, &[]).await?;
    let many = command(binary, &config, &domain_list(folder.path(), MANY)?, &[]).await?;
    table.row(Row {
        what: format!(
            "mailward check: peak memory, {} domains and {}",
            thousands(MANY as f64),
            thousands(FEW as f64)
        ),
        ours: format!("{:.1} MiB", many.peak),
        yardstick: format!("{:.1} MiB", few.peak),
        ratio: format!("{:.2}", many.peak / few.peak),
        goal: "does not grow".into(),
    });
    Ok(())
}

fn configuration(folder: &Path, world: &Elsewhere) -> Result<PathBuf, String> {
    let path = folder.join("mailward.toml");
    let text = format!(
        "[dns]\nservers = [\"{}\"]\ndnssec = \"trust-ad\"\n[tls]\nextra_roots = [{:?}]\n[outside]\n\
         smtp_port = {}\nhttps_port = {}\nallow_private_addresses = true\n",
        world.resolver, world.root_pem, world.smtp_port, world.https_port
    );
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(path)
}

fn domain_list(folder: &Path, domains: usize) -> Result<PathBuf, String> {
    let path = folder.join(format!("{domains}.txt"));
    let mut text = String::new();
    for number in 0..domains {
        let _ = writeln!(text, "{}", domain(number));
    }
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(path)
}

/// Runs the command, its output into a file, and watches it from outside.
async fn command(binary: &Path, config: &Path, list: &Path, arguments: &[&str]) -> Result<Run, String> {
    let output = list.with_extension("jsonl");
    let file = std::fs::File::create(&output).map_err(|e| e.to_string())?;
    let watch = Stopwatch::start();
    let mut child = Command::new(binary)
        .arg("--config")
        .arg(config)
        .arg("check")
        .arg("--from")
        .arg(list)
        .args(["--format", "jsonl", "--jobs", &CONCURRENCY.to_string()])
        .args(arguments)
        .stdout(Stdio::from(file))
        .spawn()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    let process = child.id().to_string();
    let (mut cpu, mut peak) = (0.0, 0.0_f64);
    let status = loop {
        (cpu, peak) = (measure::cpu_seconds(&process).max(cpu), measure::peak_memory(&process).max(peak));
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let cost = Cost { wall: watch.elapsed().as_secs_f64(), cpu };
    let text = std::fs::read_to_string(&output).map_err(|e| e.to_string())?;
    let (wanted, got) =
        (std::fs::read_to_string(list).unwrap_or_default().lines().count(), text.lines().count());
    if !status.success() || wanted != got {
        let first = text.lines().next().unwrap_or_default();
        return Err(format!("the command ends with {status} and {got} lines for {wanted} domains: {first}"));
    }
    Ok(Run { cost, peak })
}
