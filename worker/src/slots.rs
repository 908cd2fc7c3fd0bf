//! How many trials a worker trains at once if it is not told: as many as the processors that it may
//! really use.
//!
//! A batch job or a container rarely has the whole machine. The number is the least of what Slurm
//! gives to this task, what the processor affinity allows, and what the CPU quota of the cgroup
//! allows (v1 and v2).

use std::fmt;

use caviar_common::limits::MAX_SLOTS;
use caviar_common::numbers::to_u32;

/// The number of slots of this process and why it is that number. Its text is for the log:
/// `8 slots: Slurm gives 8 of 64 cores`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotChoice {
    slots: u32,
    reason: String,
    is_limited: bool,
}

impl SlotChoice {
    /// What this process may use now.
    pub fn detect() -> Self {
        Machine::read().choose(&|name| std::env::var(name).ok())
    }

    /// The number that the user gave.
    pub fn given(slots: u32) -> Self {
        Self { slots, reason: "as --slots says".to_owned(), is_limited: false }
    }

    /// The number of slots, from 1 to [`MAX_SLOTS`].
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// True if something leaves this process less than the machine has.
    pub const fn is_limited(&self) -> bool {
        self.is_limited
    }
}

impl fmt::Display for SlotChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slots, reason, .. } = self;
        write!(out, "{slots} slot{}: {reason}", if *slots == 1 { "" } else { "s" })
    }
}

/// The processors of this machine and of this process.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Processors that are online; `None` if the system does not tell.
    online: Option<u32>,
    /// Processors on which this process may run.
    affinity: Option<u32>,
    /// The least of the affinity and of the CPU quota of the cgroup.
    available: u32,
}

impl Machine {
    fn read() -> Self {
        let available = std::thread::available_parallelism();
        Self {
            online: online(),
            affinity: affinity(),
            available: available.map_or(1, |cores| to_u32(cores.get())),
        }
    }

    /// The least of all limits. `variable` returns an environment variable.
    fn choose(self, variable: &dyn Fn(&str) -> Option<String>) -> SlotChoice {
        let cores = self.online.or(self.affinity).unwrap_or(self.available);
        let mut slots = cores;
        let mut reason = format!("one for each of {cores} cores");
        let mut lower = |limit: u32, why: &str| {
            if limit < slots {
                slots = limit;
                reason = format!("{why} {limit} of {cores} cores");
            }
        };
        if let Some(given) = slurm_cpus(variable) {
            lower(given, "Slurm gives");
        }
        if let Some(affinity) = self.affinity {
            lower(affinity, "the processor affinity allows");
        }
        lower(self.available, "the CPU quota of the cgroup allows");
        if slots > MAX_SLOTS {
            slots = MAX_SLOTS;
            reason = format!("the most of a worker; there are {cores} cores");
        }
        SlotChoice { slots: slots.max(1), is_limited: slots < cores, reason }
    }
}

/// What Slurm gives to one task on this node: the processors of the task if the job asked for a
/// number, or else an equal share of those on the node. `None` outside Slurm.
fn slurm_cpus(variable: &dyn Fn(&str) -> Option<String>) -> Option<u32> {
    let number = |name| variable(name)?.trim().parse::<u32>().ok().filter(|number| *number > 0);
    if let Some(cpus) = number("SLURM_CPUS_PER_TASK") {
        return Some(cpus);
    }
    let cpus = number("SLURM_CPUS_ON_NODE")?;
    // Only srun starts several tasks on a node; each of them has a number.
    let tasks = variable("SLURM_LOCALID").and_then(|_| {
        tasks_on_node(&variable("SLURM_STEP_TASKS_PER_NODE")?, number_of_node(variable)?)
    });
    Some((cpus / tasks.unwrap_or(1).max(1)).max(1))
}

fn number_of_node(variable: &dyn Fn(&str) -> Option<String>) -> Option<usize> {
    variable("SLURM_NODEID")?.trim().parse().ok()
}

/// The number of tasks on the node of this number. `2(x3),1` is 2 tasks on each of three nodes and
/// 1 on the fourth.
fn tasks_on_node(list: &str, node: usize) -> Option<u32> {
    let mut first = 0_usize;
    for part in list.split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.trim_end_matches(')').parse().ok()?),
            None => (part, 1_usize),
        };
        first = first.saturating_add(nodes);
        if node < first {
            return tasks.trim().parse().ok();
        }
    }
    None
}

#[cfg(target_os = "linux")]
fn affinity() -> Option<u32> {
    use nix::sched::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok()?;
    let cores = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count();
    Some(to_u32(cores)).filter(|cores| *cores > 0)
}

/// Other systems have no affinity that limits a process.
#[cfg(not(target_os = "linux"))]
const fn affinity() -> Option<u32> {
    None
}

fn online() -> Option<u32> {
    use nix::unistd::{SysconfVar, sysconf};
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok()??;
    u32::try_from(online).ok().filter(|cores| *cores > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(machine: (u32, u32, u32), variables: &[(&str, &str)]) -> String {
        let (online, affinity, available) = machine;
        let machine = Machine { online: Some(online), affinity: Some(affinity), available };
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        machine.choose(&variable).to_string()
    }

    #[test]
    fn the_least_limit_counts_and_is_named() {
        let step = |tasks, node| {
            vec![
                ("SLURM_CPUS_ON_NODE", "8"),
                ("SLURM_LOCALID", "0"),
                ("SLURM_STEP_TASKS_PER_NODE", tasks),
                ("SLURM_NODEID", node),
            ]
        };
        for (machine, variables, expected) in [
            ((64, 64, 64), vec![], "64 slots: one for each of 64 cores"),
            (
                (64, 64, 64),
                vec![("SLURM_CPUS_PER_TASK", "8")],
                "8 slots: Slurm gives 8 of 64 cores",
            ),
            ((64, 64, 64), vec![("SLURM_CPUS_ON_NODE", "2")], "2 slots: Slurm gives 2 of 64 cores"),
            ((64, 64, 64), step("4", "0"), "2 slots: Slurm gives 2 of 64 cores"),
            ((64, 64, 64), step("2(x3),8", "2"), "4 slots: Slurm gives 4 of 64 cores"),
            ((64, 64, 64), step("2(x3),8", "3"), "1 slot: Slurm gives 1 of 64 cores"),
            ((64, 64, 64), step("2(x3),8", "4"), "8 slots: Slurm gives 8 of 64 cores"),
            (
                (64, 4, 4),
                vec![("SLURM_CPUS_PER_TASK", "8")],
                "4 slots: the processor affinity allows 4 of 64 cores",
            ),
            ((64, 64, 3), vec![], "3 slots: the CPU quota of the cgroup allows 3 of 64 cores"),
            ((64, 64, 64), vec![("SLURM_CPUS_PER_TASK", "")], "64 slots: one for each of 64 cores"),
            (
                (64, 64, 64),
                vec![("SLURM_CPUS_PER_TASK", "0")],
                "64 slots: one for each of 64 cores",
            ),
            ((2, 2, 2), vec![("SLURM_CPUS_PER_TASK", "8")], "2 slots: one for each of 2 cores"),
        ] {
            assert_eq!(chosen(machine, &variables), expected);
        }
        let all = chosen((5_000, 5_000, 5_000), &[]);
        assert_eq!(all, "4096 slots: the most of a worker; there are 5000 cores");
    }

    #[test]
    fn this_machine_has_a_slot() {
        assert!((1..=MAX_SLOTS).contains(&SlotChoice::detect().slots()));
    }
}
