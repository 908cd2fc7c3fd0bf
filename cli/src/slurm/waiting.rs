//! Why jobs wait in the queue, as far as a user should hear about it.

use std::collections::BTreeSet;

use super::commands::{JobState, Listed};

/// Reasons of a job that only waits for its turn.
const NORMAL: [&str; 8] =
    ["", "None", "Priority", "Resources", "Dependency", "BeginTime", "Prolog", "Cleaning"];

/// The reasons that the user has heard and that still hold.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    said: BTreeSet<String>,
}

impl Waiting {
    /// One message for each reason that no job had at the last look.
    pub(super) fn news<'a>(&mut self, own: impl Iterator<Item = &'a Listed>) -> Vec<String> {
        let mut reasons = BTreeSet::new();
        let mut news = Vec::new();
        for listed in own {
            let Some(message) = message(listed) else { continue };
            if reasons.insert(listed.reason.clone()) && !self.said.contains(&listed.reason) {
                news.push(message);
            }
        }
        self.said = reasons;
        news
    }
}

/// What to say about a job that waits for something else than its turn.
pub(super) fn message(listed: &Listed) -> Option<String> {
    let Listed { job, state, reason, .. } = listed;
    if *state != JobState::Queued || NORMAL.contains(&reason.as_str()) {
        return None;
    }
    Some(format!(
        "job {job} waits, and Slurm's reason is {reason}\nhint: it may never start; to see it: {}",
        job.squeue()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(job: u32, state: JobState, reason: &str) -> Listed {
        Listed { job: job.into(), state, reason: reason.to_owned(), comment: String::new() }
    }

    #[test]
    fn each_reason_is_said_once_until_it_changes() {
        let mut waiting = Waiting::default();
        let mut news = |reasons: &[&str]| -> Vec<String> {
            let jobs: Vec<Listed> = (1..)
                .zip(reasons)
                .map(|(job, reason)| listed(job, JobState::Queued, reason))
                .collect();
            let news = waiting.news(jobs.iter());
            news.iter().filter_map(|text| text.lines().next().map(str::to_owned)).collect()
        };
        let limit = "PartitionTimeLimit";
        assert!(news(&["None", "Priority", "Resources"]).is_empty());
        let said = "job 2 waits, and Slurm's reason is PartitionTimeLimit";
        assert_eq!(news(&["Priority", limit, limit]), [said]);
        assert!(news(&[limit]).is_empty());
        assert_eq!(news(&["PartitionConfig"]).len(), 1);
        assert_eq!(news(&[limit]).len(), 1);
    }

    #[test]
    fn only_a_queued_job_waits() {
        let running = listed(1, JobState::Running, "PartitionDown");
        assert_eq!(message(&running), None);
        let queued = listed(1, JobState::Queued, "PartitionDown");
        assert!(message(&queued).unwrap().ends_with("to see it: squeue -j 1"));
    }
}
