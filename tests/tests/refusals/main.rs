//! What Caviar refuses, and what it says then: the table in `docs/security.md` is made from real
//! programs, and compared with the page. With `CAVIAR_UPDATE_DOCS=1` the test writes it instead.
//! And [what it never shows](secrets).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

mod by_hand;
mod secrets;
mod servers;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use caviar_common::join::{JoinString, Pin, Role, Secret, join_file, trust_folder};
use caviar_tests::processes::{Coordinator, Process, caviar, caviar_ok, program};
use caviar_tests::wait::until;
use serde_json::Value;

/// A folder with a coordinator, which sees few refused requests: the answers to many come late.
struct Site {
    folder: tempfile::TempDir,
    coordinator: Coordinator,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let coordinator = Coordinator::start(&folder.path().join("caviar.db"), None);
        Self { folder, coordinator }
    }

    fn url(&self) -> &str {
        &self.coordinator.url
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trust(&self) -> PathBuf {
        trust_folder(&self.path("caviar.db"))
    }

    /// The coordinator's own join string for administrators.
    fn own(&self) -> JoinString {
        read_join(&join_file(&self.trust(), Role::Admin))
    }

    /// Writes a join string to a file.
    fn write(&self, name: &str, join: &JoinString) -> String {
        let path = self.path(name);
        fs::write(&path, format!("{}\n", join.reveal())).expect("it can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode can be set");
        path.to_string_lossy().into_owned()
    }

    /// Makes a token. Returns the file with its join string.
    fn token(&self, role: &str, options: &[&str]) -> String {
        let path = self.path(&format!("{role}.join")).to_string_lossy().into_owned();
        let words = ["tokens", "create", "--role", role, "--output", &path];
        caviar_ok(&[&words[..], &["--coordinator", self.url()], options].concat());
        path
    }

    fn tokens(&self) -> Vec<Value> {
        let text = caviar_ok(&["tokens", "list", "--json", "--coordinator", self.url()]);
        serde_json::from_str(&text).expect("a list")
    }

    fn refused(&self, words: &[&str]) -> String {
        self.normal(&refused(words))
    }

    /// What a worker with this join string writes when it is refused.
    fn refused_worker(&self, join: &str) -> String {
        let mut command = program("caviar-worker");
        command.args(["--join", join, "--name", "w", "--slots", "1"]).env("RUST_LOG", "error");
        let reason = |line: &str| Some(line.split_once("caviar_worker::driver: ")?.1.to_owned());
        let (_worker, said) = Process::start_and_hear(&mut command, reason);
        self.normal(&said)
    }

    /// The text without what differs between runs: paths, ports, ids, pins and times.
    fn normal(&self, text: &str) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let port = self.url().rsplit(':').next().expect("a port").to_owned();
        let mut text = text.replace(&folder, "").replace(&format!(":{port}"), ":7070");
        for pin in [self.own().pin, WRONG_PIN] {
            text = text.replace(&pin.to_string(), "PIN");
        }
        for token in self.tokens() {
            text = text.replace(token["id"].as_str().expect("its id"), "ID");
        }
        let is_time = |word: &str| word.starts_with("20") && word.ends_with('Z');
        let replaced = |word: &str| {
            let time = word.trim_end_matches([';', ',', '\n']);
            if is_time(time) { word.replace(time, "TIME") } else { word.to_owned() }
        };
        text.split_inclusive([' ', '\n'])
            .map(|word| {
                let end = word.trim_end_matches([' ', '\n']).len();
                format!("{}{}", replaced(&word[..end]), &word[end..])
            })
            .collect::<String>()
            .trim()
            .to_owned()
    }
}

/// The pin of an authority that does not exist.
const WRONG_PIN: Pin = Pin([7; 32]);

fn read_join(path: &Path) -> JoinString {
    let text = fs::read_to_string(path).expect("it can be read");
    text.parse().expect("a join string")
}

/// Runs `caviar`, which must fail. Returns what it wrote to standard error.
fn refused(words: &[&str]) -> String {
    failed(words, &caviar(words))
}

fn failed(words: &[&str], output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(!output.status.success(), "{words:?} succeeded: {}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{words:?} wrote: {}", text(&output.stdout));
    text(&output.stderr)
}

