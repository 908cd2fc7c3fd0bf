//! What the documents state about the code, compared with Cargo, the code and the programs.
//!
//! With `CAVIAR_UPDATE_DOCS=1` the generated part of `docs/command-line.md` is written instead.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use caviar_common::spec::Strategy;
use caviar_tests::processes::program;

use crate::sources::{RustFile, files, read, root};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const COMMAND_LINE: &str = "docs/command-line.md";

/// The text between `<!-- mark: begin -->` and `<!-- mark: end -->`.
fn marked<'a>(document: &'a str, mark: &str) -> &'a str {
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let (_, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("no mark {begin}"));
    rest.split_once(&end).unwrap_or_else(|| panic!("no mark {end}")).0
}

/// The first name in backquotes of every list item between two marks.
fn listed(document: &str, mark: &str) -> BTreeSet<String> {
    let items = marked(document, mark).lines().filter(|line| line.starts_with("- "));
    items.filter_map(|line| line.split('`').nth(1)).map(str::to_owned).collect()
}

/// Names in backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// By crate: its folder, and the crates of the workspace that it depends on.
type Crates = BTreeMap<String, (String, BTreeSet<String>)>;

fn crates_of_cargo() -> Crates {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = metadata.current_dir(root()).output().expect("cargo runs");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("it is text").to_owned();
    let mut crates = Crates::new();
    for package in value["packages"].as_array().expect("there are packages") {
        let dependencies = package["dependencies"].as_array().expect("they are listed").iter();
        let inner = dependencies.filter(|d| d["kind"].is_null() && d["path"].is_string());
        let manifest = text(&package["manifest_path"]);
        let folder = manifest.trim_end_matches("/Cargo.toml").to_owned();
        let folder = folder.replace(&format!("{}/", root().display()), "");
        let names = inner.map(|dependency| text(&dependency["name"])).collect();
        crates.insert(text(&package["name"]), (folder, names));
    }
    crates
}

