//! Pages: of bounded length, of bounded size, and with a token that belongs to one listing.

use caviar_common::error::{ErrorClass, Problem, Problems};
use caviar_common::ids::SweepId;
use caviar_common::limits::MAX_PAGE;
use caviar_common::metric::Point;
use caviar_common::view::TrialView;
use caviar_core::Coordinator;
use caviar_core::query::TrialFilter;
use caviar_proto::status;
use prost::Message;
use tonic::Status;

/// Elements of a page whose size was not asked for.
const DEFAULT_PAGE: usize = 100;
/// Bytes of a page: below the 4 MiB that a client accepts by default.
const MAX_PAGE_BYTES: usize = 3 << 20;
/// Values in the curves of one page.
const MAX_PAGE_VALUES: usize = 200_000;

/// The length of a page: what is too much is cut, as the next page brings the rest.
pub(super) fn length(page_size: u32) -> usize {
    match usize::try_from(page_size).unwrap_or(MAX_PAGE) {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    }
}

/// Tells listings apart, so that a token of one is not taken for a place in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing(u64);

impl Listing {
    /// The listing that is described by these numbers.
    pub(super) fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        // FNV-1a: it keeps mistakes apart, not attackers.
        let bytes = numbers.into_iter().flat_map(u64::to_le_bytes);
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// The token for the page that begins at `place`.
    pub(super) fn token(self, place: u64) -> String {
        format!("{:016x}{place:x}", self.0)
    }

    /// The place that a token stands for; the beginning, for an empty one.
    pub(super) fn place(self, token: &str) -> Result<u64, Status> {
        if token.is_empty() {
            return Ok(0);
        }
        let parsed = token.split_at_checked(16).and_then(|(listing, place)| {
            Some((u64::from_str_radix(listing, 16).ok()?, u64::from_str_radix(place, 16).ok()?))
        });
        match parsed {
            Some((listing, place)) if listing == self.0 => Ok(place),
            Some(_) => Err(status::new(
                ErrorClass::Stale,
                "page_token belongs to another listing; hint: begin without one",
            )),
            None => {
                let problem = Problem::new(
                    "page_token",
                    "write the next_page_token of the page before, or nothing",
                );
                Err(status::from_problems(&Problems::from(problem)))
            }
        }
    }
}

/// As many of `messages` as a page may hold in bytes, at least one.
pub(super) fn fit<M: Message>(messages: Vec<M>) -> Vec<M> {
    let mut bytes = 0;
    let mut first = true;
    let fits = |message: &M| {
        bytes += message.encoded_len();
        std::mem::replace(&mut first, false) || bytes <= MAX_PAGE_BYTES
    };
    messages.into_iter().take_while(fits).collect()
}

/// A page of trials. With curves it ends early where they are long.
pub(super) fn trials(
    core: &Coordinator,
    sweep: SweepId,
    filter: &TrialFilter,
) -> Option<Vec<TrialView>> {
    let bare = core.trials(sweep, &TrialFilter { with_curves: false, ..filter.clone() })?;
    if !filter.with_curves {
        return Some(bare);
    }
    let kept = core.record().sweep(sweep)?;
    let mut values = 0;
    let mut page = Vec::new();
    for view in bare {
        values += kept
            .trial(view.trial)
            .map_or(0, |trial| trial.curve().iter().map(Point::value_count).sum());
        if values > MAX_PAGE_VALUES && !page.is_empty() {
            break;
        }
        page.extend(core.trial(sweep, view.trial, true));
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use caviar_common::ask::{Ask, Report};
    use caviar_common::data::DataSummary;
    use caviar_common::ids::{Name, StoreId};
    use caviar_common::metric::NamedMetrics;
    use caviar_common::spec::file::parse;
    use caviar_core::input::{Config, Input, Reply};
    use caviar_proto::v1;

    use super::*;

    #[test]
    fn a_token_belongs_to_its_listing() {
        let listing = Listing::of([1, 2]);
        assert_eq!(listing.place(&listing.token(700)).unwrap(), 700);
        assert_eq!(listing.place("").unwrap(), 0);
        assert_eq!(
            Listing::of([2, 1]).place(&listing.token(7)).unwrap_err().code(),
            tonic::Code::Aborted
        );
        for nonsense in ["7", "zzzzzzzzzzzzzzzz7", "0123456789abcdef", "é123456789abcdef0"] {
            assert_eq!(
                listing.place(nonsense).unwrap_err().code(),
                tonic::Code::InvalidArgument,
                "{nonsense}"
            );
        }
    }

    #[test]
    fn a_page_of_curves_ends_where_their_values_are_many() {
        let text = "name = \"x\"\n[data]\nsource = \"external\"\n[fixed]\nepochs = 2000\n[space]\nC = { low = 0, high = 1 }\n\
                    [search]\nstrategy = \"random\"\ntrials = 3\nparallelism = 3\n[objective]\nmetric = \"m0\"\ngoal = \"minimize\"\n";
        let (spec, name) =
            (Box::new(parse(text).unwrap().spec), |text: &str| Name::parse("name", text).unwrap());
        let mut core = Coordinator::new(Config::default(), StoreId(1));
        let create =
            Input::CreateSweep { request_id: name("r"), spec, data: DataSummary::default() };
        let Ok(Reply::Sweep(sweep)) = core.step(0, create).unwrap().reply else {
            panic!("no sweep")
        };
        let ask = Ask { request_id: name("a"), client: name("c"), count: 3, lease_ms: 1_000 };
        core.step(0, Input::AskTrials(sweep, ask.clone())).unwrap().reply.unwrap();
        for of in core.asked(sweep, &ask).unwrap().trials {
            for epoch in 1..=1_600 {
                let metrics = (0..64).map(|i| (name(&format!("m{i}")), 0.5)).collect();
                let report = Report {
                    trial: of.trial,
                    lease: of.lease,
                    metrics: NamedMetrics { epoch, metrics },
                };
                core.step(0, Input::ReportTrial(sweep, report)).unwrap().reply.unwrap();
            }
        }
        let page = |with_curves| {
            trials(&core, sweep, &TrialFilter { limit: 10, with_curves, ..TrialFilter::default() })
                .unwrap()
        };
        assert_eq!((page(false).len(), page(true).len()), (3, 1), "a hundred thousand values each");
        assert_eq!(page(true)[0].curve.len(), 1_600);
    }

    #[test]
    fn a_page_has_a_size() {
        let note = |bytes| v1::Sweep { notes: vec!["x".repeat(bytes)], ..v1::Sweep::default() };
        assert_eq!(fit(vec![note(MAX_PAGE_BYTES + 1), note(1)]).len(), 1, "one always fits");
        assert_eq!(
            fit(vec![note(MAX_PAGE_BYTES / 2), note(MAX_PAGE_BYTES / 4), note(MAX_PAGE_BYTES / 2)])
                .len(),
            2
        );
        assert_eq!((length(0), length(7), length(u32::MAX)), (DEFAULT_PAGE, 7, MAX_PAGE));
    }
}
