//! Spelling: the nearest known name to one that does not exist.

/// The known name nearest to a misspelt one, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of equals the one that begins alike: "unit" means units, not init.
    let begins_alike = |k: &str| k.chars().next() == name.chars().next();
    let best = known.into_iter().map(|k| (edit_distance(name, k), !begins_alike(k), k)).min()?;
    (best.0 <= 1 + name.len() / 4).then_some(best.2)
}

/// Longest prefix of each text that [`edit_distance`] compares, in characters: names are shorter.
const COMPARED_CHARS: usize = 64;

/// Levenshtein's distance between two names: the characters to insert, remove or replace to get
/// from one to the other. Compares the first 64 characters of each.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let a = a.chars().take(COMPARED_CHARS);
    let b: Vec<char> = b.chars().take(COMPARED_CHARS).collect();
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
    use crate::hyper::TABLE;

    #[test]
    fn misspelt_names_find_their_neighbour() {
        let known = || TABLE.iter().map(|h| h.name);
        assert_eq!(nearest("learning_rat", known()), Some("learning_rate"));
        assert_eq!(nearest("batchsize", known()), Some("batch_size"));
        assert_eq!(nearest("unit", known()), Some("units"));
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(nearest("zzz", known()), None);
    }
}
