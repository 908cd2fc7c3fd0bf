//! Finds links of the documents whose target does not exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::sources::{files, read, root};

/// Every relative link whose file or heading is missing: `document: link`.
pub(crate) fn broken_links() -> Vec<String> {
    let mut broken = Vec::new();
    for document in files("md") {
        for link in links(&read(&document)) {
            if !leads_somewhere(&document, &link) {
                broken.push(format!("{document}: {link}"));
            }
        }
    }
    broken
}

fn leads_somewhere(document: &str, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let target = if file.is_empty() { PathBuf::from(document) } else { folder.join(file) };
    let target = normalised(&target);
    if !root().join(&target).exists() {
        return false;
    }
    let is_page = target.extension().is_some_and(|e| e == "md");
    heading.is_empty() || !is_page || headings(&read(&target.to_string_lossy())).contains(heading)
}

/// The path without `.` and `..`.
fn normalised(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut sum, part| {
        match part {
            Component::ParentDir => drop(sum.pop()),
            Component::CurDir => {}
            part => sum.push(part),
        }
        sum
    })
}

/// The targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let (mut found, mut is_code) = (Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Every second piece between backquotes is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for piece in prose.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push(target.trim_matches(['<', '>']).to_owned());
        }
    }
    found
}

/// The anchors of a page's headings, as Markdown renderers make them.
fn headings(text: &str) -> BTreeSet<String> {
    let (mut found, mut is_code) = (BTreeSet::new(), false);
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    found
}

#[test]
fn links_and_headings_are_found() {
    let text = "# A `title`, with b\n[x](y.md#z \"t\") `[no](code)`\n```\n[no](block)\n```\n";
    assert_eq!(links(text), ["y.md#z"]);
    assert_eq!(headings(text).into_iter().collect::<Vec<_>>(), ["a-title-with-b"]);
}
