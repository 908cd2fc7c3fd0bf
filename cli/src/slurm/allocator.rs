//! When workers are submitted and when their jobs are cancelled: a pure state machine.
//!
//! ```text
//!   demand, workers and queue --look--> Allocator --> Submit | Cancel | Say
//!                      the result of sbatch --submitted--^
//! ```
//!
//! It is called once for each look at the coordinator and the queue. It wants a job if more trials
//! are in flight than there are slots, those of the jobs on their way included. At most `backlog`
//! jobs wait in the queue, so that a change of the demand costs little, and the queue of the
//! cluster is not flooded.
//!
//! A job *starts* when its worker connects. A job that fails before that is a failed start: a wrong
//! path, or a node that cannot reach the coordinator. The next one would fail alike, so three of
//! them in a row pause the allocator, and so do ten failed submissions.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::{JobId, JobState};

/// Failed submissions in a row after which nothing more is submitted.
const MAX_FAILED_SUBMISSIONS: u32 = 10;
/// Failed starts in a row after which nothing more is submitted.
const MAX_FAILED_STARTS: u32 = 3;
/// Looks without any demand after which queued jobs are cancelled. Between two decisions of a sweep
/// no trial may wait for a moment.
const QUIET_LOOKS: u32 = 2;
/// The wait after a failed submission doubles up to this number of looks.
const MAX_WAIT_LOOKS: u32 = 32;

/// The limits that the user sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most jobs, queued and running.
    pub(crate) max: u32,
    /// Most jobs that wait in the queue at once.
    pub(crate) backlog: u32,
    /// Slots of a job; `None` if only its worker will tell.
    pub(crate) slots_per_job: Option<u32>,
}

/// What the coordinator says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    /// Trials that could run now, waiting or held by a worker, minus the slots of all workers.
    pub(crate) missing_slots: u32,
    /// The slots of the workers that are connected, by the numbers of their jobs.
    pub(crate) connected: BTreeMap<String, u32>,
}

/// What the caller should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Submit one job and report the result to [`Allocator::submitted`].
    Submit,
    /// Cancel these jobs, which are still queued.
    Cancel(Vec<JobId>),
    /// Tell the user about a pause or its end.
    Say(String),
}

/// A job that was submitted and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracked {
    Queued,
    /// It has its nodes, and its worker has not connected.
    Starting,
    /// Its worker has connected.
    Started,
}

/// The jobs that are under way, and what went wrong with earlier ones.
#[derive(Debug)]
pub(crate) struct Allocator {
    limits: Limits,
    jobs: BTreeMap<JobId, Tracked>,
    cancelled: BTreeSet<JobId>,
    /// The slots of the worker that connected last.
    seen_slots: Option<u32>,
    failed_submissions: u32,
    failed_starts: u32,
    /// Looks until the next submission may be tried.
    wait_looks: u32,
    quiet_looks: u32,
    /// The slots that were missing at the last look.
    missing_slots: u32,
    is_paused: bool,
}

