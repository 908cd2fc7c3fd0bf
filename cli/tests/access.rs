//! Secrets that are made and shown, and join strings of coordinators that are gone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use support::{Process, caviar, stderr_of, stdout_of};

/// A user with a home folder, and a folder without a store.
struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        let user = Self(tempfile::tempdir().unwrap());
        fs::create_dir(user.path("work")).unwrap();
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn caviar(&self, words: &str) -> Command {
        let mut command = caviar(&self.path("work"), words);
        command.env("CAVIAR_HOME", self.path("home"));
        command
    }

    /// Starts a coordinator on a store of this name.
    fn coordinator(&self, store: &str) -> Process {
        let mut command = self.caviar("coordinator --listen 127.0.0.1:0 --store");
        let mut process = Process::start(command.arg(self.path(store)));
        process.line_with("listening on");
        process
    }

    /// Makes a token that reads, and returns its join string.
    fn view(&self, file: &str) -> String {
        stdout_of(self.caviar(&format!("tokens create --role view --name {file} --output {file}")));
        self.read(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path("work").join(file)).unwrap()
    }

    fn tokens(&self) -> usize {
        let text = stdout_of(self.caviar("tokens list --json"));
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().len()
    }

    /// The names in the folder of the commands.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("work")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn killed(mut process: Process) {
    process.signal(Signal::SIGKILL);
    process.failed();
}

