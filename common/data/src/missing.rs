//! Which texts stand for a missing value.

use std::collections::BTreeSet;

/// Texts that always stand for a missing value.
pub(crate) const MISSING: [&str; 11] =
    ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "?"];
/// Texts that stand for a missing value among numbers, booleans and dates. Among other texts they
/// are a text like the others, as `None` is for the kind of a fence.
pub(crate) const MISSING_AMONG_NUMBERS: [&str; 6] = ["None", "none", ".", "-", "--", "N.A."];

/// Whether a cell has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Present,
    Missing,
    /// Missing if the column has numbers, booleans or dates.
    MissingAmongNumbers,
}

/// The texts that stand for a missing value in one file.
pub(crate) struct MissingTexts {
    own: BTreeSet<Vec<u8>>,
}

impl MissingTexts {
    /// The usual texts, and `own`.
    pub(crate) fn new(own: &[String]) -> Self {
        Self { own: own.iter().map(|text| text.trim().as_bytes().to_vec()).collect() }
    }

    /// Whether a text is missing that could also be read as a value.
    pub(crate) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    pub(crate) fn presence(&self, cell: &[u8]) -> Presence {
        let is_one_of = |texts: &[&str]| texts.iter().any(|text| text.as_bytes() == cell);
        if !self.own.is_empty() && self.own.contains(cell) {
            return Presence::Missing;
        }
        // Nearly all cells are longer than these texts or begin with a digit.
        if cell.len() > 4 || cell.first().is_some_and(u8::is_ascii_digit) {
            return Presence::Present;
        }
        if is_one_of(&MISSING) {
            Presence::Missing
        } else if is_one_of(&MISSING_AMONG_NUMBERS) {
            Presence::MissingAmongNumbers
        } else {
            Presence::Present
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_usual_texts_and_the_own_ones_are_known() {
        let texts = MissingTexts::new(&["-9".to_owned(), "not asked".to_owned()]);
        for text in MISSING.into_iter().chain(["-9", "not asked"]) {
            assert_eq!(texts.presence(text.as_bytes()), Presence::Missing, "{text}");
        }
        for text in MISSING_AMONG_NUMBERS {
            assert_eq!(texts.presence(text.as_bytes()), Presence::MissingAmongNumbers, "{text}");
        }
        for text in ["0", "-1", "Nancy", "nil", "unknown"] {
            assert_eq!(texts.presence(text.as_bytes()), Presence::Present, "{text}");
        }
    }
}
