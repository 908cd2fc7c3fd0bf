//! Nothing secret is in a command line, a log, an output or the store, however much is logged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use caviar_common::address::address_file;
use caviar_common::join::{JoinString, Role, join_file, trust_folder};
use caviar_tests::processes::{Process, program};
use caviar_tests::wait::until;
use nix::sys::signal::Signal;

use crate::WRONG_PIN;

const SWEEP: &str = "name = \"digits\"\nseed = 7\n[data]\nsource = \"builtin:digits\"\n\
                     [fixed]\nepochs = 3\nlayers = 1\nunits = 8\n\
                     [search]\nstrategy = \"random\"\ntrials = 6\nparallelism = 2\n";

/// In place of ssh: notes which processes there are, and runs the command of the host here.
const SSH: &str = r#"#!/bin/sh
ps -eo args >> "$0.ps"
for command; do :; done
HOME=$0.home
export HOME
unset CAVIAR_JOIN CAVIAR_HOME CAVIAR_COORDINATOR
exec sh -c "$command"
"#;

/// Programs in one folder, and everything that they say.
struct Site {
    folder: tempfile::TempDir,
    /// What commands wrote, by their arguments.
    outputs: BTreeMap<String, String>,
}

impl Drop for Site {
    fn drop(&mut self) {
        // The worker that "ssh" has started is not a child of this process.
        let _stopped = self.command(&["ssh-workers", "hosts", "--ssh", "./ssh", "stop"]).output();
    }
}

impl Site {
    fn new() -> Self {
        let site = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            outputs: BTreeMap::new(),
        };
        fs::create_dir(site.path("")).expect("it can be made");
        fs::write(site.path("digits.toml"), SWEEP).expect("it can be written");
        fs::write(site.path("hosts"), "node1 slots=1\n").expect("it can be written");
        fs::write(site.path("ssh"), SSH).expect("it can be written");
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(site.path("ssh"), mode).expect("its mode can be set");
        site
    }

    /// A path in the folder in which all commands run.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("user").join(name)
    }

    /// The store is in another folder, because commands would ask the coordinator of a store next
    /// to them, whatever `CAVIAR_JOIN` says.
    fn store(&self) -> PathBuf {
        self.folder.path().join("caviar.db")
    }

    /// A program that logs everything.
    fn program(&self, name: &str, words: &[&str]) -> Command {
        let mut command = program(name);
        command.args(words).current_dir(self.path("")).env("RUST_LOG", "trace");
        command.env("CAVIAR_HOME", self.path("home"));
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        self.program("caviar", words)
    }

    /// Starts a program with its log in a file.
    fn start(&self, name: &str, words: &[&str], log: &str) -> Process {
        let log = File::create(self.path(log)).expect("it can be made");
        Process::start(self.program(name, words).stderr(log))
    }

    /// Keeps what a command wrote. Returns its standard output.
    fn keep(&mut self, command: &mut Command) -> String {
        let output = command.output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let all = text(&[&output.stdout[..], &output.stderr].concat());
        *self.outputs.entry(name.join(" ")).or_default() += &all;
        text(&output.stdout)
    }

    fn run(&mut self, words: &str) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        let mut command = self.command(&words);
        self.keep(&mut command)
    }

    fn own_join(&self, role: Role) -> String {
        read(&join_file(&trust_folder(&self.store()), role))
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it can be read").trim().to_owned()
}

/// Reads the command lines of all processes, again and again.
struct Observer {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<Vec<u8>, ()>>,
}

impl Observer {
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
                    // Others end while they are looked at.
                    if let Ok(line) = fs::read(process.path().join("cmdline")) {
                        seen.insert(line, ());
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { is_over, thread }
    }

    /// Every command line that was seen, one on each line.
    fn end(self) -> Vec<u8> {
        self.is_over.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("it looks until it is told to end");
        seen.into_keys().collect::<Vec<_>>().join(&b'\n')
    }
}

/// A secret, and the forms in which it could be shown.
struct Hidden {
    what: String,
    forms: Vec<Vec<u8>>,
}

