//! What can mislead in the columns of a table, found before any split.
//!
//! A column that only numbers the rows is left out, because in a file that is sorted by class it
//! predicts the class without being known of new rows. The same holds for identifiers. Everything
//! else stays, with a warning: a person must decide whether it may be an input.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::data::{ColumnType, DataNote, DataSpec};
use caviar_common::numbers::{real, to_u64};

use crate::error::shown;
use crate::examples::Targets;
use crate::leaks::predicts_label;
use crate::table::{Column, info, warning};

/// Fewest rows for which an order is not a coincidence.
const FEWEST_ROWS: usize = 20;
/// Most columns that the text of a note names.
const NAMED: usize = 5;
/// Names of columns that identify a row, in lower case.
const IDENTIFIERS: [&str; 7] = ["id", "index", "rownames", "row", "uuid", "guid", "key"];

/// The columns that are inputs, and notes about all of them.
pub(crate) fn examine(
    columns: Vec<Column>,
    targets: &Targets<f64>,
    spec: &DataSpec,
) -> (Vec<Column>, Vec<DataNote>) {
    let table = &spec.table;
    let mut found = Found::default();
    let mut kept = Vec::with_capacity(columns.len());
    for column in columns {
        let is_asked_for =
            table.types.contains_key(&column.name) || table.columns.contains(&column.name);
        if found.column(&column, targets, is_asked_for) {
            kept.push(column);
        }
    }
    found.duplicates(&kept);
    if spec.split.time.is_some() {
        // The order is known, and the splits follow it.
        found.dated.clear();
    }
    (kept, found.into_notes())
}

/// The names of the columns with each peculiarity.
#[derive(Default)]
struct Found {
    numbering: Vec<String>,
    identifying: Vec<String>,
    empty: Vec<String>,
    constant: Vec<String>,
    sorting: Vec<String>,
    dated: Vec<String>,
    leaking: Vec<String>,
    /// Pairs of equal columns, the earlier one second.
    equal: Vec<(String, String)>,
}

impl Found {
    /// Notes what is peculiar about a column, and returns whether it is an input.
    fn column(&mut self, column: &Column, targets: &Targets<f64>, is_asked_for: bool) -> bool {
        let name = || column.name.clone();
        let order = Order::of(column);
        if order.present == 0 {
            self.empty.push(name());
            return is_asked_for;
        }
        if order.is_constant {
            self.constant.push(name());
            return true;
        }
        let is_number = column.kind == ColumnType::Number;
        if is_number && order.is_numbering {
            self.numbering.push(name());
            return is_asked_for;
        }
        if is_identifier(&column.name) && is_number && is_unique(column) {
            self.identifying.push(name());
            return is_asked_for;
        }
        if order.is_sorted && column.kind == ColumnType::Date {
            self.dated.push(name());
        } else if order.is_sorted && is_number {
            self.sorting.push(name());
        }
        if predicts_label(column, targets) {
            self.leaking.push(name());
        }
        true
    }

    /// Notes the columns that are equal to an earlier one.
    fn duplicates(&mut self, columns: &[Column]) {
        let mut first_of: BTreeMap<[u8; 32], &Column> = BTreeMap::new();
        let constant: BTreeSet<&str> = self.constant.iter().map(String::as_str).collect();
        for column in columns {
            let first = first_of.entry(fingerprint(column)).or_insert(column);
            if first.name != column.name && !constant.contains(column.name.as_str()) {
                self.equal.push((column.name.clone(), first.name.clone()));
            }
        }
    }

