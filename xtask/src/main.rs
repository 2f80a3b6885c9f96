//! `cargo xtask tidy | manual | fuzz SECONDS | fuzz-smoke`

use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(root),
        ["manual"] => manual(root),
        // The same inputs every time, so that a smoke run says something about the code and not about luck.
        ["fuzz-smoke"] => fuzz(root, &["-runs=4000", "-seed=1"]),
        ["fuzz", seconds] => fuzz(root, &[&format!("-max_total_time={seconds}")]),
        _ => {
            eprintln!("usage: cargo xtask tidy | manual | fuzz SECONDS | fuzz-smoke");
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

/// Runs every fuzz target from its seeds. Needs cargo-fuzz, which `make fuzz` installs.
fn fuzz(root: &Path, limits: &[&str]) -> ExitCode {
    let targets = std::fs::read_dir(root.join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        targets.filter_map(|t| t.path().file_stem().map(|s| s.to_string_lossy().into_owned())).collect();
    names.sort();
    for name in names {
        println!("fuzz: {name} {}", limits.join(" "));
        let corpus = format!("fuzz/corpus/{name}");
        let made = std::fs::create_dir_all(root.join(&corpus));
        let status = Command::new("cargo")
            // libFuzzer needs flags of the compiler that are not stable; the compiler is.
            .env("RUSTC_BOOTSTRAP", "1")
            // -O: the mail parser asserts in debug builds what it handles in release.
            .args(["fuzz", "run", "-O", &name, &corpus, &format!("fuzz/seeds/{name}"), "--"])
            .args(["-rss_limit_mb=2048", "-timeout=20"])
            .args(limits)
            .current_dir(root)
            .status();
        if made.is_err() || !status.is_ok_and(|s| s.success()) {
            eprintln!("fuzz: {name} found something, or could not run");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
