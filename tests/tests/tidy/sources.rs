//! The repository's files, and the Rust files among them as syntax trees.

use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root exists")
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The paths, from the root, of all files with this extension, sorted. Leaves out what is built and
/// what is hidden, `.ci` and `.github` excepted.
pub(crate) fn files(extension: &str) -> Vec<String> {
    let root = root();
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be listed") {
            let path = entry.expect("the folder can be listed").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            let is_hidden = name.starts_with('.') && name != ".ci" && name != ".github";
            if is_hidden || matches!(name.as_str(), "target" | "node_modules" | "__pycache__") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let relative = path.strip_prefix(&root).expect("it lies below the root");
                found.push(relative.to_str().expect("paths are UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// From the signature to the closing brace.
    pub(crate) lines: usize,
    /// Parameters, the receiver not counted.
    pub(crate) parameters: usize,
}

/// A Rust file.
pub(crate) struct RustFile {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
}

impl RustFile {
    /// All Rust files of the repository.
    pub(crate) fn all() -> Vec<Self> {
        let parse = |path: String| {
            let text = read(&path);
            let syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
            Self { path, text, syntax }
        };
        files("rs").into_iter().map(parse).collect()
    }

    /// Whether the file holds tests, benchmarks or examples and nothing that users run.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next_back() == Some("tests.rs")
            || parts.any(|part| matches!(part, "tests" | "benches" | "examples"))
    }

    /// The functions outside `#[cfg(test)]`.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut visitor = Functions::default();
        visitor.visit_file(&self.syntax);
        visitor.found
    }
}

/// Whether these attributes leave the item out of a normal build.
pub(crate) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

#[derive(Default)]
struct Functions {
    found: Vec<Function>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        let receivers = usize::from(signature.receiver().is_some());
        self.found.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: last + 1 - line,
            parameters: signature.inputs.len() - receivers,
        });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test_only(&item.attrs) {
            self.add(&item.sig, &item.block);
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}
