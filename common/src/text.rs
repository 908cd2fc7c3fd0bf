//! Text in errors: quoting and shortening of values, lists of alternatives, and the known name
//! nearest to a misspelt one.

/// Longest text that [`quoted`] shows in full, in characters.
const MAX_QUOTED_CHARS: usize = 200;

/// The text in quotes, with control characters escaped, as an error shows a value. A text of more
/// than 200 characters is cut and followed by its length: `"aaa..." (4097 characters)`.
pub fn quoted(text: &str) -> String {
    let start = shortened(text, MAX_QUOTED_CHARS);
    if start == text {
        format!("{text:?}")
    } else {
        format!("{start:?} ({} characters)", text.chars().count())
    }
}

/// The text itself if it has at most `max_chars` characters; otherwise its first `max_chars`
/// characters and `...`.
pub fn shortened(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The values a text field may have, as an error lists them: `one of "virtual", "as_completed"`.
pub fn one_of<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| format!("{value:?}")).collect();
    format!("one of {}", values.join(", "))
}

/// The known name with the smallest edit distance to `name`, or `None` if every known name differs
/// in more than a quarter of the characters of `name` and one more, or if `name` is longer than any
/// name.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of equally near names, prefer one with the same first letter: "unit" means units, not init.
    let starts_alike = |k: &str| k.chars().next() == name.chars().next();
    let best = known.into_iter().map(|k| (edit_distance(name, k), !starts_alike(k), k)).min()?;
    let length = name.chars().count();
    (length <= COMPARED_CHARS && best.0 <= 1 + length / 4).then_some(best.2)
}

/// The known name that `name` most likely means: one that differs only in the case of its letters,
/// or else the [`nearest`].
pub fn likely<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let same = known.clone().into_iter().find(|known| known.to_lowercase() == folded);
    same.or_else(|| nearest(name, known))
}

/// Longest prefix of each text that [`edit_distance`] compares, in characters. Names are shorter.
const COMPARED_CHARS: usize = 64;

/// Levenshtein's distance between two names: the number of characters to insert, remove or replace
/// to get from one to the other.
///
/// Compares only the first 64 characters of each, so that the cost is bounded for any input.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let a = a.chars().take(COMPARED_CHARS);
    let b: Vec<char> = b.chars().take(COMPARED_CHARS).collect();
    // One row of the table of distances, reused for each character of `a`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != *y));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_nearest_known_one() {
        assert_eq!(nearest(&"x".repeat(300), ["activation"]), None);
        let known = || ["learning_rate", "batch_size", "units", "init"].into_iter();
        assert_eq!(nearest("learning_rat", known()), Some("learning_rate"));
        assert_eq!(nearest("batchsize", known()), Some("batch_size"));
        assert_eq!(nearest("unit", known()), Some("units"));
        assert_eq!(nearest("zzz", known()), None);
    }

    #[test]
    fn edit_distance_counts_insertions_removals_and_replacements() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
    }

    #[test]
    fn a_long_text_is_cut_and_its_length_is_stated() {
        assert_eq!(quoted("a\n"), "\"a\\n\"");
        assert_eq!(quoted(&"x".repeat(200)), format!("\"{}\"", "x".repeat(200)));
        assert_eq!(
            quoted(&"é".repeat(201)),
            format!("\"{}...\" (201 characters)", "é".repeat(200))
        );
        assert_eq!(shortened("abcd", 3), "abc...");
    }
}