    fn into_notes(self) -> Vec<DataNote> {
        let mut notes = Vec::new();
        let mut add = |names: &[String], make: &dyn Fn(&[&str], &Words) -> DataNote| {
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            if !all.is_empty() {
                notes.push(make(&all, &Words::of(&all)));
            }
        };
        add(&self.numbering, &|all, words| {
            let Words { names, is, it } = words;
            let text = format!(
                "{names} {is} only the number of the row and no input: in a sorted file it gives \
                 the label away; to use {it} nevertheless, name {it} in types"
            );
            warning("numbers_rows", all, text)
        });
        add(&self.identifying, &|all, words| {
            let Words { names, it, .. } = words;
            let text = format!(
                "{names}: different in every row and named like an identifier, so no input; to use \
                 {it} nevertheless, name {it} in types"
            );
            info("identifies_rows", all, text)
        });
        add(&self.empty, &|all, words| {
            info("empty", all, format!("{}: empty in every row, so no input", words.names))
        });
        add(&self.constant, &|all, words| {
            info("constant", all, format!("{}: the same value in every row", words.names))
        });
        add(&self.sorting, &|all, words| {
            let Words { names, is, it } = words;
            let text = format!(
                "{names} {is} in ascending or descending order over all rows: a number of the row \
                 or of a measurement can give the label away, so add {it} to ignore"
            );
            warning("sorts_rows", all, text)
        });
        add(&self.dated, &|all, words| {
            let text = format!(
                "the rows are in the order of {}, but the splits are drawn at random: a model that \
                 predicts the future is judged better than it will be",
                words.names
            );
            warning("sorted_by_time", all, text)
        });
        add(&self.leaking, &|all, words| {
            let Words { names, it, .. } = words;
            let text = format!(
                "{names} predicts the label almost without the other columns: if it is not known \
                 when a prediction is made, add {it} to ignore"
            );
            warning("predicts_label", all, text)
        });
        let pairs: Vec<String> = self
            .equal
            .iter()
            .map(|(later, first)| format!("{:?} = {:?}", shown(later), shown(first)))
            .collect();
        let later: Vec<&str> = self.equal.iter().map(|(later, _)| later.as_str()).collect();
        if !pairs.is_empty() {
            let text = format!("equal to an earlier column in every row: {}", list(&pairs));
            notes.push(warning("duplicate_column", &later, text));
        }
        notes
    }
}

/// The words of a sentence about one or several columns.
struct Words {
    names: String,
    is: &'static str,
    it: &'static str,
}

impl Words {
    fn of(names: &[&str]) -> Self {
        let quoted: Vec<String> = names.iter().map(|name| format!("{:?}", shown(name))).collect();
        let (is, it) = if names.len() == 1 { ("is", "it") } else { ("are", "them") };
        Self { names: list(&quoted), is, it }
    }
}

/// The first few of a list, and how many more there are.
fn list(items: &[String]) -> String {
    let first = items.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// How the values of a column follow each other.
struct Order {
    /// Values that are not missing.
    present: usize,
    is_constant: bool,
    /// The values are 0, 1, 2 and so on, or 1, 2, 3.
    is_numbering: bool,
    /// Every value is above the one before, or every value is below it.
    is_sorted: bool,
}

impl Order {
    fn of(column: &Column) -> Self {
        let rows = column.cells.len();
        let first = column.cells.get(0);
        let (mut present, mut is_constant) = (0, true);
        let (mut is_numbering, mut ascends, mut descends) =
            (first == 0.0 || first == 1.0, true, true);
        let mut before = f64::NAN;
        for (row, value) in column.cells.iter().enumerate() {
            present += usize::from(!value.is_nan());
            // A missing value makes each of these false from the next row on, as it should.
            is_constant &= value == first || value.is_nan() && first.is_nan();
            is_numbering &= value == first + real(row);
            if row > 0 {
                ascends &= value > before;
                descends &= value < before;
            }
            before = value;
        }
        let is_long = rows >= FEWEST_ROWS;
        Self {
            present,
            is_constant,
            is_numbering: is_numbering && is_long,
            is_sorted: (ascends || descends) && is_long,
        }
    }
}

/// Whether the name is one that identifiers usually have: `id`, `PassengerId`, `customer_id`.
fn is_identifier(name: &str) -> bool {
    let lower = name.to_lowercase();
    IDENTIFIERS.contains(&lower.trim_matches('.'))
        || ["_id", "-id", " id", ".id"].iter().any(|end| lower.ends_with(end))
        || name.ends_with("Id")
        || name.ends_with("ID")
}

/// Whether no two rows have the same value, and none lacks it.
fn is_unique(column: &Column) -> bool {
    let mut values: Vec<f64> = column.cells.iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.len() >= FEWEST_ROWS && values.windows(2).all(|pair| pair.first() < pair.last())
}

/// A hash that equal columns share.
fn fingerprint(column: &Column) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(column.kind.name().as_bytes());
    for text in &column.categories {
        hasher.update(&to_u64(text.len()).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    // Equal numbers are stored in the same way.
    hasher.update(column.cells.bytes());
    *hasher.finalize().as_bytes()
}