impl Hidden {
    /// The secret of a token: each half of its digits, its bytes, and how Rust shows an array of
    /// them.
    fn token(what: &str, join: &str) -> Self {
        let join: JoinString = join.parse().unwrap_or_else(|error| panic!("{what}: {error}"));
        let digits = join.secret.reveal().to_lowercase();
        let (left, right) = digits.split_at(digits.len() / 2);
        let bytes = join.secret.bits();
        let array = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
        let forms = vec![left.into(), right.into(), bytes.to_vec(), array.into()];
        Self { what: what.to_owned(), forms }
    }

    /// The key of the authority: the lines of its file.
    fn key(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the key");
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        Self { what: "the authority's key".to_owned(), forms: lines.map(|it| it.into()).collect() }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let has = |bytes: &[u8], form: &[u8]| bytes.windows(form.len()).any(|part| part == form);
        let lower = bytes.to_ascii_lowercase();
        self.forms.iter().any(|form| has(bytes, form) || has(&lower, form))
    }
}

/// Every value of every table of a store.
fn tables(store: &Path) -> Vec<u8> {
    use rusqlite::types::ValueRef;
    let open = rusqlite::Connection::open(store).expect("it opens");
    let mut names = open
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .expect("a store has tables");
    let names = names.query_map([], |row| row.get::<_, String>(0)).expect("a query");
    let names: Vec<String> = names.map(|name| name.expect("a name")).collect();
    assert!(names.iter().any(|name| name == "events"), "{names:?}");
    let mut all = Vec::new();
    for name in names {
        let mut rows = open.prepare(&format!("SELECT * FROM {name}")).expect("a table");
        let columns = rows.column_count();
        let mut rows = rows.query([]).expect("a query");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                match row.get_ref(column).expect("a value") {
                    ValueRef::Text(value) | ValueRef::Blob(value) => all.extend_from_slice(value),
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => {}
                }
                all.push(b'\n');
            }
        }
    }
    all
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// True for a file that keeps a secret, which only its owner can read.
fn keeps_a_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".join") || name == "authority.key"
}

/// True for a command whose output is a secret.
fn shows_a_secret(words: &str) -> bool {
    let makes = words.starts_with("tokens create") || words.starts_with("tokens rotate");
    let shows = ["access --token", "access --join-string", "access --json"].contains(&words);
    shows || (makes && !words.contains("--output"))
}

/// Uses every command that has to do with secrets, while a sweep runs.
fn use_secrets(site: &mut Site) -> Vec<Hidden> {
    let mut hidden = Vec::new();
    for (what, join) in [
        ("the administrator's token", site.own_join(Role::Admin)),
        ("the workers' token before its rotation", site.own_join(Role::Worker)),
        ("a viewer's token", site.run("tokens create --role view --name dashboard").trim().into()),
        ("the workers' token", site.run("tokens rotate first-worker --grace 1h").trim().into()),
    ] {
        hidden.push(Hidden::token(what, &join));
    }
    site.run("tokens create --role worker --output node.join");
    hidden.push(Hidden::token("a worker's token", &read(&site.path("node.join"))));
    let made = site.run("tokens create --role submit --json");
    let made: serde_json::Value = serde_json::from_str(&made).expect("an object");
    let submit = made["join"].as_str().expect("its join string").to_owned();
    hidden.push(Hidden::token("a submitter's token", &submit));

    for words in ["tokens list", "tokens list --json", "access", "access --ca", "access --token"] {
        site.run(words);
    }
    site.run("access --join-string");
    site.run("access --json");
    let mut command = site.command(&["submit", "digits.toml"]);
    site.keep(command.env("CAVIAR_JOIN", &submit));
    // What is refused.
    site.run("tokens revoke dashboard");
    let join: JoinString = submit.parse().expect("a join string");
    let wrong = JoinString { pin: WRONG_PIN, ..join.clone() }.reveal();
    let damaged = submit.replace('@', "0@");
    for (words, join) in [
        (["list", "--json"], wrong),
        (["tokens", "list"], submit.clone()),
        (["cancel", "digits"], site.own_join(Role::Worker)),
        (["best", "digits"], damaged),
    ] {
        let mut command = site.command(&words);
        site.keep(command.env("CAVIAR_JOIN", join));
    }
    hidden
}

