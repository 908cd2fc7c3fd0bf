//! Tables of what the allocator does after each look.

use std::collections::VecDeque;

use super::*;

/// An allocator with the cluster that it sees.
struct Cluster {
    allocator: Allocator,
    queue: BTreeMap<JobId, JobState>,
    demand: Demand,
    next: u32,
    said: Vec<String>,
}

impl Cluster {
    fn new(max: u32, backlog: u32, slots_per_job: Option<u32>) -> Self {
        Self {
            allocator: Allocator::new(Limits { max, backlog, slots_per_job }),
            queue: BTreeMap::new(),
            demand: Demand::default(),
            next: 1,
            said: Vec::new(),
        }
    }

    /// Looks once. Returns the jobs that it submits and cancels: `+1`, `-1`.
    fn look(&mut self) -> String {
        let steps = self.allocator.look(&self.demand, Some(&self.queue));
        let mut done = Vec::new();
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Submit => {
                    let job = JobId::from(self.next);
                    self.next += 1;
                    self.queue.insert(job.clone(), JobState::Queued);
                    done.push(format!("+{}", job));
                    steps.extend(self.allocator.submitted(Ok(job)));
                }
                Step::Cancel(jobs) => {
                    for job in jobs {
                        done.push(format!("-{}", job));
                        self.queue.insert(job, JobState::Cancelled);
                    }
                }
                Step::Say(text) => self.said.push(text),
            }
        }
        done.join(" ")
    }

    fn set(&mut self, job: u32, state: JobState) {
        self.queue.insert(JobId::from(job), state);
    }

    fn connect(&mut self, job: u32, slots: u32) {
        self.set(job, JobState::Running);
        self.demand.connected.insert(job.to_string(), slots);
        self.demand.missing_slots = self.demand.missing_slots.saturating_sub(slots);
    }
}

#[test]
fn one_job_waits_in_the_queue_and_the_next_follows_when_it_has_started() {
    let mut cluster = Cluster::new(10, 1, Some(4));
    assert_eq!(cluster.look(), "", "without demand");
    cluster.demand.missing_slots = 10;
    assert_eq!(cluster.look(), "+1");
    assert_eq!(cluster.look(), "", "the backlog is one");
    cluster.set(1, JobState::Running);
    assert_eq!(cluster.look(), "+2", "10 are missing and 4 are coming");
    cluster.set(2, JobState::Running);
    assert_eq!(cluster.look(), "+3", "8 are coming");
    cluster.set(3, JobState::Running);
    assert_eq!(cluster.look(), "", "12 are coming");
    for job in [1, 2, 3] {
        cluster.connect(job, 4);
    }
    assert_eq!(cluster.look(), "");
    assert_eq!((cluster.allocator.running(), cluster.allocator.queued()), (3, 0));
}

#[test]
fn the_first_worker_tells_how_many_slots_a_job_has() {
    let mut cluster = Cluster::new(10, 2, None);
    cluster.demand.missing_slots = 100;
    assert_eq!(cluster.look(), "+1");
    cluster.set(1, JobState::Running);
    assert_eq!(cluster.look(), "", "its number of slots is not known");
    cluster.connect(1, 64);
    assert_eq!(cluster.look(), "+2", "36 are missing");
    assert_eq!(cluster.look(), "", "64 are coming");
}

#[test]
fn the_caps_hold_for_queued_and_for_all_jobs() {
    let mut cluster = Cluster::new(3, 2, Some(1));
    cluster.demand.missing_slots = 1_000;
    let looks: Vec<String> = (0..3).map(|_| cluster.look()).collect();
    assert_eq!(looks, ["+1 +2", "", ""], "the backlog is two");
    cluster.connect(1, 1);
    cluster.connect(2, 1);
    assert_eq!(cluster.look(), "+3");
    cluster.connect(3, 1);
    assert_eq!(cluster.look(), "", "the most is three");
    // A job that ends makes room for another: resubmission by demand.
    cluster.set(2, JobState::Completed);
    assert_eq!(cluster.look(), "+4");
}

#[test]
fn queued_jobs_are_cancelled_when_the_demand_ends_and_not_before() {
    let mut cluster = Cluster::new(10, 1, Some(4));
    cluster.demand.missing_slots = 8;
    assert_eq!(cluster.look(), "+1");
    cluster.demand.missing_slots = 0;
    assert_eq!(cluster.look(), "", "it may be back at once");
    assert_eq!(cluster.look(), "-1");
    assert_eq!(cluster.look(), "", "once");
    assert_eq!(cluster.said, Vec::<String>::new(), "a cancelled job is not a failed start");
    cluster.demand.missing_slots = 8;
    assert_eq!(cluster.look(), "+2");
    assert_eq!(cluster.allocator.cancel_queued(), Some(Step::Cancel(vec![JobId::from(2)])));
    assert_eq!(cluster.allocator.cancel_queued(), None);
}

