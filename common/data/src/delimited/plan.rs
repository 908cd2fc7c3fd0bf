//! What each column of a text file is read as, from what the first pass found.

use std::collections::{BTreeMap, HashSet};

use caviar_common::data::{ColumnType, DataNote, DataSpec, Task};
use caviar_common::text::likely;

use super::scan::{ColumnScan, Scan, numbered};
use crate::error::{COLUMNS, DataError, GROUP, HEADER, IGNORE, TIME, TYPES, WEIGHT, shown};
use crate::forms::{Form, ISO_DATE, PLAIN, TRUE_FALSE};
use crate::missing::MissingTexts;
use crate::table::{Skipped, Why, info, warning};
use crate::task_rule::{NumericLabels, is_regression};

/// The share of a column's cells that must be numbers before the others count as mistakes.
const NEARLY_ALL: u64 = 10;
/// Most columns that an error or a note lists.
pub(crate) const LISTED_COLUMNS: usize = 20;

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plan {
    Skip,
    Label(LabelPlan),
    /// The group of a row, which is not an input.
    Group,
    /// The time of a row. Dates are also an input.
    Time(Form),
    /// The weight of a row, which is not an input.
    Weight(Form),
    Number(Form),
    /// Text. Unless the spec asks for a category, it can turn out to be free text.
    Category {
        is_asked_for: bool,
    },
    Boolean(Form),
    Date(Form),
}

/// What a label is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelPlan {
    Classes,
    /// Numbers, at this place among the labels.
    Values {
        form: Form,
        place: usize,
    },
}

/// The plan of a whole file.
pub(super) struct Plans {
    pub(super) names: Vec<String>,
    pub(super) plans: Vec<Plan>,
    pub(super) has_header: bool,
    /// The names of the labels, in the order of the spec.
    pub(super) labels: Vec<String>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) notes: Vec<DataNote>,
}

impl Plans {
    pub(super) fn new(scan: &Scan, spec: &DataSpec, labels: &[&str]) -> Result<Self, DataError> {
        let path = spec.source.as_str();
        let has_header = spec.table.header != Some(false);
        let missing = MissingTexts::new(&spec.table.missing);
        if spec.table.header.is_none() && scan.starts_with_a_row(&missing) {
            let first = scan.first.iter().find(|cell| !cell.is_empty());
            return Err(DataError::NoHeader {
                field: HEADER,
                path: path.to_owned(),
                line: scan.first_line,
                cell: shown(first.map_or("", String::as_str)),
                last: numbered(scan.first.len().saturating_sub(1)),
            });
        }
        let names = names(scan, path, has_header)?;
        let labels = label_columns(&names, path, scan.first_line, labels)?;
        check_names(&names, spec)?;
        if names.len() <= labels.len() {
            return Err(DataError::NoFeatures { path: path.to_owned() });
        }
        let mut planner = Planner::new(spec);
        let mut plans = Vec::with_capacity(names.len());
        for (index, (name, column)) in names.iter().zip(&scan.columns).enumerate() {
            let place = labels.iter().position(|&label| label == index);
            plans.push(if let Some(place) = place {
                Plan::Label(planner.label(name, column, (place, labels.len())))
            } else if Some(name) == spec.split.group.as_ref() {
                Plan::Group
            } else if Some(name) == spec.split.time.as_ref() {
                Plan::Time(planner.time(name, column)?)
            } else if Some(name) == spec.weights.column.as_ref() {
                Plan::Weight(column.candidates.form().filter(is_number).unwrap_or(PLAIN))
            } else if planner.is_left_out(name) {
                planner.skipped.push(Skipped { name: name.clone(), why: Why::Ignored });
                Plan::Skip
            } else {
                planner.input(name, column)
            });
        }
        let skipped = std::mem::take(&mut planner.skipped);
        let notes = planner.into_notes();
        let labels = labels.iter().filter_map(|&label| names.get(label).cloned()).collect();
        Ok(Self { names, plans, has_header, labels, skipped, notes })
    }

