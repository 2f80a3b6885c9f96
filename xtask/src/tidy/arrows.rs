//! Which crate may depend on which (ARCHITECTURE.md §1). A new arrow is an event: it is added here, in
//! the document, and in a commit of its own.

use std::path::Path;

/// The crate, the crates of ours it may name, and the outside crates it must never name.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    (
        "core",
        &[],
        &["tokio", "hyper", "sqlx", "axum", "tracing", "rustls", "tokio-rustls", "domain", "clap", "metrics"],
    ),
    ("duty", &[], &["sqlx", "hyper", "axum", "rustls", "domain", "toml", "clap"]),
    ("net", &["core"], &["sqlx", "toml", "clap", "axum", "askama"]),
    ("store", &["core"], &["hyper", "rustls", "domain", "toml", "clap", "axum"]),
    ("sending", &["core", "duty", "net", "store"], &["askama", "clap", "sqlx"]),
    ("receiving", &["core", "duty", "net", "store"], &["askama", "clap", "sqlx", "domain"]),
    ("web", &["core", "store"], &["hyper", "rustls", "domain", "sqlx", "clap"]),
    ("lab", &["core"], &["sqlx", "axum", "clap"]),
    (
        "cli",
        &["core", "duty", "net", "store", "sending", "receiving", "web", "lab"],
        &["sqlx", "domain", "hyper"],
    ),
];

pub(super) fn check(root: &Path) -> Vec<String> {
    let mut complaints = vec![];
    for folder in super::crate_folders(root) {
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let Some((_, ours, never)) = ARROWS.iter().find(|(n, ..)| *n == name) else {
            complaints.push(format!("crates/{name} has no line in the table of arrows"));
            continue;
        };
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let table: toml::Table = manifest.parse().unwrap_or_default();
        // Tests may name lab and look at their own crate's neighbours; what ships may not.
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            if let Some(other) = dependency.strip_prefix("mailward-") {
                if !ours.contains(&other) {
                    complaints.push(format!("crates/{name}/Cargo.toml: {name} must not depend on {other}"));
                }
            } else if never.contains(&dependency.as_str()) {
                complaints.push(format!("crates/{name}/Cargo.toml: {name} must not depend on {dependency}"));
            }
        }
    }
    complaints
}
