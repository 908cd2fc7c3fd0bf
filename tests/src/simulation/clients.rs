//! External clients: programs that run the trials of external sweeps. They are correct, but they
//! and the network between them and the coordinator fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use caviar_common::ask::{Ask, AskKey, AskReply, AskedTrial, Report, Tell, Verdict};
use caviar_common::ids::{LeaseId, Name, SweepId, TrialNumber};
use caviar_common::outcome::{Outcome, TrialState};
use caviar_core::event::{Event, Payload};
use caviar_core::input::{ClientReply, Input, Refusal, Waiter, WaiterId};

use super::Simulation;
use super::faults::Source;
use super::marks::Mark;
use super::training::{named_metrics, plan};

/// Most trials that a client runs at once.
const MOST_TRIALS: usize = 4;
/// Most ended leases that a client remembers, to name them in late messages.
const MOST_PAST: usize = 8;

/// A trial that a client runs.
#[derive(Clone, Debug)]
struct Held {
    sweep: SweepId,
    asked: AskedTrial,
    /// The epochs that the coordinator has acknowledged.
    reported: u32,
}

/// A request of a client.
#[derive(Clone, Debug)]
enum Request {
    Ask { sweep: SweepId, ask: Ask, is_patient: bool },
    Report { sweep: SweepId, report: Report },
    Tell { sweep: SweepId, tell: Tell },
}

impl Request {
    /// The lease that the request names.
    const fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Ask { .. } => None,
            Self::Report { report, .. } => Some(report.lease),
            Self::Tell { tell, .. } => Some(tell.lease),
        }
    }

    const fn is_ask(&self) -> bool {
        matches!(self, Self::Ask { .. })
    }

    const fn sweep(&self) -> SweepId {
        match self {
            Self::Ask { sweep, .. } | Self::Report { sweep, .. } | Self::Tell { sweep, .. } => {
                *sweep
            }
        }
    }

    fn input(&self, id: WaiterId) -> Input {
        match self.clone() {
            Self::Ask { sweep, ask, is_patient } => {
                Input::AskTrials(sweep, ask, Waiter { id, is_patient })
            }
            Self::Report { sweep, report } => Input::ReportTrial(sweep, report, id),
            Self::Tell { sweep, tell } => Input::TellTrial(sweep, tell, id),
        }
    }
}

/// A request that was sent and is not answered yet.
#[derive(Debug)]
struct Pending {
    request: Request,
    /// The number of the step in which the coordinator heard it.
    step: u64,
    /// Whether it was sent before, so that the client waits for another answer too.
    is_copy: bool,
}

/// An external client and what it knows.
#[derive(Debug)]
struct Client {
    name: Name,
    requests: u64,
    held: BTreeMap<LeaseId, Held>,
    /// Trials whose leases have ended, the latest last.
    past: VecDeque<Held>,
    /// All leases that it ever got.
    known: BTreeSet<LeaseId>,
    pending: BTreeMap<WaiterId, Pending>,
    /// Requests whose replies were lost.
    unanswered: VecDeque<Request>,
    last_request: Option<Request>,
    silent_until: u64,
    loses_reply: bool,
}

impl Client {
    fn new(number: usize) -> Self {
        Self {
            name: Name::parse("client", &format!("client-{number}")).expect("a legal name"),
            requests: 0,
            held: BTreeMap::new(),
            past: VecDeque::new(),
            known: BTreeSet::new(),
            pending: BTreeMap::new(),
            unanswered: VecDeque::new(),
            last_request: None,
            silent_until: 0,
            loses_reply: false,
        }
    }

    /// Forgets a trial whose lease has ended.
    fn retire(&mut self, lease: LeaseId) {
        if let Some(held) = self.held.remove(&lease) {
            self.past.push_back(held);
            if self.past.len() > MOST_PAST {
                self.past.pop_front();
            }
        }
    }

