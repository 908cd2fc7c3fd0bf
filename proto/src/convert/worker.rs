//! The messages between workers and the coordinator.

use caviar_common::blob::Blob;
use caviar_common::error::Problem;
use caviar_common::ids::{
    AttemptNumber, Incarnation, LeaseId, Name, StoreId, SweepId, TrialNumber,
};
use caviar_common::limits::{
    MAX_EPOCHS, MAX_PARAMETERS, MAX_PARKED, MAX_POINTS_PER_REPORT, MAX_SLOTS,
};
use caviar_common::message::{
    Checkpoint, Finished, FromWorker, Grant, Hello, KeepRule, Release, Stored, StoredModel,
    ToWorker,
};
use caviar_common::numbers::index;
use caviar_common::outcome::{Job, Outcome};

use super::artifacts::{decode_optional_blob, encode_blob};
use super::data::encode_data;
use super::field::{
    Within, at_most, clip, finite, in_range, optional_seconds, positive, required, seconds, text,
    unknown_number,
};
use super::metrics::{
    decode_epochs, decode_optional_epoch, decode_optional_score, encode_epoch, encode_epochs,
    encode_score,
};
use super::spec::{decode_data, decode_whole_objective, encode_whole_objective, max_fixed};
use super::value::{decode_assignment, encode_assignment};
use crate::v1;
use crate::v1::ack::Stored as WireStored;
use crate::v1::coordinator_message::Kind as ToKind;
use crate::v1::worker_message::Kind as FromKind;

/// Most leases that one worker holds: those that it trains, as many whose end is not acknowledged
/// yet, and those that are parked.
pub(super) fn max_held() -> usize {
    index(MAX_SLOTS).saturating_mul(2).saturating_add(index(MAX_PARKED))
}

/// Reads a message of a worker.
///
/// # Errors
/// The first field that is wrong, such as `report.points[3].validation.loss`.
pub fn decode_from_worker(wire: v1::WorkerMessage) -> Result<FromWorker, Problem> {
    match required("kind", wire.kind)? {
        FromKind::Hello(hello) => decode_hello(hello).map(FromWorker::Hello).within("hello"),
        FromKind::Report(report) => decode_report(report).within("report"),
        FromKind::Finished(finished) => decode_finished(finished).within("finished"),
        FromKind::Released(released) => decode_released(released).within("released"),
        FromKind::Heartbeat(heartbeat) => decode_heartbeat(heartbeat).within("heartbeat"),
        FromKind::Checkpointed(stored) => decode_checkpointed(stored).within("checkpointed"),
        FromKind::Restarted(restarted) => decode_restarted(restarted).within("restarted"),
    }
}

fn decode_heartbeat(wire: v1::Heartbeat) -> Result<FromWorker, Problem> {
    let waiting = at_most("waiting", wire.waiting, max_held())?;
    let waiting = waiting.into_iter().map(LeaseId).collect();
    Ok(FromWorker::Heartbeat { stuck: wire.stuck, waiting })
}

fn decode_checkpointed(wire: v1::Checkpointed) -> Result<FromWorker, Problem> {
    let checkpoint = required("checkpoint", wire.checkpoint)?;
    let checkpoint = decode_checkpoint(&checkpoint).within("checkpoint")?;
    Ok(FromWorker::Checkpointed { lease: LeaseId(wire.lease), checkpoint })
}

fn decode_restarted(wire: v1::Restarted) -> Result<FromWorker, Problem> {
    Ok(FromWorker::Restarted { lease: LeaseId(wire.lease), reason: text("reason", wire.reason)? })
}

fn decode_checkpoint(wire: &v1::Checkpoint) -> Result<Checkpoint, Problem> {
    let v1::Blob { name, bytes } = required("blob", wire.blob.as_ref())?;
    Ok(Checkpoint {
        epoch: in_range("epoch", wire.epoch, 0..=MAX_EPOCHS)?,
        batch: wire.batch,
        blob: Blob::parse(name, *bytes).within("blob")?,
    })
}

fn encode_checkpoint(checkpoint: &Checkpoint) -> v1::Checkpoint {
    let Checkpoint { epoch, batch, blob } = *checkpoint;
    let blob = v1::Blob { name: blob.name.to_string(), bytes: blob.bytes };
    v1::Checkpoint { blob: Some(blob), epoch, batch }
}

