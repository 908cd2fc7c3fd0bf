//! `docs/sweep-file.md` agrees with the program: its table of mistakes has the messages of
//! `caviar`, its table of hyperparameters is the one that files are checked against, and its table
//! of presets has what they choose. With `CAVIAR_UPDATE_DOCS=1` the test writes the tables instead.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests say at once what failed")]

use std::path::{Path, PathBuf};

use caviar_common::data::DataSummary;
use caviar_common::hyper::TABLE;
use caviar_common::scale::Scale;
use caviar_common::space::Domain;
use caviar_common::spec::file::parse;
use caviar_common::spec::{Preset, SweepSpec};
use caviar_tests::processes::caviar;

const GOOD: &str = r#"name = "mine"
seed = 7
[data]
source = "mine.csv"
label = "kind"
[fixed]
epochs = 30
optimizer = "momentum"
[space]
learning_rate = { scale = "log", low = 1e-4, high = 1.0 }
momentum = { scale = "one_minus_log", low = 0.9, high = 0.999 }
units = { type = "int", low = 32, high = 128 }
activation = { choices = ["relu", "tanh"] }
[search]
strategy = "rounds"
trials = 60
rounds = [30, 20, 10]
parallelism = 4
"#;

/// The mistake, the text of the good file, and the text that replaces it. A change of `mine.csv`
/// begins with `csv:`.
const MISTAKES: [(&str, &str, &str); 34] = [
    ("a key that does not exist", "seed = 7", "sede = 7"),
    ("a section that does not exist", "[fixed]", "[fix]"),
    ("a hyperparameter that does not exist", "units = {", "unit = {"),
    ("a value of the wrong type", "trials = 60", "trials = \"60\""),
    ("no TOML", "seed = 7", "seed 7"),
    ("an empty range", "low = 32, high = 128", "low = 64, high = 64"),
    ("low above high", "low = 32, high = 128", "low = 128, high = 32"),
    ("a log scale that touches 0", "low = 1e-4, high = 1.0", "low = 0, high = 1.0"),
    ("a one_minus_log scale that touches 1", "high = 0.999", "high = 1.0"),
    ("a value out of range", "epochs = 30", "epochs = 0"),
    ("no choices", "choices = [\"relu\", \"tanh\"]", "choices = []"),
    ("an unknown choice", "choices = [\"relu\", \"tanh\"]", "choices = [\"relu\", \"swish\"]"),
    (
        "a `when` on an absent parameter",
        "high = 0.999 }",
        "high = 0.999, when = { schedule = [\"cosine\"] } }",
    ),
    (
        "a `when` on a range",
        "[\"relu\", \"tanh\"] }",
        "[\"relu\", \"tanh\"], when = { learning_rate = [0.1] } }",
    ),
    (
        "a `when` that never holds",
        "[\"relu\", \"tanh\"] }",
        "[\"relu\", \"tanh\"], when = { units = [256] } }",
    ),
    ("fixed and searched at once", "epochs = 30", "epochs = 30\nunits = 64"),
    ("a hyperparameter without effect", "optimizer = \"momentum\"", "optimizer = \"adam\""),
    ("rounds that do not add up", "rounds = [30, 20, 10]", "rounds = [30, 20]"),
    ("rounds with a strategy that has none", "strategy = \"rounds\"\n", ""),
    ("an unknown strategy", "strategy = \"rounds\"\n", "strategy = \"bayes\"\n"),
    ("an unknown order", "parallelism = 4", "order = \"fast\""),
    (
        "a warm start of a strategy that does not learn",
        "parallelism = 4",
        "warm_start = \"earlier\"",
    ),
    ("an unknown stopping rule", "parallelism = 4", "[stopping]\nrule = \"half\""),
    (
        "more grid points than trials",
        "strategy = \"rounds\"\ntrials = 60\nrounds = [30, 20, 10]",
        "strategy = \"grid\"\ntrials = 1",
    ),
    (
        "a network too large to train",
        "low = 32, high = 128",
        "low = 32, high = 8192 }\nlayers = { low = 1, high = 9",
    ),
    ("no name", "name = \"mine\"\n", ""),
    ("a data file that is not there", "mine.csv", "yours.csv"),
    ("a label column that is not there", "label = \"kind\"", "label = \"species\""),
    ("a column that is not there", "label = \"kind\"", "label = \"kind\"\nignore = [\"widht\"]"),
    ("a file without a header", "csv:width,height,kind\n0.5,1.5,a", "csv:0.5,1.5,a"),
    ("an infinity in the data", "csv:0.5,1.5,a", "csv:-inf,1.5,a"),
    ("text in the data", "csv:0.5,1.5,a", "csv:red,1.5,a"),
    ("a quote left open in the data", "csv:0.5,1.5,a", "csv:0.5,1.5,\"a"),
    ("two columns of one name in the data", "csv:width,height", "csv:width,width"),
];

