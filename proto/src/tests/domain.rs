//! Generators of domain values: every legal message of a worker or the coordinator.
//!
//! They are boxed, because a generator contains the generators of its fields, and that of a whole
//! sweep is too large for the stack of a test.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::blob::{Blob, BlobName};
use caviar_common::data::{
    Baseline, ClassWeights, ColumnType, DataNote, DataSpec, DataSummary, NoteLevel, SplitSpec,
    TableSpec, Task, WeightSpec,
};
use caviar_common::ids::{
    AttemptNumber, Incarnation, LeaseId, Name, StoreId, SweepId, TrialNumber,
};
use caviar_common::limits::{MAX_BLOB_BYTES, MAX_EPOCHS, MAX_FOLDS, MAX_PARAMETERS, MAX_SLOTS};
use caviar_common::measure::Measure;
use caviar_common::message::{
    Checkpoint, Finished, FromWorker, Grant, Hello, KeepRule, Release, Stored, StoredModel,
    ToWorker,
};
use caviar_common::metric::{EpochMetrics, Measured, NamedMetrics, Point, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_common::reason::{Expected, Extent, Ranking, Reason, SearchBox, Side, Source};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::specs::spec;

pub(super) fn name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}".prop_map(|text| Name::parse("name", &text).unwrap())
}

pub(super) fn text() -> impl Strategy<Value = String> {
    "\\PC{0,30}"
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_map(|v| if v.is_finite() { v } else { 0.5 })
}

fn value() -> BoxedStrategy<Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        finite().prop_map(Value::Float),
        text().prop_map(|text| Value::Text(text.into()))
    ]
    .boxed()
}

pub(super) fn assignment() -> BoxedStrategy<Assignment> {
    let size = prop_oneof![9 => 0..8usize, 1 => Just(MAX_PARAMETERS)];
    size.prop_flat_map(|n| btree_map("[a-z_0-9]{1,64}", value(), n))
        .prop_map(|values| values.into_iter().collect())
        .boxed()
}

/// A loss can have any bits: infinities, both zeros, and NaNs.
pub(super) fn score() -> BoxedStrategy<Score> {
    let loss = any::<u64>().prop_map(f64::from_bits);
    let loss =
        prop_oneof![6 => loss, 1 => Just(-0.0), 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY)];
    let value = any::<u64>().prop_map(f64::from_bits);
    let measured = (select(Measure::ALL.to_vec()), value)
        .prop_map(|(measure, value)| Measured { measure, value });
    (loss, of(0.0..=1.0f64), of(measured))
        .prop_map(|(loss, accuracy, measured)| Score { loss, accuracy, measured })
        .boxed()
}

fn epoch() -> BoxedStrategy<EpochMetrics> {
    (1..=MAX_EPOCHS, score(), score(), of(0.0..=1e300f64))
        .prop_map(|(epoch, train, validation, spread)| EpochMetrics {
            epoch,
            train,
            validation,
            spread,
        })
        .boxed()
}

fn epochs() -> BoxedStrategy<Vec<EpochMetrics>> {
    (1..MAX_EPOCHS - 20, vec(epoch(), 0..20))
        .prop_map(|(start, mut points)| {
            points.iter_mut().zip(start..).for_each(|(point, epoch)| point.epoch = epoch);
            points
        })
        .boxed()
}

/// The curve of a network or of an external client.
pub(super) fn points() -> BoxedStrategy<Vec<Point>> {
    let networks = epochs().prop_map(|points| points.into_iter().map(Point::Network).collect());
    let values = btree_map(name(), any::<u64>().prop_map(f64::from_bits), 1..4);
    let named = (1..MAX_EPOCHS - 20, vec(values, 0..20)).prop_map(|(start, values)| {
        let point = |(metrics, epoch)| Point::Named(NamedMetrics { epoch, metrics });
        values.into_iter().zip(start..).map(point).collect()
    });
    prop_oneof![networks, named].boxed()
}

