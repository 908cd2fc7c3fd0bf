//! Which models of a sweep become one, and how good that is.

use caviar_common::data::Task;
use caviar_metrics::{Measure, Predictions, Report, ensemble, temperature};
use caviar_model::{Kept, MAX_MEMBERS, Member, Model};

use crate::failure::Failure;

/// Rounds of the selection. Each adds a member, possibly one that was added before, so the smallest
/// share of a member is one round's.
const ROUNDS: usize = 50;

/// A model with its predictions.
pub(super) struct Selected {
    pub(super) model: Model,
    validation: Option<Predictions>,
    test: Option<Predictions>,
}

impl Selected {
    /// The model of one trial.
    pub(super) fn single(kept: &Kept) -> Self {
        Self {
            model: kept.model.clone(),
            validation: kept.validation.clone(),
            test: kept.test.clone(),
        }
    }

    /// An average of some of the models, chosen by their predictions for the validation split:
    /// greedily and with repetition, by the log loss of the average, or its RMSE with each label in
    /// deviations of the training split, so that labels of any unit count the same (Caruana et al.
    /// 2004). A trial with folds or repeats has many networks, so that fewer trials fit into a
    /// model.
    pub(super) fn ensemble(kept: &[Self]) -> anyhow::Result<Self> {
        let lists = |split: fn(&Self) -> Option<Predictions>| -> Option<Vec<Predictions>> {
            kept.iter().map(split).collect()
        };
        let no_predictions = || {
            Failure::hinted(
                "the models have no predictions for the validation split, which has too many rows",
                "without --ensemble the best model is written",
            )
        };
        let validations = lists(|it| it.validation.clone()).ok_or_else(no_predictions)?;
        let first = kept.first().ok_or_else(no_predictions)?;
        let measure = match first.model.schema().task() {
            Task::Classification => Measure::LogLoss,
            Task::Regression => Measure::Rmse,
        };
        let scales: Vec<f64> =
            first.model.schema().standards().iter().map(|standard| standard.scale).collect();
        let in_deviations = validations.iter().cloned().map(|it| it.scaled(&scales));
        let judged: Vec<Predictions> = in_deviations.collect();
        let networks = kept.iter().map(|it| it.model.members().len()).max().unwrap_or(1);
        let most = MAX_MEMBERS / networks.max(1);
        let weights = ensemble::select(&judged, measure, ROUNDS, most)?;
        let members = weights.iter().flat_map(|(number, weight)| {
            let members = kept.get(*number).map(|it| it.model.members()).unwrap_or_default();
            let weighted =
                move |member: &Member| Member { weight: weight * member.weight, ..member.clone() };
            members.iter().map(weighted)
        });
        let model = Model::new(first.model.schema().clone(), members.collect())?;
        let test = lists(|it| it.test.clone());
        Ok(Self {
            model,
            validation: Some(ensemble::average(&validations, &weights)?),
            test: test.map(|tests| ensemble::average(&tests, &weights)).transpose()?,
        })
    }

    /// The same model with its probabilities calibrated on the validation split by one temperature
    /// (Guo et al. 2017). A model of numbers stays as it is.
    pub(super) fn calibrated(self) -> anyhow::Result<Self> {
        let Self { model, validation, test } = self;
        let (Task::Classification, Some(judged)) = (model.schema().task(), &validation) else {
            return Ok(Self { model, validation, test });
        };
        let degree = temperature::fit(judged);
        let members = model.members().iter().map(|member| {
            let mut member = member.clone();
            member.about.temperature = degree;
            member
        });
        Ok(Self {
            model: Model::new(model.schema().clone(), members.collect())?,
            validation: Some(temperature::apply(degree, judged)),
            test: test.map(|test| temperature::apply(degree, &test)),
        })
    }

    /// The measures on the validation and the test split, as far as there are predictions.
    pub(super) fn reports(&self) -> Vec<(String, Report)> {
        let seed = self.model.members().first().map_or(0, |member| member.about.seed);
        let splits = [("validation", &self.validation), ("test", &self.test)];
        let reports = splits.into_iter().filter_map(|(name, predictions)| {
            Some((name.to_owned(), Report::of(predictions.as_ref()?, seed)))
        });
        reports.collect()
    }
}
