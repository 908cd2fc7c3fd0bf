//! Measures of the rules of the style.

use crate::sources::{RustFile, files, read};

/// Longest line of code or prose, in characters.
const MAX_COLUMNS: usize = 100;
/// Longest file, in lines.
const MAX_FILE_LINES: usize = 600;
/// Longest function, in lines.
const MAX_FUNCTION_LINES: usize = 70;
/// Nine functions of ten have at most this many lines.
const MAX_P90_FUNCTION_LINES: usize = 30;
/// Most parameters of a function, the receiver not counted.
const MAX_PARAMETERS: usize = 5;
/// Comment lines with a marker turn, per thousand.
const MAX_MARKERS_PER_THOUSAND: usize = 2;
/// Doc comments of three words or fewer, in per cent.
const MAX_SHORT_DOCS_PERCENT: usize = 3;
/// The folder of the hot loops. Their functions may have more parameters, to pass values in
/// registers.
const KERNELS: &str = "worker/nn/src/kernels/";
/// Turns that read like a word-by-word translation. Each has a plain replacement.
const MARKERS: [&str; 24] = [
    "so many",
    "of which",
    "of whom",
    "said of",
    "beside",
    "anew",
    "whoever",
    "whomever",
    "meanwhile",
    "mend",
    "mends",
    "mended",
    "for ever",
    "stands there",
    "takes along",
    "brings",
    "brought",
    "is none",
    "alone",
    "is no one",
    "are none",
    "comes to nothing",
    "dear",
    "what becomes of",
];

/// One measure: what was counted, and the places that pass its limit.
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) summary: String,
    pub(crate) places: Vec<String>,
}

/// Lengths and parameters of the functions outside tests.
pub(crate) fn functions(sources: &[RustFile]) -> Measure {
    let (mut places, mut lengths) = (Vec::new(), Vec::new());
    for file in sources.iter().filter(|file| !file.is_test()) {
        for function in file.functions() {
            lengths.push(function.lines);
            let place = format!("{}:{} {}", file.path, function.line, function.name);
            if function.lines > MAX_FUNCTION_LINES {
                places.push(format!("{place}: {} lines", function.lines));
            }
            if function.parameters > MAX_PARAMETERS && !file.path.starts_with(KERNELS) {
                places.push(format!("{place}: {} parameters", function.parameters));
            }
        }
    }
    lengths.sort_unstable();
    let at = |share: usize| lengths.get(lengths.len() * share / 100).copied().unwrap_or(0);
    if at(90) > MAX_P90_FUNCTION_LINES {
        places.push(format!("the 90th percentile of their lengths is {} lines", at(90)));
    }
    let longest = lengths.last().copied().unwrap_or(0);
    let summary = format!(
        "{} functions: median {}, p90 {}, longest {longest} lines",
        lengths.len(),
        at(50),
        at(90)
    );
    Measure { name: "functions", summary, places }
}

/// Lengths of Rust files and of their lines.
pub(crate) fn layout(sources: &[RustFile]) -> Measure {
    let mut places = Vec::new();
    for file in sources {
        let lines = file.text.lines().count();
        if lines > MAX_FILE_LINES {
            places.push(format!("{}: {lines} lines", file.path));
        }
        for (i, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS {
                places.push(format!("{}:{}: {columns} columns", file.path, i + 1));
            }
        }
    }
    let longest = sources.iter().map(|file| file.text.lines().count()).max().unwrap_or(0);
    let summary = format!("{} Rust files, the longest of {longest} lines", sources.len());
    Measure { name: "layout", summary, places }
}

/// Lines of Markdown prose: tables, links on their own line, headings of figures and code may be
/// longer.
pub(crate) fn prose() -> Measure {
    let mut places = Vec::new();
    let documents = files("md");
    for path in &documents {
        let mut is_code = false;
        for (i, line) in read(path).lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let start = line.trim_start();
            let may_be_long = is_code
                || line.contains("://")
                || ["|", "[", "<!--", "!["].iter().any(|mark| start.starts_with(mark));
            if !may_be_long && line.chars().count() > MAX_COLUMNS {
                places.push(format!("{path}:{}", i + 1));
            }
        }
    }
    Measure { name: "prose", summary: format!("{} Markdown files", documents.len()), places }
}

