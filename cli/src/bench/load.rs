//! What the benchmark asks of the coordinator: its sweeps and its workers.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use caviar_common::assignment::Value;
use caviar_common::limits::{MAX_PARALLELISM, MAX_TRIALS};
use caviar_common::numbers::real_from_i64;
use caviar_common::spec::{
    Draft, DraftData, DraftParameter, DraftSearch, DraftStopping, StoppingRule, SweepSpec,
};
use serde::Serialize;

use super::arguments::Coordinator;
use super::schedule::Schedule;
use crate::failure::Failure;

/// Rows of the data set. The coordinator reads it once for each sweep, and no worker reads it.
const ROWS: i64 = 24;

/// The load, as the output states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    pub(crate) workers: u32,
    pub(crate) slots: u32,
    pub(crate) sweeps: u32,
    pub(crate) trials: u32,
    pub(crate) reports: u32,
    pub(crate) parallelism: u32,
    pub(crate) rate: Option<u32>,
    pub(crate) queries: u32,
    pub(crate) strategy: String,
    /// Whether connections use TLS and tokens.
    pub(crate) encrypted: bool,
}

impl Load {
    /// The load of these arguments. The default parallelism is enough for every slot.
    pub(crate) fn new(args: &Coordinator) -> Result<Self, Failure> {
        let Coordinator { workers, slots, sweeps, trials, reports, rate, queries, .. } = *args;
        if trials < sweeps {
            let message = format!("{sweeps} sweeps need at least {sweeps} trials, not {trials}");
            return Err(Failure::with_hints(message, Vec::new()).in_input());
        }
        if trials.div_ceil(sweeps) > MAX_TRIALS {
            let message = format!("a sweep has at most {MAX_TRIALS} trials");
            let hint = format!("share them: --sweeps {}", trials.div_ceil(MAX_TRIALS));
            return Err(Failure::hinted(message, hint).in_input());
        }
        let enough = workers.saturating_mul(slots).div_ceil(sweeps).min(MAX_PARALLELISM);
        let parallelism = args.parallelism.unwrap_or(enough);
        let strategy = args.strategy.clone();
        let encrypted = !args.insecure;
        Ok(Self {
            workers,
            slots,
            sweeps,
            trials,
            reports,
            parallelism,
            rate,
            queries,
            strategy,
            encrypted,
        })
    }

    /// When the trials end. With n trials in flight and a rate of r trials per second, a trial
    /// takes n / r seconds. For example, 1,000 slots and 500 trials per second make 2 s.
    pub(crate) fn schedule(&self) -> Schedule {
        let in_flight = self.all_slots().min(self.parallelism.saturating_mul(self.sweeps));
        let time =
            self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(in_flight.into()) / rate);
        Schedule::new(self.reports, time, self.parallelism)
    }

    /// Slots of all workers.
    pub(crate) const fn all_slots(&self) -> u32 {
        self.workers.saturating_mul(self.slots)
    }

    /// The numbers of the sweeps.
    pub(crate) const fn places(&self) -> Range<u32> {
        0..self.sweeps
    }

    /// The sweep with this number, from 0. The first ones have a trial more than the others if the
    /// trials cannot be divided evenly.
    pub(crate) fn sweep(&self, place: u32, data: &Path) -> Result<SweepSpec, Failure> {
        let is_larger = place < self.trials % self.sweeps;
        let trials = (self.trials / self.sweeps).saturating_add(u32::from(is_larger));
        self.spec(&sweep_name(place), trials, data)
    }

    /// A sweep like the others, with a name and a number of trials of its own.
    ///
    /// The networks of all trials have the same size, so an epoch costs the same virtual time in
    /// each of them, as it does in the simulated training.
    pub(crate) fn spec(&self, name: &str, trials: u32, data: &Path) -> Result<SweepSpec, Failure> {
        let fixed = [("epochs", i64::from(self.reports)), ("layers", 1), ("units", 8)];
        let draft = Draft {
            name: Some(name.to_owned()),
            seed: Some(7),
            data: DraftData {
                source: Some(data.display().to_string()),
                label: Some("label".to_owned()),
                ..DraftData::default()
            },
            fixed: fixed.map(|(name, value)| (name.to_owned(), Value::Int(value))).into(),
            space: Some(space()),
            search: DraftSearch {
                strategy: Some(self.strategy.clone()),
                trials: Some(trials.into()),
                parallelism: Some(self.parallelism.into()),
                ..DraftSearch::default()
            },
            stopping: DraftStopping { rule: Some(StoppingRule::None.name().to_owned()) },
            ..Draft::default()
        };
        draft.check().map_err(|problems| Failure::File { file: name.to_owned(), problems })
    }
}

