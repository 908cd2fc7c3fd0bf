//! `caviar evaluate`: how well a model predicts rows whose labels are known.

use std::io::Write;

use caviar_common::numbers::{index, single};
use caviar_data::{RowBatch, Truth};
use caviar_metrics::{Predictions, Report};
use caviar_model::Model;
use caviar_nn::Predictor;
use serde::Serialize;

use super::figures;
use super::rows::{BATCH, in_input, open, tell};
use crate::args::models::Evaluate;
use crate::failure::Failure;
use crate::show;
use crate::show::page::{Page, Tone};
use crate::show::text;

#[derive(Serialize)]
struct Evaluation<'a> {
    model: String,
    data: String,
    class_names: &'a [String],
    /// The labels, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<&'a str>,
    left_out: u64,
    #[serde(flatten)]
    report: &'a Report,
}

/// Predicts the rows and writes the measures.
pub(crate) fn evaluate(args: &Evaluate) -> anyhow::Result<()> {
    let model = super::load(&args.model)?;
    let schema = model.schema();
    let mut reader = open(schema, &args.rows, args.labels.as_deref(), true)?;
    let mut judged = Judged::new(&model);
    let mut predictor = Predictor::new(&model)?;
    let (mut batch, mut predicted) = (RowBatch::default(), Vec::new());
    while reader.read(&mut batch, BATCH).map_err(|error| in_input(&error))? > 0 {
        predictor.predict(batch.features(), &mut predicted)?;
        judged.add(batch.truth(), &predicted);
    }
    tell(schema, reader.counts());
    let seed = model.members().first().map_or(0, |member| member.about.seed);
    let report = Report::of(&judged.predictions(&args.rows.data.display().to_string())?, seed);
    let mut out = show::stdout();
    if args.json {
        let evaluation = Evaluation {
            model: args.model.display().to_string(),
            data: args.rows.data.display().to_string(),
            class_names: &schema.label.classes,
            labels: figures::several(schema),
            left_out: reader.counts().unlabelled + reader.counts().unknown_classes,
            report: &report,
        };
        show::json(&mut out, &evaluation)?;
    } else {
        let page = Page::of_stdout();
        let rows = text::count(caviar_common::numbers::to_u64(report.rows), "row");
        let headline = format!("{}: {rows}", args.rows.data.display());
        page.write(&mut out, Tone::Strong, 2, &headline)?;
        figures::table(&[("value [95 % interval]", &report)]).write(&mut out, page)?;
        if let Some(table) = figures::outputs(&report, schema) {
            writeln!(out)?;
            table.write(&mut out, page)?;
        }
        if let Some(table) = figures::classes(&report, &schema.label.classes) {
            writeln!(out)?;
            table.write(&mut out, page)?;
        }
    }
    Ok(out.flush()?)
}

/// The predictions so far, next to the truth.
struct Judged {
    classes: usize,
    /// How many numbers are predicted for a row.
    labels: usize,
    truth: Vec<u32>,
    probabilities: Vec<f32>,
    values: Vec<f64>,
    predicted: Vec<f64>,
}

impl Judged {
    fn new(model: &Model) -> Self {
        Self {
            classes: model.schema().label.classes.len(),
            labels: model.schema().labels().count(),
            truth: Vec::new(),
            probabilities: Vec::new(),
            values: Vec::new(),
            predicted: Vec::new(),
        }
    }

    /// Adds rows. Those of a class that the model does not know are left out.
    fn add(&mut self, truth: Option<&Truth>, predicted: &[f64]) {
        match truth {
            Some(Truth::Classes(classes)) => {
                for (class, row) in classes.iter().zip(predicted.chunks(self.classes.max(1))) {
                    if let Some(class) = class.filter(|class| index(*class) < self.classes) {
                        self.truth.push(class);
                        self.probabilities.extend(row.iter().map(|value| single(*value)));
                    }
                }
            }
            Some(Truth::Values(values)) => {
                self.values.extend_from_slice(values);
                self.predicted.extend_from_slice(predicted);
            }
            None => {}
        }
    }

    fn predictions(self, path: &str) -> anyhow::Result<Predictions> {
        let predictions = if self.classes > 0 {
            Predictions::from_probabilities(self.classes, self.truth, self.probabilities)
        } else {
            Predictions::from_rows(self.labels, self.values, self.predicted)
        };
        Ok(predictions.map_err(|error| {
            let hint = "the labels are compared with those of the training as they are written";
            Failure::hinted(format!("{path} cannot be judged: {error}"), hint).in_input()
        })?)
    }
}
