//! Raw columns as inputs of the graph, and their encoding as operators.
//!
//! Columns of one kind are put next to each other and encoded together, so that a table with a
//! thousand numbers does not become thousands of nodes. At the end, the parts are put into the
//! order that the network was trained with.

use std::collections::BTreeSet;

use caviar_common::data::ColumnType;
use caviar_common::numbers::index;
use caviar_data::{
    Embedded, Encoder, Encoding, InputColumn, Number, OneHot, Parts, Schema, Standard,
};

use super::dates::{self, Dates};
use super::graph::{Graph, Name, PREFIX, int, signed};
use super::proto::tensor_proto::DataType;
use super::{LABEL, PROBABILITIES};

/// The input of a model for images: `[N, height * width]` bytes, row by row.
const PIXELS: &str = "pixels";

/// The names of the inputs of the raw form, in the order of the columns: the names of the columns.
/// An empty name, and one that the graph needs itself, is changed.
pub(super) fn names(schema: &Schema) -> Vec<String> {
    if schema.pixels.is_some() {
        return vec![PIXELS.to_owned()];
    }
    let own: BTreeSet<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut names = Vec::with_capacity(own.len());
    for (number, column) in schema.columns.iter().enumerate() {
        let mut name = column.name.clone();
        if is_reserved(&name) {
            name = if name.is_empty() {
                format!("column{}", number + 1)
            } else {
                format!("input_{name}")
            };
            while own.contains(name.as_str()) || used.contains(&name) {
                name.push('_');
            }
        }
        used.insert(name.clone());
        names.push(name);
    }
    names
}

fn is_reserved(name: &str) -> bool {
    name.is_empty() || name == LABEL || name == PROBABILITIES || name.starts_with(PREFIX)
}

/// Declares the raw inputs and encodes them: `[N, width]` 32-bit floats.
pub(super) fn encode(graph: &mut Graph, schema: &Schema) -> Name {
    match &schema.encoder {
        Encoder::Pixels(standards) => {
            graph.input(PIXELS, DataType::Uint8, standards.len());
            let values = graph.cast(PIXELS, DataType::Double);
            standardise(graph, &values, standards)
        }
        Encoder::Columns(encodings) => {
            let mut groups = Groups::default();
            let columns = schema.columns.iter().zip(encodings).zip(names(schema));
            for ((column, encoding), input) in columns {
                let is_text = column.kind == ColumnType::Category;
                let kind = if is_text { DataType::String } else { DataType::Double };
                graph.input(&input, kind, 1);
                groups.add(graph, schema, Column { column, encoding, input });
            }
            groups.finish(graph)
        }
    }
}

struct Column<'a> {
    column: &'a InputColumn,
    encoding: &'a Encoding,
    input: Name,
}

/// A matrix whose columns are inputs of the network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Numbers,
    MissingNumbers,
    Booleans,
    MissingBooleans,
    Parts,
    Categories,
}

const GROUPS: [Group; 6] = [
    Group::Numbers,
    Group::MissingNumbers,
    Group::Booleans,
    Group::MissingBooleans,
    Group::Parts,
    Group::Categories,
];

/// The columns of one kind, and where each input of the network is among them.
#[derive(Default)]
struct Groups<'a> {
    numbers: Vec<(Name, &'a Number)>,
    /// The value that becomes 1.
    booleans: Vec<(Name, u32)>,
    dates: Vec<Dates>,
    /// The encoded columns, one matrix for each.
    categories: Vec<Name>,
    categories_width: usize,
    parts: usize,
    /// Each input of the network: a column of a group.
    places: Vec<(Group, usize)>,
}

impl<'a> Groups<'a> {
    fn add(&mut self, graph: &mut Graph, schema: &Schema, column: Column<'a>) {
        let Column { column, encoding, input } = column;
        match encoding {
            Encoding::Number { number } => self.add_number(input, number),
            Encoding::Date { days, parts } => {
                self.add_number(input.clone(), days);
                self.add_parts(input, Some(days.median), *parts);
            }
            Encoding::Season { parts } => self.add_parts(input, None, *parts),
            Encoding::Binary { positive, has_indicator } if column.kind != ColumnType::Category => {
                self.places.push((Group::Booleans, self.booleans.len()));
                if *has_indicator {
                    self.places.push((Group::MissingBooleans, self.booleans.len()));
                }
                self.booleans.push((input, *positive));
            }
            Encoding::Binary { positive, has_indicator } => {
                let codes = Codes::binary(column, index(*positive), *has_indicator);
                self.add_codes(graph, &input, codes.with_gaps(schema));
            }
            Encoding::OneHot(one_hot) => {
                self.add_codes(graph, &input, Codes::one_hot(column, one_hot).with_gaps(schema));
            }
            Encoding::Embedded(embedded) => {
                self.add_codes(graph, &input, Codes::embedded(column, embedded).with_gaps(schema));
            }
        }
    }

