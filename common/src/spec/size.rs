//! The largest network that a sweep can draw. A sweep whose largest network exceeds
//! [`MAX_WEIGHTS`] is refused before anything runs.

use super::SweepSpec;
use crate::assignment::{Assignment, Value};
use crate::data::DataSummary;
use crate::error::{Problem, Problems};
use crate::hyper::{self, DefaultValue};
use crate::ids::Name;
use crate::limits::MAX_WEIGHTS;
use crate::space::{Domain, Parameter};
use crate::text::one_of;

/// The trainer pads widths to a multiple of this many units, so they count as that wide.
const WIDTH_STEP: u64 = 16;

/// The hyperparameters with values that are learnt from all values of an input, and the values that
/// are not.
const IN_MEMORY_ONLY: [(&str, &[&str]); 2] =
    [("scaling", &["standard"]), ("embedding", &["none", "periodic"])];

/// The widest network with a given number of hidden layers.
struct Network {
    /// Units of each hidden layer.
    hidden: Vec<u64>,
    /// Weights of all layers, with padded widths.
    weights: u64,
}

impl SweepSpec {
    /// Checks what a new sweep must meet and a stored one need not, because stores hold sweeps that
    /// are older than the rule: the name is not a number, networks stay within the limit, the
    /// validation split has what the objective measures, and inputs in files are scaled as they can
    /// be.
    /// Without `data`, networks are checked as if they had one input and one output.
    ///
    /// # Errors
    /// Each rule that the sweep breaks.
    pub fn check_new(&self, data: Option<&DataSummary>) -> Result<(), Problems> {
        let problems = [
            Name::parse_sweep("name", self.name.as_str()).map(|_| ()),
            self.check_size(data),
            self.check_measure(data),
            self.check_stage(data),
        ];
        problems.into_iter().filter_map(Result::err).collect::<Problems>().into_result(())
    }

    fn check_size(&self, data: Option<&DataSummary>) -> Result<(), Problem> {
        if self.data.is_external() {
            return Ok(());
        }
        let (features, outputs) =
            data.map_or((1, 1), |data| (self.widest_input(data), u64::from(data.outputs)));
        let of_categories = data.map_or(0, |data| padded(data.category_weights()));
        let networks = self
            .layer_counts()
            .into_iter()
            .map(|layers| self.widest_network(&layers, features, outputs));
        let Some(largest) = networks
            .max_by_key(|network| network.weights)
            .filter(|network| network.weights.saturating_add(of_categories) > MAX_WEIGHTS)
        else {
            return Ok(());
        };
        let on = data.map_or_else(String::new, |data| {
            format!(" on {features} features and {} outputs", data.outputs)
        });
        let of_them = match of_categories {
            0 => String::new(),
            weights => format!(", {weights} of them for categories"),
        };
        let remedy = if of_categories > largest.weights {
            "ignore columns with very many categories"
        } else {
            "reduce units or layers"
        };
        let message = format!(
            "the largest network, {}{on}, has {} weights{of_them}: expected at most \
             {MAX_WEIGHTS}; {remedy}",
            described(&largest.hidden),
            largest.weights.saturating_add(of_categories)
        );
        Err(Problem::new(self.field_at_fault(), message))
    }

    /// Checks that nothing is learnt from all values of an input if the inputs are in files.
    fn check_stage(&self, data: Option<&DataSummary>) -> Result<(), Problem> {
        if !data.is_some_and(DataSummary::is_in_files) {
            return Ok(());
        }
        for (name, expected) in IN_MEMORY_ONLY {
            let is_refused =
                |value: &&Value| value.as_str().is_some_and(|value| !expected.contains(&value));
            let refused = |section: &str, value: &Value| {
                let message = format!(
                    "expected {} for inputs too large for memory",
                    one_of(expected.iter().copied())
                );
                Problem::with_value(format!("{section}.{name}"), value, message)
            };
            if let Some(value) = self.fixed.get(name).filter(is_refused) {
                return Err(refused("fixed", value));
            }
            let searched = self.space.get(name).map(|parameter| &parameter.domain);
            if let Some(Domain::Choice { values }) = searched
                && let Some(value) = values.iter().find(is_refused)
            {
                return Err(refused("space", value));
            }
        }
        Ok(())
    }

