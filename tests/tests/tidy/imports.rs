//! Which module imports which, and whether any two folders of modules import each other.
//!
//! A module is a file (`a.rs` or `a/mod.rs`) of a crate's `src`. An import is a `use` or a path
//! that begins with `crate`, `self` or `super`. Modules with one parent are compared as wholes: if
//! anything below `a` imports anything below `b`, then `a` imports `b`. What a module imports from
//! its own ancestors does not count, and neither does code in `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use crate::sources::{RustFile, is_test_only};

/// The path of a module from its crate's root.
type Module = Vec<String>;

/// Every circle of imports, as text: `crate: a -> b -> a`.
pub(crate) fn circles(files: &[RustFile]) -> Vec<String> {
    let mut crates: BTreeMap<&str, Vec<&RustFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        if let Some((name, _)) = file.path.split_once("/src/") {
            crates.entry(name).or_default().push(file);
        }
    }
    let found = crates.into_iter().flat_map(|(name, files)| {
        circles_of_crate(&files).into_iter().map(move |circle| format!("{name}: {circle}"))
    });
    found.collect()
}

fn circles_of_crate(files: &[&RustFile]) -> Vec<String> {
    let modules: BTreeSet<Module> = files.iter().map(|file| module(&file.path)).collect();
    // By parent, which of its children imports which other one.
    let mut levels: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for file in files {
        let from = module(&file.path);
        for path in imports(file, &from) {
            let Some(to) = longest_module(&path, &modules) else { continue };
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                let level = levels.entry(from[..shared].to_vec()).or_default();
                level.entry(a.clone()).or_default().insert(b.clone());
            }
        }
    }
    levels.values().filter_map(circle).collect()
}

/// The module that a file is, from the path below `src`.
fn module(path: &str) -> Module {
    let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside);
    let parts = inside.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut module: Module = parts.collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

fn longest_module(path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|path| modules.contains(path))
}

/// One circle among siblings, or `None`.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    imports.keys().find_map(|start| {
        let mut before: BTreeMap<&String, &String> = BTreeMap::new();
        let mut next = vec![start];
        while let Some(at) = next.pop() {
            for to in imports.get(at).into_iter().flatten() {
                if to == start {
                    let mut names = vec![start, at];
                    let mut at = at;
                    while let Some(earlier) = before.get(at) {
                        names.push(earlier);
                        at = earlier;
                    }
                    names.dedup();
                    names.reverse();
                    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
                    return Some(names.join(" -> "));
                }
                if to != at && !before.contains_key(to) {
                    before.insert(to, at);
                    next.push(to);
                }
            }
        }
        None
    })
}

/// The paths that a file imports, from its crate's root.
fn imports(file: &RustFile, module: &[String]) -> Vec<Module> {
    let mut visitor = Imports { module, paths: Vec::new() };
    visitor.visit_file(&file.syntax);
    visitor.paths
}

struct Imports<'a> {
    module: &'a [String],
    paths: Vec<Module>,
}

impl Imports<'_> {
    /// Adds a path if it is in this crate.
    fn add(&mut self, segments: &[String]) {
        let mut base = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.to_vec(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            _ => return,
        };
        let mut rest = &segments[1..];
        while let Some((first, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
            debug_assert_eq!(first, "super");
            base.pop();
            rest = after;
        }
        base.extend(rest.iter().cloned());
        self.paths.push(base);
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => {
                self.add_tree(&with(path.ident.to_string()), &path.tree);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(before, tree));
            }
            syn::UseTree::Name(name) => self.add(&with(name.ident.to_string())),
            syn::UseTree::Rename(name) => self.add(&with(name.ident.to_string())),
            _ => self.add(before),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_test_only(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let for_documents = item.attrs.iter().any(|a| a.path().is_ident("cfg"));
        if !for_documents {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(&path.segments.iter().map(|s| s.ident.to_string()).collect::<Vec<_>>());
        syn::visit::visit_path(self, path);
    }
}