    fn add_codes(&mut self, graph: &mut Graph, input: &str, codes: Codes) {
        let width = codes.width;
        if width > 0 {
            let all = self.categories_width..self.categories_width + width;
            self.places.extend(all.map(|place| (Group::Categories, place)));
            self.categories_width += width;
            self.categories.push(codes.encode(graph, input));
        }
    }

    fn add_number(&mut self, input: Name, number: &'a Number) {
        self.places.push((Group::Numbers, self.numbers.len()));
        if number.has_indicator {
            self.places.push((Group::MissingNumbers, self.numbers.len()));
        }
        self.numbers.push((input, number));
    }

    fn add_parts(&mut self, input: Name, median: Option<f64>, parts: Parts) {
        let periods = [parts.year, parts.week, parts.day];
        let width = 2 * periods.into_iter().filter(|&used| used).count();
        if width > 0 {
            let all = self.parts..self.parts + width;
            self.places.extend(all.map(|part| (Group::Parts, part)));
            self.parts += width;
            self.dates.push(Dates { input, median, parts });
        }
    }

    /// The inputs of the network in their order.
    fn finish(self, graph: &mut Graph) -> Name {
        let uses = |group: Group| self.places.iter().any(|(other, _)| *other == group);
        let mut parts: Vec<(Group, Name, usize)> = Vec::new();
        if !self.numbers.is_empty() {
            let count = self.numbers.len();
            let (values, missing) = self.numbers(graph);
            parts.push((Group::Numbers, values, count));
            if uses(Group::MissingNumbers) {
                let missing = graph.cast(&missing, DataType::Float);
                parts.push((Group::MissingNumbers, missing, count));
            }
        }
        if !self.booleans.is_empty() {
            let count = self.booleans.len();
            let (values, missing) = self.booleans(graph);
            parts.push((Group::Booleans, values, count));
            if uses(Group::MissingBooleans) {
                let missing = graph.cast(&missing, DataType::Float);
                parts.push((Group::MissingBooleans, missing, count));
            }
        }
        if !self.dates.is_empty() {
            parts.push((Group::Parts, dates::parts(graph, &self.dates), self.parts));
        }
        if !self.categories.is_empty() {
            let encoded: Vec<&str> = self.categories.iter().map(String::as_str).collect();
            let encoded = graph.concat(&encoded);
            parts.push((Group::Categories, encoded, self.categories_width));
        }
        let mut starts = [0; GROUPS.len()];
        let mut width = 0;
        for (start, group) in starts.iter_mut().zip(GROUPS) {
            *start = width;
            let part = parts.iter().find(|(other, _, _)| *other == group);
            width += part.map_or(0, |(_, _, count)| *count);
        }
        let names: Vec<&str> = parts.iter().map(|(_, name, _)| name.as_str()).collect();
        let all = graph.concat(&names);
        let start = |group: Group| {
            GROUPS.into_iter().zip(starts).find(|(other, _)| *other == group).map_or(0, |(_, s)| s)
        };
        let order: Vec<usize> =
            self.places.iter().map(|(group, place)| start(*group) + place).collect();
        graph.columns(&all, &order)
    }

    /// The standardised numbers, and which ones are missing.
    fn numbers(&self, graph: &mut Graph) -> (Name, Name) {
        let inputs: Vec<&str> = self.numbers.iter().map(|(input, _)| input.as_str()).collect();
        let values = graph.concat(&inputs);
        let missing = graph.is_nan(&values);
        // Without an indicator the mean stands for a missing number, and becomes 0.
        let fills: Vec<f64> = self
            .numbers
            .iter()
            .map(
                |(_, number)| {
                    if number.has_indicator { number.median } else { number.standard.mean }
                },
            )
            .collect();
        let fills = graph.doubles(&[1, fills.len()], &fills);
        let filled = graph.node("Where", &[&missing, &fills, &values]);
        let standards: Vec<Standard> =
            self.numbers.iter().map(|(_, number)| number.standard).collect();
        (standardise(graph, &filled, &standards), missing)
    }

    /// 1 and -1, or 0 where a value is missing; and which ones are missing.
    fn booleans(&self, graph: &mut Graph) -> (Name, Name) {
        let inputs: Vec<&str> = self.booleans.iter().map(|(input, _)| input.as_str()).collect();
        let values = graph.concat(&inputs);
        let missing = graph.is_nan(&values);
        let positives: Vec<f64> = self.booleans.iter().map(|(_, code)| f64::from(*code)).collect();
        let positives = graph.doubles(&[1, positives.len()], &positives);
        let is_positive = graph.node("Equal", &[&values, &positives]);
        let [one, minus, zero] = [1.0, -1.0, 0.0].map(|value| graph.floats(&[], &[value]));
        let signed = graph.node("Where", &[&is_positive, &one, &minus]);
        (graph.node("Where", &[&missing, &zero, &signed]), missing)
    }
}

