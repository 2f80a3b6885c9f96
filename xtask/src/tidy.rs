//! What keeps the house in order, beyond what the compiler and clippy see.

mod arrows;
mod cycles;
mod source;
mod text;

use std::path::{Path, PathBuf};

/// Every complaint, in words with file and line. Empty is good.
pub fn check(root: &Path) -> Vec<String> {
    let mut complaints = arrows::check(root);
    let crates = crate_folders(root);
    for folder in &crates {
        let files = source::read(folder);
        complaints.extend(cycles::check(&files));
        complaints.extend(text::check(folder, &files));
    }
    complaints.extend(architecture_names_every_crate(root, &crates));
    complaints
}

fn crate_folders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.join("Cargo.toml").is_file()).collect();
    folders.sort();
    folders
}

fn architecture_names_every_crate(root: &Path, crates: &[PathBuf]) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    crates
        .iter()
        .filter_map(|c| c.file_name()?.to_str())
        .filter(|name| !text.contains(&format!("`{name}`")))
        .map(|name| format!("ARCHITECTURE.md does not name the crate `{name}`"))
        .collect()
}
