//! The time that a worker has: given by the user, or the end of the Slurm job in which it runs.

use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caviar_common::duration;

/// How long `squeue` may take. A controller that does not answer must not keep a worker from its
/// work.
const SQUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// The value of `--time-limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeLimit {
    /// The end of the Slurm job, if there is one.
    Auto,
    /// No limit, not even in a Slurm job.
    Unlimited,
    /// This long from the start of the worker.
    Given(Duration),
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::Unlimited),
            other => duration::parse(other)
                .map(Self::Given)
                .map_err(|problem| format!("{problem}, or auto, or none")),
        }
    }
}

impl TimeLimit {
    /// The time that is left from now on; `None` for any time. Asks Slurm if it has to.
    pub(crate) async fn resolve(self) -> Option<Duration> {
        match self {
            Self::Unlimited => None,
            Self::Given(limit) => Some(limit),
            Self::Auto => time_left_of_slurm_job().await,
        }
    }
}

/// The time until the end of the Slurm job in which this process runs; `None` outside a job, and if
/// the job has no limit or Slurm does not tell.
pub async fn time_left_of_slurm_job() -> Option<Duration> {
    let job = std::env::var("SLURM_JOB_ID").ok()?;
    let end = std::env::var("SLURM_JOB_END_TIME").ok();
    if let Some(end) = end.and_then(|end| end.trim().parse::<u64>().ok()) {
        return until(end, SystemTime::now());
    }
    let asked = tokio::task::spawn_blocking(move || ask_slurm(&job));
    let reply = match tokio::time::timeout(SQUEUE_TIMEOUT, asked).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no reply within {SQUEUE_TIMEOUT:?}")),
    };
    let left =
        reply.and_then(|text| slurm_time(&text).ok_or_else(|| format!("{text:?} is not a time")));
    match left {
        Ok(SlurmTime::Left(left)) => Some(left),
        Ok(SlurmTime::Unlimited) => None,
        Err(why) => {
            tracing::warn!(
                "the end of this Slurm job is not known, so the worker does not leave before it: \
                 squeue: {why}; give it with --time-limit"
            );
            None
        }
    }
}

/// The time from `now` until a moment that is given in seconds since 1970. A job without a limit
/// ends in more than ten years.
fn until(end: u64, now: SystemTime) -> Option<Duration> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_secs(end).saturating_sub(now);
    (left < Duration::from_secs(3_650 * 86_400)).then_some(left)
}

/// The reply of `squeue` to the question how much time the job has left.
fn ask_slurm(job: &str) -> Result<String, String> {
    let mut squeue = Command::new("squeue");
    squeue.args(["-h", "-j", job, "-o", "%L"]).stdin(Stdio::null());
    let output = squeue.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// What Slurm says about the time of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlurmTime {
    Left(Duration),
    Unlimited,
}

/// Reads a time as Slurm writes it: `MM:SS`, `HH:MM:SS` or `D-HH:MM:SS`, or `UNLIMITED`.
fn slurm_time(text: &str) -> Option<SlurmTime> {
    if text == "UNLIMITED" {
        return Some(SlurmTime::Unlimited);
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (days.parse::<u64>().ok()?, clock),
        None => (0, text),
    };
    let parts: Option<Vec<u64>> = clock.split(':').map(|part| part.parse().ok()).collect();
    let (hours, minutes, seconds) = match parts?.as_slice() {
        [minutes, seconds] => (0, *minutes, *seconds),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let total = days.checked_mul(86_400)?.checked_add(hours.checked_mul(3_600)?)?;
    let total = total.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?;
    Some(SlurmTime::Left(Duration::from_secs(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_auto_none_or_a_duration() {
        assert_eq!("auto".parse(), Ok(TimeLimit::Auto));
        assert_eq!("none".parse(), Ok(TimeLimit::Unlimited));
        assert_eq!("1h".parse(), Ok(TimeLimit::Given(Duration::from_secs(3_600))));
        let error = "60".parse::<TimeLimit>().unwrap_err();
        assert!(error.ends_with("or 7d, or auto, or none"), "{error}");
    }

    #[test]
    fn times_of_slurm_are_read() {
        let left = |text: &str| slurm_time(text);
        for (text, seconds) in
            [("0:59", 59), ("1:00", 60), ("23:59:59", 86_399), ("2-00:00:01", 172_801)]
        {
            assert_eq!(left(text), Some(SlurmTime::Left(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!(left("UNLIMITED"), Some(SlurmTime::Unlimited));
        for text in ["", "INVALID", "NOT_SET", "1", "1-", "a:b", "1:2:3:4", "99999999999999999-0:0"]
        {
            assert_eq!(left(text), None, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_job_is_a_time_from_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(until(1_600, now), Some(Duration::from_secs(600)));
        assert_eq!(until(900, now), Some(Duration::ZERO));
        assert_eq!(until(u64::from(u32::MAX), now), None);
    }
}