fn crates_of_document(document: &str) -> Crates {
    let rows = document.lines().filter(|line| line.starts_with("| `caviar"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let name = |cell: &str| cell.trim_matches('`').to_owned();
    cells.map(|c| (name(c[1]), (name(c[2]), quoted(c[3])))).collect()
}

#[test]
fn the_crates_and_their_arrows_are_those_of_cargo() {
    let (document, cargo) = (crates_of_document(&read(ARCHITECTURE)), crates_of_cargo());
    for (name, found) in &cargo {
        assert_eq!(document.get(name), Some(found), "{ARCHITECTURE}: the row of {name}");
    }
    assert_eq!(document.len(), cargo.len(), "{ARCHITECTURE} lists crates that do not exist");
}

#[test]
fn the_strategies_are_those_of_the_code() {
    let code: BTreeSet<String> = Strategy::ALL.map(|s| s.name().to_owned()).into();
    assert_eq!(listed(&read(ARCHITECTURE), "strategies"), code, "{ARCHITECTURE}");
    let file = read("docs/sweep-file.md");
    for name in code {
        assert!(file.contains(&format!("`{name}`")), "docs/sweep-file.md lacks {name}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let code = limits();
    let document = read(ARCHITECTURE);
    let mut stated = BTreeMap::new();
    for line in marked(&document, "limits").lines().filter(|line| line.starts_with("- ")) {
        let (name, rest) = line[2..].split_once(" = ").expect("a limit has a value");
        let value = rest.split(':').next().unwrap_or_default().replace(',', "");
        stated.insert(name.trim_matches('`').to_owned(), value.parse().expect("it is a number"));
    }
    assert_eq!(stated, code, "{ARCHITECTURE}");
}

/// The constants of `common/src/limits.rs`.
fn limits() -> BTreeMap<String, u64> {
    let files = RustFile::all();
    let file = files.iter().find(|f| f.path == "common/src/limits.rs").expect("it is there");
    let constants = file.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Const(item) => Some((item.ident.to_string(), number(&item.expr))),
        _ => None,
    });
    constants.collect()
}

/// The value of a constant expression of whole numbers.
fn number(expression: &syn::Expr) -> u64 {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => {
            number.base10_parse().expect("it fits")
        }
        syn::Expr::Binary(binary) => {
            let (left, right) = (number(&binary.left), number(&binary.right));
            match binary.op {
                syn::BinOp::Mul(_) => left * right,
                syn::BinOp::Shl(_) => left << right,
                _ => panic!("limits are products and powers of two"),
            }
        }
        _ => panic!("limits are whole numbers"),
    }
}

/// The help of `caviar` or of one of its commands, 90 columns wide.
fn help(command: &[&str]) -> String {
    let mut caviar = program("caviar");
    caviar.args(command).arg("--help").env("COLUMNS", "90").env_remove("CAVIAR_STORE");
    let output = caviar.output().expect("the program runs");
    assert!(output.status.success(), "caviar {command:?} --help fails");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The commands that the help of `caviar`, or of one of its commands, lists, `help` left out.
fn commands(of: &[&str]) -> Vec<String> {
    let help = help(of);
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names.filter(|name| name != "help").collect()
}

#[test]
fn the_commands_are_those_of_the_program() {
    let program: BTreeSet<String> = commands(&[]).into_iter().collect();
    assert_eq!(listed(&read(ARCHITECTURE), "commands"), program, "{ARCHITECTURE}");
}

#[test]
fn the_page_of_the_command_line_is_the_help_of_the_program() {
    let mut expected = format!("\n## caviar\n\n```text\n{}```\n", help(&[]));
    for command in commands(&[]) {
        let text = help(&[&command]);
        expected += &format!("\n## caviar {command}\n\n```text\n{}```\n", trimmed(&text));
        for inner in commands(&[&command]) {
            let text = trimmed(&help(&[&command, &inner]));
            expected += &format!("\n## caviar {command} {inner}\n\n```text\n{text}```\n");
        }
    }
    expected += "\n";
    let document = read(COMMAND_LINE);
    let found = marked(&document, "command-line");
    if std::env::var_os("CAVIAR_UPDATE_DOCS").is_some() {
        let text = document.replacen(found, &expected, 1);
        let text = if found.is_empty() {
            let begin = "<!-- command-line: begin -->\n";
            document.replacen(begin, &format!("{begin}{expected}"), 1)
        } else {
            text
        };
        std::fs::write(root().join(COMMAND_LINE), text).expect("the page can be written");
        return;
    }
    let update = "run CAVIAR_UPDATE_DOCS=1 cargo test -p caviar-tests --test tidy";
    assert!(found == expected, "{COMMAND_LINE} is out of date: {update}");
}

/// The text without spaces at the ends of its lines.
fn trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Words whose types have one meaning, and the only file that may define a type of that name. A
/// name without a file had several meanings once, and is not to return.
const RESERVED: [(&str, Option<&str>); 12] = [
    ("Job", Some("common/src/outcome.rs")),
    ("Task", Some("common/src/data.rs")),
    ("ErrorClass", Some("common/src/error.rs")),
    ("DefaultValue", Some("common/src/hyper.rs")),
    ("Loss", None),
    ("Losses", None),
    ("Work", None),
    ("Answer", None),
    ("Standing", None),
    ("Free", None),
    ("Next", None),
    ("Default", None),
];

#[test]
fn names_have_one_meaning() {
    let mut wrong = Vec::new();
    for file in RustFile::all() {
        for item in &file.syntax.items {
            let name = match item {
                syn::Item::Struct(item) => item.ident.to_string(),
                syn::Item::Enum(item) => item.ident.to_string(),
                syn::Item::Type(item) => item.ident.to_string(),
                syn::Item::Trait(item) => item.ident.to_string(),
                _ => continue,
            };
            let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == name);
            if reserved.is_some_and(|(_, home)| home.is_none_or(|home| home != file.path)) {
                wrong.push(format!("{}: {name}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "these names mean something else already:\n{}", wrong.join("\n"));
}

#[test]
fn the_glossary_is_sorted_and_its_terms_are_in_use() {
    let document = read(ARCHITECTURE);
    let (_, rest) = document.split_once("<!-- ANCHOR: glossary -->").expect("it is there");
    let (table, _) = rest.split_once("<!-- ANCHOR_END: glossary -->").expect("it ends");
    let rows = table.lines().skip(3).filter_map(|line| line.split('|').nth(1)).map(str::trim);
    let terms: Vec<&str> = rows.filter(|term| !term.is_empty()).collect();
    assert!(terms.is_sorted(), "{ARCHITECTURE}: the glossary is not in alphabetical order");
    let code = RustFile::all().into_iter().map(|file| file.text.to_lowercase());
    let book = files("md").into_iter().filter(|path| path.starts_with("docs/"));
    let text: String = code.chain(book.map(|path| read(&path).to_lowercase())).collect();
    for term in terms {
        let name = term.replace([' ', '-'], "_");
        assert!(text.contains(term) || text.contains(&name), "nothing speaks of {term:?}");
    }
}
