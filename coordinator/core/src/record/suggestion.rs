//! Suggestions of samplers as events hold them: without the names and texts of the space.

use caviar_common::assignment::Assignment;
use caviar_common::compact::{CompactAssignment, CompactBox};
use caviar_common::reason::Reason;
use caviar_common::space::Space;
use caviar_search::Suggestion;
use serde::{Deserialize, Serialize};

/// An assignment as an event holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredAssignment {
    /// One value per parameter of the sweep's space, without names.
    Compact(CompactAssignment),
    /// Names and values: in stores of formats 1 and 2, and for values that the space does not have.
    Named(Assignment),
}

impl StoredAssignment {
    pub(crate) fn new(space: &Space, assignment: &Assignment) -> Self {
        match CompactAssignment::new(space, assignment) {
            Some(compact) => Self::Compact(compact),
            None => Self::Named(assignment.clone()),
        }
    }

    /// The assignment. `None` if it is not one of a sweep with this space.
    pub(crate) fn expand(&self, space: &Space) -> Option<Assignment> {
        match self {
            Self::Compact(compact) => compact.expand(space),
            Self::Named(assignment) => Some(assignment.clone()),
        }
    }
}

/// A suggestion as an event holds it: its assignment, its reason without the box, and the box.
pub(crate) fn store_suggestion(
    space: &Space,
    suggestion: Suggestion,
) -> (StoredAssignment, Reason, Option<CompactBox>) {
    let Suggestion { assignment, mut reason } = suggestion;
    let sides = reason.search_box.as_ref().and_then(|it| CompactBox::new(space, it));
    if sides.is_some() {
        reason.search_box = None;
    }
    (StoredAssignment::new(space, &assignment), reason, sides)
}

/// The suggestion that was stored. `None` if it is not one of a sweep with this space.
pub(crate) fn restore_suggestion(
    space: &Space,
    (assignment, reason, sides): (&StoredAssignment, &Reason, Option<&CompactBox>),
) -> Option<Suggestion> {
    let assignment = assignment.expand(space)?;
    let mut reason = reason.clone();
    if let Some(sides) = sides {
        reason.search_box = Some(sides.expand(space)?);
    }
    Some(Suggestion { assignment, reason })
}