/// What is tried, and the answer.
type Rows = Vec<(&'static str, String)>;

fn joins_that_are_not_used() -> Rows {
    let site = Site::start();
    let own = join_file(&site.trust(), Role::Admin).to_string_lossy().into_owned();
    let list = |join: &str| site.refused(&["list", "--join", join]);
    let readable = site.write("admin.join", &site.own());
    fs::set_permissions(&readable, Permissions::from_mode(0o644)).expect("its mode can be set");
    let text = site.own().reveal();
    let no_pin = site.path("no-pin.join");
    fs::write(&no_pin, text.replace(&format!("{}.", site.own().pin), "")).expect("written");
    fs::set_permissions(&no_pin, Permissions::from_mode(0o600)).expect("its mode can be set");
    let http = site.url().replace("https", "http");
    vec![
        ("a join file that other users can read", list(&readable)),
        ("a join string without a pin", list(&no_pin.to_string_lossy())),
        (
            "a join string at an address without TLS",
            site.refused(&["list", "--join", &own, "--coordinator", &http]),
        ),
        (
            "a join string with more rights than a worker needs",
            site.refused(&["ssh-workers", &hosts_file(&site), "start", "--join", &own]),
        ),
    ]
}

fn hosts_file(site: &Site) -> String {
    let path = site.path("hosts.txt");
    fs::write(&path, "node1\n").expect("it can be written");
    path.to_string_lossy().into_owned()
}

fn servers_that_are_not_trusted() -> Rows {
    let site = Site::start();
    let own = site.own();
    let wrong_pin = site.write("wrong.join", &JoinString { pin: WRONG_PIN, ..own.clone() });
    let mut rows = vec![
        ("a coordinator with another pin", site.refused(&["list", "--join", &wrong_pin])),
        ("the same, to a worker", site.refused_worker(&wrong_pin)),
    ];
    let (day, now) = (Duration::from_secs(86_400), std::time::SystemTime::now());
    for (what, issued) in [
        ("a certificate that has expired", now - 3 * day),
        ("a certificate that is not valid yet", now + 3 * day),
    ] {
        let (pin, address) = servers::with_certificate(issued, day);
        let text = address.to_string();
        let join = JoinString { pin, addresses: vec![address], ..own.clone() };
        let said = site.refused(&["list", "--join", &site.write("date.join", &join)]);
        rows.push((what, said.replace(&text, "127.0.0.1:7070")));
    }
    let (_plain, address) = servers::without_tls(&site.path("plain.db"));
    let join = site.write("plain.join", &own.at(vec![address.parse().expect("an address")]));
    let said = site.refused(&["list", "--join", &join]).replace(&address, "127.0.0.1:7070");
    rows.push(("a coordinator without TLS, to a client with TLS", said));
    rows
}

fn tokens_that_have_no_access() -> Rows {
    let site = Site::start();
    let list = |join: &str| site.refused(&["list", "--join", join]);
    let place = ["--coordinator", site.url()];
    let unknown = JoinString { secret: Secret::new([7; 16]), ..site.own() };
    let expired = site.token("submit", &["--ttl", "1s", "--name", "trial-run"]);
    let revoked = site.token("view", &["--name", "dashboard"]);
    caviar_ok(&[&["tokens", "revoke", "dashboard"][..], &place].concat());
    let replaced = site.token("worker", &["--name", "cluster"]);
    caviar_ok(&[&["tokens", "rotate", "cluster"][..], &place].concat());
    until("the token has expired", || {
        let listed = caviar_ok(&[&["tokens", "list"][..], &place].concat());
        listed.lines().any(|line| line.contains("trial-run") && line.contains("expired"))
    });
    vec![
        ("a token of another coordinator", list(&site.write("unknown.join", &unknown))),
        ("a token that has expired", list(&expired)),
        ("a token that was revoked", list(&revoked)),
        ("the secret before a rotation, to a worker", site.refused_worker(&replaced)),
    ]
}

fn roles_that_do_not_suffice() -> Rows {
    let site = Site::start();
    let [view, submit, worker] = ["view", "submit", "worker"].map(|role| site.token(role, &[]));
    let make = ["tokens", "create", "--role", "admin", "--join", &submit];
    vec![
        ("a viewer that cancels", site.refused(&["cancel", "digits", "--join", &view])),
        ("a viewer that works", site.refused_worker(&view)),
        ("a worker that reads", site.refused(&["list", "--join", &worker])),
        ("a submitter that makes a token", site.refused(&make)),
        ("a submitter that drains", site.refused(&["drain", "node1", "--join", &submit])),
    ]
}

fn connections_that_are_closed() -> Rows {
    let site = Site::start();
    let http = site.url().replace("https", "http");
    let authorities = site.trust().join("authority.pem");
    let asks = servers::with_client_certificates(&site.path("asks.db"), &authorities);
    let (join, text) = asks.join(&site);
    let said = site.refused(&["list", "--join", &join]).replace(&text, "127.0.0.1:7070");
    vec![
        ("a client without TLS", site.refused(&["list", "--coordinator", &http])),
        ("a client without a certificate, at a site that asks for one", said),
    ]
}

/// `WorkerService` with workers that do not keep the protocol.
fn leases_of_another_worker() -> Rows {
    let site = Site::start();
    let said = by_hand::report_on_the_lease_of_another(&site);
    vec![("a report on the lease of another worker", site.normal(&said))]
}

/// `WorkerService` with a worker that says another's name.
fn names_of_another_worker() -> Rows {
    let site = Site::start();
    let said = by_hand::say_the_name_of_another_worker(&site);
    vec![("a worker that says the name of one with another token", site.normal(&said))]
}

/// `TrialService` with a client that has a valid token, and guesses what belongs to another.
fn leases_of_another_client() -> Rows {
    let site = Site::start();
    let said = by_hand::use_the_lease_of_another_token(&site);
    let [report, tell] = said.map(|said| site.normal(&said));
    assert_eq!(report, tell);
    vec![("an external client that uses the lease of another token", report)]
}

fn requests_by_hand() -> Rows {
    let site = Site::start();
    let call = |header: Option<&str>| site.normal(&by_hand::list_with(&site, header));
    vec![
        ("a request without a token", call(None)),
        ("a header that is not a token", call(Some("Basic YWRhOmFkYQ=="))),
    ]
}

fn coordinators_that_do_not_start() -> Rows {
    let mut site = Site::start();
    site.coordinator.process.kill();
    let key = site.trust().join("authority.key");
    fs::set_permissions(key, Permissions::from_mode(0o640)).expect("its mode can be set");
    let (store, folder) = (site.path("caviar.db"), format!("{}/", site.folder.path().display()));
    let start = |words: &[&str]| {
        let place = ["coordinator", "--store", &store.to_string_lossy(), "--listen"];
        let said = refused(&[&place[..], words].concat()).replace(&folder, "");
        let is_log = |line: &str| line.starts_with("20");
        said.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n")
    };
    vec![
        ("`--insecure` on an address of the network", start(&["0.0.0.0:7070", "--insecure"])),
        ("an authority whose key other users can read", start(&["127.0.0.1:0"])),
    ]
}

fn cell(said: &str) -> String {
    let code = |line: &str| {
        let line = line.replace('|', "\\|");
        if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") }
    };
    said.lines().map(code).collect::<Vec<_>>().join("<br>")
}

fn table(rows: &Rows) -> String {
    let head = "| what is refused | what it says |\n|---|---|\n".to_owned();
    rows.iter().fold(head, |table, (what, said)| {
        assert!(!said.is_empty(), "{what}: nothing is said");
        table + &format!("| {what} | {} |\n", cell(said))
    })
}

#[test]
fn the_page_says_what_is_refused_and_how() {
    let rows = [
        servers_that_are_not_trusted(),
        joins_that_are_not_used(),
        tokens_that_have_no_access(),
        roles_that_do_not_suffice(),
        leases_of_another_worker(),
        names_of_another_worker(),
        leases_of_another_client(),
        connections_that_are_closed(),
        requests_by_hand(),
        coordinators_that_do_not_start(),
    ]
    .concat();
    let expected = table(&rows);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let text = fs::read_to_string(&document).expect("the document is there");
    let (begin, end) = ("<!-- refusals: begin -->\n", "<!-- refusals: end -->");
    let (before, rest) = text.split_once(begin).expect("the document has the mark");
    let (found, after) = rest.split_once(end).expect("the document has the mark");
    if std::env::var_os("CAVIAR_UPDATE_DOCS").is_some() {
        let new = format!("{before}{begin}{expected}{end}{after}");
        fs::write(&document, new).expect("the document can be written");
    } else {
        assert_eq!(
            found, expected,
            "docs/security.md is out of date: run this test with CAVIAR_UPDATE_DOCS=1"
        );
    }
}