fn good_csv() -> String {
    let row =
        |i: usize| format!("{}.5,{}.5,{}\n", i, i + 1, if i.is_multiple_of(2) { "a" } else { "b" });
    format!("width,height,kind\n{}", (0..40).map(row).collect::<String>())
}

/// The message of `caviar run` for a file with this mistake, without the path of its folder.
fn complaint(from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut file, mut csv) = (GOOD.to_owned(), good_csv());
    match (from.strip_prefix("csv:"), to.strip_prefix("csv:")) {
        (Some(from), Some(to)) => csv = replaced(&csv, from, to),
        _ => file = replaced(&file, from, to),
    }
    let sweep = folder.path().join("mine.toml");
    std::fs::write(&sweep, file).expect("the folder can be written");
    std::fs::write(folder.path().join("mine.csv"), csv).expect("the folder can be written");
    let store = folder.path().join("mine.db");
    let output = caviar(&["run", &sweep.to_string_lossy(), "--store", &store.to_string_lossy()]);
    assert!(!output.status.success(), "{to:?} was accepted");
    assert!(!store.exists(), "{to:?} was refused only after the run had begun");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.replace(&format!("{}/", folder.path().to_string_lossy()), "").trim().to_owned()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in the file");
    text.replacen(from, to, 1)
}

fn cell(text: &str) -> String {
    let shown = text.strip_prefix("csv:").unwrap_or(text).trim().replace('|', "\\|");
    let code =
        |line: &str| if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") };
    if shown.is_empty() {
        "(left out)".to_owned()
    } else {
        shown.lines().map(code).collect::<Vec<_>>().join(" ")
    }
}

fn mistakes() -> String {
    let mut table =
        String::from("| what is wrong | as written | what Caviar says |\n|---|---|---|\n");
    for (what, from, to) in MISTAKES {
        let said = complaint(from, to);
        assert_eq!(said.lines().count(), 1, "one mistake is one line:\n{said}");
        assert!(said.starts_with("mine.toml:"), "{said}");
        table += &format!("| {what} | {} | {} |\n", cell(to), cell(&said));
    }
    table
}

fn hyperparameters() -> String {
    let mut table = String::from(
        "| name | values | default | scale when searched | has an effect with |\n\
         |---|---|---|---|---|\n",
    );
    for row in &TABLE {
        let name = if row.name == "units_1" {
            "`units_1`, `units_2`, ...".to_owned()
        } else {
            format!("`{}`", row.name)
        };
        let needs = row
            .needs
            .map_or(String::new(), |(other, values)| format!("{other} {}", values.join(", ")));
        let scale = if row.legal_text().starts_with("one of") { "" } else { scale(row.scale) };
        table += &format!(
            "| {name} | {} | {} | {scale} | {needs} |\n",
            row.legal_text(),
            row.default_text()
        );
    }
    table
}