    /// True if the client waits for the answer to a request about this lease.
    fn is_busy(&self, lease: LeaseId) -> bool {
        let mut pending = self.pending.values().filter(|pending| !pending.is_copy);
        let mut unanswered = self.unanswered.iter();
        pending.any(|it| it.request.lease() == Some(lease))
            || unanswered.any(|it| it.lease() == Some(lease))
    }

    /// The ask that the client waits for.
    fn waiting_ask(&self) -> Option<WaiterId> {
        let mut asks = self.pending.iter().filter(|(_, it)| it.request.is_ask() && !it.is_copy);
        asks.next().map(|(waiter, _)| *waiter)
    }

    fn new_ask(
        &mut self,
        sweep: SweepId,
        (count, lease_ms): (u32, u64),
        is_patient: bool,
    ) -> Request {
        self.requests += 1;
        let request_id =
            Name::parse("request", &format!("ask-{}", self.requests)).expect("a legal name");
        let client = self.name.clone();
        Request::Ask {
            sweep,
            ask: Ask { key: AskKey { request_id, client, token: None }, count, lease_ms },
            is_patient,
        }
    }
}

impl Held {
    /// The next report, or the end of the trial. The last epoch can be reported before the end or
    /// with it.
    fn next_request(&self, tells_last: bool) -> Request {
        let (sweep, trial, lease) = (self.sweep, self.asked.trial, self.asked.lease);
        let plan = plan(&self.asked);
        let epoch = self.reported + 1;
        let metrics = |epoch| named_metrics(&self.asked.assignment, epoch);
        let seconds = f64::from(self.reported);
        if epoch < plan.epochs || (epoch == plan.epochs && !tells_last) {
            let report = Report {
                trial,
                lease,
                token: None,
                metrics: metrics(epoch),
                seconds: Some(seconds),
            };
            return Request::Report { sweep, report };
        }
        let last = (epoch == plan.epochs).then(|| metrics(epoch));
        let outcome = plan.outcome;
        Request::Tell { sweep, tell: Tell { trial, lease, token: None, outcome, last, seconds } }
    }
}

/// The external clients, and what they were answered.
#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: Vec<Client>,
    next_waiter: u64,
    /// Requests of clients that crashed. Their answers reach nobody.
    orphans: BTreeSet<WaiterId>,
    /// What each client got for each of its requests for trials.
    answers: BTreeMap<(Name, Name), Vec<(TrialNumber, LeaseId)>>,
}

impl Clients {
    pub(super) const fn len(&self) -> usize {
        self.clients.len()
    }
}

impl Simulation {
    /// Adds external clients, which run the trials of all external sweeps.
    pub fn add_clients(&mut self, count: usize) {
        let first = self.clients.len();
        self.clients.clients.extend((first..first + count).map(Client::new));
    }

    pub(super) fn has_silent_client(&self) -> bool {
        let now = self.now;
        let mut clients = self.clients.clients.iter();
        clients.any(|client| client.silent_until > now) || !self.clients.orphans.is_empty()
    }

    /// True if a client waits for trials of the sweep.
    pub(super) fn has_waiting_ask(&self, sweep: SweepId) -> bool {
        let mut pending = self.clients.clients.iter().flat_map(|client| client.pending.values());
        pending.any(|it| it.request.is_ask() && it.request.sweep() == sweep)
    }

    /// A client sends a request, stops waiting, or does nothing.
    pub(super) fn client_acts(&mut self, at: usize) {
        let now = self.now;
        let client = &mut self.clients.clients[at];
        if client.silent_until > now {
            return;
        }
        if let Some(request) = client.unanswered.pop_front() {
            self.marks.add(Mark::RequestRepeated);
            return self.send(at, request, false);
        }
        let waiting = client.waiting_ask();
        let leases: Vec<LeaseId> = client.held.keys().copied().collect();
        let ready: Vec<LeaseId> = leases.into_iter().filter(|it| !client.is_busy(*it)).collect();
        let may_ask = waiting.is_none() && client.held.len() < MOST_TRIALS;
        let chance = self.streams.of(Source::Clients);
        let choice = chance.below((ready.len() + 1) as u64) as usize;
        if let Some(lease) = ready.get(choice) {
            let tells_last = chance.below(2) == 0;
            if let Some(held) = self.clients.clients[at].held.get(lease) {
                let request = held.next_request(tells_last);
                self.send(at, request, false);
            }
        } else if may_ask {
            self.ask(at);
        } else if let Some(waiter) = waiting
            && chance.below(16) == 0
        {
            self.marks.add(Mark::StopWaiting);
            self.step(Input::StopWaiting(waiter)).expect("it is not refused");
        }
    }