    /// How the numbers of the label at `wanted` are written; `None` for classes.
    pub(super) fn label_form(&self, wanted: usize) -> Option<Form> {
        self.plans.iter().find_map(|plan| match plan {
            Plan::Label(LabelPlan::Values { form, place }) if *place == wanted => Some(*form),
            Plan::Label(LabelPlan::Classes | LabelPlan::Values { .. })
            | Plan::Skip
            | Plan::Group
            | Plan::Time(_)
            | Plan::Weight(_)
            | Plan::Number(_)
            | Plan::Category { .. }
            | Plan::Boolean(_)
            | Plan::Date(_) => None,
        })
    }
}

/// The names of the columns. An unnamed one is called by its number.
pub(super) fn names(scan: &Scan, path: &str, has_header: bool) -> Result<Vec<String>, DataError> {
    let name = |(index, name): (usize, &String)| {
        if has_header && !name.is_empty() { name.clone() } else { numbered(index) }
    };
    let names: Vec<String> = scan.first.iter().enumerate().map(name).collect();
    let mut earlier = HashSet::with_capacity(names.len());
    let twice = names.iter().position(|name| !earlier.insert(name.as_str()));
    match twice.and_then(|index| names.get(index).map(|name| (index, name))) {
        Some((index, name)) => Err(DataError::NameTwice {
            path: path.to_owned(),
            line: scan.first_line,
            name: shown(name),
            column: index + 1,
        }),
        None => Ok(names),
    }
}

/// Where the labels are among the columns, in the order of `labels`.
fn label_columns(
    names: &[String],
    path: &str,
    line: u64,
    labels: &[&str],
) -> Result<Vec<usize>, DataError> {
    let path = || path.to_owned();
    if labels.is_empty() {
        return Err(DataError::LabelNotGiven { path: path(), columns: listed(names) });
    }
    let column = |label: &&str| {
        let wanted = label.trim();
        names.iter().position(|name| name == wanted).ok_or_else(|| DataError::NoSuchColumn {
            path: path(),
            line,
            label: wanted.to_owned(),
            columns: listed(names),
            hint: hint(names, wanted),
        })
    };
    labels.iter().map(column).collect()
}

/// Refuses names in `columns`, `ignore` and `types` that no column has.
fn check_names(names: &[String], spec: &DataSpec) -> Result<(), DataError> {
    let table = &spec.table;
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let lists = [(COLUMNS, &table.columns), (IGNORE, &table.ignore)];
    let listed_names =
        lists.into_iter().flat_map(|(field, list)| list.iter().map(move |n| (field, n)));
    let typed = table.types.keys().map(|name| (TYPES, name));
    let group = spec.split.group.iter().map(|name| (GROUP, name));
    let weight = spec.weights.column.iter().map(|name| (WEIGHT, name));
    let roles = group.chain(spec.split.time.iter().map(|name| (TIME, name))).chain(weight);
    match listed_names.chain(typed).chain(roles).find(|(_, name)| !known.contains(name.as_str())) {
        None => Ok(()),
        Some((field, name)) => Err(DataError::UnknownColumn {
            field,
            path: spec.source.clone(),
            name: shown(name),
            columns: listed(names),
            hint: hint(names, name),
        }),
    }
}

/// Plans one column after the other.
struct Planner<'a> {
    spec: &'a DataSpec,
    notes: Vec<DataNote>,
    skipped: Vec<Skipped>,
    /// Columns by the description of their form, where that is not the usual one.
    forms: BTreeMap<String, Vec<String>>,
}

impl<'a> Planner<'a> {
    fn new(spec: &'a DataSpec) -> Self {
        Self { spec, notes: Vec::new(), skipped: Vec::new(), forms: BTreeMap::new() }
    }

    fn is_left_out(&self, name: &String) -> bool {
        let table = &self.spec.table;
        table.ignore.contains(name) || !table.columns.is_empty() && !table.columns.contains(name)
    }

    fn input(&mut self, name: &str, column: &ColumnScan) -> Plan {
        let form = column.candidates.form();
        match self.spec.table.types.get(name) {
            Some(ColumnType::Category) => return Plan::Category { is_asked_for: true },
            Some(ColumnType::Number) => {
                return Plan::Number(form.filter(is_number).unwrap_or(PLAIN));
            }
            Some(ColumnType::Boolean) => {
                let boolean = |form: &Form| matches!(form, Form::Boolean(_));
                return Plan::Boolean(form.filter(boolean).unwrap_or(TRUE_FALSE));
            }
            Some(ColumnType::Date) => {
                let date = |form: &Form| matches!(form, Form::Date(_));
                return Plan::Date(form.filter(date).unwrap_or(ISO_DATE));
            }
            None => {}
        }
        match form {
            Some(form) => {
                self.describe(name, form, column);
                match form {
                    Form::Number(_) => Plan::Number(form),
                    Form::Boolean(_) => Plan::Boolean(form),
                    Form::Date(_) => Plan::Date(form),
                }
            }
            // Without any value, or nearly all numbers: the others are reported.
            None if column.candidates.cells() == 0 && column.weakly_missing == 0 => {
                Plan::Number(PLAIN)
            }
            None if is_nearly_number(column) => Plan::Number(PLAIN),
            None => Plan::Category { is_asked_for: false },
        }
    }