/// What a preset chooses for tables of these numbers of training rows: a line for each
/// hyperparameter.
fn choices(preset: Preset, sizes: &[u64]) -> String {
    let resolved: Vec<SweepSpec> = sizes
        .iter()
        .map(|&train| {
            let top = format!("preset = \"{}\"\n", preset.name());
            let text = top + &GOOD.replace("[fixed]\nepochs = 30\noptimizer = \"momentum\"\n", "");
            let (before, rest) = text.split_once("[space]").expect("the file has a space");
            let (_, search) = rest.split_once("[search]").expect("the file has a search");
            let text = format!("{before}[search]{search}");
            let mut spec = parse(&text).expect("a good file").spec;
            let data =
                DataSummary { train, features: 10, numbers: 10, outputs: 3, ..Default::default() };
            spec.resolve(&data);
            spec
        })
        .collect();
    let fixed = resolved[0].fixed.iter().map(|(name, _)| name.to_owned());
    let searched = resolved[0].space.parameters().iter().map(|it| it.name.clone());
    let mut lines = String::new();
    for name in fixed.chain(searched) {
        let cells: Vec<String> = resolved.iter().map(|spec| choice(spec, &name)).collect();
        lines += &format!("| `{name}` | {} |\n", cells.join(" | "));
    }
    lines
}

/// A fixed value, or what is searched.
fn choice(spec: &SweepSpec, name: &str) -> String {
    if let Some(value) = spec.fixed.get(name) {
        return value.to_string().replace('"', "");
    }
    match &spec.space.get(name).expect("what is not fixed is searched").domain {
        Domain::Float { low, high, .. } => format!("{low} to {high}"),
        Domain::Int { low, high, .. } => format!("{low} to {high}"),
        Domain::Choice { values } => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            values.join(" or ").replace('"', "")
        }
    }
}

fn scale(scale: Scale) -> &'static str {
    scale.name()
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sweep-file.md")
}

/// Checks that the text between two marks of the document is `expected`. With
/// `CAVIAR_UPDATE_DOCS`, writes it instead.
fn check(mark: &str, expected: &str) {
    let text = std::fs::read_to_string(document()).expect("the document is there");
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let (before, rest) = text.split_once(&begin).expect("the document has the mark");
    let (found, after) = rest.split_once(&end).expect("the document has the mark");
    if std::env::var_os("CAVIAR_UPDATE_DOCS").is_some() {
        std::fs::write(document(), format!("{before}{begin}{expected}{end}{after}"))
            .expect("the document can be written");
    } else {
        assert_eq!(
            found, expected,
            "docs/sweep-file.md is out of date: run this test with CAVIAR_UPDATE_DOCS=1"
        );
    }
}

#[test]
fn the_tables_of_the_documentation_are_true() {
    check("hyperparameters", &hyperparameters());
    check("mistakes", &mistakes());
    let tabular = choices(Preset::Tabular, &[999, 19_999, 199_999, 200_000]);
    let heading = "| training rows | below 1,000 | below 20,000 | below 200,000 | more |\n\
                   |---|---|---|---|---|\n";
    check("tabular", &format!("{heading}{tabular}"));
    let basic = choices(Preset::Basic, &[1_999, 19_999, 20_000]);
    let heading = "| training rows | below 2,000 | below 20,000 | more |\n|---|---|---|---|\n";
    check("basic", &format!("{heading}{basic}"));
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sweep = folder.path().join("mine.toml");
    let file = GOOD
        .replace("epochs = 30", "epochs = 0")
        .replace("low = 32", "low = 0")
        .replace("\"kind\"", "\"species\"");
    std::fs::write(&sweep, file).expect("the folder can be written");
    std::fs::write(folder.path().join("mine.csv"), good_csv()).expect("the folder can be written");
    let output = caviar(&["run", &sweep.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().filter(|l| l.contains("mine.toml:")).count(), 3, "{said}");
}
