//! Which assignments were used, and one that was not.

use std::collections::BTreeSet;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::seed::Stream;
use caviar_common::space::{Domain, Parameter, Space};

/// So many values of a range without steps stand for all of it: one is used about never.
const OF_A_RANGE: u64 = 4;

/// The assignments that were tried or are in flight.
pub(super) struct Used<'a> {
    assignments: Vec<&'a Assignment>,
}

impl<'a> Used<'a> {
    pub(super) fn new(known: &[&'a Assignment], pending: &[&'a Assignment]) -> Self {
        Self { assignments: known.iter().chain(pending).copied().collect() }
    }

    pub(super) fn contains(&self, assignment: &Assignment) -> bool {
        self.assignments.contains(&assignment)
    }

    /// An assignment that is not among them; none where the space has no other.
    ///
    /// Walks the space depth first, every parameter from a random value on. What it passes is used, so it passes no more than there are.
    pub(super) fn another(&self, space: &Space, stream: &mut Stream) -> Option<Assignment> {
        let keys: BTreeSet<Vec<String>> = self.assignments.iter().map(|a| key(a)).collect();
        let starts: Vec<u64> = space.parameters().iter().map(|_| stream.word()).collect();
        walk(space, &starts, &keys, stream, Assignment::default())
    }
}

fn walk(space: &Space, starts: &[u64], keys: &BTreeSet<Vec<String>>, stream: &mut Stream, assignment: Assignment) -> Option<Assignment> {
    let index = space.dimensions() - starts.len();
    let (Some(parameter), Some((start, rest))) = (space.parameters().get(index), starts.split_first()) else {
        return (!keys.contains(&key(&assignment))).then_some(assignment);
    };
    if !space.is_active(parameter, &assignment) {
        return walk(space, rest, keys, stream, assignment);
    }
    let values = parameter.domain.cardinality().unwrap_or(OF_A_RANGE);
    (0..values).find_map(|step| {
        let mut longer = assignment.clone();
        longer.insert(parameter.name.clone(), value(parameter, *start, step, stream));
        walk(space, rest, keys, stream, longer)
    })
}

/// The value `step` steps after the one that a random number names.
fn value(parameter: &Parameter, start: u64, step: u64, stream: &mut Stream) -> Value {
    let number = |count: u64| start.wrapping_rem(count.max(1)).wrapping_add(step).wrapping_rem(count.max(1));
    match &parameter.domain {
        Domain::Float { .. } => parameter.domain.decode(stream.uniform()),
        Domain::Int { low, high, .. } => {
            let offset = number(high.abs_diff(*low).saturating_add(1));
            Value::Int(low.saturating_add_unsigned(offset))
        }
        Domain::Choice { values } => {
            let place = usize::try_from(number(u64::try_from(values.len()).unwrap_or(1))).unwrap_or_default();
            values.get(place).cloned().unwrap_or(Value::Int(0))
        }
    }
}

fn key(assignment: &Assignment) -> Vec<String> {
    assignment.iter().map(|(name, value)| format!("{name}={value}")).collect()
}
