//! Findings that are rare or hard to make with real hosts.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use caviar_client::caviar_common::join::{JoinString, Pin, Role, Secret};
use caviar_worker::{NetworkFileSystem, SlotChoice};

use super::*;

const GB: u64 = 1_000_000_000;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

fn host() -> Host {
    let report =
        CacheReport { used_bytes: 0, free_bytes: 50 * GB, limit_bytes: 10 * GB, network: None };
    let cache = Cache { folder: PathBuf::from("/cache"), report: Ok(report) };
    Host {
        cache: Some(cache),
        unreadable: None,
        slots: SlotChoice::given(2),
        memory: None,
        available: Some(8 * GB),
    }
}

fn found(addresses: &[&str]) -> Found {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let join = JoinString {
        role: Role::Worker,
        pin: Pin([1; 32]),
        secret: Secret::new([2; 16]),
        addresses,
    };
    Found { target: Target::Trusted(join), place: FoundIn::Variable }
}

fn examined(address: &str, reached: Reached) -> Examined {
    Examined { address: address.parse().unwrap(), reached }
}

fn opened() -> Opened {
    Opened { resolved: vec![PEER], peer: PEER, took: Duration::from_micros(1_500) }
}

fn token_until(expires_ms: Option<u64>) -> Token {
    Token {
        id: "1a2b3c4d".to_owned(),
        name: "lab".to_owned(),
        role: "worker".to_owned(),
        created_ms: 0,
        expires_ms,
        revoked_ms: None,
        earlier_until_ms: None,
    }
}

fn info(protocol: u32, release: &str) -> CoordinatorInfo {
    CoordinatorInfo { protocol, release: release.to_owned(), token: Some(token_until(None)) }
}

fn met(info: Option<CoordinatorInfo>) -> Meeting {
    Meeting::Met(Box::new(Answers { clock: Ok(None), info: Ok(info), refusal: None }))
}

/// The rows for one address, without those of the host.
fn of_way(reached: Reached, meeting: Option<Meeting>) -> Vec<Row> {
    let way = Way::Dialled {
        found: found(&["login1:7070"]),
        examined: vec![examined("login1:7070", reached)],
        meeting,
    };
    let mut rows = rows(&Findings { way, host: host(), now: UNIX_EPOCH });
    rows.truncate(7);
    rows
}

fn row(rows: &[Row], check: Check) -> &Row {
    rows.iter().find(|row| row.check == check).unwrap()
}

fn is(row: &Row, state: State, found: &str, next: &str) {
    assert_eq!(row.state, state, "{row:?}");
    assert!(row.found.contains(found), "expected {found:?}: {row:?}");
    assert!(row.next.join("\n").contains(next), "expected {next:?}: {row:?}");
    assert_eq!(row.next.is_empty(), next.is_empty(), "{row:?}");
}

#[test]
fn a_connection_that_is_not_accepted_says_how_and_what_to_do() {
    let seconds = Duration::from_secs(6);
    let unreachable = ConnectProblem::Unreachable("No route to host".to_owned());
    for (problem, text, next) in [
        (ConnectProblem::Refused, "connection refused", "listens on more than 127.0.0.1"),
        (ConnectProblem::TimedOut(seconds), "no answer within 6s", "ssh -N -L 7070:127.0.0.1:7070"),
        (unreachable, "No route to host", "a firewall or a missing route"),
    ] {
        let rows = of_way(Reached::Unconnected { failures: vec![(PEER, problem)] }, None);
        is(row(&rows, Check::Name), State::Ok, "login1 is 10.0.0.7", "");
        is(row(&rows, Check::Tcp), State::Failed, &format!("login1:7070: {text}"), next);
        is(row(&rows, Check::Tls), State::NotChecked, "login1:7070 accepts no connection", "");
        is(row(&rows, Check::Token), State::NotChecked, "no address leads to", "");
    }
}

