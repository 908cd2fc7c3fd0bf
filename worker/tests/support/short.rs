//! What an agent sends and commands, in short.

use caviar_common::message::{FromWorker, Release};
use caviar_worker::agent::{Agent, Command};

/// All messages that the agent sends now, in short: `report 1: 2-3`, `finished 1`, `drained 1`,
/// `declined 1`, `unable 1`, `checkpoint 1: 3`, `restarted 1`.
pub(crate) fn messages(agent: &mut Agent) -> Vec<String> {
    let mut all = Vec::new();
    while agent.has_message() {
        all.push(match agent.next_message().unwrap() {
            FromWorker::Report { lease, points, .. } => {
                format!("report {lease}: {}-{}", points[0].epoch, points[points.len() - 1].epoch)
            }
            FromWorker::Finished { lease, .. } => format!("finished {lease}"),
            FromWorker::Released { lease, release: Release::Drained } => format!("drained {lease}"),
            FromWorker::Released { lease, release: Release::Declined } => {
                format!("declined {lease}")
            }
            FromWorker::Released { lease, release: Release::Unable { .. } } => {
                format!("unable {lease}")
            }
            FromWorker::Released { lease, release: Release::TooLarge { .. } } => {
                format!("too large {lease}")
            }
            FromWorker::Checkpointed { lease, checkpoint } => {
                format!("checkpoint {lease}: {}", checkpoint.epoch)
            }
            FromWorker::Restarted { lease, .. } => format!("restarted {lease}"),
            FromWorker::Hello(_) | FromWorker::Heartbeat { .. } => {
                panic!("the agent does not send this message")
            }
        });
    }
    assert_eq!(agent.next_message(), None);
    all
}

/// All commands of the agent, in short: `start 1`, `cancel 1`, `park 1`, `unpark 1`, `leave 1`,
/// `fetch 1`, `store 1: 3`, `discard 1`.
pub(crate) fn commands(agent: &mut Agent) -> Vec<String> {
    std::iter::from_fn(|| agent.next_command())
        .map(|command| match command {
            Command::Start(grant) => format!("start {}", grant.lease),
            Command::Cancel(lease) => format!("cancel {lease}"),
            Command::Leave(lease) => format!("leave {lease}"),
            Command::Fetch(lease, _) => format!("fetch {lease}"),
            Command::Store(lease, state) => format!("store {lease}: {}", state.epoch),
            Command::StoreModel(lease, model) => format!("store model {lease}: {}", model.epoch),
            Command::Discard(lease) => format!("discard {lease}"),
            Command::Park(lease) => format!("park {lease}"),
            Command::Unpark(lease) => format!("unpark {lease}"),
        })
        .collect()
}
