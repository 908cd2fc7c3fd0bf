//! The stage before the first layer as operators.
//!
//! The numbers are computed with the number first, `[numbers, N, functions]`, because the matrix of
//! each number is then a part of one batched product.

use caviar_common::numbers::{real, single};

use super::graph::{Graph, Name, int, signed};
use super::proto::tensor_proto::DataType;
use crate::input::{
    BINS, Basis, Bin, CATEGORY_COLUMNS, CategoryEmbedding, InputStage, Knots, NumberEmbedding,
    NumberScaling, PERIODS, bins,
};

/// The inputs of the first layer from the encoded inputs `features`, `[N, width]`.
pub(super) fn stage(graph: &mut Graph, stage: &InputStage, width: usize, features: &str) -> Name {
    let mut out = features.to_owned();
    if !stage.numbers.is_empty() || !stage.categories.is_empty() {
        out = replaced(graph, stage, width, features);
    }
    if let Some(factors) = &stage.factors {
        let factors = graph.floats(&[1, factors.len()], factors);
        out = graph.node("Mul", &[&out, &factors]);
    }
    out
}

/// The inputs with the numbers scaled and embedded, and the categories embedded.
fn replaced(graph: &mut Graph, stage: &InputStage, width: usize, features: &str) -> Name {
    let mut parts = Vec::new();
    if !stage.numbers.is_empty() {
        parts.push(numbers(graph, stage, features));
    }
    if !stage.categories.is_empty() {
        parts.push(categories(graph, &stage.categories, features));
    }
    let others = stage.others(width);
    if !others.is_empty() {
        parts.push(graph.columns(features, &others));
    }
    let joined = match parts.as_slice() {
        [only] => only.clone(),
        parts => graph.concat(&parts.iter().map(String::as_str).collect::<Vec<&str>>()),
    };
    let order = stage.order(width);
    if order.iter().enumerate().all(|(place, source)| place == *source) {
        return joined;
    }
    graph.columns(&joined, &order)
}