    fn ask(&mut self, at: usize) {
        let sweeps = self.core.record().sweeps().values();
        let open = sweeps.filter(|it| it.spec().data.is_external() && !it.state().is_final());
        let open: Vec<SweepId> = open.map(|sweep| sweep.id()).collect();
        let Some(sweep) = self.choose(Source::Clients, &open) else { return };
        let chance = self.streams.of(Source::Clients);
        let count = 1 + chance.below(3) as u32;
        let lease_ms = 1_000 * (1 + chance.below(3));
        let is_patient = chance.below(2) == 0;
        let request = self.clients.clients[at].new_ask(sweep, (count, lease_ms), is_patient);
        self.send(at, request, false);
    }

    /// Sends a request. `is_copy` says that the client also waits for an earlier one like it.
    fn send(&mut self, at: usize, request: Request, is_copy: bool) {
        self.mark_request(at, &request);
        self.clients.next_waiter += 1;
        let waiter = WaiterId(self.clients.next_waiter);
        let input = request.input(waiter);
        let earlier = self.earlier_leases(&request);
        let client = &mut self.clients.clients[at];
        client.last_request = Some(request.clone());
        client.pending.insert(waiter, Pending { request, step: self.steps + 1, is_copy });
        if self.loses_batch {
            self.lose_batch(input);
        } else if let Err(refusal) = self.step(input) {
            self.take_refusal(at, waiter, &refusal);
        } else {
            earlier.into_iter().for_each(|lease| self.oracle.hear_lease(lease, self.now));
        }
    }

    /// The leases that a request renews if it is not refused.
    fn earlier_leases(&self, request: &Request) -> Vec<LeaseId> {
        match request {
            Request::Ask { sweep, ask, .. } => {
                let sweep = self.core.record().sweep(*sweep);
                let earlier = sweep.and_then(|sweep| sweep.earlier_ask(ask));
                earlier.map_or_else(Vec::new, |it| it.trials().iter().map(|it| it.lease).collect())
            }
            Request::Report { report, .. } => vec![report.lease],
            Request::Tell { tell, .. } => vec![tell.lease],
        }
    }

    fn mark_request(&mut self, at: usize, request: &Request) {
        let sweep = self.core.record().sweep(request.sweep());
        match request {
            Request::Ask { ask, .. } => {
                let is_known = sweep.is_some_and(|sweep| sweep.earlier_ask(ask).is_some());
                self.marks.add_if(is_known, Mark::AskFromRecord);
                let is_same = |it: &Pending| {
                    let Request::Ask { ask: other, .. } = &it.request else { return false };
                    other == ask
                };
                let waits = self.clients.clients[at].pending.values().any(is_same);
                self.marks.add_if(waits, Mark::AskTwiceWaiting);
            }
            Request::Report { report, .. } => {
                let trial = sweep.and_then(|sweep| sweep.trial(report.trial));
                let is_repeated =
                    trial.is_some_and(|it| report.metrics.epoch <= it.recorded_epochs());
                self.marks.add_if(is_repeated, Mark::EpochRepeated);
            }
            Request::Tell { tell, .. } => {
                let is_told = self.core.record().has_result(tell.lease);
                self.marks.add_if(is_told, Mark::TellRepeated);
            }
        }
    }