/// (x - mean) scale in 64-bit floats, limited and then rounded to 32 bits.
fn standardise(graph: &mut Graph, values: &str, standards: &[Standard]) -> Name {
    let dims = [1, standards.len()];
    let means: Vec<f64> = standards.iter().map(|standard| standard.mean).collect();
    let scales: Vec<f64> = standards.iter().map(|standard| standard.scale).collect();
    let means = graph.doubles(&dims, &means);
    let scales = graph.doubles(&dims, &scales);
    let distances = graph.node("Sub", &[values, &means]);
    let scaled = graph.node("Mul", &[&distances, &scales]);
    let [low, high] =
        [-Standard::FARTHEST, Standard::FARTHEST].map(|limit| graph.doubles(&[], &[limit]));
    let clipped = graph.node("Clip", &[&scaled, &low, &high]);
    graph.cast(&clipped, DataType::Float)
}

/// How the texts of a column become inputs: each text has a number.
struct Codes {
    keys: Vec<(String, usize)>,
    /// The number of a missing value.
    missing: usize,
    /// The number of a text that the model does not know.
    unknown: usize,
    /// The table in which the number is a row, row by row; `None` if the number is the input. The
    /// last row is that of unknown texts, whose inputs are 0.
    table: Option<Vec<f32>>,
    width: usize,
}

impl Codes {
    /// One row for each input, and one of zeros.
    fn one_hot(column: &InputColumn, one_hot: &OneHot) -> Self {
        let width = index(one_hot.width);
        let rows = (0..=width).map(|input| (input, 1.0));
        let row = |slot: Option<u32>| slot.map_or(width, index);
        let numbers = one_hot.slots.iter().map(|slot| row(*slot));
        Self {
            keys: column.categories.iter().cloned().zip(numbers).collect(),
            missing: row(one_hot.missing),
            unknown: width,
            table: Some(table(width, rows)),
            width,
        }
    }

    /// The numbers themselves.
    fn embedded(column: &InputColumn, embedded: &Embedded) -> Self {
        let numbers = embedded.numbers.iter().map(|&number| index(number));
        Self {
            keys: column.categories.iter().cloned().zip(numbers).collect(),
            missing: index(embedded.missing),
            unknown: index(embedded.unknown),
            table: None,
            width: 1,
        }
    }

    /// The rows of the positive value, of the other ones, of a missing value, and of zeros.
    fn binary(column: &InputColumn, positive: usize, has_indicator: bool) -> Self {
        let width = 1 + usize::from(has_indicator);
        let rows = [(0, 1.0), (0, -1.0), (1, 1.0), (width, 0.0)];
        let numbers = (0..column.categories.len()).map(|code| usize::from(code != positive));
        Self {
            keys: column.categories.iter().cloned().zip(numbers).collect(),
            missing: 2,
            unknown: 3,
            table: Some(table(width, rows.into_iter())),
            width,
        }
    }

    /// The same with the texts for a missing value, unless they are categories.
    fn with_gaps(mut self, schema: &Schema) -> Self {
        let known: BTreeSet<&str> = self.keys.iter().map(|(text, _)| text.as_str()).collect();
        let gaps: BTreeSet<String> = schema
            .missing_texts()
            .filter(|text| !known.contains(text))
            .map(str::to_owned)
            .collect();
        self.keys.extend(gaps.into_iter().map(|text| (text, self.missing)));
        self
    }

    /// The inputs of the column, `[N, width]`.
    fn encode(self, graph: &mut Graph, input: &str) -> Name {
        let keys = self.keys.into_iter().map(|(text, row)| (text, signed(row))).collect();
        let numbers = graph.text_to_number(input, keys, signed(self.unknown));
        let Some(table) = self.table else { return graph.cast(&numbers, DataType::Float) };
        let table = graph.floats(&[self.unknown + 1, self.width], &table);
        let rows = graph.node("Gather", &[&table, &numbers]);
        graph.node_with("Flatten", &[&rows], vec![int("axis", 1)])
    }
}

/// Rows of `width` zeros, but for one value in each; none if its place is outside.
fn table(width: usize, rows: impl Iterator<Item = (usize, f32)>) -> Vec<f32> {
    rows.flat_map(|(place, value)| {
        (0..width).map(move |other| if other == place { value } else { 0.0 })
    })
    .collect()
}
