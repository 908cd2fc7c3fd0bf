//! Placement: which worker executes which trial, and which trials are parked.
//!
//! A worker has *slots*, one for each trial that it can train at the same time. What waits for a
//! slot is a trial that has not begun, a parked trial, or the scoring of a winner.
//!
//! **Urgency.** Decisions are taken in virtual time, so some trials are needed before others. A
//! trial's urgency is (virtual time of the decision that needs it, trial number); lower is more
//! urgent. For a trial that has not begun this is its next decision. For a running or parked trial
//! it is the first decision for which its worker has not reported enough yet.
//!
//! **Assigning** (`assign`). Free slots go to the sweep with the fewest busy slots, and within a
//! sweep to the most urgent trial.
//!
//! **Parking** (`park`). A worker does not wait at a rung: it trains on, and these epochs are
//! wasted if the trial is then stopped at the rung. So if no slot is free, a running trial that has
//! reported enough for its next decision is exchanged for a more urgent one. It is *parked*: its
//! worker keeps it in memory with its lease and gives the slot to the other. No decision depends on
//! what is parked, so it is not in the record, and a new connection begins without parked trials.
//!
//! For example, a sweep of two trials has rungs at epochs 2 and 6 of 10, and its only worker has
//! one slot:
//!
//! | step | trial 0, due at epoch | trial 1, due at epoch |
//! |---|---|---|
//! | Trial 0 begins: of equal urgencies the lower number goes first. | trains, 2 | waits, 2 |
//! | Trial 0 reports epoch 2, is first at the rung, and passes. | trains, 6 | waits, 2 |
//! | Trial 0 reports epoch 6. Its decision waits for that of trial 1. | parked, 10 | trains, 2 |
//! | Trial 1 reports epoch 2 and is stopped there. | trains, 10 | stopped |
//!
//! Before its report of epoch 6, trial 0 keeps its slot although trial 1 is more urgent: it still
//! owes a result for its next decision, and moving trials about costs memory.
//!
//! **Suspects.** A trial that has lost its worker several times in a row may be what crashes it
//! ([`SUSPECT_LOSSES`]). It gets the first free slot of a worker that holds no other suspect, so
//! that the next crash shows whether it is the cause.
//!
//! [`SUSPECT_LOSSES`]: crate::record::state::SUSPECT_LOSSES

mod assign;
mod candidates;
mod park;

use crate::Coordinator;
use crate::record::Broken;
use candidates::Placement;
pub(crate) use candidates::waiting_job;

impl Coordinator {
    /// Assigns waiting trials to free slots. If none is free, parks a trial that has run ahead and
    /// gives its slot to a more urgent one. Returns false if `may_continue` ended it before all was
    /// placed.
    pub(crate) fn place(&mut self, may_continue: &mut dyn FnMut() -> bool) -> Result<bool, Broken> {
        while let Some(placement) = self.next_assignment() {
            self.carry_out(placement)?;
            if !may_continue() {
                return Ok(false);
            }
        }
        while let Some(exchange) = self.next_exchange() {
            // A worker accepts a grant only when it has a free slot, and parks a trial only while
            // it holds fewer parked trials than it may.
            if matches!(exchange.instead, Placement::Unpark(_)) {
                self.carry_out(exchange.instead)?;
                self.park(exchange.park)?;
            } else {
                self.park(exchange.park)?;
                self.carry_out(exchange.instead)?;
            }
            if !may_continue() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn carry_out(&mut self, placement: Placement) -> Result<(), Broken> {
        match placement {
            Placement::Start { session, worker, sweep, trial } => {
                self.grant(session, worker, (sweep, trial))
            }
            Placement::Unpark(lease) => self.unpark(lease),
        }
    }
}

#[cfg(test)]
mod tests;
