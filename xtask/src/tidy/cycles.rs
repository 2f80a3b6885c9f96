//! No cycle between the modules of a crate.
//!
//! A node is a file. An edge goes from a file to the file that *defines* what it names: re-exports are
//! looked through and are no edges of their own. A parent and its own children may name each other.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use super::source::{Source, is_test};

type Module = Vec<String>;

pub(super) fn check(files: &[Source]) -> Vec<String> {
    let modules: BTreeSet<Module> = files.iter().map(|f| f.module.clone()).collect();
    let exports = exports(files, &modules);
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for file in files {
        let mut named = Named { module: &file.module, paths: vec![] };
        if let Some(syntax) = &file.syntax {
            named.visit_file(syntax);
        }
        let targets = named.paths.into_iter().filter_map(|p| resolve(p, &modules, &exports, 0));
        edges.entry(file.module.clone()).or_default().extend(targets.filter(|t| *t != file.module));
    }
    components(&edges)
        .into_iter()
        .filter(|c| c.len() > 1 && !is_family(c))
        .map(|c| {
            let within = |m: &&Module| c.contains(*m);
            let uses = c.iter().map(|from| {
                let to: Vec<String> =
                    edges.get(from).into_iter().flatten().filter(within).map(|m| m.join("::")).collect();
                format!("\n    {} uses {}", from.join("::"), to.join(", "))
            });
            let source = files.iter().find(|f| c.contains(&f.module)).map(|f| f.path.display().to_string());
            format!("{}: a cycle of modules:{}", source.unwrap_or_default(), uses.collect::<String>())
        })
        .collect()
}

/// Whether one of the modules is the ancestor of all others.
fn is_family(component: &BTreeSet<Module>) -> bool {
    component.iter().any(|head| component.iter().all(|m| m.starts_with(head)))
}

/// `pub use` lines by module: exported name to the path it stands for.
fn exports(files: &[Source], modules: &BTreeSet<Module>) -> BTreeMap<(Module, String), Module> {
    let mut exports = BTreeMap::new();
    for file in files {
        for item in file.syntax.iter().flat_map(|s| &s.items) {
            let syn::Item::Use(item) = item else { continue };
            if matches!(item.vis, syn::Visibility::Inherited) {
                continue;
            }
            let mut leaves = vec![];
            flatten(&item.tree, &mut vec![], &mut leaves);
            for (path, name) in leaves {
                if let Some(path) = absolute(&file.module, path, modules) {
                    exports.insert((file.module.clone(), name), path);
                }
            }
        }
    }
    exports
}

fn flatten(tree: &syn::UseTree, prefix: &mut Vec<String>, to: &mut Vec<(Vec<String>, String)>) {
    match tree {
        syn::UseTree::Path(p) => {
            prefix.push(p.ident.to_string());
            flatten(&p.tree, prefix, to);
            prefix.pop();
        }
        syn::UseTree::Name(n) => {
            let name = n.ident.to_string();
            let mut path = prefix.clone();
            if name != "self" {
                path.push(name.clone());
            }
            to.push((path, name));
        }
        syn::UseTree::Rename(r) => {
            let mut path = prefix.clone();
            path.push(r.ident.to_string());
            to.push((path, r.rename.to_string()));
        }
        syn::UseTree::Glob(_) => to.push((prefix.clone(), "*".to_owned())),
        syn::UseTree::Group(g) => g.items.iter().for_each(|t| flatten(t, prefix, to)),
    }
}

/// A path inside the crate from its root; `None` for other crates.
fn absolute(module: &[String], path: Vec<String>, modules: &BTreeSet<Module>) -> Option<Module> {
    let first = path.first()?.as_str();
    match first {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|s| *s == "super").count();
            let base = module.get(..module.len().checked_sub(ups)?)?;
            Some([base, &path[ups..]].concat())
        }
        _ => {
            let child = [module, &path[..1]].concat();
            modules.contains(&child).then(|| [module, &path[..]].concat())
        }
    }
}

/// The file that defines what a path names.
fn resolve(
    path: Module,
    modules: &BTreeSet<Module>,
    exports: &BTreeMap<(Module, String), Module>,
    depth: u8,
) -> Option<Module> {
    let length = (0..=path.len()).rev().find(|n| modules.contains(&path[..*n]))?;
    let (module, rest) = path.split_at(length);
    if let Some(item) = rest.first().filter(|_| depth < 8)
        && let Some(target) = exports.get(&(module.to_vec(), item.clone()))
    {
        return resolve(target.clone(), modules, exports, depth + 1);
    }
    Some(module.to_vec())
}

/// Collects the paths that non-test code of a file names, re-exports left out.
struct Named<'a> {
    module: &'a [String],
    paths: Vec<Module>,
}

impl Named<'_> {
    fn add(&mut self, path: Vec<String>) {
        if matches!(path.first().map(String::as_str), Some("crate" | "super" | "self")) {
            self.paths.extend(absolute(self.module, path, &BTreeSet::new()));
        } else if let Some(first) = path.first() {
            // A child named without `self::`; resolved only if it is one.
            self.paths.push([self.module, std::slice::from_ref(first)].concat());
        }
    }
}

impl<'ast> Visit<'ast> for Named<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_test(&item.attrs) || !matches!(item.vis, syn::Visibility::Inherited) {
            return;
        }
        let mut leaves = vec![];
        flatten(&item.tree, &mut vec![], &mut leaves);
        leaves.into_iter().for_each(|(path, _)| self.add(path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.add(segments);
        }
        syn::visit::visit_path(self, path);
    }
}

/// Strongly connected components, by reachability: crates are small.
fn components(edges: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|m| (m, reachable(m, edges))).collect();
    let mut seen = BTreeSet::new();
    let mut components = vec![];
    for module in edges.keys() {
        if seen.contains(module) {
            continue;
        }
        let component: BTreeSet<Module> = edges
            .keys()
            .filter(|other| {
                *other == module || (reach[module].contains(other) && reach[*other].contains(module))
            })
            .cloned()
            .collect();
        seen.extend(component.iter().cloned());
        components.push(component);
    }
    components
}

fn reachable<'a>(from: &'a Module, edges: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in edges.get(module).into_iter().flatten() {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(module: &str, text: &str) -> Source {
        let module = if module.is_empty() { vec![] } else { module.split("::").map(str::to_owned).collect() };
        Source { path: "x.rs".into(), module, text: text.to_owned(), syntax: syn::parse_file(text).ok() }
    }

    #[test]
    fn cycles_are_found_and_families_are_not_cycles() {
        let cycle = [
            source("", "pub mod a; pub mod b;"),
            source("a", "use crate::b::B;"),
            source("b", "fn f() -> crate::a::A { todo!() }"),
        ];
        assert_eq!(check(&cycle).len(), 1);
        let through_a_re_export = [
            source("", "pub mod a; pub mod b;"),
            source("a", "mod inner; pub use inner::A;"),
            source("a::inner", "use crate::b::B;"),
            source("b", "use crate::a::A;"),
        ];
        assert_eq!(check(&through_a_re_export).len(), 1);
        let family = [source("", "mod a;"), source("a", "mod c; use c::C;"), source("a::c", "use super::A;")];
        assert!(check(&family).is_empty());
        let tests_only =
            [source("a", "#[cfg(test)] mod tests { use crate::b::B; }"), source("b", "use crate::a::A;")];
        assert!(check(&tests_only).is_empty());
    }
}