pub(super) fn seconds() -> impl Strategy<Value = f64> {
    0.0..1e9f64
}

pub(super) fn search_box() -> BoxedStrategy<SearchBox> {
    let range = (value(), value()).prop_map(|(low, high)| Extent::Range { low, high });
    let extent = prop_oneof![range, vec(value(), 1..5).prop_map(Extent::Choices)];
    let side = ("[a-z_]{1,12}", extent).prop_map(|(parameter, extent)| Side { parameter, extent });
    vec(side, 0..5).prop_map(|sides| SearchBox { sides }).boxed()
}

pub(super) fn reason() -> BoxedStrategy<Reason> {
    (
        select(Source::ALL.as_slice()),
        of(1..=u32::MAX),
        of(search_box()),
        any::<u32>(),
        (of(ranking()), of(any::<u32>())),
    )
        .prop_map(|(source, round, search_box, seen, (ranking, replays))| Reason {
            source,
            round,
            search_box,
            seen,
            ranking,
            replays: replays.map(TrialNumber),
        })
        .boxed()
}

/// A finite number except -0, whose sign the wire does not send in a plain field.
fn real() -> impl Strategy<Value = f64> {
    finite().prop_map(|v| v + 0.0)
}

fn ranking() -> BoxedStrategy<Ranking> {
    (
        any::<u32>(),
        vec(real(), 0..=MAX_PARAMETERS),
        [real(), real(), real(), real(), real()],
        1..=u32::MAX,
        any::<u32>(),
    )
        .prop_map(
            |(centre, length_scales, [side, score, worse, middle, better], rank, candidates)| {
                Ranking {
                    centre,
                    side,
                    length_scales,
                    expected: Expected { worse, middle, better },
                    score,
                    rank,
                    candidates,
                }
            },
        )
        .boxed()
}

pub(super) fn data() -> BoxedStrategy<DataSpec> {
    let task = of(select(Task::ALL.to_vec()));
    let shares = (0.01..0.6, 0.0..0.4);
    let label = (of(text()), btree_set("[A-Z]{10,12}", 0..3));
    (text(), label, of(text()), task, shares, table(), split(), weights())
        .prop_map(|(source, label, labels, task, (validation, test), table, split, weights)| {
            let (label, more) = label;
            DataSpec {
                // Only classes have weights.
                weights: match task {
                    Some(Task::Classification) => weights,
                    Some(Task::Regression) | None => WeightSpec { classes: None, ..weights },
                },
                source,
                // Only numbers have several labels.
                more_labels: match (task, &label) {
                    (Some(Task::Regression), Some(_)) => more.into_iter().collect(),
                    _ => Vec::new(),
                },
                label,
                labels,
                task,
                // The shares have their defaults where a file or folds have the split.
                validation: if split.validation_source.is_some() || split.folds.is_some() {
                    0.2
                } else {
                    validation
                },
                test: if split.test_source.is_some() { 0.1 } else { test },
                table,
                split,
            }
        })
        .boxed()
}

fn weights() -> BoxedStrategy<WeightSpec> {
    let given = btree_map("[a-z]{1,9}", 0.0..1e9f64, 1..4).prop_map(ClassWeights::Given);
    let classes = of(prop_oneof![Just(ClassWeights::Balanced), given]);
    (classes, of("[A-Z]{1,9}")).prop_map(|(classes, column)| WeightSpec { classes, column }).boxed()
}

fn split() -> BoxedStrategy<SplitSpec> {
    let name = || of("[a-z]{1,9}");
    (name(), any::<bool>(), name(), name(), of(2u32..=20))
        .prop_map(|(column, is_time, validation_source, test_source, folds)| SplitSpec {
            time: column.clone().filter(|_| is_time && folds.is_none()),
            group: column.filter(|_| !is_time),
            validation_source: validation_source.filter(|_| folds.is_none()),
            test_source,
            folds,
        })
        .boxed()
}

