//! Compact forms of assignments and boxes, for events and tables.
//!
//! A sweep file may search 64 parameters with choices of thousands of characters. Written out, an
//! assignment would then take a quarter of a megabyte, in every event that has one. The compact
//! form has one entry per parameter of the space, in its order: a number for a range, the index of
//! a choice, and nothing for an inactive parameter.
//!
//! Example: in the space `learning_rate`, `optimizer` one of sgd and adam, and `beta1` that is
//! active for adam only, the assignment `learning_rate = 0.1, optimizer = "sgd"` is
//! `[0.1, 0, null]`.

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, Value};
use crate::numbers::to_usize;
use crate::reason::{Extent, SearchBox, Side};
use crate::space::{Domain, Parameter, Space};

/// An assignment without names and texts. See the [module's description](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompactAssignment(Vec<Option<Value>>);

/// A box without names and texts: the extent of each parameter of the space, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompactBox(Vec<Extent>);

impl CompactAssignment {
    /// The compact form of an assignment. `None` if it has a value that the space does not, which
    /// an assignment of an old store may have.
    pub fn new(space: &Space, assignment: &Assignment) -> Option<Self> {
        let mut values = Vec::with_capacity(space.dimensions());
        for parameter in space.parameters() {
            values.push(match assignment.get(&parameter.name) {
                Some(value) => Some(compact(&parameter.domain, value)?),
                None => None,
            });
        }
        let found = values.iter().filter(|value| value.is_some()).count();
        (found == assignment.len()).then_some(Self(values))
    }

    /// The assignment. `None` if this is not the form of an assignment of the space.
    pub fn expand(&self, space: &Space) -> Option<Assignment> {
        let parameters = space.parameters();
        (parameters.len() == self.0.len()).then_some(())?;
        let pairs = parameters.iter().zip(&self.0).filter_map(|(parameter, value)| {
            let value = value.as_ref()?;
            Some(expand(&parameter.domain, value).map(|value| (parameter.name.clone(), value)))
        });
        pairs.collect()
    }
}

impl CompactBox {
    /// The compact form of a box. `None` if it is not a box of the space.
    pub fn new(space: &Space, search_box: &SearchBox) -> Option<Self> {
        let parameters = space.parameters();
        (parameters.len() == search_box.sides.len()).then_some(())?;
        let extents = parameters.iter().zip(&search_box.sides).map(|(parameter, side)| {
            (parameter.name == side.parameter).then_some(())?;
            change_choices(parameter, &side.extent, compact)
        });
        extents.collect::<Option<_>>().map(Self)
    }

    /// The box. `None` if this is not the form of a box of the space.
    pub fn expand(&self, space: &Space) -> Option<SearchBox> {
        let parameters = space.parameters();
        (parameters.len() == self.0.len()).then_some(())?;
        let sides = parameters.iter().zip(&self.0).map(|(parameter, extent)| {
            let extent = change_choices(parameter, extent, expand)?;
            Some(Side { parameter: parameter.name.clone(), extent })
        });
        sides.collect::<Option<_>>().map(|sides| SearchBox { sides })
    }
}

fn change_choices(
    parameter: &Parameter,
    extent: &Extent,
    change: fn(&Domain, &Value) -> Option<Value>,
) -> Option<Extent> {
    match extent {
        Extent::Range { .. } => Some(extent.clone()),
        Extent::Choices(values) => {
            let changed = values.iter().map(|value| change(&parameter.domain, value));
            changed.collect::<Option<_>>().map(Extent::Choices)
        }
    }
}

fn compact(domain: &Domain, value: &Value) -> Option<Value> {
    match (domain, value) {
        (Domain::Float { .. }, Value::Float(_)) | (Domain::Int { .. }, Value::Int(_)) => {
            Some(value.clone())
        }
        (Domain::Choice { values }, _) => {
            let place = values.iter().position(|choice| is_identical(choice, value))?;
            Some(Value::Int(i64::try_from(place).ok()?))
        }
        (Domain::Float { .. }, Value::Int(_) | Value::Text(_))
        | (Domain::Int { .. }, Value::Float(_) | Value::Text(_)) => None,
    }
}

fn expand(domain: &Domain, value: &Value) -> Option<Value> {
    match (domain, value) {
        (Domain::Float { .. }, Value::Float(_)) | (Domain::Int { .. }, Value::Int(_)) => {
            Some(value.clone())
        }
        (Domain::Choice { values }, Value::Int(place)) => {
            values.get(to_usize(u64::try_from(*place).ok()?)).cloned()
        }
        (Domain::Float { .. } | Domain::Choice { .. }, _) | (Domain::Int { .. }, _) => None,
    }
}

/// Stricter than equality, for which 0.0 and -0.0 are the same.
fn is_identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Int(_) | Value::Float(_) | Value::Text(_), _) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::file::parse;

    fn space() -> Space {
        let text = "name = \"s\"\n[data]\nsource = \"external\"\n[space]\n\
                    rate = { low = 0.0, high = 1.0 }\n\
                    optimizer = { choices = [\"sgd\", \"adam\"] }\n\
                    beta = { low = 1, high = 3, when = { optimizer = \"adam\" } }\n\
                    [search]\ntrials = 3\n[objective]\nmetric = \"m\"\ngoal = \"minimize\"\n";
        parse(text).unwrap().spec.space
    }

    #[test]
    fn an_assignment_comes_back_from_its_compact_form() {
        let space = space();
        for (point, expected) in
            [([0.25, 0.2, 0.5], "[0.25,0,null]"), ([1.0, 0.9, 0.5], "[1.0,1,2]")]
        {
            let assignment = space.decode(&point);
            let compact = CompactAssignment::new(&space, &assignment).unwrap();
            let text = serde_json::to_string(&compact).unwrap();
            assert_eq!(text, expected);
            let again: CompactAssignment = serde_json::from_str(&text).unwrap();
            assert_eq!(again.expand(&space), Some(assignment));
        }
    }

    #[test]
    fn what_is_not_of_the_space_has_no_compact_form() {
        let space = space();
        for (name, value) in [
            ("rate", Value::Int(1)),
            ("optimizer", Value::Text("lion".into())),
            ("beta", Value::Float(1.0)),
            ("gamma", Value::Int(1)),
        ] {
            let assignment = [(name.to_owned(), value)].into_iter().collect();
            assert_eq!(CompactAssignment::new(&space, &assignment), None, "{name}");
        }
        for text in ["[0.5,0]", "[0.5,2,null]", "[0.5,-1,null]", "[1,0,null]", "[0.5,\"sgd\",null]"]
        {
            let compact: CompactAssignment = serde_json::from_str(text).unwrap();
            assert_eq!(compact.expand(&space), None, "{text}");
        }
    }

    #[test]
    fn a_box_comes_back_from_its_compact_form() {
        let space = space();
        let range = |low, high| Extent::Range { low, high };
        let extents = [
            range(Value::Float(0.25), Value::Float(0.5)),
            Extent::Choices(vec![Value::Text("adam".into())]),
            range(Value::Int(1), Value::Int(2)),
        ];
        let sides = space
            .parameters()
            .iter()
            .zip(extents)
            .map(|(parameter, extent)| Side { parameter: parameter.name.clone(), extent });
        let search_box = SearchBox { sides: sides.collect() };
        let compact = CompactBox::new(&space, &search_box).unwrap();
        let text = serde_json::to_string(&compact).unwrap();
        assert!(text.contains("{\"choices\":[1]}"), "{text}");
        let again: CompactBox = serde_json::from_str(&text).unwrap();
        assert_eq!(again.expand(&space), Some(search_box));
    }
}