/// Comments: turns to avoid, and doc comments that are too short to say anything.
pub(crate) fn comments(sources: &[RustFile]) -> Measure {
    let (mut comments, mut documented) = (0_usize, 0_usize);
    let (mut marked, mut short) = (Vec::new(), Vec::new());
    for file in sources {
        let lines: Vec<&str> = file.text.lines().map(str::trim_start).collect();
        let is_doc =
            |i: usize| lines.get(i).is_some_and(|l| l.starts_with("///") || l.starts_with("//!"));
        for (i, line) in lines.iter().enumerate() {
            let Some(text) = comment(line) else { continue };
            comments += 1;
            let place = format!("{}:{} {text}", file.path, i + 1);
            if MARKERS.iter().any(|marker| has_phrase(text, marker)) {
                marked.push(place.clone());
            }
            let is_first = is_doc(i) && (i == 0 || !is_doc(i - 1));
            documented += usize::from(is_first);
            if is_first && !is_doc(i + 1) && text.split_whitespace().count() <= 3 {
                short.push(place);
            }
        }
    }
    let summary = format!(
        "{comments} comment lines, {} with turns to avoid; {documented} doc comments, {} of at \
         most three words",
        marked.len(),
        short.len()
    );
    let mut places = Vec::new();
    if marked.len() * 1000 > MAX_MARKERS_PER_THOUSAND * comments {
        places.append(&mut marked);
    }
    if short.len() * 100 > MAX_SHORT_DOCS_PERCENT * documented {
        places.append(&mut short);
    }
    Measure { name: "comments", summary, places }
}

/// Scripts and settings: turns to avoid in comments and docstrings, and long lines. Only lines of
/// code in TOML files may be longer, because an inline table is one line.
pub(crate) fn scripts() -> Measure {
    let (mut places, mut comments) = (Vec::new(), 0_usize);
    let mut paths = vec![".cargo/config.toml".to_owned(), ".ci/run".to_owned()];
    paths.extend(["py", "sh", "toml", "yml"].into_iter().flat_map(files));
    for path in &paths {
        let mut is_docstring = false;
        for (i, line) in read(path).lines().enumerate() {
            let quotes = line.matches("\"\"\"").count();
            let is_comment = is_docstring || quotes > 0 || line.contains('#');
            is_docstring ^= quotes % 2 == 1;
            comments += usize::from(is_comment);
            let may_be_long = line.contains("://") || (path.ends_with(".toml") && !is_comment);
            let is_marked = is_comment && MARKERS.iter().any(|marker| has_phrase(line, marker));
            if is_marked || (!may_be_long && line.chars().count() > MAX_COLUMNS) {
                places.push(format!("{path}:{} {}", i + 1, line.trim_start()));
            }
        }
    }
    let summary = format!("{} files, {comments} comment lines", paths.len());
    Measure { name: "scripts", summary, places }
}

/// The text of the comment on a line, if it has one.
fn comment(line: &str) -> Option<&str> {
    let (_, text) = line.split_once("//").filter(|_| !line.contains("://"))?;
    Some(text.trim_start_matches(['/', '!']).trim())
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    let text = text.to_lowercase();
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + phrase.len()..]);
        !is_word(before.chars().next_back()) && !is_word(after.chars().next())
    })
}

/// Public crates whose landing page has no example that runs as a test.
pub(crate) fn doctests(sources: &[RustFile]) -> Measure {
    let is_landing_page =
        |file: &&RustFile| file.path.ends_with("/src/lib.rs") && !file.path.starts_with("tests/");
    let pages: Vec<&RustFile> = sources.iter().filter(is_landing_page).collect();
    let has_example = |file: &RustFile| {
        let fences = file.text.lines().filter_map(|line| line.strip_prefix("//! ```"));
        fences.clone().any(|info| matches!(info, "rust" | "no_run"))
            || fences.step_by(2).any(str::is_empty)
    };
    let missing = pages.iter().filter(|page| !has_example(page));
    let places = missing.map(|page| page.path.clone()).collect();
    Measure { name: "landing pages", summary: format!("{} public crates", pages.len()), places }
}