fn table() -> BoxedStrategy<TableSpec> {
    let delimiter = of(select(vec![',', ';', '\t', '|', ' ']));
    let kind = select(ColumnType::ALL.to_vec());
    let names = || btree_set("[a-z]{1,9}", 0..4);
    (delimiter, of(any::<bool>()), names(), names(), btree_map("[a-z]{1,9}", kind, 0..3), names())
        .prop_map(|(delimiter, header, columns, ignore, types, missing)| TableSpec {
            delimiter,
            header,
            ignore: ignore.difference(&columns).cloned().collect(),
            columns: columns.into_iter().collect(),
            types,
            missing: missing.into_iter().collect(),
        })
        .boxed()
}

pub(super) fn blob() -> BoxedStrategy<Blob> {
    let hash = any::<[u8; 32]>().prop_map(BlobName::from_hash);
    (hash, 1..=MAX_BLOB_BYTES).prop_map(|(name, bytes)| Blob { name, bytes }).boxed()
}

pub(super) fn summary() -> BoxedStrategy<DataSummary> {
    let sizes = (any::<[u64; 4]>(), any::<[u32; 4]>(), 1..=MAX_FOLDS, any::<bool>());
    let found = (of(select(Task::ALL.to_vec())), of(0.0..9.0), of(baseline()), vec(note(), 0..3));
    (sizes, "[0-9a-f]{0,64}", of(blob()), found)
        .prop_map(|((large, small, folds, pixels), digest, block, found)| {
            let (task, label_deviation, baseline, notes) = found;
            let [train, validation, test, category_values] = large;
            let [features, numbers, categories, outputs] = small;
            DataSummary {
                train,
                validation,
                test,
                features,
                numbers,
                pixels,
                categories,
                category_values,
                outputs,
                folds,
                digest,
                block,
                task,
                label_deviation,
                baseline,
                notes,
            }
        })
        .boxed()
}

fn baseline() -> BoxedStrategy<Baseline> {
    // Unlike the scores of a training, those of the baseline are finite.
    let finite = |(loss, accuracy)| Score { loss, accuracy, measured: None };
    let score = || (0.0..9.0f64, of(0.0..=1.0f64)).prop_map(finite);
    (score(), of(score())).prop_map(|(validation, test)| Baseline { validation, test }).boxed()
}

fn note() -> BoxedStrategy<DataNote> {
    (select(vec![NoteLevel::Info, NoteLevel::Warning]), "[a-z_]{1,20}", vec(text(), 0..3), text())
        .prop_map(|(level, code, columns, text)| DataNote { level, code, columns, text })
        .boxed()
}

fn hello() -> BoxedStrategy<Hello> {
    (
        any::<u32>(),
        name(),
        any::<u64>(),
        1..=MAX_SLOTS,
        any::<[bool; 2]>(),
        of(any::<u64>()),
        vec(any::<u64>(), 0..10),
    )
        .prop_map(|(protocol, worker, incarnation, slots, [draining, can_park], store, held)| {
            Hello {
                protocol,
                worker,
                incarnation: Incarnation(incarnation),
                slots,
                draining,
                can_park,
                store: store.map(StoreId),
                held: held.into_iter().map(LeaseId).collect(),
            }
        })
        .boxed()
}

fn finished() -> BoxedStrategy<Finished> {
    let failed = text().prop_map(|message| Outcome::Failed { message });
    let outcome = prop_oneof![Just(Outcome::Completed), Just(Outcome::Diverged), failed];
    let model = (1..=MAX_EPOCHS, blob()).prop_map(|(epoch, blob)| StoredModel { epoch, blob });
    (outcome, of(epoch()), of(score()), seconds(), of(any::<u64>()), of(model))
        .prop_map(|(outcome, last, test, seconds, memory_bytes, model)| Finished {
            outcome,
            last,
            test,
            seconds,
            memory_bytes,
            model,
        })
        .boxed()
}

