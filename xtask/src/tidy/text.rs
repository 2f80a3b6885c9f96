//! Rules on single files: the time is asked of the clock, outside data is never unwrapped, every module
//! opens by teaching, files stay small.

use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::Visit;

use super::source::{Source, is_test};

/// Lines that a file may have before it must be split.
const LINES: usize = 600;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "helpers", "helper", "misc"];

pub(super) fn check(folder: &Path, files: &[Source]) -> Vec<String> {
    let clock = folder.join("src/clock.rs");
    let is_cli = folder.ends_with("cli");
    // The lab reads nothing from outside: what it expects, it made itself.
    let is_lab = folder.ends_with("lab");
    files
        .iter()
        .flat_map(|file| {
            let mut found = Rules {
                asks_time: is_cli && file.path == clock,
                expects: is_lab,
                lines: vec![],
                text: file.text.lines().collect(),
            };
            if let Some(syntax) = &file.syntax {
                found.visit_file(syntax);
            }
            found.lines.extend(shape(file));
            found
                .lines
                .into_iter()
                .map(|(line, what)| format!("{}:{line}: {what}", file.path.display()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn shape(file: &Source) -> Vec<(usize, String)> {
    let mut lines = vec![];
    if !file.text.starts_with("//!") {
        lines.push((1, "a module opens with `//!` and what it is for".to_owned()));
    }
    let length = file.text.lines().count();
    let is_data = file.path.ends_with("catalogue.rs");
    if length > LINES && !is_data {
        lines.push((length, format!("the file has {length} lines; split it below {LINES}")));
    }
    if let Some(stem) = file.path.file_stem().and_then(|s| s.to_str()).filter(|s| EMPTY_NAMES.contains(s)) {
        lines.push((1, format!("a file called {stem} says nothing about what is in it")));
    }
    lines
}

struct Rules<'a> {
    asks_time: bool,
    expects: bool,
    lines: Vec<(usize, String)>,
    text: Vec<&'a str>,
}

impl Rules<'_> {
    /// An `expect` that cannot fail says so: a comment `invariant:` on its line or the two before.
    fn has_invariant(&self, line: usize) -> bool {
        (line.saturating_sub(3)..line).any(|n| self.text.get(n).is_some_and(|l| l.contains("invariant:")))
    }
}

impl<'ast> Visit<'ast> for Rules<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        let tail = names.len().saturating_sub(2);
        let asked =
            matches!(names[tail..].join("::").as_str(), "SystemTime::now" | "Timestamp::now" | "Zoned::now")
                || names.join("::") == "std::time::Instant::now";
        if asked && !self.asks_time {
            self.lines
                .push((path.span().start().line, "asks for the time; take `now` or a Clock".to_owned()));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let line = call.method.span().start().line;
        match call.method.to_string().as_str() {
            "unwrap" if call.args.is_empty() => {
                self.lines.push((line, "unwrap; say what happens otherwise".to_owned()))
            }
            "expect" if call.args.len() == 1 && !self.expects && !self.has_invariant(line) => {
                self.lines.push((
                    line,
                    "expect without a comment `invariant:` that says why it cannot fail".to_owned(),
                ));
            }
            _ => {}
        }
        syn::visit::visit_expr_method_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let source = Source {
            path: "src/a.rs".into(),
            module: vec!["a".into()],
            text: text.to_owned(),
            syntax: syn::parse_file(text).ok(),
        };
        check(Path::new("crates/core"), &[source])
    }

    #[test]
    fn rules_bite() {
        for text in [
            "fn f() {}",
            "//! x\nfn f() { std::time::SystemTime::now(); }",
            "//! x\nuse std::time::SystemTime;\nfn f() { let t = SystemTime::now(); }",
            "//! x\nfn f() { g().unwrap(); }",
            "//! x\nfn f() { g().expect(\"x\"); }",
        ] {
            assert_eq!(complaints(text).len(), 1, "{text}");
        }
        for text in [
            "//! x\nfn f() { g().unwrap_or(1); }",
            "//! x\n#[cfg(test)] mod tests { fn f() { g().unwrap(); } }",
            "//! x\nfn f() {\n    // invariant: a literal\n    g().expect(\"x\"); }",
        ] {
            assert!(complaints(text).is_empty(), "{text}: {:?}", complaints(text));
        }
    }
}