    /// Notes a form that is not the usual one, and one that is a guess.
    fn describe(&mut self, name: &str, form: Form, column: &ColumnScan) {
        if form != PLAIN && !matches!(form, Form::Boolean(_)) {
            self.forms.entry(form.to_string()).or_default().push(name.to_owned());
        }
        if let Some(ambiguity) = column.candidates.ambiguity() {
            let text = format!("{:?}: {ambiguity}", shown(name));
            self.notes.push(warning("ambiguous_form", &[name], text));
        }
    }

    /// The form of the column that orders the rows: numbers or dates.
    fn time(&mut self, name: &str, column: &ColumnScan) -> Result<Form, DataError> {
        match column.candidates.form() {
            Some(form @ (Form::Number(_) | Form::Date(_))) => {
                let text = format!(
                    "the latest rows by {:?} are the test split, and those before them the \
                     validation split",
                    shown(name)
                );
                self.notes.push(info("split_by_time", &[name], text));
                self.describe(name, form, column);
                Ok(form)
            }
            Some(Form::Boolean(_)) | None => Err(DataError::UnorderedTime {
                path: self.spec.source.clone(),
                column: shown(name),
            }),
        }
    }

    /// The plan of the label at `place` of `count`. Several are numbers.
    fn label(
        &mut self,
        name: &str,
        column: &ColumnScan,
        (place, count): (usize, usize),
    ) -> LabelPlan {
        let number = column.candidates.form().filter(is_number);
        let numeric =
            column.texts.as_deref().zip(number).and_then(|(texts, form)| {
                NumericLabels::of(&texts.0, |text| form.parse(text).ok())
            });
        let task = if count > 1 { Some(Task::Regression) } else { self.spec.task };
        let (is_regression, note) = is_regression(task, name, numeric);
        self.notes.extend(note);
        if is_regression {
            LabelPlan::Values { form: number.unwrap_or(PLAIN), place }
        } else {
            LabelPlan::Classes
        }
    }

    fn into_notes(self) -> Vec<DataNote> {
        let mut notes = self.notes;
        for (form, names) in &self.forms {
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            notes.push(info("form", &all, format!("read as {form}: {}", listed(names))));
        }
        notes
    }
}

fn is_number(form: &Form) -> bool {
    matches!(form, Form::Number(_))
}

/// Whether nearly all cells are numbers, so that the others are probably mistakes.
fn is_nearly_number(column: &ColumnScan) -> bool {
    let candidates = &column.candidates;
    let others = candidates.cells() - candidates.numbers() - candidates.infinities();
    candidates.cells() > 0 && others * NEARLY_ALL <= candidates.cells()
}

/// The names of the columns as an error lists them, at most 20.
pub(crate) fn listed(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().take(LISTED_COLUMNS).map(|name| format!("{:?}", shown(name))).collect();
    match names.len().saturating_sub(LISTED_COLUMNS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The name that was probably meant by one that no column has.
pub(crate) fn near<'a>(names: &'a [String], wanted: &str) -> Option<&'a str> {
    likely(wanted, names.iter().map(String::as_str))
}

/// A likely correction of a name that no column has.
pub(crate) fn hint(names: &[String], wanted: &str) -> String {
    match (near(names, wanted), names) {
        (Some(name), _) => format!("did you mean {:?}?", shown(name)),
        (None, [only]) if only.chars().any(|c| !c.is_alphanumeric() && !"_- ".contains(c)) => {
            "if another character than a comma separates the columns, set delimiter".to_owned()
        }
        (None, [.., last]) => format!("the last column is {:?}", shown(last)),
        (None, []) => String::new(),
    }
}