pub(super) fn from_worker() -> BoxedStrategy<FromWorker> {
    let lease = || any::<u64>().prop_map(LeaseId);
    let release = prop_oneof![
        Just(Release::Drained),
        Just(Release::Declined),
        text().prop_map(|message| Release::Unable { message }),
        text().prop_map(|message| Release::TooLarge { message }),
    ];
    prop_oneof![
        hello().prop_map(FromWorker::Hello),
        (lease(), epochs(), of(0.0..1e9))
            .prop_map(|(lease, points, seconds)| { FromWorker::Report { lease, points, seconds } }),
        (lease(), finished()).prop_map(|(lease, result)| FromWorker::Finished { lease, result }),
        (lease(), release).prop_map(|(lease, release)| FromWorker::Released { lease, release }),
        (any::<u32>(), vec(lease(), 0..4))
            .prop_map(|(stuck, waiting)| FromWorker::Heartbeat { stuck, waiting }),
        (lease(), checkpoint())
            .prop_map(|(lease, checkpoint)| FromWorker::Checkpointed { lease, checkpoint }),
        (lease(), text()).prop_map(|(lease, reason)| FromWorker::Restarted { lease, reason }),
    ]
    .boxed()
}

fn checkpoint() -> BoxedStrategy<Checkpoint> {
    (0..=MAX_EPOCHS, any::<u64>(), blob())
        .prop_map(|(epoch, batch, blob)| Checkpoint { epoch, batch, blob })
        .boxed()
}

fn grant() -> BoxedStrategy<Grant> {
    let numbers = (any::<u64>(), 1..=u64::MAX, any::<u32>(), 1..=u32::MAX, any::<u64>());
    let job = select(vec![Job::Train, Job::Score]);
    let whole = (text(), of(blob()));
    let drawn = (assignment(), of(checkpoint()));
    let keep = prop_oneof![
        Just(KeepRule::Nothing),
        Just(KeepRule::All),
        (-1e9..1e9).prop_map(KeepRule::UpTo)
    ];
    let objective = spec().prop_map(|spec| spec.objective);
    let rest = (objective, keep, of(any::<u32>().prop_map(TrialNumber)));
    (numbers, name(), job, data(), whole, assignment(), drawn, rest)
        .prop_map(
            |(
                (lease, sweep, trial, attempt, seed),
                sweep_name,
                job,
                data,
                (digest, block),
                fixed,
                (assignment, checkpoint),
                (objective, keep, replays),
            )| Grant {
                lease: LeaseId(lease),
                sweep: SweepId(sweep),
                sweep_name,
                trial: TrialNumber(trial),
                attempt: AttemptNumber(attempt),
                job,
                seed,
                data,
                digest,
                block,
                fixed,
                assignment,
                checkpoint,
                objective,
                keep,
                replays,
            },
        )
        .boxed()
}

pub(super) fn to_worker() -> BoxedStrategy<ToWorker> {
    let lease = || any::<u64>().prop_map(LeaseId);
    let stored = prop_oneof![(0..=MAX_EPOCHS).prop_map(Stored::Epoch), Just(Stored::Finished)];
    let store = any::<u64>().prop_map(StoreId);
    let welcome = (1..=u64::MAX, 1..=u64::MAX, store, any::<bool>());
    prop_oneof![
        welcome.prop_map(|(heartbeat_ms, lease_ttl_ms, store, keeps_checkpoints)| {
            ToWorker::Welcome { heartbeat_ms, lease_ttl_ms, store, keeps_checkpoints }
        }),
        grant().prop_map(|grant| ToWorker::Grant(Box::new(grant))),
        (lease(), stored).prop_map(|(lease, stored)| ToWorker::Ack { lease, stored }),
        (lease(), text()).prop_map(|(lease, reason)| ToWorker::Revoke { lease, reason }),
        (lease(), text()).prop_map(|(lease, reason)| ToWorker::Stop { lease, reason }),
        lease().prop_map(|lease| ToWorker::Park { lease }),
        lease().prop_map(|lease| ToWorker::Unpark { lease }),
        Just(ToWorker::Drain),
    ]
    .boxed()
}
