//! The events and effects that one step collects.

use caviar_common::ids::SessionId;
use caviar_common::message::ToWorker;

use crate::input::{ClientReply, Effect, Refusal, WaiterId};
use crate::record::event::Event;
use crate::record::sampling::SamplingJob;

/// What happened since the driver last took events and effects from the coordinator.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Already part of the record, in this order.
    pub(crate) events: Vec<Event>,
    /// To be carried out in this order, once the events are stored.
    pub(crate) effects: Vec<Effect>,
    /// Questions for samplers that may take milliseconds.
    pub(crate) jobs: Vec<SamplingJob>,
}

impl Changes {
    /// Sends `message` once the events so far are stored.
    pub(crate) fn send(&mut self, session: SessionId, message: ToWorker) {
        self.effects.push(Effect::Send(session, message));
    }

    /// Answers a waiting client once the events so far are stored.
    pub(crate) fn answer(&mut self, waiter: WaiterId, answer: ClientReply) {
        self.effects.push(Effect::Answer(waiter, answer));
    }

    /// Closes `session` once the events so far are stored.
    pub(crate) fn close(&mut self, session: SessionId, refusal: Refusal) {
        self.effects.push(Effect::Close(session, refusal));
    }
}
