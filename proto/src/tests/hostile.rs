//! Damaged messages: no conversion panics, and every accepted message can be used.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;

use super::{domain, limits, specs, views};
use crate::convert::{data, spec, view, worker};
use crate::v1;

/// How often the bytes were not a message, were refused, and were accepted. A test in which one of
/// these never happens would prove nothing.
#[derive(Debug, Default)]
struct Seen {
    garbled: u32,
    refused: u32,
    accepted: u32,
}

/// The bytes of a legal message with a few changed and perhaps the end missing, or any bytes.
fn damaged(legal: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    // Some of the bytes make lengths, tags and numbers extreme.
    let byte = prop_oneof![any::<u8>(), select(vec![0, 1, 0x7f, 0xf0, 0xff])];
    let changes = vec((any::<Index>(), byte), 0..4);
    let changed = (changes, prop_oneof![5 => 0..1usize, 1 => 0..40usize]).prop_map(
        move |(changes, missing)| {
            let mut bytes = legal.clone();
            bytes.truncate(bytes.len().saturating_sub(missing));
            for (at, byte) in changes {
                let len = bytes.len();
                if len > 0 {
                    bytes[at.index(len)] = byte;
                }
            }
            bytes
        },
    );
    prop_oneof![8 => changed, 1 => vec(any::<u8>(), 0..200)]
}

/// Converts damaged bytes of one kind of message. The bytes are the same in every run, so the
/// counts are, too.
fn attack<M, T, E>(
    legal: impl Strategy<Value = M> + 'static,
    convert: impl Fn(M) -> Result<T, E>,
    using: impl Fn(T),
) where
    M: Message + Default + 'static,
    E: Debug,
{
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let mut seen = Seen::default();
    // To draw a message takes far longer than to damage it.
    for _ in 0..500 {
        let message = legal.new_tree(&mut runner).unwrap().current();
        let damaged = damaged(message.encode_to_vec());
        for _ in 0..4 {
            let bytes = damaged.new_tree(&mut runner).unwrap().current();
            match M::decode(bytes.as_slice()).map(&convert) {
                Err(_) => seen.garbled += 1,
                Ok(Err(_)) => seen.refused += 1,
                Ok(Ok(value)) => {
                    seen.accepted += 1;
                    using(value);
                }
            }
        }
    }
    assert!(seen.garbled > 0 && seen.refused > 0 && seen.accepted > 0, "{seen:?}");
}

#[test]
fn damaged_messages_of_workers_do_no_harm() {
    let encode = |message| worker::encode_from_worker(&message);
    attack(domain::from_worker().prop_map(encode), worker::decode_from_worker, |m| drop(encode(m)));
}

#[test]
fn damaged_messages_of_the_coordinator_do_no_harm() {
    let encode = |message| worker::encode_to_worker(&message);
    attack(domain::to_worker().prop_map(encode), worker::decode_to_worker, |m| drop(encode(m)));
}

#[test]
fn damaged_specs_do_no_harm() {
    let encode = |spec| spec::encode_spec(&spec);
    attack(specs::spec().prop_map(encode), spec::decode_spec, |s| drop(encode(s)));
    attack(specs::spec().prop_map(encode), spec::decode_draft, |draft| drop(draft.check()));
    attack(domain::data().prop_map(|data| data::encode_data(&data)), spec::decode_data, |_| ());
}

#[test]
fn damaged_views_do_no_harm() {
    attack(views::trial().prop_map(|v| view::encode_trial(&v)), view::decode_trial, |v| {
        drop(view::encode_trial(&v))
    });
    attack(views::test().prop_map(|v| view::encode_test(&v)), view::decode_test, |v| {
        drop(view::encode_test(&v))
    });
    attack(views::worker().prop_map(|v| view::encode_worker(&v)), view::decode_worker, |v| {
        drop(view::encode_worker(&v))
    });
    attack(views::sweep().prop_map(|v| view::encode_sweep(&v)), view::decode_sweep, |v| {
        // Adds the counts, which would overflow if they were not bounded.
        v.counts.finished();
        drop(view::encode_sweep(&v));
    });
}

#[test]
fn huge_counts_are_refused_before_they_are_added() {
    let most = u32::MAX;
    let counts = v1::Counts {
        queued: 0,
        running: 0,
        completed: most,
        stopped: most,
        diverged: most,
        failed: most,
        cancelled: most,
    };
    let mut wire = limits::sweep();
    wire.counts = Some(counts);
    assert_eq!(view::decode_sweep(wire).unwrap_err().field, "counts.completed");
}
