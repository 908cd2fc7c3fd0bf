//! `config.json`: a description of a model that people and programs can read.

use caviar_common::data::ColumnType;
use caviar_common::numbers::index;
use caviar_data::{Encoding, InputColumn, Parts, Schema};
use serde_json::{Value, json};

use crate::input::{Basis, CATEGORY_COLUMNS, CategoryEmbedding, InputStage, NumberScaling};
use crate::model::{Layer, Member, Model, Place};

impl Model {
    /// The content of `config.json`: the task, the label, the inputs of the network by name, where
    /// each network is from and its layers, and the schema with every mean and deviation.
    pub fn config(&self) -> Value {
        let schema = self.schema();
        let mut config = json!({
            "format": "caviar-model",
            "task": schema.task().name(),
            "label": schema.label.name,
            "classes": schema.label.classes,
            "features": self.feature_names(),
            "members": self.members().iter().map(member).collect::<Vec<Value>>(),
            "schema": schema,
        });
        // Only several labels have a list of them.
        if let (false, Some(config)) = (schema.more_labels.is_empty(), config.as_object_mut()) {
            let labels = schema.labels().map(|label| label.name.as_str()).collect::<Vec<_>>();
            config.insert("labels".to_owned(), json!(labels));
        }
        config
    }

    /// A name for each input of the network, in order, such as `age`, `age is missing`,
    /// `color = red`, `day: sine of the year` or `pixel_0_27`.
    pub fn feature_names(&self) -> Vec<String> {
        names(self.schema())
    }
}

fn member(member: &Member) -> Value {
    json!({
        "weight": member.weight,
        "about": member.about,
        "parameters": member.parameters(),
        "stage": stage(&member.stage),
        "layers": member.layers.iter().map(layer).collect::<Vec<Value>>(),
    })
}

/// What is before the first layer; null if there is nothing.
fn stage(stage: &InputStage) -> Value {
    if stage.is_empty() {
        return Value::Null;
    }
    let scaling = match &stage.scaling {
        NumberScaling::Standard => "standard",
        NumberScaling::Robust { .. } => "robust",
        NumberScaling::Quantile(_) => "quantile",
    };
    let embedding = stage.embedding.as_ref().map(|embedding| {
        let basis = match &embedding.basis {
            Basis::Periodic { .. } => "periodic",
            Basis::PiecewiseLinear { .. } => "piecewise_linear",
        };
        json!({ "kind": basis, "size": embedding.columns() })
    });
    let mut config = json!({
        "numbers": stage.numbers,
        "scaling": scaling,
        "embedding": embedding,
        "factors": stage.factors.is_some(),
    });
    // Only data with such categories have a list of them.
    if let (false, Some(config)) = (stage.categories.is_empty(), config.as_object_mut()) {
        let category = |it: &CategoryEmbedding| {
            let (input, values) = (it.place, it.values);
            json!({ "input": input, "values": values, "size": CATEGORY_COLUMNS })
        };
        let categories = stage.categories.iter().map(category).collect::<Vec<Value>>();
        config.insert("categories".to_owned(), json!(categories));
    }
    config
}

fn layer(layer: &Layer) -> Value {
    let norm = layer.norm.as_ref().map(|norm| {
        let place = match norm.place {
            Place::BeforeActivation => "before_activation",
            Place::AfterActivation => "after_activation",
        };
        json!({ "place": place, "epsilon": f64::from(norm.epsilon) })
    });
    json!({
        "inputs": layer.inputs,
        "outputs": layer.outputs,
        "bias": layer.bias.is_some(),
        "activation": layer.activation,
        "batch_norm": norm,
    })
}

fn names(schema: &Schema) -> Vec<String> {
    if let Some([height, width]) = schema.pixels {
        let lines = 0..height;
        return lines.flat_map(|y| (0..width).map(move |x| format!("pixel_{y}_{x}"))).collect();
    }
    let columns = schema.columns.iter().zip(schema.encodings());
    columns.flat_map(|(column, encoding)| names_of_column(column, encoding)).collect()
}

fn names_of_column(column: &InputColumn, encoding: &Encoding) -> Vec<String> {
    let name = &column.name;
    let with_indicator = |has_indicator: bool| {
        let missing = has_indicator.then(|| format!("{name} is missing"));
        [name.clone()].into_iter().chain(missing).collect()
    };
    match encoding {
        Encoding::Number { number } => with_indicator(number.has_indicator),
        Encoding::Binary { positive, has_indicator } => {
            let mut names: Vec<String> = with_indicator(*has_indicator);
            let positive = index(*positive);
            if column.kind == ColumnType::Category
                && let (Some(first), Some(text)) =
                    (names.first_mut(), column.categories.get(positive))
            {
                *first = format!("{name} = {text}");
            }
            names
        }
        Encoding::OneHot(one_hot) => {
            let input = |slot: u32| {
                let of_slot = |&(_, other): &(&String, &Option<u32>)| *other == Some(slot);
                let mut texts = column.categories.iter().zip(&one_hot.slots).filter(of_slot);
                match (texts.next(), texts.next()) {
                    (Some((text, _)), None) => format!("{name} = {text}"),
                    (Some(_), Some(_)) => format!("{name} is rare"),
                    (None, _) => format!("{name} is missing"),
                }
            };
            (0..one_hot.width).map(input).collect()
        }
        Encoding::Embedded(_) => vec![name.clone()],
        Encoding::Date { days, parts } => {
            let mut names: Vec<String> = with_indicator(days.has_indicator);
            names.extend(names_of_parts(name, *parts));
            names
        }
        Encoding::Season { parts } => names_of_parts(name, *parts).collect(),
    }
}

fn names_of_parts(name: &str, parts: Parts) -> impl Iterator<Item = String> {
    let periods = [(parts.year, "year"), (parts.week, "week"), (parts.day, "day")];
    let used = periods.into_iter().filter(|(varies, _)| *varies);
    used.flat_map(move |(_, period)| {
        ["sine", "cosine"].map(|curve| format!("{name}: {curve} of the {period}"))
    })
}