    fn take_refusal(&mut self, at: usize, waiter: WaiterId, refusal: &Refusal) {
        let client = &mut self.clients.clients[at];
        let pending = client.pending.remove(&waiter).expect("the request was sent");
        match refusal {
            Refusal::StaleLease { .. } => {
                self.marks.add(Mark::StaleLease);
                if let Some(lease) = pending.request.lease() {
                    client.retire(lease);
                }
            }
            Refusal::NoSuchSweep(_) => {
                self.marks.add(Mark::ClientOfDeleted);
                client.held.retain(|_, held| held.sweep != pending.request.sweep());
            }
            other => panic!("{:?} was refused: {other}", pending.request),
        }
    }

    /// Hands an answer to the client that waits for it.
    pub(super) fn take_answer(&mut self, waiter: WaiterId, answer: ClientReply) {
        if self.clients.orphans.remove(&waiter) {
            let is_granted =
                matches!(&answer, ClientReply::Trials(reply) if !reply.trials.is_empty());
            return self.marks.add_if(is_granted, Mark::GrantedToNobody);
        }
        let mut clients = 0..self.clients.len();
        let is_its = |at: &usize| self.clients.clients[*at].pending.contains_key(&waiter);
        let at = clients.find(is_its);
        let at = at.unwrap_or_else(|| panic!("{waiter:?} does not wait for {answer:?}"));
        let client = &mut self.clients.clients[at];
        let pending = client.pending.remove(&waiter).expect("it was found");
        if client.loses_reply {
            client.loses_reply = false;
            self.marks.add(Mark::ReplyLost);
            if !pending.is_copy {
                client.unanswered.push_back(pending.request);
            }
            return;
        }
        let is_later = self.steps > pending.step;
        match (pending.request, answer) {
            (Request::Ask { sweep, ask, is_patient }, ClientReply::Trials(reply)) => {
                let is_granted = !reply.trials.is_empty();
                self.marks.add_if(is_granted && is_later && is_patient, Mark::PatientLater);
                self.marks.add_if(!is_granted && !is_patient, Mark::EmptyImpatient);
                self.marks.add_if(!is_granted && reply.is_over, Mark::AskOver);
                self.take_trials(at, (sweep, ask), reply);
            }
            (Request::Report { report, .. }, ClientReply::Verdict(verdict)) => {
                self.marks.add_if(is_later, Mark::AnsweredLater);
                self.take_verdict(at, &report, verdict);
            }
            (Request::Tell { tell, .. }, ClientReply::Told(state)) => {
                self.marks.add_if(is_later, Mark::AnsweredLater);
                self.marks.add_if(state == TrialState::Stopped, Mark::ToldStopped);
                self.clients.clients[at].retire(tell.lease);
            }
            (request, answer) => panic!("the answer to {request:?} is {answer:?}"),
        }
    }

    fn take_trials(&mut self, at: usize, (sweep, ask): (SweepId, Ask), reply: AskReply) {
        if reply.trials.is_empty() {
            return;
        }
        assert!(reply.trials.len() <= ask.count as usize, "more trials than it asked for");
        let granted: Vec<_> = reply.trials.iter().map(|it| (it.trial, it.lease)).collect();
        let key = (ask.key.client.clone(), ask.key.request_id.clone());
        let earlier = self.clients.answers.entry(key).or_insert_with(|| granted.clone());
        assert_eq!(*earlier, granted, "{ask:?} was answered in two ways");
        let client = &mut self.clients.clients[at];
        for asked in reply.trials {
            if client.known.insert(asked.lease) {
                client.held.insert(asked.lease, Held { sweep, asked, reported: 0 });
            }
        }
    }

    fn take_verdict(&mut self, at: usize, report: &Report, verdict: Verdict) {
        let client = &mut self.clients.clients[at];
        match verdict {
            Verdict::Continue => {
                if let Some(held) = client.held.get_mut(&report.lease) {
                    held.reported = held.reported.max(report.metrics.epoch);
                }
            }
            Verdict::Stop => {
                self.marks.add(Mark::StopVerdict);
                client.retire(report.lease);
            }
        }
    }
}

