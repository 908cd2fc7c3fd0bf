//! The rows: one for each check, and for checks of addresses one for each address.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use caviar_client::{
    Address, ClockReading, ConnectProblem, CoordinatorInfo, DialerError, Error, Examined,
    FindError, Found, FoundIn, Opened, Reached, Target, TlsProblem, Token, Validity,
};
use caviar_common::join::{JoinError, Role};
use caviar_common::message::PROTOCOL;
use caviar_common::utc;
use caviar_worker::CacheReport;
use serde::{Serialize, Serializer};

use super::findings::{Answers, Cache, Findings, Host, Meeting, Way};
use crate::failure::{Failure, how_to_reach};
use crate::show::text::duration;

/// Clocks that differ by more get a warning. A coordinator tells its clock to the second.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// A token that ends sooner gets a warning.
const TOKEN_TOLERANCE: Duration = Duration::from_secs(3_600);
/// A cache that may take less gets a warning: data sets of images are larger.
const SMALL_CACHE: u64 = 1_000_000_000;
/// The next step for a user without a join string.
const MAKE_ONE: &str = "make one on the coordinator's host: caviar tokens create --role worker \
                        --output worker.join; copy it to this host with mode 0600, and use \
                        --join worker.join";
const SET_CLOCK: &str = "set the clock of this host: timedatectl set-ntp true; compare date -u on \
                         both hosts";
const SAME_RELEASE: &str = "install the coordinator's release on this host, or this release on \
                            the coordinator's host";

/// What is checked, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Join,
    Name,
    Tcp,
    Tls,
    Token,
    Clock,
    Protocol,
    Cache,
    Slots,
}

impl Check {
    /// The name in rows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Token => "token",
            Self::Clock => "clock",
            Self::Protocol => "protocol",
            Self::Cache => "cache",
            Self::Slots => "slots",
        }
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ok,
    /// A worker can join, and something may be wrong.
    Warning,
    /// A worker cannot join, or cannot work as intended.
    Failed,
    /// It depends on a check that failed.
    NotChecked,
}

impl State {
    /// The state in words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) check: Check,
    /// The address that was checked; `None` for a check that has nothing to do with one.
    pub(super) address: Option<String>,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do, one step each.
    pub(super) next: Vec<String>,
}

impl Row {
    fn new(check: Check, state: State, found: impl Into<String>) -> Self {
        Self { check, address: None, state, found: found.into(), next: Vec::new() }
    }

    fn ok(check: Check, found: impl Into<String>) -> Self {
        Self::new(check, State::Ok, found)
    }

    fn not_checked(check: Check, why: &str) -> Self {
        Self::new(check, State::NotChecked, why)
    }

    /// A row with what a text proposes: `it failed; hint: try again`.
    fn from_text(check: Check, state: State, text: &str) -> Self {
        let mut parts = text.split("; hint: ");
        let found = parts.next().unwrap_or_default();
        parts.fold(Self::new(check, state, found), Self::then)
    }

    /// A failed row with what an error of the client proposes.
    fn from_error(check: Check, error: &Error) -> Self {
        match Failure::from(error) {
            Failure::Hinted { message, hints, .. } => {
                hints.into_iter().fold(Self::new(check, State::Failed, message), Self::then)
            }
            other @ (Failure::File { .. } | Failure::Interrupted { .. }) => {
                Self::new(check, State::Failed, other.to_string())
            }
        }
    }

