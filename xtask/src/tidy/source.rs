//! The source files of a crate, parsed, with their module paths.

use std::path::{Path, PathBuf};

/// One file.
pub(super) struct Source {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its module path inside the crate: empty for the root, `["mta_sts", "policy"]`.
    pub(super) module: Vec<String>,
    /// Its text.
    pub(super) text: String,
    /// Its syntax; `None` when it does not parse, which the compiler tells better.
    pub(super) syntax: Option<syn::File>,
}

/// All files below `src/` that ship, sorted: what hangs below a `#[cfg(test)] mod` is left out.
pub(super) fn read(folder: &Path) -> Vec<Source> {
    let root = folder.join("src");
    let mut paths = vec![];
    collect(&root, &mut paths);
    paths.sort();
    let mut files: Vec<Source> = paths.into_iter().map(|path| source(&root, path)).collect();
    let tests: Vec<Vec<String>> = files.iter().flat_map(test_modules).collect();
    files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
    files
}

fn test_modules(file: &Source) -> Vec<Vec<String>> {
    let items = file.syntax.iter().flat_map(|s| &s.items);
    items
        .filter_map(|item| match item {
            syn::Item::Mod(m) if m.content.is_none() && is_test(&m.attrs) => {
                Some([&file.module[..], &[m.ident.to_string()]].concat())
            }
            _ => None,
        })
        .collect()
}

fn collect(folder: &Path, to: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, to);
        } else if path.extension().is_some_and(|e| e == "rs") {
            to.push(path);
        }
    }
}

fn source(root: &Path, path: PathBuf) -> Source {
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let relative = path.strip_prefix(root).unwrap_or(&path).with_extension("");
    let mut module: Vec<String> = relative.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if module.len() == 1 && matches!(module[0].as_str(), "lib" | "main") {
        module.clear();
    }
    let syntax = syn::parse_file(&text).ok();
    Source { path, module, text, syntax }
}

/// Whether an item is compiled for tests only.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("test")
            || (a.path().is_ident("cfg") && a.parse_args::<syn::Ident>().is_ok_and(|i| i == "test"))
            || a.path().segments.last().is_some_and(|s| s.ident == "test")
    })
}