    /// The inputs of the first layer with the largest embedding.
    fn widest_input(&self, data: &DataSummary) -> u64 {
        let searched = self.space.get("embedding").map(|parameter| &parameter.domain);
        let kinds: Vec<&Value> = match searched {
            Some(Domain::Choice { values }) => values.iter().collect(),
            Some(Domain::Int { .. } | Domain::Float { .. }) | None => {
                self.fixed.get("embedding").into_iter().collect()
            }
        };
        let embeds = kinds.into_iter().any(|kind| kind.as_str().is_some_and(|it| it != "none"));
        let layers = Value::Int(1);
        let size = self.max_value("embedding_size", &layers, default("embedding_size"));
        let added = if embeds { u64::try_from(size - 1).unwrap_or(0) } else { 0 };
        data.first_inputs().saturating_add(u64::from(data.numbers).saturating_mul(added))
    }

    /// Every number of hidden layers that a trial can have.
    fn layer_counts(&self) -> Vec<Value> {
        let given =
            self.fixed.get("layers").cloned().unwrap_or_else(|| Value::Int(default("layers")));
        let Some(parameter) = self.space.get("layers") else { return vec![given] };
        let mut values = match &parameter.domain {
            Domain::Int { low, high, .. } => (*low..=*high).map(Value::Int).collect(),
            Domain::Choice { values } => values.clone(),
            Domain::Float { .. } => Vec::new(),
        };
        if parameter.when.is_some() {
            values.push(given);
        }
        values
    }

    fn widest_network(&self, layers: &Value, features: u64, outputs: u64) -> Network {
        let units = self.max_value("units", layers, default("units"));
        let width = |layer| {
            u64::try_from(self.max_value(&format!("units_{layer}"), layers, units)).unwrap_or(0)
        };
        let hidden: Vec<u64> = (1..=layers.as_i64().unwrap_or(0)).map(width).collect();
        let widths: Vec<u64> =
            std::iter::once(features).chain(hidden.iter().copied()).chain([outputs]).collect();
        let products = widths
            .iter()
            .zip(widths.iter().skip(1))
            .map(|(inputs, outputs)| padded(*inputs).saturating_mul(padded(*outputs)));
        Network { hidden, weights: products.fold(0, u64::saturating_add) }
    }

    /// The largest value of a whole hyperparameter in a network with `layers` hidden layers: its
    /// highest searched value if it is active, else the fixed value, else `otherwise`.
    fn max_value(&self, name: &str, layers: &Value, otherwise: i64) -> i64 {
        let otherwise = self.fixed.get(name).and_then(Value::as_i64).unwrap_or(otherwise);
        let Some(parameter) = self.space.get(name) else { return otherwise };
        let highest = parameter.domain.max_whole().unwrap_or(otherwise);
        match self.is_active(parameter, layers) {
            Some(true) => highest,
            Some(false) => otherwise,
            None => highest.max(otherwise),
        }
    }

    /// Whether a parameter is active in a network with `layers` hidden layers; `None` if its
    /// condition names another parameter.
    fn is_active(&self, parameter: &Parameter, layers: &Value) -> Option<bool> {
        match &parameter.when {
            None => Some(true),
            Some(condition) if condition.parameter == "layers" => {
                let assignment: Assignment =
                    std::iter::once(("layers".to_owned(), layers.clone())).collect();
                Some(self.space.is_active(parameter, &assignment))
            }
            Some(_) => None,
        }
    }

    /// The field to report: units before layers, `[space]` before `[fixed]`, else the data.
    fn field_at_fault(&self) -> String {
        let is_units = |name: &&str| *name == "units" || hyper::unit_layer(name).is_some();
        let searched: Vec<&str> = self.space.parameters().iter().map(|p| p.name.as_str()).collect();
        let fixed: Vec<&str> = self.fixed.iter().map(|(name, _)| name).collect();
        let in_section = |section: &str, names: &[&str]| {
            let name = names
                .iter()
                .copied()
                .find(is_units)
                .or_else(|| names.iter().copied().find(|name| *name == "layers"))?;
            Some(format!("{section}.{name}"))
        };
        in_section("space", &searched)
            .or_else(|| in_section("fixed", &fixed))
            .unwrap_or_else(|| "data.source".to_owned())
    }
}

/// A width as the trainer stores it.
const fn padded(width: u64) -> u64 {
    width.div_ceil(WIDTH_STEP).saturating_mul(WIDTH_STEP)
}

fn default(name: &str) -> i64 {
    match hyper::lookup(name).map(|row| row.default) {
        Some(DefaultValue::Whole(value)) => value,
        _ => 0,
    }
}

/// `64 layers of 8192 units` if all are equally wide, else `2 layers of 64, 32 units`.
fn described(hidden: &[u64]) -> String {
    let layers =
        if hidden.len() == 1 { "1 layer".to_owned() } else { format!("{} layers", hidden.len()) };
    match hidden {
        [first, rest @ ..] if rest.iter().all(|units| units == first) => {
            format!("{layers} of {first} units")
        }
        _ => format!(
            "{layers} of {} units",
            hidden.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
        ),
    }
}
