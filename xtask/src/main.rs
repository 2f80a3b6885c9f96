//! `cargo xtask tidy | manual | fuzz-smoke [SECONDS]`

use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(root),
        ["manual"] => manual(root),
        ["fuzz-smoke"] => fuzz(root, "5"),
        ["fuzz-smoke", seconds] => fuzz(root, seconds),
        _ => {
            eprintln!("usage: cargo xtask tidy | manual | fuzz-smoke [SECONDS]");
            ExitCode::from(2)
        }
    }
}

fn tidy(root: &Path) -> ExitCode {
    let complaints = xtask::tidy::check(root);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => {
            println!("tidy: everything in its place");
            ExitCode::SUCCESS
        }
        n => {
            eprintln!("tidy: {n} complaints");
            ExitCode::FAILURE
        }
    }
}

/// Writes docs/manual/commands.md from the command line's own definition.
fn manual(root: &Path) -> ExitCode {
    let directory = root.join("target/generated");
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--package", "mailward", "--", "generate"])
        .arg(&directory)
        .current_dir(root)
        .status();
    let copied = status.is_ok_and(|s| s.success())
        && std::fs::copy(directory.join("commands.md"), root.join("docs/manual/commands.md")).is_ok();
    if copied { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every fuzz target for some seconds. Needs cargo-fuzz, which `make fuzz` installs.
fn fuzz(root: &Path, seconds: &str) -> ExitCode {
    let targets = std::fs::read_dir(root.join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        targets.filter_map(|t| t.path().file_stem().map(|s| s.to_string_lossy().into_owned())).collect();
    names.sort();
    for name in names {
        println!("fuzz: {name} for {seconds} s");
        let status = Command::new("cargo")
            // libFuzzer needs flags of the compiler that are not stable; the compiler is.
            .env("RUSTC_BOOTSTRAP", "1")
            // -O: the mail parser asserts in debug builds what it handles in release.
            .args(["fuzz", "run", "-O", &name, "--", "-rss_limit_mb=1024", "-timeout=10"])
            .arg(format!("-max_total_time={seconds}"))
            .current_dir(root)
            .status();
        if !status.is_ok_and(|s| s.success()) {
            eprintln!("fuzz: {name} found something");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
