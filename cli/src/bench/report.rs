//! What the benchmark found: one JSON object, or tables for people.

use std::io::{self, Write};

use caviar_common::numbers::{real, to_usize};
use serde::Serialize;

use super::load::Load;
use super::prober::Queries;
use super::recovery::Recovery;
use super::statistics::Percentiles;
use crate::show;
use crate::show::page::{Page, Tone};
use crate::show::table::{Cell, Column, Table};
use crate::show::text::{count, number};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was asked for.
    #[serde(flatten)]
    pub(crate) load: Load,
    /// Trials that ended. Fewer than `trials` if the load was ended early.
    pub(crate) finished_trials: u64,
    /// From the first grant to the last acknowledged end of a trial.
    pub(crate) seconds: f64,
    pub(crate) trials_per_second: f64,
    pub(crate) reports_per_second: f64,
    /// From sending the result of a trial to the next grant of a trial for the same slot.
    pub(crate) grant_ms: Percentiles,
    /// From the time at which a request was due to the end of its reply.
    pub(crate) queries_ms: Queries,
    /// Leases that the coordinator took away. Each costs a repeated training.
    pub(crate) revoked_leases: u64,
    pub(crate) cpu_seconds: CpuSeconds,
    /// The share of a core that the coordinator used before the load, with every worker connected;
    /// `None` if that was not measured.
    pub(crate) idle_cpu_share: Option<f64>,
    pub(crate) memory_bytes: MemoryBytes,
    pub(crate) store_bytes: StoreBytes,
    pub(crate) recovery: Recovery,
}

/// Processor time during the load; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct CpuSeconds {
    pub(crate) coordinator: Option<f64>,
    pub(crate) load_generator: Option<f64>,
}

/// Resident memory of the coordinator; `None` where the system does not tell, and for a trial if
/// none has ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct MemoryBytes {
    /// With the sweeps, before any worker connects.
    pub(crate) idle: Option<u64>,
    /// With every worker connected, before any trial is granted.
    pub(crate) connected: Option<u64>,
    /// After the load.
    pub(crate) loaded: Option<u64>,
    pub(crate) per_session: Option<u64>,
    pub(crate) per_finished_trial: Option<u64>,
}

impl MemoryBytes {
    /// Divides what was added by the sessions and by the trials that added it.
    pub(crate) fn new(resident: [Option<u64>; 3], sessions: u64, trials: u64) -> Self {
        let [idle, connected, loaded] = resident;
        let share = |from: Option<u64>, to: Option<u64>, count: u64| {
            to?.saturating_sub(from?).checked_div(count)
        };
        let per_session = share(idle, connected, sessions);
        let per_finished_trial = share(connected, loaded, trials);
        Self { idle, connected, loaded, per_session, per_finished_trial }
    }
}

/// The size of the store after the load, with its write-ahead log of a few megabytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StoreBytes {
    pub(crate) total: u64,
    /// What the load added, divided by the trials that ended; `None` if none did.
    pub(crate) per_finished_trial: Option<u64>,
}