/// The name of a sweep.
pub(crate) fn sweep_name(place: u32) -> String {
    format!("bench-{place}")
}

/// Four parameters, as a usual sweep of a network has.
fn space() -> Vec<DraftParameter> {
    let parameter = |name: &str, scale: &str, low: f64, high: f64| DraftParameter {
        name: name.to_owned(),
        scale: Some(scale.to_owned()),
        low: Some(Value::Float(low)),
        high: Some(Value::Float(high)),
        ..DraftParameter::default()
    };
    vec![
        parameter("learning_rate", "log", 1e-4, 1.0),
        parameter("momentum", "one_minus_log", 0.9, 0.999),
        parameter("weight_decay", "log", 1e-6, 1e-2),
        parameter("dropout", "linear", 0.0, 0.5),
    ]
}

/// A small data set with two classes, as CSV.
pub(crate) fn data() -> String {
    let row = |i| format!("{},{},{}\n", real_from_i64(i) / 7.0, i * i % 11, i % 2);
    (0..ROWS).fold("x,y,label\n".to_owned(), |text, i| text + &row(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(words: &str) -> Result<Load, String> {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Program {
            #[command(flatten)]
            arguments: Coordinator,
        }
        let words = ["bench"].into_iter().chain(words.split_whitespace());
        let arguments = Program::try_parse_from(words).map_err(|error| error.to_string())?;
        Load::new(&arguments.arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_trial_is_in_a_sweep_and_every_slot_can_be_busy() {
        let load = load("--workers 10 --slots 3 --sweeps 4 --trials 42").unwrap();
        assert_eq!(load.parallelism, 8);
        let specs = load.places().map(|place| load.sweep(place, Path::new("data.csv")).unwrap());
        let trials: Vec<u32> = specs.map(|spec| spec.search.trials).collect();
        assert_eq!(trials, [11, 11, 10, 10]);
    }

    #[test]
    fn a_trial_takes_as_long_as_the_rate_needs() {
        let time = |words| load(words).unwrap().schedule().time();
        assert_eq!(time("--workers 500 --slots 2 --rate 500"), Duration::from_secs(2));
        assert_eq!(time("--workers 500 --parallelism 100 --rate 500"), Duration::from_millis(200));
        assert_eq!(time("--workers 500"), Duration::ZERO);
    }

    #[test]
    fn the_limits_of_a_sweep_are_kept() {
        let most = load("--workers 10000 --slots 8 --trials 10").unwrap();
        assert_eq!(most.parallelism, MAX_PARALLELISM);
        assert!(load("--sweeps 3 --trials 2").unwrap_err().contains("at least 3 trials"));
        let many = format!("--trials {}", u64::from(MAX_TRIALS) + 1);
        assert!(load(&many).unwrap_err().contains("at most"));
        assert!(load("--workers 0").is_err());
        assert!(load("--strategy grid").is_err());
    }

    #[test]
    fn every_strategy_that_is_offered_makes_a_sweep() {
        for strategy in ["random", "sobol", "rounds", "zoom", "tpe"] {
            let load = load(&format!("--strategy {strategy} --trials 100")).unwrap();
            let spec = load.sweep(0, Path::new("data.csv")).unwrap();
            assert_eq!(spec.search.strategy.name(), strategy);
        }
    }
}