    fn then(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    fn at(mut self, address: &Address) -> Self {
        self.address = Some(address.to_string());
        self
    }
}

/// The rows of all checks, in their order.
pub(super) fn rows(findings: &Findings) -> Vec<Row> {
    let mut rows = match &findings.way {
        Way::Unknown(error) => unknown(error),
        Way::Undialled(found, error) => undialled(found, error),
        Way::Dialled { found, examined, meeting } => {
            dialled(found, examined, meeting.as_ref(), findings.now)
        }
    };
    rows.push(cache(&findings.host));
    rows.push(slots(&findings.host));
    rows
}

const OF_ADDRESSES: [Check; 3] = [Check::Name, Check::Tcp, Check::Tls];
const OF_ANSWERS: [Check; 3] = [Check::Token, Check::Clock, Check::Protocol];

fn not_checked<'a>(checks: &'a [Check], why: &'a str) -> impl Iterator<Item = Row> + 'a {
    checks.iter().map(move |check| Row::not_checked(*check, why))
}

fn unknown(error: &FindError) -> Vec<Row> {
    let row = Row::from_text(Check::Join, State::Failed, &error.to_string());
    let row = if let FindError::Missing { folder: Some(folder), .. } = error {
        Row { found: format!("{}: none is in {}", row.found, folder.display()), ..row }
    } else if let FindError::Address(_) = error {
        error.hints().into_iter().fold(row, Row::then)
    } else {
        row
    };
    let is_later = matches!(error, FindError::Join { problem: JoinError::Version, .. });
    let next = if is_later { SAME_RELEASE } else { MAKE_ONE };
    let row = if row.next.is_empty() { row.then(next) } else { row };
    let mut rows = vec![row];
    rows.extend(not_checked(&OF_ADDRESSES, "no coordinator is known"));
    rows.extend(not_checked(&OF_ANSWERS, "no coordinator is known"));
    rows
}

fn undialled(found: &Found, error: &DialerError) -> Vec<Row> {
    let mut rows = vec![join(found)];
    let why = "no connection can be opened";
    rows.extend(not_checked(&[Check::Name, Check::Tcp], why));
    let row = Row::from_text(Check::Tls, State::Failed, &error.to_string());
    let row = match error {
        DialerError::Certificate { .. } if row.next.is_empty() => row.then(
            "give a certificate and its key in PEM that this user can read: \
             --client-certificate FILE --client-key FILE",
        ),
        DialerError::Address(_) => row.then("write HOST:PORT, for example 127.0.0.1:7070"),
        DialerError::Certificate { .. } => row,
    };
    rows.push(row);
    rows.extend(not_checked(&OF_ANSWERS, why));
    rows
}

fn join(found: &Found) -> Row {
    let text = match &found.target {
        Target::Plain(address) => {
            format!("none is needed: {} is dialled without encryption", address.url())
        }
        Target::Trusted(join) => {
            let addresses: Vec<String> = join.addresses.iter().map(ToString::to_string).collect();
            let place = match &found.place {
                place @ FoundIn::UserFolder(_) => format!("{place}, of this user"),
                place @ (FoundIn::Address
                | FoundIn::File(_)
                | FoundIn::Input
                | FoundIn::Variable) => place.to_string(),
            };
            format!("{place}: role {}, for {}", join.role, addresses.join(", "))
        }
    };
    Row::ok(Check::Join, text)
}

fn dialled(
    found: &Found,
    examined: &[Examined],
    meeting: Option<&Meeting>,
    now: SystemTime,
) -> Vec<Row> {
    let mut rows = vec![join(found)];
    let is_reached = examined.iter().any(|it| matches!(it.reached, Reached::Trusted(_)));
    // One address that leads to the coordinator is enough.
    let bad = if is_reached { State::Warning } else { State::Failed };
    rows.extend(examined.iter().map(|it| name(it, bad)));
    rows.extend(examined.iter().map(|it| tcp(it, bad)));
    rows.extend(examined.iter().map(|it| tls(it, bad, &found.target)));
    match meeting {
        Some(Meeting::Met(answers)) => {
            let Answers { clock, info, refusal } = &**answers;
            rows.push(token(info, refusal.as_ref(), now));
            rows.push(self::clock(clock));
            rows.push(protocol(info));
        }
        Some(Meeting::Failed(error)) => {
            rows.push(Row::from_error(Check::Token, error));
            rows.extend(not_checked(&[Check::Clock, Check::Protocol], "it does not answer"));
        }
        None => {
            let why = "no address leads to the coordinator";
            rows.push(Row::not_checked(Check::Token, why));
            let wrong_clock = examined.iter().find_map(wrong_clock);
            rows.push(wrong_clock.unwrap_or_else(|| Row::not_checked(Check::Clock, why)));
            rows.push(Row::not_checked(Check::Protocol, why));
        }
    }
    rows
}

fn listed(addresses: impl Iterator<Item = IpAddr>) -> String {
    let mut shown: Vec<String> = Vec::new();
    for address in addresses.map(|address| address.to_string()) {
        if !shown.contains(&address) {
            shown.push(address);
        }
    }
    shown.join(", ")
}

fn name(examined: &Examined, bad: State) -> Row {
    let Examined { address, reached } = examined;
    let host = address.host();
    let resolved = match reached {
        Reached::Unresolved(cause) => {
            let row = Row::new(Check::Name, bad, format!("{host}: {cause}"));
            return row
                .then(format!(
                    "see what this host knows: getent hosts {host}; or use an IP address of the \
                     coordinator's host: --coordinator ADDRESS:{}",
                    address.port()
                ))
                .at(address);
        }
        Reached::Unconnected { failures } => listed(failures.iter().map(|(ip, _)| *ip)),
        Reached::Untrusted { opened, .. } | Reached::Trusted(opened) => {
            listed(opened.resolved.iter().copied())
        }
    };
    let is_number = host.parse::<IpAddr>().is_ok();
    let text = if is_number {
        format!("{host} is an address, so no name is looked up")
    } else {
        format!("{host} is {resolved}")
    };
    Row::ok(Check::Name, text).at(address)
}

fn tcp(examined: &Examined, bad: State) -> Row {
    let Examined { address, reached } = examined;
    let row = match reached {
        Reached::Unresolved(_) => {
            Row::not_checked(Check::Tcp, &format!("{} has no address", address.host()))
        }
        Reached::Unconnected { failures } => unconnected(address, failures, bad),
        Reached::Untrusted { opened: Opened { peer, took, .. }, .. }
        | Reached::Trusted(Opened { peer, took, .. }) => {
            let ms = took.as_secs_f64() * 1_000.0;
            let by = if peer.to_string() == address.host() {
                String::new()
            } else {
                format!(" at {peer}")
            };
            Row::ok(Check::Tcp, format!("{address} accepts connections{by} ({ms:.1} ms)"))
        }
    };
    row.at(address)
}

fn unconnected(address: &Address, failures: &[(IpAddr, ConnectProblem)], bad: State) -> Row {
    let text = match failures {
        [(_, problem)] => problem.to_string(),
        several => {
            let several = several.iter().map(|(ip, problem)| format!("{ip}: {problem}"));
            several.collect::<Vec<_>>().join("; ")
        }
    };
    let is_loopback = failures.iter().all(|(ip, _)| ip.is_loopback());
    if is_loopback && bad == State::Warning {
        // Another address works. This one is in every join string of a coordinator that listens on
        // all addresses.
        let what = "which is for the coordinator's own host and for tunnels";
        return Row::ok(Check::Tcp, format!("{address}: {text}, {what}"));
    }
    let row = Row::new(Check::Tcp, bad, format!("{address}: {text}"));
    let is_silent = |problem: &ConnectProblem| match problem {
        ConnectProblem::TimedOut(_) | ConnectProblem::Unreachable(_) => true,
        ConnectProblem::Refused | ConnectProblem::Other(_) => false,
    };
    if failures.iter().all(|(_, problem)| is_silent(problem)) {
        let (host, port) = (address.host(), address.port());
        return row.then(format!(
            "a firewall or a missing route is between: ask who runs the network, or use a tunnel: \
             ssh -N -L {port}:127.0.0.1:{port} {host}, and then --coordinator 127.0.0.1:{port}"
        ));
    }
    let row = row.then(how_to_reach(&address.url()));
    if is_loopback {
        return row.then(format!(
            "if the coordinator runs on another host, start it there with --listen :{}, or with \
             --advertise HOST:PORT, and get its new join string",
            address.port()
        ));
    }
    row
}

fn tls(examined: &Examined, bad: State, target: &Target) -> Row {
    let Examined { address, reached } = examined;
    let row = match reached {
        Reached::Unresolved(_) | Reached::Unconnected { .. } => {
            Row::not_checked(Check::Tls, &format!("{address} accepts no connection"))
        }
        Reached::Untrusted { problem, .. } => untrusted(address, problem, bad),
        Reached::Trusted(_) => Row::ok(
            Check::Tls,
            match target {
                Target::Trusted(join) => {
                    let pin: String = join.pin.to_string().chars().take(8).collect();
                    format!("{address} is the coordinator of the join string (pin {pin}...)")
                }
                Target::Plain(_) => format!("{address} is dialled without encryption"),
            },
        ),
    };
    row.at(address)
}

fn untrusted(address: &Address, problem: &TlsProblem, bad: State) -> Row {
    let row = Row::from_text(Check::Tls, bad, &format!("{address}: {problem}"));
    if !row.next.is_empty() {
        return row;
    }
    match problem {
        TlsProblem::NoAnswer(_) | TlsProblem::Broken(_) => row.then(
            "check that a coordinator listens there, and that no proxy is between; its log says \
             more with RUST_LOG=debug",
        ),
        TlsProblem::Pin(_)
        | TlsProblem::Expired(_)
        | TlsProblem::NotValidYet(_)
        | TlsProblem::NotTls
        | TlsProblem::NotACoordinator
        | TlsProblem::ClientCertificate
        | TlsProblem::ClientCertificateRefused
        | TlsProblem::Refused(_)
        | TlsProblem::Other(_) => row.then("check the address of the coordinator"),
    }
}

/// The row of a clock with which the certificate is not valid.
fn wrong_clock(examined: &Examined) -> Option<Row> {
    let Reached::Untrusted { problem, .. } = &examined.reached else { return None };
    let text = if let TlsProblem::NotValidYet(Some(Validity { limit, now })) = problem {
        let behind = limit.duration_since(*now).unwrap_or_default();
        format!("this host's clock is at least {} behind the coordinator's", long(behind))
    } else if let TlsProblem::Expired(Some(Validity { limit, now })) = problem {
        // A coordinator renews its certificate long before its end.
        let ahead = now.duration_since(*limit).unwrap_or_default();
        format!(
            "this host's clock is at least {} ahead of the coordinator's, if the coordinator \
             still renews its certificate",
            long(ahead)
        )
    } else {
        return None;
    };
    let text = format!("{text}, so its certificate is not valid");
    Some(Row::new(Check::Clock, State::Failed, text).then(SET_CLOCK))
}

fn clock(reading: &Result<Option<ClockReading>, Error>) -> Row {
    let reading = match reading {
        Ok(Some(reading)) => reading,
        Ok(None) => {
            return Row::not_checked(Check::Clock, "the coordinator does not tell its time");
        }
        Err(error) => return Row::from_error(Check::Clock, error),
    };
    let ClockReading { here, there, within } = *reading;
    // The reading is cut off, so the coordinator's clock is up to a second later.
    let (difference, word) = match here.duration_since(there) {
        Ok(ahead) => (ahead.saturating_sub(Duration::from_secs(1)), "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let difference = difference.saturating_sub(within);
    if difference.is_zero() {
        return Row::ok(Check::Clock, "this host's clock and the coordinator's agree");
    }
    let text = format!("this host's clock is {} {word} the coordinator's", long(difference));
    if difference > CLOCK_TOLERANCE {
        return Row::new(Check::Clock, State::Warning, text).then(SET_CLOCK);
    }
    Row::ok(Check::Clock, text)
}

/// A duration, in days if it is long.
fn long(time: Duration) -> String {
    match time.as_secs() / 86_400 {
        0 | 1 => duration(time),
        days => format!("{days} days"),
    }
}

fn token(
    info: &Result<Option<CoordinatorInfo>, Error>,
    refusal: Option<&Error>,
    now: SystemTime,
) -> Row {
    let info = match (info, refusal) {
        (Err(error), _) | (Ok(_), Some(error)) => {
            let row = Row::from_error(Check::Token, error);
            return if row.next.is_empty() { row.then(MAKE_ONE) } else { row };
        }
        (Ok(info), None) => info,
    };
    match info.as_ref().map(|info| info.token.as_ref()) {
        Some(Some(token)) => valid(token, now),
        Some(None) => Row::ok(Check::Token, "this coordinator needs none"),
        None => Row::ok(Check::Token, "it is accepted, and a worker may join with it"),
    }
}

fn valid(token: &Token, now: SystemTime) -> Row {
    let Token { name, id, role, expires_ms, .. } = token;
    let text = format!("{name} ({id}) is accepted, role {role}, and is valid until");
    if role == Role::Admin.name() {
        let text = format!("{name} ({id}) is accepted, but has the role admin");
        return Row::new(Check::Token, State::Warning, text).then(
            "a worker should get no more than it needs: caviar tokens create --role worker \
             --output worker.join on the coordinator's host, and --join worker.join here",
        );
    }
    let Some(expires_ms) = expires_ms else {
        return Row::ok(Check::Token, format!("{text} it is revoked"));
    };
    let ends = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(*expires_ms));
    let ends = ends.unwrap_or(SystemTime::UNIX_EPOCH);
    let left = ends.duration_since(now).unwrap_or_default();
    let text = format!("{text} {} ({} left)", utc::to_second(ends), long(left));
    if left > TOKEN_TOLERANCE {
        return Row::ok(Check::Token, text);
    }
    Row::new(Check::Token, State::Warning, text).then(format!(
        "make another one on the coordinator's host before it ends: caviar tokens create --role \
         {role}"
    ))
}

fn protocol(info: &Result<Option<CoordinatorInfo>, Error>) -> Row {
    let own = env!("CARGO_PKG_VERSION");
    let info = match info {
        Ok(Some(info)) => info,
        Ok(None) => {
            let text = format!(
                "the coordinator is of an earlier release, which does not tell its protocol; this \
                 program is release {own}"
            );
            return Row::new(Check::Protocol, State::Warning, text).then(SAME_RELEASE);
        }
        Err(_) => return Row::not_checked(Check::Protocol, "the token is not accepted"),
    };
    let CoordinatorInfo { protocol, release, .. } = info;
    if *protocol != PROTOCOL {
        let text = format!(
            "the coordinator speaks protocol {protocol} (release {release}), and this program \
             protocol {PROTOCOL} (release {own})"
        );
        return Row::new(Check::Protocol, State::Failed, text).then(SAME_RELEASE);
    }
    let releases = if release == own {
        format!("both are release {own}")
    } else {
        format!("the coordinator is release {release}, and this program release {own}")
    };
    Row::ok(Check::Protocol, format!("both speak protocol {PROTOCOL}; {releases}"))
}

fn cache(host: &Host) -> Row {
    if let Some((folder, error)) = &host.unreadable {
        let text = format!(
            "{} of --artifacts cannot be read: {error}; data is downloaded",
            folder.display()
        );
        return Row::new(Check::Cache, State::Warning, text)
            .then("name the folder STORE.artifacts/blobs as this host sees it, or leave it out");
    }
    let Some(Cache { folder, report }) = &host.cache else {
        let text = "there is no home folder, so every process keeps its own copy of the data";
        return Row::new(Check::Cache, State::Failed, text)
            .then("name a folder on a local disk: --cache FOLDER");
    };
    let folder = folder.display();
    match report {
        Ok(report) => writable(&folder.to_string(), report),
        Err(error) => {
            let text = format!("{folder} cannot be written: {error}");
            Row::new(Check::Cache, State::Failed, text)
                .then("name a folder on a local disk that this user can write: --cache FOLDER")
        }
    }
}

fn writable(folder: &str, report: &CacheReport) -> Row {
    let CacheReport { used_bytes, free_bytes, limit_bytes, network } = *report;
    let text = format!(
        "{folder} takes up to {}: it holds {}, and {} are free",
        ByteSize(limit_bytes),
        ByteSize(used_bytes),
        ByteSize(free_bytes)
    );
    if limit_bytes < SMALL_CACHE {
        return Row::new(Check::Cache, State::Warning, format!("{text}; larger data is not kept"))
            .then("free space there, or name a folder on another disk: --cache FOLDER");
    }
    match network {
        None => Row::ok(Check::Cache, text),
        Some(network) => {
            let text = format!("{text}; it is on {network}, so trainings read over the network");
            Row::new(Check::Cache, State::Warning, text)
                .then("name a folder on a local disk: --cache FOLDER")
        }
    }
}

fn slots(host: &Host) -> Row {
    let slots = &host.slots;
    let Some(available) = host.available else {
        return Row::ok(Check::Slots, format!("{slots}; the memory available is not known"));
    };
    let text = format!("{slots}; {} of memory are available", ByteSize(available));
    match host.memory {
        Some(limit) if limit.bytes() > available => {
            let text = format!("{text}, and --memory allows {}", ByteSize(limit.bytes()));
            Row::new(Check::Slots, State::Warning, text)
                .then("lower --memory, or ask for more memory in the job")
        }
        Some(_) | None => Row::ok(Check::Slots, text),
    }
}

#[cfg(test)]
mod tests;