/// The vectors of all categories next to each other. They are gathered from one table, in which
/// each category has a row of zeros for an unknown value, and then its vectors. A number that is
/// not one of a value is an unknown one too.
fn categories(graph: &mut Graph, categories: &[CategoryEmbedding], features: &str) -> Name {
    let places: Vec<usize> = categories.iter().map(|category| category.place).collect();
    let (mut table, mut firsts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for category in categories {
        ends.push(single(real(category.values + 1)));
        firsts.push(signed(table.len() / CATEGORY_COLUMNS));
        table.extend_from_slice(&[0.0; CATEGORY_COLUMNS]);
        table.extend_from_slice(&category.weights);
    }
    let numbers = graph.columns(features, &places);
    let ends = graph.floats(&[1, ends.len()], &ends);
    let zero = graph.floats(&[1, 1], &[0.0]);
    let is_below = graph.node("Less", &[&numbers, &ends]);
    let is_above = graph.node("Greater", &[&numbers, &zero]);
    let is_known = graph.node("And", &[&is_below, &is_above]);
    let numbers = graph.node("Where", &[&is_known, &numbers, &zero]);
    let numbers = graph.cast(&numbers, DataType::Int64);
    let firsts = graph.integers(&[1, firsts.len()], &firsts);
    let rows = graph.node("Add", &[&numbers, &firsts]);
    let table = graph.floats(&[table.len() / CATEGORY_COLUMNS, CATEGORY_COLUMNS], &table);
    let vectors = graph.node("Gather", &[&table, &rows]);
    // 0 stands for the size that the dimension has.
    let shape = graph.integers(&[2], &[0, signed(places.len() * CATEGORY_COLUMNS)]);
    graph.node("Reshape", &[&vectors, &shape])
}

/// The numbers scaled and embedded, `[N, numbers * columns]`.
fn numbers(graph: &mut Graph, stage: &InputStage, features: &str) -> Name {
    let count = stage.numbers.len();
    let columns = graph.columns(features, &stage.numbers);
    let columns = transpose(graph, &columns, &[1, 0]);
    let scaled = scale(graph, &stage.scaling, &columns);
    match &stage.embedding {
        None => transpose(graph, &scaled, &[1, 0]),
        Some(embedding) => {
            let out = embed(graph, embedding, count, &scaled);
            let by_row = transpose(graph, &out, &[1, 0, 2]);
            // 0 stands for the size that the dimension has.
            let size = signed(count * embedding.columns());
            let shape = graph.integers(&[2], &[0, size]);
            graph.node("Reshape", &[&by_row, &shape])
        }
    }
}

fn transpose(graph: &mut Graph, input: &str, order: &[i64]) -> Name {
    graph.transpose(input, order.to_vec())
}

/// The scaled numbers, `[numbers, N]`.
fn scale(graph: &mut Graph, scaling: &NumberScaling, x: &str) -> Name {
    match scaling {
        NumberScaling::Standard => x.to_owned(),
        NumberScaling::Robust { medians, factors } => {
            let dims = [medians.len(), 1];
            let medians = graph.floats(&dims, medians);
            let factors = graph.floats(&dims, factors);
            let distance = graph.node("Sub", &[x, &medians]);
            let u = graph.node("Mul", &[&distance, &factors]);
            let three = graph.floats(&[], &[3.0]);
            let third = graph.node("Div", &[&u, &three]);
            let square = graph.node("Mul", &[&third, &third]);
            let one = graph.floats(&[], &[1.0]);
            let sum = graph.node("Add", &[&square, &one]);
            let root = graph.node("Sqrt", &[&sum]);
            graph.node("Div", &[&u, &root])
        }
        NumberScaling::Quantile(knots) => interpolate(graph, knots, x),
    }
}

/// The value of each number's function: the knots before it are counted, and the numbers of the
/// interval are gathered from one list for all functions.
fn interpolate(graph: &mut Graph, knots: &[Knots], x: &str) -> Name {
    let count = knots.len();
    let most = knots.iter().map(|knots| knots.places.len()).max().unwrap_or(0).max(2);
    let mut places = Vec::with_capacity(count * most);
    let (mut starts, mut widths) = (Vec::new(), Vec::new());
    let (mut lows, mut rises) = (Vec::new(), Vec::new());
    let mut lasts = Vec::with_capacity(count);
    for knots in knots {
        let missing = most - knots.places.len();
        places.extend(&knots.places);
        places.extend(std::iter::repeat_n(f32::MAX, missing));
        let ends = |list: &[f32]| -> Vec<(f32, f32)> {
            list.iter().copied().zip(list.iter().copied().skip(1)).collect()
        };
        let (along, up) = (ends(&knots.places), ends(&knots.values));
        let unused = most - along.len();
        starts.extend(along.iter().map(|(start, _)| *start));
        widths.extend(along.iter().map(|(start, end)| end - start));
        lows.extend(up.iter().map(|(low, _)| *low));
        rises.extend(up.iter().map(|(low, high)| high - low));
        for (list, filler) in
            [(&mut starts, 0.0), (&mut widths, 1.0), (&mut lows, 0.0), (&mut rises, 0.0)]
        {
            list.extend(std::iter::repeat_n(filler, unused));
        }
        lasts.push(single(real(along.len().saturating_sub(1))));
    }
    let axis = graph.integers(&[1], &[2]);
    let wide = graph.node("Unsqueeze", &[x, &axis]);
    let places = graph.floats(&[count, 1, most], &places);
    let is_before = graph.node("GreaterOrEqual", &[&wide, &places]);
    let ones = graph.cast(&is_before, DataType::Float);
    let before = graph.node_with("ReduceSum", &[&ones, &axis], vec![int("keepdims", 0)]);
    let one = graph.floats(&[], &[1.0]);
    let interval = graph.node("Sub", &[&before, &one]);
    let interval = {
        let zero = graph.floats(&[], &[0.0]);
        let lasts = graph.floats(&[count, 1], &lasts);
        let low = graph.node("Max", &[&interval, &zero]);
        graph.node("Min", &[&low, &lasts])
    };
    let interval = graph.cast(&interval, DataType::Int64);
    let firsts: Vec<i64> = (0..count).map(|number| signed(number * most)).collect();
    let firsts = graph.integers(&[count, 1], &firsts);
    let at = graph.node("Add", &[&interval, &firsts]);
    let mut gather = |values: &[f32]| {
        let list = graph.floats(&[values.len()], values);
        graph.node("Gather", &[&list, &at])
    };
    let [start, width, low, rise] = [&starts, &widths, &lows, &rises].map(|list| gather(list));
    let distance = graph.node("Sub", &[x, &start]);
    let share = graph.node("Div", &[&distance, &width]);
    let share = clip(graph, &share, 0.0, 1.0);
    let rise = graph.node("Mul", &[&rise, &share]);
    graph.node("Add", &[&low, &rise])
}

fn clip(graph: &mut Graph, x: &str, low: f32, high: f32) -> Name {
    let low = graph.floats(&[], &[low]);
    let high = graph.floats(&[], &[high]);
    let raised = graph.node("Max", &[x, &low]);
    graph.node("Min", &[&raised, &high])
}

/// The embedded numbers, `[numbers, N, columns]`.
fn embed(graph: &mut Graph, embedding: &NumberEmbedding, count: usize, x: &str) -> Name {
    let axis = graph.integers(&[1], &[2]);
    let wide = graph.node("Unsqueeze", &[x, &axis]);
    let functions = match &embedding.basis {
        Basis::Periodic { frequencies, phases } => {
            cosines(graph, count, frequencies, phases, &wide)
        }
        Basis::PiecewiseLinear { edges } => {
            let all: Vec<Bin> = edges.iter().flat_map(|edges| bins(edges)).collect();
            let mut list = |pick: fn(&Bin) -> f32| {
                let values: Vec<f32> = all.iter().map(pick).collect();
                graph.floats(&[count, 1, BINS], &values)
            };
            let [start, factor] = [list(|bin| bin.start), list(|bin| bin.factor)];
            let [low, high] = [list(|bin| bin.low), list(|bin| bin.high)];
            let distance = graph.node("Sub", &[&wide, &start]);
            let inside = graph.node("Mul", &[&distance, &factor]);
            let raised = graph.node("Max", &[&inside, &low]);
            graph.node("Min", &[&raised, &high])
        }
    };
    let dims = [count, embedding.basis.functions(), embedding.size];
    let weights = graph.floats(&dims, &embedding.weights);
    let product = graph.node("MatMul", &[&functions, &weights]);
    let bias = graph.floats(&[count, 1, embedding.size], &embedding.bias);
    let sum = graph.node("Add", &[&product, &bias]);
    if embedding.basis.keeps_number() {
        return graph.node_with("Concat", &[&wide, &sum], vec![int("axis", 2)]);
    }
    sum
}

/// cos(2 pi w x + b). The turns w x are reduced to a half turn in 64-bit floats, because far
/// numbers make many turns.
fn cosines(graph: &mut Graph, count: usize, frequencies: &[f32], phases: &[f32], x: &str) -> Name {
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let dims = [count, 1, PERIODS];
    let x = graph.cast(x, DataType::Double);
    let frequencies = graph.doubles(&dims, &wide(frequencies));
    let turns = graph.node("Mul", &[&x, &frequencies]);
    let half = graph.doubles(&[], &[0.5]);
    let shifted = graph.node("Add", &[&turns, &half]);
    let whole = graph.node("Floor", &[&shifted]);
    let rest = graph.node("Sub", &[&turns, &whole]);
    let rest = graph.cast(&rest, DataType::Float);
    let tau = graph.floats(&[], &[std::f32::consts::TAU]);
    let angle = graph.node("Mul", &[&rest, &tau]);
    let phases = graph.floats(&dims, phases);
    let angle = graph.node("Add", &[&angle, &phases]);
    graph.node("Cos", &[&angle])
}