#[test]
fn no_secret_is_in_a_command_line_a_log_an_output_or_the_store() {
    let observer = Observer::start();
    let mut site = Site::new();
    let words = ["--listen", "127.0.0.1:0", "--store", "../caviar.db"];
    let mut coordinator = site.start("caviar-coordinator", &words, "coordinator.log");
    until("the coordinator listens", || address_file(&site.store()).exists());
    let mut hidden = use_secrets(&mut site);
    let key = trust_folder(&site.store()).join("authority.key");
    hidden.push(Hidden::key(&key));

    let words = ["--join", "node.join", "--name", "node0", "--slots", "1"];
    let mut worker = site.start("caviar-worker", &words, "worker.log");
    site.run("ssh-workers hosts --ssh ./ssh start");
    for words in [
        "watch digits --json",
        "ssh-workers hosts --ssh ./ssh list",
        "list",
        "list --json",
        "status digits --json",
        "trials digits --json",
        "best digits --json",
        "export digits --format json",
        "export digits --format csv",
        "workers",
        "workers --json",
        "health",
        "ssh-workers hosts --ssh ./ssh stop",
    ] {
        let said = site.run(words);
        assert!(!said.contains("error"), "{words}: {said}");
    }
    let mut ps = Command::new("ps");
    let ps = ps.args(["-eo", "args"]).stdin(Stdio::null()).output().expect("ps runs").stdout;
    for process in [&mut worker, &mut coordinator] {
        process.signal(Signal::SIGTERM);
        assert!(process.wait(), "it stops in order");
    }

    let mut texts = vec![
        ("the command lines of processes".to_owned(), observer.end()),
        ("ps".to_owned(), ps),
        ("the tables of the store".to_owned(), tables(&site.store())),
    ];
    let outputs = site.outputs.clone();
    let (secret, open) = outputs.iter().partition::<Vec<_>, _>(|(words, _)| shows_a_secret(words));
    texts.extend(open.into_iter().map(|(words, out)| (words.clone(), out.clone().into_bytes())));
    for path in files(site.folder.path()).into_iter().filter(|path| !keeps_a_secret(path)) {
        texts.push((path.display().to_string(), fs::read(&path).expect("it can be read")));
    }
    check_that_all_is_seen(&texts);
    for it in &hidden {
        for (place, text) in &texts {
            assert!(!it.is_in(text), "{} is in {place}", it.what);
        }
    }
    // The search finds what is there.
    for (words, out) in secret {
        assert!(hidden.iter().any(|it| it.is_in(out.as_bytes())), "{words} shows no secret");
    }
    let key = fs::read(key).expect("the key");
    assert!(hidden.last().is_some_and(|it| it.is_in(&key)), "the key is not found in its file");
}

/// Fails unless the texts are what they should be: a test that looks nowhere finds nothing.
fn check_that_all_is_seen(texts: &[(String, Vec<u8>)]) {
    for (place, part) in [
        ("the command lines of processes", "--join\0node.join"),
        ("ps", "--join node.join"),
        ("ssh.ps", "ssh-workers hosts"),
        ("the tables of the store", "learning_rate"),
        ("coordinator.log", "TRACE"),
        ("worker.log", "TRACE"),
        ("workers/log", "TRACE"),
        ("submit digits.toml", "TRACE"),
        ("audit.jsonl", "AccessService/RotateToken"),
        ("tokens.json", "dashboard"),
        ("list --json", "cannot be trusted"),
        ("cancel digits", "has the role worker"),
        ("best digits", "the secret: expected 32 hexadecimal digits"),
        ("export digits --format json", "trial"),
    ] {
        let has = |text: &[u8]| text.windows(part.len()).any(|at| at == part.as_bytes());
        let found = texts.iter().any(|(name, text)| name.ends_with(place) && has(text));
        assert!(found, "{part:?} is not in {place}");
    }
}