impl Report {
    /// Writes one JSON object.
    pub(crate) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        show::json(out, self)
    }

    /// Writes tables.
    pub(crate) fn text(&self, out: &mut impl Write, page: Page) -> io::Result<()> {
        let load = &self.load;
        let summary = format!(
            "{}, {}, {} of {} with {}, {} in flight in each sweep, {}{}{}",
            count(load.workers.into(), "worker"),
            count(load.all_slots().into(), "slot"),
            count(load.sweeps.into(), "sweep"),
            count(load.trials.into(), "trial"),
            count(load.reports.into(), "report"),
            load.parallelism,
            load.strategy,
            load.rate.map_or_else(String::new, |rate| format!(", {rate} trials per second")),
            if load.encrypted { "" } else { ", without encryption" },
        );
        page.write(out, Tone::Faint, 2, &summary)?;
        writeln!(out)?;
        self.figures().write(out, page)?;
        writeln!(out)?;
        self.latencies().write(out, page)
    }

    fn figures(&self) -> Table {
        let mut table = Table::new(["", "", ""].map(Column::new));
        let mut row = |name: &str, figure: String, remark: String| {
            let figure = Cell::new(Tone::Strong, figure);
            table.row([Cell::from(name), figure, Cell::new(Tone::Faint, remark)]);
        };
        let trials = count(self.finished_trials, "trial");
        let during = format!("{trials} in {} s", number(self.seconds));
        row("trials per second", number(self.trials_per_second), during);
        row("reports per second", number(self.reports_per_second), String::new());
        let cpu = &self.cpu_seconds;
        let each = |seconds: Option<f64>| self.milliseconds_per_trial(seconds);
        row("CPU, coordinator", seconds(cpu.coordinator), each(cpu.coordinator));
        row("CPU, load generator", seconds(cpu.load_generator), each(cpu.load_generator));
        if let Some(share) = self.idle_cpu_share {
            let remark = "of a core, with the workers connected and nothing to do".to_owned();
            row("CPU, idle coordinator", format!("{} %", number(share * 1e2)), remark);
        }
        let memory = &self.memory_bytes;
        let idle = format!("{} without workers", bytes(memory.idle));
        row("memory per session", bytes(memory.per_session), idle);
        let loaded = format!("{} after the load", bytes(memory.loaded));
        row("memory per finished trial", bytes(memory.per_finished_trial), loaded);
        let total = format!("{} in all", bytes(Some(self.store_bytes.total)));
        row("store per finished trial", bytes(self.store_bytes.per_finished_trial), total);
        row("revoked leases", self.revoked_leases.to_string(), String::new());
        let recovery = &self.recovery;
        row("recovery, first reply", seconds(Some(recovery.reply_seconds)), recovery.summary());
        row("recovery, first worker", seconds(Some(recovery.welcome_seconds)), String::new());
        table
    }

    /// Time of the whole load, divided by the trials that ended.
    fn milliseconds_per_trial(&self, seconds: Option<f64>) -> String {
        let trials = real(to_usize(self.finished_trials));
        seconds
            .filter(|_| self.finished_trials > 0)
            .map_or_else(String::new, |it| format!("{} ms a trial", number(it * 1e3 / trials)))
    }

    fn latencies(&self) -> Table {
        let mut table = Table::new(["milliseconds", "p50", "p99", "max", "count"].map(Column::new));
        let queries = &self.queries_ms;
        for (name, percentiles) in [
            ("grant after a result", self.grant_ms),
            ("GetSweep", queries.get_sweep),
            ("GetBest", queries.get_best),
            ("ListTrials by number", queries.list_trials_by_number),
            ("ListTrials by objective", queries.list_trials_by_objective),
        ] {
            let Percentiles { count, p50, p99, max } = percentiles;
            let [p50, p99, max] = [p50, p99, max].map(number);
            table.row([name.to_owned(), p50, p99, max, count.to_string()]);
        }
        table
    }
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "?".to_owned(), |seconds| format!("{} s", number(seconds)))
}

/// A size in bytes, kilobytes or megabytes.
fn bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return "?".to_owned() };
    let real = real(to_usize(bytes));
    match bytes {
        0..10_000 => count(bytes, "byte"),
        10_000..10_000_000 => format!("{} kB", number(real / 1e3)),
        _ => format!("{} MB", number(real / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_divided_among_what_needed_it() {
        let memory = MemoryBytes::new([Some(1_000), Some(3_000), Some(9_000)], 10, 20);
        assert_eq!((memory.per_session, memory.per_finished_trial), (Some(200), Some(300)));
        let unknown = MemoryBytes::new([Some(5), Some(3), None], 10, 20);
        assert_eq!((unknown.per_session, unknown.per_finished_trial), (Some(0), None));
        let without = MemoryBytes::new([Some(1), Some(2), Some(3)], 1, 0);
        assert_eq!((without.per_session, without.per_finished_trial), (Some(1), None));
    }

    #[test]
    fn sizes_have_a_unit_that_suits_them() {
        for (size, text) in [
            (Some(1), "1 byte"),
            (Some(300), "300 bytes"),
            (Some(123_400), "123.4 kB"),
            (Some(25_000_000), "25 MB"),
            (None, "?"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }
}