/// What goes wrong with clients.
impl Simulation {
    /// Silent clients continue, and requests of clients that crashed end.
    pub(super) fn wake_clients(&mut self) {
        for client in &mut self.clients.clients {
            client.silent_until = 0;
        }
        for waiter in self.clients.orphans.clone() {
            self.step(Input::StopWaiting(waiter)).expect("it is not refused");
        }
    }

    /// The coordinator restarted: nobody waits any more, and requests are sent again.
    pub(super) fn lose_waiters(&mut self) {
        self.clients.orphans.clear();
        for client in &mut self.clients.clients {
            let pending = std::mem::take(&mut client.pending).into_values();
            let pending = pending.filter(|it| !it.is_copy).map(|it| it.request);
            let before = client.unanswered.len();
            client.unanswered.extend(pending);
            self.marks.add_if(client.unanswered.len() > before, Mark::RestartWithoutWaiter);
        }
    }

    fn any_client(&mut self, source: Source) -> Option<usize> {
        let count = self.clients.len();
        let at = self.pick(source, count);
        (count > 0).then_some(at)
    }

    pub(super) fn silence_client(&mut self) {
        let Some(at) = self.any_client(Source::ClientSilences) else { return };
        let ms = 500 * (1 + self.streams.of(Source::ClientSilences).below(8));
        self.marks.add(Mark::ClientSilence);
        self.clients.clients[at].silent_until = self.now + ms;
    }

    /// A client crashes, and another process takes its name. The coordinator may not notice for a
    /// while that nobody waits for the answers.
    pub(super) fn crash_client(&mut self) {
        let Some(at) = self.any_client(Source::ClientCrashes) else { return };
        let is_noticed = self.pick(Source::ClientCrashes, 4) > 0;
        self.marks.add(Mark::ClientCrash);
        let client = &mut self.clients.clients[at];
        let new = Client { requests: client.requests, ..Client::new(at) };
        let old = std::mem::replace(client, new);
        self.clients.orphans.extend(old.pending.keys());
        for (waiter, pending) in old.pending {
            if is_noticed && pending.request.is_ask() {
                self.step(Input::StopWaiting(waiter)).expect("it is not refused");
            }
        }
    }

    pub(super) fn repeat_request(&mut self) {
        let Some(at) = self.any_client(Source::Repeats) else { return };
        if let Some(request) = self.clients.clients[at].last_request.clone() {
            self.marks.add(Mark::RequestRepeated);
            self.send(at, request, true);
        }
    }

    pub(super) fn lose_reply(&mut self) {
        if let Some(at) = self.any_client(Source::LostReplies) {
            self.clients.clients[at].loses_reply = true;
        }
    }

    /// A message about a lease that has ended arrives late. It changes nothing.
    pub(super) fn send_late_message(&mut self) {
        let Some(at) = self.any_client(Source::LateMessages) else { return };
        let past: Vec<Held> = self.clients.clients[at].past.iter().cloned().collect();
        let Some(held) = self.choose(Source::LateMessages, &past) else { return };
        let tells_last = self.pick(Source::LateMessages, 2) == 0;
        let reported = self.pick(Source::LateMessages, held.asked.epochs as usize) as u32;
        let request = Held { reported, ..held.clone() }.next_request(tells_last);
        let events = self.events.len();
        self.send(at, request, true);
        let lease = held.asked.lease;
        let changes = self.events[events..].iter().filter(|event| names(event, lease));
        assert_eq!(changes.collect::<Vec<_>>(), Vec::<&Event>::new(), "a late message counts");
    }
}

/// True if the event records a report or a result under this lease.
fn names(event: &Event, lease: LeaseId) -> bool {
    match &event.payload {
        Payload::EpochsRecorded(recorded) => recorded.lease == lease,
        Payload::TrialFinished(finished) => {
            finished.lease == lease && !matches!(finished.outcome, Outcome::Failed { .. })
        }
        _ => false,
    }
}
