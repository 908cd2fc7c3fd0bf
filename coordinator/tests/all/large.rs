//! The largest legal sweep file: 64 parameters with choices of thousands of characters, and many
//! trials in flight.

use std::fmt::Write;

use caviar_common::assignment::Value;
use caviar_common::data::DataSummary;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::numbers::index;
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Rows, Store};
use caviar_core::Coordinator;
use caviar_core::input::{Config, Input};

use crate::support::{append_with, loaded, name};

const PARAMETERS: usize = 64;
const IN_FLIGHT: u32 = 4_096;

fn largest() -> SweepSpec {
    let mut text = format!(
        "name = \"large\"\n[data]\nsource = \"external\"\n[objective]\nmetric = \"m\"\n\
         goal = \"minimize\"\n[search]\nstrategy = \"rounds\"\ntrials = {}\n\
         rounds = [{IN_FLIGHT}, 4]\nparallelism = {IN_FLIGHT}\n[space]\n",
        IN_FLIGHT + 4
    );
    for parameter in 0..PARAMETERS {
        let choice = |letter: &str| format!("\"{parameter}{}\"", letter.repeat(3_900));
        let choices = ["a", "b", "c", "d"].map(choice).join(", ");
        writeln!(text, "p{parameter} = {{ choices = [{choices}] }}").unwrap();
    }
    assert!((990_000..1 << 20).contains(&text.len()), "{}", text.len());
    parse(&text).unwrap().spec
}

#[test]
fn the_largest_sweep_file_with_many_trials_takes_megabytes_and_not_gigabytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let mut store = SqliteStore::open(&path).unwrap();
    let mut core = Coordinator::new(Config::default(), store.id());
    let (request_id, spec) = (name("r"), Box::new(largest()));
    let create =
        Input::CreateSweep { request_id, spec, data: DataSummary::default(), for_slots: None };
    let step = core.step(0, create).unwrap();
    assert_eq!(step.events.len(), 1 + index(IN_FLIGHT));
    let json: usize = step.events.iter().map(|it| serde_json::to_string(it).unwrap().len()).sum();
    assert!(json < 10 << 20, "{json} bytes of events");
    let rows = core.take_rows();
    let sweeps = rows.sweeps.iter().filter_map(|id| core.sweep(*id)).collect();
    let expected = rows.trials[index(IN_FLIGHT) - 1].1.clone();
    append_with(&mut store, &step.events, Rows { sweeps, trials: rows.trials }).unwrap();
    let shown = store.readers().unwrap().open().unwrap();
    let shown = { shown }.trial(SweepId(1), TrialNumber(IN_FLIGHT - 1)).unwrap().unwrap();
    assert_eq!(shown.assignment, expected.assignment);
    assert_eq!(shown.reason, expected.reason);
    assert_eq!(shown.assignment.len(), PARAMETERS);
    assert!(matches!(shown.assignment.get("p7"), Some(Value::Text(text)) if text.len() > 3_900));
    assert_eq!(loaded(&mut store), step.events);
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 32 << 20, "{bytes} bytes on disk");
}