fn decode_hello(wire: v1::Hello) -> Result<Hello, Problem> {
    Ok(Hello {
        protocol: wire.protocol,
        worker: Name::parse("worker", &wire.worker)?,
        incarnation: Incarnation(wire.incarnation),
        slots: in_range("slots", wire.slots, 1..=MAX_SLOTS)?,
        draining: wire.draining,
        can_park: wire.can_park,
        store: wire.store.map(StoreId),
        held: at_most("held", wire.held, max_held())?.into_iter().map(LeaseId).collect(),
    })
}

fn decode_report(wire: v1::Report) -> Result<FromWorker, Problem> {
    let points = decode_epochs("points", wire.points, MAX_POINTS_PER_REPORT)?;
    let seconds = optional_seconds("seconds", wire.seconds)?;
    Ok(FromWorker::Report { lease: LeaseId(wire.lease), points, seconds })
}

fn decode_finished(wire: v1::Finished) -> Result<FromWorker, Problem> {
    let result = Finished {
        outcome: decode_outcome(wire.outcome, wire.message)?,
        last: decode_optional_epoch("last", wire.last)?,
        test: decode_optional_score("test", wire.test)?,
        seconds: seconds("seconds", wire.seconds)?,
        memory_bytes: wire.memory_bytes,
        model: wire.model.map(decode_model).transpose().within("model")?,
    };
    Ok(FromWorker::Finished { lease: LeaseId(wire.lease), result })
}

fn decode_model(wire: v1::StoredModel) -> Result<StoredModel, Problem> {
    let epoch = in_range("epoch", wire.epoch, 1..=MAX_EPOCHS)?;
    let blob = required("blob", decode_optional_blob("blob", wire.blob)?)?;
    Ok(StoredModel { epoch, blob })
}

pub(super) fn decode_outcome(number: i32, message: Option<String>) -> Result<Outcome, Problem> {
    let outcome = match v1::Outcome::try_from(number) {
        Ok(v1::Outcome::Completed) => Outcome::Completed,
        Ok(v1::Outcome::Diverged) => Outcome::Diverged,
        Ok(v1::Outcome::Failed) => {
            return Ok(Outcome::Failed {
                message: text("message", required("message", message)?)?,
            });
        }
        Ok(v1::Outcome::Unspecified) | Err(_) => return Err(unknown_number("outcome", number)),
    };
    match message {
        None => Ok(outcome),
        Some(_) => Err(Problem::new("message", "only a failed attempt has a message: remove it")),
    }
}

fn decode_released(wire: v1::Released) -> Result<FromWorker, Problem> {
    let lease = LeaseId(wire.lease);
    let release = match v1::Release::try_from(wire.release) {
        Ok(v1::Release::Drained) => Release::Drained,
        Ok(v1::Release::Declined) => Release::Declined,
        Ok(v1::Release::Unable) => {
            let message = text("message", required("message", wire.message)?)?;
            return Ok(FromWorker::Released { lease, release: Release::Unable { message } });
        }
        Ok(v1::Release::TooLarge) => {
            let message = text("message", required("message", wire.message)?)?;
            return Ok(FromWorker::Released { lease, release: Release::TooLarge { message } });
        }
        Ok(v1::Release::Unspecified) | Err(_) => {
            return Err(unknown_number("release", wire.release));
        }
    };
    match wire.message {
        None => Ok(FromWorker::Released { lease, release }),
        Some(_) => {
            Err(Problem::new("message", "only UNABLE and TOO_LARGE have a message: remove it"))
        }
    }
}

/// Converts a message of a worker to the wire.
pub fn encode_from_worker(message: &FromWorker) -> v1::WorkerMessage {
    let kind = match message {
        FromWorker::Hello(hello) => FromKind::Hello(encode_hello(hello)),
        FromWorker::Report { lease, points, seconds } => FromKind::Report(v1::Report {
            lease: lease.0,
            points: encode_epochs(points),
            seconds: *seconds,
        }),
        FromWorker::Finished { lease, result } => {
            FromKind::Finished(encode_finished(*lease, result))
        }
        FromWorker::Released { lease, release } => {
            FromKind::Released(encode_released(*lease, release))
        }
        FromWorker::Heartbeat { stuck, waiting } => FromKind::Heartbeat(v1::Heartbeat {
            stuck: *stuck,
            waiting: waiting.iter().map(|lease| lease.0).collect(),
        }),
        FromWorker::Checkpointed { lease, checkpoint } => {
            let checkpoint = Some(encode_checkpoint(checkpoint));
            FromKind::Checkpointed(v1::Checkpointed { lease: lease.0, checkpoint })
        }
        FromWorker::Restarted { lease, reason } => {
            FromKind::Restarted(v1::Restarted { lease: lease.0, reason: clip(reason) })
        }
    };
    v1::WorkerMessage { kind: Some(kind) }
}

