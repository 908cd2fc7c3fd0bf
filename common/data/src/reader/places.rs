//! Where a file has the columns that a model needs.

use std::collections::{HashMap, HashSet};

use caviar_common::text::shortened;

use super::ReadOptions;
use crate::delimited::{LISTED_COLUMNS, hint, listed, near, numbered};
use crate::error::{DataError, shown};
use crate::limits::MAX_FEATURES;
use crate::schema::{Label, Schema};
use crate::schema_error::SchemaError;

/// Longest list of the file's columns in an error, in characters.
const LISTED_CHARS: usize = 400;

/// The columns of a file, and which of them are read.
pub(super) struct Places {
    pub(super) names: Vec<String>,
    pub(super) has_header: bool,
    /// Where the file has each column of the schema.
    pub(super) inputs: Vec<usize>,
    /// Where it has each label, if they are needed.
    pub(super) labels: Vec<usize>,
}

impl Places {
    /// Finds the columns of a text file by its first record, which is on `line`.
    pub(super) fn of_record(
        first: &[String],
        schema: &Schema,
        options: &ReadOptions,
        (path, line): (&str, u64),
    ) -> Result<Self, DataError> {
        if first.len() > MAX_FEATURES + 1 {
            return Err(DataError::TooLarge { path: path.to_owned() });
        }
        let is_numbered = schema.columns.iter().all(|column| place(&column.name).is_some());
        let has_names = || {
            let names: HashSet<&str> = first.iter().map(String::as_str).collect();
            schema.columns.iter().any(|column| names.contains(column.name.as_str()))
        };
        // A model of a file without a header expects such files.
        let has_header = options.header.unwrap_or_else(|| !is_numbered || has_names());
        if !has_header && !is_numbered {
            let columns: Vec<String> = schema.columns.iter().map(|c| c.name.clone()).collect();
            let (path, columns) = (path.to_owned(), listed(&columns));
            return Err(SchemaError::NeedsHeader { path, columns }.into());
        }
        let name = |(index, name): (usize, &String)| {
            if has_header && !name.is_empty() { name.clone() } else { numbered(index) }
        };
        let names: Vec<String> = first.iter().enumerate().map(name).collect();
        if !has_header {
            check_count(names.len(), schema, options, path)?;
        }
        let places = Self::find(names, schema, options.needs_label, path)?;
        if let Some((index, name)) = places.twice().and_then(|i| Some((i, places.names.get(i)?))) {
            let (path, name, column) = (path.to_owned(), shown(name), index + 1);
            return Err(DataError::NameTwice { path, line, name, column });
        }
        Ok(Self { has_header, ..places })
    }

    /// Finds the columns by the names that a file has.
    pub(super) fn find(
        names: Vec<String>,
        schema: &Schema,
        needs_label: bool,
        path: &str,
    ) -> Result<Self, DataError> {
        let mut known: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            known.entry(name.as_str()).or_insert(index);
        }
        let found = |name: &str| known.get(name).copied();
        let inputs: Vec<usize> =
            schema.columns.iter().filter_map(|column| found(&column.name)).collect();
        if inputs.len() < schema.columns.len() {
            let wanted = schema.columns.iter().map(|column| column.name.as_str());
            let missing: Vec<&str> = wanted.filter(|name| found(name).is_none()).collect();
            return Err(missing_columns(&names, &missing, inputs.is_empty(), path));
        }
        let mut labels = Vec::new();
        for label in schema.labels().filter(|_| needs_label).map(|label| label.name.as_str()) {
            let Some(place) = found(label) else {
                let (path, hint) = (path.to_owned(), hint(&names, label));
                return Err(SchemaError::MissingLabel { path, label: shown(label), hint }.into());
            };
            labels.push(place);
        }
        Ok(Self { inputs, labels, has_header: true, names })
    }

    /// The second column of a name that is needed.
    pub(super) fn twice(&self) -> Option<usize> {
        let needed = self.inputs.iter().chain(&self.labels);
        let first: HashMap<&str, usize> =
            needed.filter_map(|&place| Some((self.names.get(place)?.as_str(), place))).collect();
        let mut all = self.names.iter().enumerate();
        all.find(|(index, name)| first.get(name.as_str()).is_some_and(|place| place != index))
            .map(|(index, _)| index)
    }
}

/// The place, from 1, of a column of a file without a header; `None` for any other name.
fn place(name: &str) -> Option<usize> {
    let place: usize = name.strip_prefix("column")?.parse().ok()?;
    (numbered(place.checked_sub(1)?) == name).then_some(place)
}

/// Checks that a file without a header has enough columns.
fn check_count(
    found: usize,
    schema: &Schema,
    options: &ReadOptions,
    path: &str,
) -> Result<(), DataError> {
    let labels = schema.labels().filter(|_| options.needs_label);
    let labels = labels.filter_map(|label| place(&label.name));
    let inputs = schema.columns.iter().filter_map(|column| place(&column.name));
    let needed = inputs.chain(labels).max().unwrap_or_default();
    if found >= needed {
        return Ok(());
    }
    let of_label = |label: &Label| {
        let name = &label.name;
        place(name).map_or_else(|| format!("{:?}", shown(name)), |place| place.to_string())
    };
    let labels: Vec<String> = schema.labels().map(of_label).collect();
    let labels = match labels.as_slice() {
        [label] => format!("column {label} is the label"),
        labels => format!("columns {} are the labels", labels.join(", ")),
    };
    Err(SchemaError::FewColumns { path: path.to_owned(), found, needed, labels }.into())
}

/// The error that lists all columns that a file lacks.
fn missing_columns(names: &[String], missing: &[&str], lacks_all: bool, path: &str) -> DataError {
    let mut suggested: HashSet<&str> = HashSet::new();
    let mut describe = |name: &&str| {
        // A column is suggested once.
        let near = near(names, name).filter(|near| suggested.insert(near));
        let hint = near.map(|near| format!(" (did you mean {:?}?)", shown(near)));
        format!("{:?}{}", shown(name), hint.unwrap_or_default())
    };
    let mut texts: Vec<String> = missing.iter().take(LISTED_COLUMNS).map(&mut describe).collect();
    if missing.len() > LISTED_COLUMNS {
        texts.push(format!("{} more", missing.len() - LISTED_COLUMNS));
    }
    let (last, others) = texts.split_last().map_or(("", &[][..]), |(l, o)| (l.as_str(), o));
    let plural = if missing.len() == 1 { "column" } else { "columns" };
    let missing = match others {
        [] => format!("the {plural} {last}"),
        others => format!("the {plural} {} and {last}", others.join(", ")),
    };
    let hint = match names {
        [_] if lacks_all => "; if another character separates the cells, set delimiter",
        _ if lacks_all => "; if its first row is data, add a first line with the names",
        _ => "",
    };
    SchemaError::MissingColumns {
        path: path.to_owned(),
        missing,
        columns: shortened(&listed(names), LISTED_CHARS),
        hint: hint.to_owned(),
    }
    .into()
}

/// Refuses a table for a model of images.
pub(super) fn check_table(schema: &Schema, path: &str) -> Result<(), DataError> {
    if schema.pixels.is_none() {
        return Ok(());
    }
    let (path, found, expected) = (path.to_owned(), "a table", "images");
    Err(SchemaError::OtherKind { path, found, expected }.into())
}
