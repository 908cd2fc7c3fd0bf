use caviar_common::scale::Scale;
use caviar_common::space::{Condition, Domain, Holds, Parameter};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::observation::Stage;

/// Bits of any float except that of a NaN, which does not equal itself.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(-0.0), Just(0.0), Just(2.0)]
        .prop_filter("NaN does not equal itself", |v| !v.is_nan())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        number().prop_map(Value::Float),
        any::<i64>().prop_map(Value::Int),
        (0..4i64).prop_map(Value::Int),
        "[a-c]{0,2}".prop_map(|text| Value::Text(text.into())),
    ]
}

fn domain() -> impl Strategy<Value = Domain> {
    let float = (number(), number()).prop_map(|(a, b)| Domain::Float {
        scale: Scale::Linear,
        low: a.min(b),
        high: a.max(b),
    });
    let int = (any::<i64>(), any::<i64>()).prop_map(|(a, b)| Domain::Int {
        scale: Scale::Linear,
        low: a.min(b),
        high: a.max(b),
    });
    prop_oneof![float, int, vec(value(), 1..6).prop_map(|values| Domain::Choice { values })]
}

/// A space in which some parameters have a condition on an earlier one.
fn space() -> impl Strategy<Value = Space> {
    vec((domain(), any::<prop::sample::Index>(), any::<bool>(), value()), 0..8).prop_map(|rows| {
        let parameter =
            |(j, (domain, parent, is_free, value)): (usize, (Domain, _, bool, Value))| {
                let parent: prop::sample::Index = parent;
                let when = (j > 0 && !is_free).then(|| Condition {
                    parameter: format!("p{}", parent.index(j)),
                    holds: Holds::OneOf(vec![value]),
                });
                Parameter { name: format!("p{j}"), domain, when, points: None }
            };
        Space::new(rows.into_iter().enumerate().map(parameter).collect()).unwrap()
    })
}

/// Any subset of the parameters, with legal and with odd values.
fn assignment(space: &Space) -> impl Strategy<Value = Assignment> + use<> {
    let parameters = space.parameters().to_vec();
    let count = parameters.len();
    (vec(any::<f64>(), count), vec(value(), count), vec(0..4u8, count)).prop_map(
        move |(units, odd, kinds)| {
            let rows = parameters.iter().zip(units).zip(odd).zip(kinds);
            let named = rows.filter_map(|(((p, unit), odd), kind)| match kind {
                0 => None,
                1 => Some((p.name.clone(), odd)),
                _ => Some((p.name.clone(), p.domain.decode(unit.abs().fract()))),
            });
            named.filter(|(_, value)| value.as_f64().is_none_or(|v| !v.is_nan())).collect()
        },
    )
}

fn space_and_assignments() -> impl Strategy<Value = (Space, Vec<Assignment>)> {
    space().prop_flat_map(|space| {
        let assignments = vec(assignment(&space), 0..40);
        (Just(space), assignments)
    })
}

/// The text shows the sign of 0.0, which equality ignores.
fn exact(assignment: &Assignment) -> String {
    format!("{assignment:?}")
}

fn entry() -> impl Strategy<Value = Observation> {
    let stage = prop_oneof![
        (0..1u32 << 29).prop_map(Stage::Passed),
        (0..1u32 << 29).prop_map(Stage::Stopped),
        Just(Stage::Ended)
    ];
    (0..3u32, stage, prop::option::of(number())).prop_map(|(trial, stage, cost)| Observation {
        trial,
        stage,
        cost,
    })
}