fn encode_hello(hello: &Hello) -> v1::Hello {
    v1::Hello {
        protocol: hello.protocol,
        worker: hello.worker.to_string(),
        incarnation: hello.incarnation.0,
        slots: hello.slots,
        draining: hello.draining,
        can_park: hello.can_park,
        store: hello.store.map(|store| store.0),
        held: hello.held.iter().map(|lease| lease.0).collect(),
    }
}

fn encode_finished(lease: LeaseId, result: &Finished) -> v1::Finished {
    let (outcome, message) = match &result.outcome {
        Outcome::Completed => (v1::Outcome::Completed, None),
        Outcome::Diverged => (v1::Outcome::Diverged, None),
        Outcome::Failed { message } => (v1::Outcome::Failed, Some(clip(message))),
    };
    v1::Finished {
        lease: lease.0,
        outcome: outcome.into(),
        message,
        last: result.last.as_ref().map(encode_epoch),
        test: result.test.as_ref().map(encode_score),
        seconds: result.seconds,
        memory_bytes: result.memory_bytes,
        model: result.model.as_ref().map(|model| v1::StoredModel {
            epoch: model.epoch,
            blob: Some(encode_blob(&model.blob)),
        }),
    }
}

fn encode_released(lease: LeaseId, release: &Release) -> v1::Released {
    let (release, message) = match release {
        Release::Drained => (v1::Release::Drained, None),
        Release::Declined => (v1::Release::Declined, None),
        Release::Unable { message } => (v1::Release::Unable, Some(clip(message))),
        Release::TooLarge { message } => (v1::Release::TooLarge, Some(clip(message))),
    };
    v1::Released { lease: lease.0, release: release.into(), message }
}

/// Reads a message of the coordinator.
///
/// # Errors
/// The first field that is wrong, such as `grant.assignment.learning_rate`.
pub fn decode_to_worker(wire: v1::CoordinatorMessage) -> Result<ToWorker, Problem> {
    match required("kind", wire.kind)? {
        ToKind::Welcome(welcome) => decode_welcome(&welcome).within("welcome"),
        ToKind::Grant(grant) => {
            decode_grant(grant).map(|grant| ToWorker::Grant(Box::new(grant))).within("grant")
        }
        ToKind::Ack(ack) => decode_ack(&ack).within("ack"),
        ToKind::Revoke(revoke) => decode_revoke(revoke).within("revoke"),
        ToKind::Stop(stop) => decode_stop(stop).within("stop"),
        ToKind::Park(v1::Park { lease }) => Ok(ToWorker::Park { lease: LeaseId(lease) }),
        ToKind::Unpark(v1::Unpark { lease }) => Ok(ToWorker::Unpark { lease: LeaseId(lease) }),
        ToKind::Drain(v1::Drain {}) => Ok(ToWorker::Drain),
    }
}

fn decode_welcome(wire: &v1::Welcome) -> Result<ToWorker, Problem> {
    Ok(ToWorker::Welcome {
        heartbeat_ms: positive("heartbeat_ms", wire.heartbeat_ms)?,
        lease_ttl_ms: positive("lease_ttl_ms", wire.lease_ttl_ms)?,
        store: StoreId(wire.store),
        keeps_checkpoints: wire.keeps_checkpoints,
    })
}

fn decode_grant(wire: v1::Grant) -> Result<Grant, Problem> {
    Ok(Grant {
        lease: LeaseId(wire.lease),
        sweep: SweepId(positive("sweep", wire.sweep)?),
        sweep_name: Name::parse("sweep_name", &wire.sweep_name)?,
        trial: TrialNumber(wire.trial),
        attempt: AttemptNumber(positive("attempt", wire.attempt)?),
        job: decode_job(wire.work)?,
        seed: wire.seed,
        data: decode_data(required("data", wire.data)?)?,
        digest: text("digest", wire.digest)?,
        block: decode_optional_blob("block", wire.block)?,
        fixed: decode_assignment("fixed", wire.fixed, max_fixed())?,
        assignment: decode_assignment("assignment", wire.assignment, MAX_PARAMETERS)?,
        checkpoint: wire
            .checkpoint
            .map(|checkpoint| decode_checkpoint(&checkpoint).within("checkpoint"))
            .transpose()?,
        objective: required("objective", wire.objective)
            .and_then(|objective| decode_whole_objective(objective).within("objective"))?,
        keep: match (wire.keeps_model, wire.keep_up_to) {
            (false, _) => KeepRule::Nothing,
            (true, None) => KeepRule::All,
            (true, Some(cost)) => KeepRule::UpTo(finite("keep_up_to", cost)?),
        },
        replays: wire.replays.map(TrialNumber),
    })
}

