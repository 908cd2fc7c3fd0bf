//! What goes wrong in a simulated cluster, how often, and when.
//!
//! Each source of faults and of choices has its own random streams, so another source does not
//! change when the existing ones act or what they choose.

use caviar_common::seed::{Purpose, Seed, Stream};

/// How often each fault happens, per 1,000 actions.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A connection breaks, and the messages on it are lost.
    pub breaks: u64,
    /// A worker crashes, and a new process takes its name.
    pub crashes: u64,
    /// The coordinator restarts from its events.
    pub restarts: u64,
    /// All workers are silent for a while, or the coordinator is stopped for a while.
    pub silences: u64,
    /// A training hangs: it reports no epoch any more, while its worker sends heartbeats.
    pub hangs: u64,
    /// A worker declines the next job that it is granted.
    pub declines: u64,
    /// A worker cannot train a sweep for some time.
    pub unable: u64,
    /// An operator drains a worker, or stops it.
    pub drains: u64,
    /// An operator takes the lease on a running trial away.
    pub releases: u64,
    /// An operator pauses a sweep, and resumes it later.
    pub pauses: u64,
    /// An operator changes how many trials of such a sweep are in flight.
    pub resizes: u64,
    /// An operator creates another sweep, or cancels or deletes such a sweep.
    pub extras: u64,
    /// An external client is silent for longer than its leases last.
    pub client_silences: u64,
    /// An external client crashes and forgets everything.
    pub client_crashes: u64,
    /// An external client sends its last request again.
    pub repeats: u64,
    /// The reply to an external client is lost, so it sends its request again.
    pub lost_replies: u64,
    /// A report or a result of an external client arrives after its lease has ended.
    pub late_messages: u64,
    /// The coordinator crashes after it has decided and before it has stored the events.
    pub lost_batches: u64,
    /// The trial of the first sweep that crashes every worker that trains it.
    pub poison: Option<u32>,
    /// True if every worker has a twin: another process of the same name at the same time.
    pub twins: bool,
    /// True if trials differ in speed by up to a factor of 16, differently on each worker.
    pub uneven: bool,
    /// True if every worker but the first has memory for small networks only.
    pub small: bool,
}

impl Faults {
    /// No faults, and equal speeds.
    pub const NONE: Self = Self {
        breaks: 0,
        crashes: 0,
        restarts: 0,
        silences: 0,
        hangs: 0,
        declines: 0,
        unable: 0,
        drains: 0,
        releases: 0,
        pauses: 0,
        resizes: 0,
        extras: 0,
        client_silences: 0,
        client_crashes: 0,
        repeats: 0,
        lost_replies: 0,
        late_messages: 0,
        lost_batches: 0,
        poison: None,
        twins: false,
        uneven: false,
        small: false,
    };

    /// Only what lasts: the trial that crashes its workers, and the speeds.
    pub(super) const fn lasting(self) -> Self {
        Self { poison: self.poison, uneven: self.uneven, small: self.small, ..Self::NONE }
    }

    const fn rate(&self, source: Source) -> u64 {
        match source {
            Source::Schedule | Source::Decisions | Source::Samplers | Source::Clients => 0,
            Source::Breaks => self.breaks,
            Source::Crashes => self.crashes,
            Source::Restarts => self.restarts,
            Source::Silences => self.silences,
            Source::Hangs => self.hangs,
            Source::Declines => self.declines,
            Source::Unable => self.unable,
            Source::Drains => self.drains,
            Source::Releases => self.releases,
            Source::Pauses => self.pauses,
            Source::Extras => self.extras,
            Source::ClientSilences => self.client_silences,
            Source::ClientCrashes => self.client_crashes,
            Source::Repeats => self.repeats,
            Source::LostReplies => self.lost_replies,
            Source::LateMessages => self.late_messages,
            Source::LostBatches => self.lost_batches,
            Source::Resizes => self.resizes,
        }
    }
}

/// Defines [`Source`] and the list of all sources.
macro_rules! sources {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A source of random choices. Its place in the list selects its random streams, so a new
        /// source is added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Source {
            $($(#[$doc])* $name,)*
        }

        impl Source {
            /// All sources, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

sources! {
    /// Which worker or client acts next, and what it does.
    Schedule,
    /// When the coordinator takes the decisions that it can take.
    Decisions,
    /// How long samplers need to reply.
    Samplers,
    /// What external clients ask and report.
    Clients,
    /// Draws for [`Faults::breaks`].
    Breaks,
    /// Draws for [`Faults::crashes`].
    Crashes,
    /// Draws for [`Faults::restarts`].
    Restarts,
    /// Draws for [`Faults::silences`].
    Silences,
    /// Draws for [`Faults::hangs`].
    Hangs,
    /// Draws for [`Faults::declines`].
    Declines,
    /// Draws for [`Faults::unable`].
    Unable,
    /// Draws for [`Faults::drains`].
    Drains,
    /// Draws for [`Faults::releases`].
    Releases,
    /// Draws for [`Faults::pauses`].
    Pauses,
    /// Draws for [`Faults::extras`].
    Extras,
    /// Draws for [`Faults::client_silences`].
    ClientSilences,
    /// Draws for [`Faults::client_crashes`].
    ClientCrashes,
    /// Draws for [`Faults::repeats`].
    Repeats,
    /// Draws for [`Faults::lost_replies`].
    LostReplies,
    /// Draws for [`Faults::late_messages`].
    LateMessages,
    /// Draws for [`Faults::lost_batches`].
    LostBatches,
    /// Draws for [`Faults::resizes`].
    Resizes,
}

/// The random numbers of one source: when it acts, and what it chooses then.
#[derive(Debug)]
struct Draws {
    when: Stream,
    what: Stream,
}

/// The random numbers of all sources.
#[derive(Debug)]
pub(super) struct Streams(Vec<Draws>);

impl Streams {
    pub(super) fn new(seed: u64) -> Self {
        let draws = |source: &Source| {
            let key = Seed::derive(seed, *source as u64, Purpose::Shuffle);
            Draws { when: key.stream(0), what: key.stream(1) }
        };
        Self(Source::ALL.iter().map(draws).collect())
    }

    /// The choices of a source.
    pub(super) fn of(&mut self, source: Source) -> &mut Stream {
        &mut self.0[source as usize].what
    }

    /// The faults that happen in the next action.
    pub(super) fn fired(&mut self, faults: &Faults) -> Vec<Source> {
        let fires = |(source, draws): (&Source, &mut Draws)| {
            (draws.when.below(1_000) < faults.rate(*source)).then_some(*source)
        };
        Source::ALL.iter().zip(&mut self.0).filter_map(fires).collect()
    }
}