#[test]
fn one_address_that_leads_to_the_coordinator_is_enough() {
    let way = Way::Dialled {
        found: found(&["a:1", "b:2", "c:3"]),
        examined: vec![
            examined("a:1", Reached::Unresolved("not known".to_owned())),
            examined("b:2", Reached::Untrusted { opened: opened(), problem: TlsProblem::NotTls }),
            examined("c:3", Reached::Trusted(opened())),
        ],
        meeting: Some(met(Some(info(PROTOCOL, "9.9.9")))),
    };
    let rows = rows(&Findings { way, host: host(), now: UNIX_EPOCH });
    assert!(rows.iter().all(|row| row.state != State::Failed), "{rows:?}");
    let shown: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.check.name(), row.address.as_deref()?, row.state)))
        .collect();
    assert_eq!(
        shown,
        [
            ("name", "a:1", State::Warning),
            ("name", "b:2", State::Ok),
            ("name", "c:3", State::Ok),
            ("tcp", "a:1", State::NotChecked),
            ("tcp", "b:2", State::Ok),
            ("tcp", "c:3", State::Ok),
            ("tls", "a:1", State::NotChecked),
            ("tls", "b:2", State::Warning),
            ("tls", "c:3", State::Ok),
        ]
    );
    is(row(&rows, Check::Protocol), State::Ok, "the coordinator is release 9.9.9", "");
}

#[test]
fn a_clock_that_makes_the_certificate_invalid_fails() {
    let at = |day: u64| UNIX_EPOCH + Duration::from_secs(day * 86_400);
    let validity = |limit, now| Some(Validity { limit: at(limit), now: at(now) });
    for (problem, text) in [
        (TlsProblem::NotValidYet(validity(9, 6)), "at least 3 days behind the coordinator's"),
        (TlsProblem::Expired(validity(6, 9)), "at least 3 days ahead of the coordinator's"),
    ] {
        let rows = of_way(Reached::Untrusted { opened: opened(), problem }, None);
        is(row(&rows, Check::Tls), State::Failed, "the clock of this host says", "date -u");
        is(row(&rows, Check::Clock), State::Failed, text, "timedatectl set-ntp true");
        is(row(&rows, Check::Token), State::NotChecked, "no address leads to", "");
    }
}

#[test]
fn clocks_may_differ_by_a_few_seconds() {
    let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
    for (here, there, within, state, text) in [
        (10_900, 10_000, 0, State::Ok, "and the coordinator's agree"),
        (15_500, 10_000, 0, State::Ok, "4.5 s ahead of"),
        (16_500, 10_000, 0, State::Warning, "5.5 s ahead of"),
        (16_500, 10_000, 2_000, State::Ok, "3.5 s ahead of"),
        (10_000, 14_000, 0, State::Ok, "4.0 s behind"),
        (10_000, 14_000, 4_000, State::Ok, "and the coordinator's agree"),
        (10_000, 86_410_000, 0, State::Warning, "24 h 0 min behind"),
    ] {
        let within = Duration::from_millis(within);
        let reading = ClockReading { here: at(here), there: at(there), within };
        let row = clock(&Ok(Some(reading)));
        let next = if state == State::Ok { "" } else { "timedatectl" };
        is(&row, state, text, next);
    }
}

#[test]
fn a_token_that_ends_soon_gets_a_warning() {
    let hour = 3_600_000;
    is(&valid(&token_until(None), UNIX_EPOCH), State::Ok, "until it is revoked", "");
    let row = valid(&token_until(Some(3 * hour)), UNIX_EPOCH);
    is(&row, State::Ok, "until 1970-01-01T03:00:00Z (3 h 0 min left)", "");
    let row = valid(&token_until(Some(hour)), UNIX_EPOCH);
    is(&row, State::Warning, "1970-01-01T01:00:00Z", "caviar tokens create --role worker");
}