fn decode_job(number: i32) -> Result<Job, Problem> {
    match v1::Work::try_from(number) {
        Ok(v1::Work::Train) => Ok(Job::Train),
        Ok(v1::Work::Score) => Ok(Job::Score),
        Ok(v1::Work::Unspecified) | Err(_) => Err(unknown_number("work", number)),
    }
}

fn decode_ack(wire: &v1::Ack) -> Result<ToWorker, Problem> {
    let stored = match required("stored", wire.stored)? {
        WireStored::Epoch(epoch) => Stored::Epoch(in_range("epoch", epoch, 0..=MAX_EPOCHS)?),
        WireStored::Finished(true) => Stored::Finished,
        WireStored::Finished(false) => {
            return Err(Problem::with_value("finished", false, "expected true, or epoch instead"));
        }
    };
    Ok(ToWorker::Ack { lease: LeaseId(wire.lease), stored })
}

fn decode_revoke(wire: v1::Revoke) -> Result<ToWorker, Problem> {
    Ok(ToWorker::Revoke { lease: LeaseId(wire.lease), reason: text("reason", wire.reason)? })
}

fn decode_stop(wire: v1::Stop) -> Result<ToWorker, Problem> {
    Ok(ToWorker::Stop { lease: LeaseId(wire.lease), reason: text("reason", wire.reason)? })
}

/// Converts a message of the coordinator to the wire.
pub fn encode_to_worker(message: &ToWorker) -> v1::CoordinatorMessage {
    let kind = match message {
        ToWorker::Welcome { heartbeat_ms, lease_ttl_ms, store, keeps_checkpoints } => {
            ToKind::Welcome(v1::Welcome {
                heartbeat_ms: *heartbeat_ms,
                lease_ttl_ms: *lease_ttl_ms,
                store: store.0,
                keeps_checkpoints: *keeps_checkpoints,
            })
        }
        ToWorker::Grant(grant) => ToKind::Grant(encode_grant(grant)),
        ToWorker::Ack { lease, stored } => {
            ToKind::Ack(v1::Ack { lease: lease.0, stored: Some(encode_stored(*stored)) })
        }
        ToWorker::Revoke { lease, reason } => {
            ToKind::Revoke(v1::Revoke { lease: lease.0, reason: clip(reason) })
        }
        ToWorker::Stop { lease, reason } => {
            ToKind::Stop(v1::Stop { lease: lease.0, reason: clip(reason) })
        }
        ToWorker::Park { lease } => ToKind::Park(v1::Park { lease: lease.0 }),
        ToWorker::Unpark { lease } => ToKind::Unpark(v1::Unpark { lease: lease.0 }),
        ToWorker::Drain => ToKind::Drain(v1::Drain {}),
    };
    v1::CoordinatorMessage { kind: Some(kind) }
}

const fn encode_stored(stored: Stored) -> WireStored {
    match stored {
        Stored::Epoch(epoch) => WireStored::Epoch(epoch),
        Stored::Finished => WireStored::Finished(true),
    }
}

fn encode_grant(grant: &Grant) -> v1::Grant {
    let work = match grant.job {
        Job::Train => v1::Work::Train,
        Job::Score => v1::Work::Score,
    };
    v1::Grant {
        lease: grant.lease.0,
        sweep: grant.sweep.0,
        sweep_name: grant.sweep_name.to_string(),
        trial: grant.trial.0,
        attempt: grant.attempt.0,
        work: work.into(),
        seed: grant.seed,
        data: Some(encode_data(&grant.data)),
        digest: grant.digest.clone(),
        block: grant.block.as_ref().map(encode_blob),
        fixed: Some(encode_assignment(&grant.fixed)),
        assignment: Some(encode_assignment(&grant.assignment)),
        checkpoint: grant.checkpoint.as_ref().map(encode_checkpoint),
        objective: Some(encode_whole_objective(&grant.objective)),
        keeps_model: grant.keep != KeepRule::Nothing,
        keep_up_to: match grant.keep {
            KeepRule::UpTo(cost) => Some(cost),
            KeepRule::Nothing | KeepRule::All => None,
        },
        replays: grant.replays.map(|trial| trial.0),
    }
}