#[test]
fn a_rotated_token_replaces_the_file_with_its_join_string() {
    let user = User::new();
    let _coordinator = user.coordinator("a.db");
    let before = user.view("view.join");
    let said = stderr_of(user.caviar("tokens rotate view.join --output view.join"), true);
    assert!(said.contains("--join view.join"), "{said}");
    // The file has a secret that was replaced by now.
    stdout_of(user.caviar("tokens rotate view.join"));
    stderr_of(user.caviar("tokens rotate view.join --grace 2h --output view.join"), true);
    let list = stdout_of(user.caviar("tokens list"));
    assert!(list.contains("valid; old secret for "), "{list}");
    let after = user.read("view.join");
    assert_ne!(before, after);
    let file = user.path("work/view.join");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(stdout_of(user.caviar("list --json --join view.join")).trim(), "[]");
    // Through a link, it is the file that is replaced.
    std::os::unix::fs::symlink(&file, user.path("work/link.join")).unwrap();
    stdout_of(user.caviar("tokens rotate view.join --output link.join"));
    assert!(user.path("work/link.join").is_symlink());
    assert_ne!(user.read("view.join"), after);
    assert_eq!(user.files(), ["link.join", "view.join"]);
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_a_secret_is_made() {
    let user = User::new();
    let _coordinator = user.coordinator("a.db");
    let before = user.view("view.join");
    let tokens = user.tokens();
    fs::create_dir(user.path("work/folder")).unwrap();
    fs::write(user.path("work/notes.txt"), "mine\n").unwrap();
    let pin = before.split('.').nth(2).unwrap();
    fs::write(user.path("work/other.join"), before.replace(pin, &"0".repeat(pin.len()))).unwrap();
    for (words, problem) in [
        ("create --role view --output view.join", "--output view.join: the file is there already"),
        (
            "create --role view --output no/x.join",
            "--output no/x.join: cannot write there: No such",
        ),
        ("rotate view.join --output no/x.join", "--output no/x.join: cannot write there: No such"),
        ("rotate view.join --output folder", "--output folder: expected a file"),
        (
            "rotate first-worker --output view.join",
            "--output view.join: the file has the join string of the token view.join (",
        ),
        (
            "rotate view.join --output notes.txt",
            "--output notes.txt: the file is there already, and it has no join string",
        ),
        (
            "rotate view.join --output other.join",
            "--output other.join: the file has a join string of another coordinator",
        ),
    ] {
        let output = user.caviar(&format!("tokens {words}")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(problem) && said.contains("hint: "), "{words}: {said}");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
    }
    assert_eq!(user.tokens(), tokens);
    assert_eq!(user.read("view.join"), before);
    assert_eq!(stdout_of(user.caviar("list --json --join view.join")).trim(), "[]");
    // A request that is refused leaves no file.
    stderr_of(user.caviar("tokens rotate none --output none.join"), false);
    assert_eq!(user.files(), ["folder", "notes.txt", "other.join", "view.join"]);
}

/// Runs a command of this user whose files must stay empty.
fn without_room(user: &User, words: &str) -> Output {
    let command = user.caviar(words);
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(user.path("work")).env("CAVIAR_HOME", user.path("home"));
    limited.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_secret_that_cannot_be_written_is_shown() {
    let user = User::new();
    let _coordinator = user.coordinator("a.db");
    let before = user.view("view.join");
    for json in ["", " --json"] {
        let words = format!("tokens rotate view.join --output view.join{json}");
        let output = without_room(&user, &words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the join string is on standard output instead"), "{said}");
        let shown = String::from_utf8(output.stdout).unwrap();
        let join = if json.is_empty() {
            shown.trim().to_owned()
        } else {
            let object: serde_json::Value = serde_json::from_str(&shown).unwrap();
            object["join"].as_str().unwrap().to_owned()
        };
        let mut list = user.caviar("list --json");
        list.env("CAVIAR_JOIN", join);
        assert_eq!(stdout_of(list).trim(), "[]");
    }
    assert_eq!(user.read("view.join"), before, "the file is as it was");
    assert_eq!(user.files(), ["view.join"]);
}

#[test]
fn access_reads_the_join_string_on_standard_input_once() {
    let user = User::new();
    let _coordinator = user.coordinator("a.db");
    user.view("view.join");
    let expected = stdout_of(user.caviar("access --ca"));
    assert!(expected.contains("BEGIN CERTIFICATE"), "{expected}");
    let with_input = |words: &str| {
        let mut command = user.caviar(words);
        command.stdin(fs::File::open(user.path("work/view.join")).unwrap());
        stdout_of(command)
    };
    assert_eq!(with_input("access --ca --join -"), expected);
    let object: serde_json::Value =
        serde_json::from_str(&with_input("access --json --join -")).unwrap();
    assert_eq!(object["ca"], expected);
    assert_eq!(with_input("access --join-string --join -"), user.read("view.join"));
}

/// The join file of a killed coordinator, which is later than all others.
fn left_behind(user: &User, before: &[PathBuf]) -> PathBuf {
    join_files(user).into_iter().find(|file| !before.contains(file)).unwrap()
}

fn join_files(user: &User) -> Vec<PathBuf> {
    let entries = fs::read_dir(user.path("home/join")).unwrap();
    let is_admin = |path: &Path| path.to_string_lossy().ends_with(".admin.join");
    entries.map(|entry| entry.unwrap().path()).filter(|path| is_admin(path)).collect()
}

#[test]
fn the_join_file_of_a_killed_coordinator_does_not_hide_one_that_runs() {
    let user = User::new();
    let running = user.coordinator("a.db");
    let before = join_files(&user);
    killed(user.coordinator("b.db"));
    let file = left_behind(&user, &before);
    let said = stderr_of(user.caviar("list"), true);
    assert!(said.contains(&format!("note: the coordinator of {}", file.display())), "{said}");
    // What is shown is of the same coordinator.
    let join = stdout_of(user.caviar("access --join-string"));
    let mut list = user.caviar("list --json");
    list.env("CAVIAR_JOIN", join.trim());
    assert_eq!(stdout_of(list).trim(), "[]");

    killed(running);
    let said = stderr_of(user.caviar("list"), false);
    let expected = format!(
        "hint: the join string is from {}, then from {}; remove the file of a coordinator that is \
         gone",
        file.display(),
        before[0].display()
    );
    assert!(said.starts_with("error: no coordinator answers at https://"), "{said}");
    assert!(said.contains(&expected), "{said}");
}

/// The command that a hint of `caviar submit` proposes, without `caviar`.
fn proposed(said: &str, hint: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix(hint)).unwrap().to_owned()
}

#[test]
fn the_hints_of_submit_lead_to_its_coordinator() {
    const HINT: &str = "hint: to see its result: caviar ";
    const SWEEP: &str = "name = \"small\"\n[data]\nsource = \"builtin:digits\"\n\
                         [space]\nlearning_rate = { scale = \"log\", low = 0.1, high = 1.0 }\n\
                         [search]\ntrials = 3\n";
    let user = User::new();
    fs::write(user.path("work/small.toml"), SWEEP).unwrap();
    let _own = user.coordinator("work/own.db");
    // The store in this folder is that of the coordinator.
    let said = stderr_of(user.caviar("submit small.toml"), true);
    assert!(said.contains("sweep small is running on the coordinator at https://127.0"), "{said}");
    assert!(said.contains(".admin.join)\n"), "{said}");
    assert_eq!(proposed(&said, HINT), "best small");

    // The one that was started last has its store elsewhere.
    let _last = user.coordinator("last.db");
    let said = stderr_of(user.caviar("submit small.toml --name other"), true);
    let command = proposed(&said, HINT);
    assert!(command.starts_with("best other --coordinator 127.0.0.1:"), "{command}");
    let found = stderr_of(user.caviar(&command), false);
    assert!(found.contains("sweep other has no completed trial yet"), "{found}");
    let found = stderr_of(user.caviar("best other"), false);
    assert!(found.contains("there is no sweep"), "{found}");

    // In another folder, it is one of several.
    let file = user.path("work/small.toml");
    let submit = format!("submit {} --name third", file.display());
    let mut elsewhere = user.caviar(&submit);
    let said = stderr_of(
        {
            elsewhere.current_dir(user.path("home"));
            elsewhere
        },
        true,
    );
    let command = proposed(&said, HINT);
    assert!(command.starts_with("best third --coordinator 127.0.0.1:"), "{command}");
}