#[test]
fn a_coordinator_of_an_earlier_release_gets_a_warning() {
    let rows = of_way(Reached::Trusted(opened()), Some(met(None)));
    is(row(&rows, Check::Token), State::Ok, "accepted", "");
    is(row(&rows, Check::Clock), State::NotChecked, "does not tell its time", "");
    is(row(&rows, Check::Protocol), State::Warning, "earlier release", "install the");
    let other = Some(met(Some(info(PROTOCOL + 1, "9.9.9"))));
    let rows = of_way(Reached::Trusted(opened()), other);
    is(row(&rows, Check::Protocol), State::Failed, "(release 9.9.9)", "install the");
}

#[test]
fn a_cache_says_its_limit_and_why_it_is_not_a_good_one() {
    let of = |limit_bytes, network| {
        let report = CacheReport { used_bytes: 0, free_bytes: 50 * GB, limit_bytes, network };
        let cache = Cache { folder: PathBuf::from("/cache"), report: Ok(report) };
        cache_row(Some(cache))
    };
    is(&of(10 * GB, None), State::Ok, "/cache takes up to ", "");
    let nfs = of(10 * GB, Some(NetworkFileSystem("NFS")));
    is(&nfs, State::Warning, "it is on NFS", "--cache FOLDER");
    is(&of(GB / 2, None), State::Warning, "larger data is not kept", "--cache FOLDER");
    let report = Err(io::Error::other("it is read-only"));
    let folder = PathBuf::from("/cache");
    let row = cache_row(Some(Cache { folder, report }));
    is(&row, State::Failed, "/cache cannot be written: it is read-only", "--cache FOLDER");
    is(&cache_row(None), State::Failed, "no home folder", "--cache FOLDER");
    let unreadable = Some((PathBuf::from("/shared"), io::Error::other("it is gone")));
    let row = cache(&Host { unreadable, ..host() });
    is(&row, State::Warning, "/shared of --artifacts", "STORE.artifacts/blobs");
}

fn cache_row(found: Option<Cache>) -> Row {
    cache(&Host { cache: found, ..host() })
}

#[test]
fn slots_say_why_and_how_much_memory_there_is() {
    is(&slots(&host()), State::Ok, "2 slots: as --slots says; ", "");
    let memory = Some("16GB".parse().unwrap());
    is(&slots(&Host { memory, ..host() }), State::Warning, "--memory allows", "lower --memory");
    is(&slots(&Host { available: None, ..host() }), State::Ok, "is not known", "");
}

#[test]
fn a_loopback_address_next_to_one_that_works_is_right() {
    let refused = vec![(IpAddr::from([127, 0, 0, 1]), ConnectProblem::Refused)];
    let only = examined("127.0.0.1:7071", Reached::Unconnected { failures: refused });
    let row_of = |examined: Vec<Examined>| {
        let addresses = ["127.0.0.1:7071", "login1:7070"];
        let way = Way::Dialled {
            found: found(&addresses[..examined.len()]),
            examined,
            meeting: Some(met(Some(info(PROTOCOL, "9.9.9")))),
        };
        let rows = rows(&Findings { way, host: host(), now: UNIX_EPOCH });
        row(&rows, Check::Tcp).clone()
    };
    let works = examined("login1:7070", Reached::Trusted(opened()));
    is(&row_of(vec![only.clone(), works]), State::Ok, "the coordinator's own host", "");
    is(
        &row_of(vec![only]),
        State::Failed,
        "connection refused",
        "start it there with --listen :7071",
    );
}

#[test]
fn a_token_that_allows_everything_gets_a_warning() {
    let mut info = info(PROTOCOL, "9.9.9");
    info.token = info.token.map(|token| Token { role: "admin".to_owned(), ..token });
    let rows = of_way(Reached::Trusted(opened()), Some(met(Some(info))));
    is(row(&rows, Check::Token), State::Warning, "has the role admin", "--role worker");
}