#[test]
fn three_failed_starts_in_a_row_pause_it_until_it_is_told_to_continue() {
    let mut cluster = Cluster::new(10, 1, Some(4));
    cluster.demand.missing_slots = 40;
    for job in 1..=2 {
        assert_eq!(cluster.look(), format!("+{job}"));
        cluster.set(job, JobState::Failed);
    }
    // A worker that connects ends the row, even if its job fails later.
    assert_eq!(cluster.look(), "+3");
    cluster.connect(3, 4);
    assert_eq!(cluster.look(), "+4");
    cluster.set(3, JobState::Failed);
    // A purged job is not known to squeue any more; the others are still looked at.
    cluster.queue.remove(&JobId::from(4));
    assert_eq!(cluster.look(), "+5");
    cluster.set(5, JobState::Failed);
    assert_eq!(cluster.look(), "+6");
    cluster.set(6, JobState::Failed);
    assert_eq!(cluster.look(), "", "paused");
    assert_eq!(cluster.said.len(), 5);
    let last = cluster.said.last().unwrap();
    assert!(last.starts_with("paused: 3 jobs in a row, the last of them 6"), "{last}");
    assert!(last.contains("kill -USR1 "), "{last}");
    assert_eq!(cluster.look(), "");
    cluster.allocator.resume();
    assert_eq!(cluster.look(), "+7");
}

#[test]
fn a_preempted_or_cancelled_job_is_submitted_again_by_demand() {
    let mut cluster = Cluster::new(10, 1, Some(4));
    cluster.demand.missing_slots = 4;
    for job in 1..=5 {
        assert_eq!(cluster.look(), format!("+{job}"));
        cluster.set(job, JobState::Cancelled);
    }
    assert_eq!(cluster.said, Vec::<String>::new());
}

#[test]
fn failed_submissions_are_tried_again_ever_later_and_pause_it_after_ten() {
    let mut allocator = Allocator::new(Limits { max: 10, backlog: 1, slots_per_job: Some(4) });
    let demand = Demand { missing_slots: 4, connected: BTreeMap::new() };
    let (mut tries, mut said) = (Vec::new(), Vec::new());
    for look in 0..400 {
        if allocator.look(&demand, Some(&BTreeMap::new())).contains(&Step::Submit) {
            tries.push(look);
            said.extend(allocator.submitted(Err("sbatch: error: no partition".to_owned())));
        }
    }
    assert_eq!(tries, [0, 2, 6, 14, 30, 62, 94, 126, 158, 190]);
    let Some(Step::Say(last)) = said.last() else { panic!("{said:?}") };
    assert!(last.starts_with("paused: 10 submissions in a row failed, the last with: "), "{last}");
    let Some(Step::Say(first)) = said.first() else { panic!("{said:?}") };
    assert!(first.contains("no partition"), "{first}");
    allocator.resume();
    assert_eq!(allocator.look(&demand, Some(&BTreeMap::new())), [Step::Submit]);
}

#[test]
fn a_slurm_that_does_not_answer_changes_nothing() {
    let mut cluster = Cluster::new(10, 1, Some(4));
    cluster.demand.missing_slots = 8;
    assert_eq!(cluster.look(), "+1");
    for _ in 0..5 {
        assert_eq!(cluster.allocator.look(&Demand::default(), None), []);
    }
    assert_eq!(cluster.allocator.queued(), 1);
}

#[test]
fn the_jobs_of_an_earlier_allocator_count_and_can_be_cancelled() {
    let mut cluster = Cluster::new(3, 2, Some(4));
    cluster.set(1, JobState::Completed);
    cluster.set(2, JobState::Queued);
    cluster.connect(3, 4);
    cluster.set(4, JobState::Cancelled);
    cluster.set(5, JobState::Failed);
    cluster.next = 6;
    let queue = cluster.queue.clone();
    assert_eq!(cluster.allocator.adopt(queue), 2);
    cluster.demand.missing_slots = 100;
    assert_eq!(cluster.look(), "+6");
    assert_eq!(cluster.look(), "", "the most is three");
    assert_eq!((cluster.allocator.running(), cluster.allocator.queued()), (1, 2));
    let queued = [2, 6].map(JobId::from).to_vec();
    assert_eq!(cluster.allocator.cancel_queued(), Some(Step::Cancel(queued)));
    assert_eq!(cluster.said, Vec::<String>::new());
}