impl Allocator {
    /// An allocator without jobs.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            jobs: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            seen_slots: None,
            failed_submissions: 0,
            failed_starts: 0,
            wait_looks: 0,
            quiet_looks: 0,
            missing_slots: 0,
            is_paused: false,
        }
    }

    /// Decides after a look at the coordinator and at the queue. `queue` is `None` if Slurm did not
    /// answer: then nothing is known to have changed, and nothing is submitted.
    pub(crate) fn look(
        &mut self,
        demand: &Demand,
        queue: Option<&BTreeMap<JobId, JobState>>,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(queue) = queue else { return steps };
        self.note_workers(demand);
        self.note_queue(queue, &mut steps);
        self.quiet_looks =
            if demand.missing_slots == 0 { self.quiet_looks.saturating_add(1) } else { 0 };
        if self.quiet_looks >= QUIET_LOOKS {
            steps.extend(self.cancel_queued());
        }
        self.wait_looks = self.wait_looks.saturating_sub(1);
        self.missing_slots = demand.missing_slots;
        if self.wants_job() {
            steps.push(Step::Submit);
        }
        steps
    }

    /// Takes over the jobs of an earlier allocator. Those that have ended are left out. Returns how
    /// many it has now.
    pub(crate) fn adopt(&mut self, jobs: impl IntoIterator<Item = (JobId, JobState)>) -> usize {
        for (job, state) in jobs {
            let tracked = match state {
                JobState::Queued => Tracked::Queued,
                JobState::Running => Tracked::Starting,
                JobState::Completed | JobState::Cancelled | JobState::Failed => continue,
            };
            self.jobs.insert(job, tracked);
        }
        self.jobs.len()
    }

    /// The jobs that were submitted or adopted and have not ended.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.jobs.keys()
    }

    /// Notes the result of a submission. Returns the next step: another submission, if there is
    /// room for one in the queue.
    pub(crate) fn submitted(&mut self, result: Result<JobId, String>) -> Option<Step> {
        match result {
            Ok(job) => {
                self.failed_submissions = 0;
                self.jobs.insert(job, Tracked::Queued);
                self.wants_job().then_some(Step::Submit)
            }
            Err(why) => {
                self.failed_submissions = self.failed_submissions.saturating_add(1);
                let doubled = 1_u32.checked_shl(self.failed_submissions).unwrap_or(MAX_WAIT_LOOKS);
                self.wait_looks = doubled.min(MAX_WAIT_LOOKS);
                let count = self.failed_submissions;
                Some(if count >= MAX_FAILED_SUBMISSIONS {
                    self.pause(&format!(
                        "{count} submissions in a row failed, the last with: {why}"
                    ))
                } else {
                    Step::Say(format!(
                        "submission {count} of at most {MAX_FAILED_SUBMISSIONS} in a \
                                       row failed: {why}"
                    ))
                })
            }
        }
    }

    /// The step that cancels all queued jobs, if there are any.
    pub(crate) fn cancel_queued(&mut self) -> Option<Step> {
        let is_queued = |state: &Tracked| *state == Tracked::Queued;
        let queued: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(job, state)| is_queued(state) && !self.cancelled.contains(*job))
            .map(|(job, _)| job.clone())
            .collect();
        self.cancelled.extend(queued.iter().cloned());
        (!queued.is_empty()).then_some(Step::Cancel(queued))
    }

    /// Submits again after a pause.
    pub(crate) fn resume(&mut self) {
        self.is_paused = false;
        self.failed_submissions = 0;
        self.failed_starts = 0;
        self.wait_looks = 0;
    }

    /// The number of its jobs that have their nodes.
    pub(crate) fn running(&self) -> usize {
        self.jobs.values().filter(|state| **state != Tracked::Queued).count()
    }

    /// The number of its jobs in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.jobs.len().saturating_sub(self.running())
    }

    fn pause(&mut self, why: &str) -> Step {
        self.is_paused = true;
        Step::Say(format!(
            "paused: {why}\nhint: fix the cause, then continue with: kill -USR1 {}",
            std::process::id()
        ))
    }

    fn note_workers(&mut self, demand: &Demand) {
        for (job, state) in &mut self.jobs {
            if *state != Tracked::Started
                && let Some(slots) = demand.connected.get(job.number())
            {
                *state = Tracked::Started;
                self.seen_slots = Some(*slots);
                self.failed_starts = 0;
            }
        }
    }

    /// Notes what became of each job.
    fn note_queue(&mut self, queue: &BTreeMap<JobId, JobState>, steps: &mut Vec<Step>) {
        let jobs: Vec<(JobId, Tracked)> =
            self.jobs.iter().map(|(job, state)| (job.clone(), *state)).collect();
        for (job, before) in jobs {
            let now = queue.get(&job);
            match now {
                Some(JobState::Queued) => {
                    self.jobs.insert(job, Tracked::Queued);
                }
                Some(JobState::Running) => {
                    let running =
                        if before == Tracked::Queued { Tracked::Starting } else { before };
                    self.jobs.insert(job, running);
                }
                Some(JobState::Completed | JobState::Cancelled | JobState::Failed) | None => {
                    self.jobs.remove(&job);
                    let was_cancelled = self.cancelled.remove(&job);
                    let ended_in_order =
                        matches!(now, Some(JobState::Completed | JobState::Cancelled));
                    if before != Tracked::Started && !was_cancelled && !ended_in_order {
                        steps.push(self.failed_start(&job));
                    }
                }
            }
        }
    }

    fn failed_start(&mut self, job: &JobId) -> Step {
        self.failed_starts = self.failed_starts.saturating_add(1);
        let count = self.failed_starts;
        if count >= MAX_FAILED_STARTS && !self.is_paused {
            self.pause(&format!(
                "{count} jobs in a row, the last of them {job}, ended before their worker had \
                 connected; their logs say why"
            ))
        } else {
            Step::Say(format!("job {job} ended before its worker had connected; its log says why"))
        }
    }

    fn wants_job(&self) -> bool {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let coming = self.jobs.values().filter(|state| **state != Tracked::Started).count();
        // The first worker tells how many slots a job has. Until then one job is enough.
        let expected = self.limits.slots_per_job.or(self.seen_slots);
        let expected = expected.map_or(if coming > 0 { u32::MAX } else { 0 }, |slots| {
            slots.saturating_mul(count(coming))
        });
        !self.is_paused
            && self.wait_looks == 0
            && self.missing_slots > expected
            && count(self.queued()) < self.limits.backlog
            && count(self.jobs.len()) < self.limits.max
    }
}

#[cfg(test)]
mod tests;