proptest! {
    #[test]
    fn every_assignment_comes_back_exactly((space, assignments) in space_and_assignments()) {
        let mut history = History::new(space);
        for (i, assignment) in (0..).zip(&assignments) {
            prop_assert_eq!(history.push_trial(assignment), Ok(i));
        }
        for (i, assignment) in (0..).zip(&assignments) {
            let found = history.assignment(i).unwrap();
            prop_assert_eq!(exact(&found), exact(assignment));
            for (j, p) in history.space().parameters().iter().enumerate() {
                prop_assert_eq!(history.value(i, j), assignment.get(&p.name).cloned());
            }
        }
        prop_assert_eq!(history.assignment(history.trials()), None);
    }

    #[test]
    fn chunks_come_back_from_their_bytes(
        (space, assignments) in space_and_assignments(),
        log in vec(entry(), 1..40),
        trials in prop_oneof![Just(2_048_usize), 2_000..2_500_usize],
    ) {
        let mut history = History::new(space.clone());
        for i in 0..trials {
            history.push_trial(assignments.get(i % 40).unwrap_or(&Assignment::default())).unwrap();
            history.push(log[i % log.len()].clone_for(i)).unwrap();
        }
        let mut copy = History::new(space);
        for bytes in (0..).map_while(|chunk| history.trial_chunk_bytes(chunk)) {
            copy.push_trial_chunk(&bytes).unwrap();
        }
        for bytes in (0..).map_while(|chunk| history.entry_chunk_bytes(chunk)) {
            copy.push_entry_chunk(&bytes).unwrap();
        }
        prop_assert_eq!(&copy, &history);
        copy.push_trial(&history.assignment(0).unwrap()).unwrap();
        history.push_trial(&history.assignment(0).unwrap()).unwrap();
        prop_assert_eq!(&copy, &history);
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_without_a_panic(
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
        length in any::<prop::sample::Index>(),
    ) {
        let history = small(1_024);
        for is_log in [false, true] {
            let (trials, log) = (history.trial_chunk_bytes(0), history.entry_chunk_bytes(0));
            let bytes = if is_log { log } else { trials }.unwrap();
            let mut flipped = bytes.clone();
            flipped[place.index(bytes.len())] ^= 1 << bit;
            let short = &bytes[..length.index(bytes.len())];
            let mut copy = small(0);
            let mut read = |bytes: &[u8]| {
                let result = if is_log {
                    copy.push_entry_chunk(bytes)
                } else {
                    copy.push_trial_chunk(bytes)
                };
                copy.assignment(0);
                result
            };
            prop_assert!(read(short).is_err());
            let _ = read(&flipped);
        }
    }
}

impl Observation {
    /// The entry of another trial.
    fn clone_for(self, trial: usize) -> Self {
        Self { trial: to_u32(trial), ..self }
    }
}

/// A history of a choice and a float, with an entry for each trial. Every tenth float is a whole
/// number.
fn small(trials: u32) -> History {
    let kind = Domain::Choice { values: vec![Value::Text("a".into()), Value::Text("b".into())] };
    let float = Domain::Float { scale: Scale::Linear, low: 0.0, high: 1e9 };
    let parameter =
        |name: &str, domain| Parameter { name: name.into(), domain, when: None, points: None };
    let space = Space::new(vec![parameter("kind", kind), parameter("x", float)]).unwrap();
    let mut history = History::new(space);
    for trial in 0..trials {
        let x = if trial % 10 == 0 { Value::Int(trial.into()) } else { Value::Float(trial.into()) };
        let kind = Value::Text(if trial % 2 == 0 { "a" } else { "b" }.into());
        let values = [("kind".to_owned(), kind), ("x".to_owned(), x)];
        history.push_trial(&values.into_iter().collect()).unwrap();
        let cost = (trial % 7 != 0).then(|| f64::from(trial));
        history.push(Observation { trial, stage: Stage::Ended, cost }).unwrap();
    }
    history
}

#[test]
fn the_log_is_read_from_any_position() {
    let history = small(2_600);
    assert_eq!((history.len(), history.trials(), history.is_empty()), (2_600, 2_600, false));
    for position in [0, 1, 1_023, 1_024, 2_047, 2_048, 2_599, 2_600, 9_999] {
        let rest: Vec<u32> = history.entries_from(position).map(|entry| entry.trial).collect();
        assert!(rest.iter().copied().eq(to_u32(position)..2_600), "{position}");
        let first = history.entry(position).map(|entry| entry.trial);
        assert_eq!(first, rest.first().copied());
    }
    assert_eq!(history.entries().filter(|entry| entry.cost.is_none()).count(), 372);
}

#[test]
fn a_clone_is_independent_and_shares_the_full_chunks() {
    let mut history = small(3_000);
    let before = history.clone();
    assert!(std::ptr::eq(history.trials.get(1).unwrap(), before.trials.get(1).unwrap()));
    let assignment = history.assignment(17).unwrap();
    for _ in 0..2_000 {
        history.push_trial(&assignment).unwrap();
        history.push(Observation { trial: 17, stage: Stage::Passed(1), cost: None }).unwrap();
    }
    assert_eq!(before, small(3_000));
    assert_eq!((before.trials(), before.len()), (3_000, 3_000));
    assert_eq!((history.trials(), history.len()), (5_000, 5_000));
    assert!(history.entries().take(3_000).eq(before.entries()));
    assert_eq!(history.assignment(2_999), before.assignment(2_999));
    assert_ne!(history, before);
    let mut other = before.clone();
    other.push_trial(&assignment).unwrap();
    assert_eq!(other.trials(), 3_001);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut history = small(5);
    let unknown = [("y".to_owned(), Value::Int(1))].into_iter().collect();
    let error = history.push_trial(&unknown).unwrap_err();
    assert_eq!(error.to_string(), "the space has no parameter \"y\"");
    let entry = |trial, rung| Observation { trial, stage: Stage::Passed(rung), cost: None };
    assert_eq!(history.push(entry(5, 0)), Err(HistoryError::UnknownTrial(5)));
    assert_eq!(history.push(entry(4, 1 << 29)), Err(HistoryError::RungTooLarge(1 << 29)));
    assert_eq!(history, small(5));
    let chunk = small(1_024);
    let (trials, log) = (chunk.trial_chunk_bytes(0).unwrap(), chunk.entry_chunk_bytes(0).unwrap());
    assert_eq!(history.push_trial_chunk(&trials), Err(HistoryError::NotAtBoundary(5)));
    assert_eq!(history.push_entry_chunk(&log), Err(HistoryError::NotAtBoundary(5)));
    let mut empty = small(0);
    assert_eq!(empty.push_entry_chunk(&log), Err(HistoryError::UnknownTrial(0)));
    let mut later = trials.clone();
    later[0] = 2;
    let error = empty.push_trial_chunk(&later).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a stored chunk of the history is damaged: its version is unknown"
    );
    assert!(empty.push_trial_chunk(&log).is_err());
}

#[test]
fn an_entry_has_sixteen_bytes_and_a_trial_eight_for_each_parameter_and_for_the_mask() {
    assert_eq!(size_of::<Entry>(), 16);
    let history = small(1_024);
    assert_eq!(history.trials.get(0).unwrap().cells.capacity(), 3 * 1_024);
    let mut copy = small(0);
    copy.push_trial_chunk(&history.trial_chunk_bytes(0).unwrap()).unwrap();
    assert_eq!(copy.trials.get(0).unwrap().cells.capacity(), 3 * 1_024);
    let mut clone = small(700).clone();
    (700..1_024).for_each(|i| assert_eq!(clone.push_trial(&history.assignment(i).unwrap()), Ok(i)));
    assert_eq!(clone.trials.get(0).unwrap().cells.capacity(), 3 * 1_024);
}
