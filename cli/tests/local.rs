//! The program as a user starts it: a small sweep on this machine, and the commands that read its
//! store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const SWEEP: &str = r#"name = "small"
seed = 3
[data]
source = "builtin:digits"
[fixed]
epochs = 2
[search]
strategy = "rounds"
trials = 6
rounds = [4, 2]
"#;

fn caviar(directory: &Path, arguments: &[&str]) -> Output {
    program(directory, arguments).output().unwrap()
}

fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .env_remove("CAVIAR_COORDINATOR")
        .env_remove("CAVIAR_JOIN")
        .env_remove("CAVIAR_STORE")
        .env("CAVIAR_HOME", directory.join("home"));
    command
}

/// Runs `small.toml` in the background until it shows its progress. The lines of standard error
/// after that follow.
fn start_run(directory: &Path) -> (Child, impl Iterator<Item = String>) {
    let mut run = program(directory, &["run", "small.toml", "--slots", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("small: ")), "the run shows no progress");
    (run, said)
}

fn stdout(directory: &Path, arguments: &[&str]) -> String {
    let output = caviar(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(directory: &Path, arguments: &[&str]) -> String {
    refusal_with(1, directory, arguments)
}

/// The text of a refusal with that exit code: 2 for mistakes in the arguments or in a sweep file.
fn refusal_with(code: i32, directory: &Path, arguments: &[&str]) -> String {
    let output = caviar(directory, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_sweep_runs_and_its_store_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();

    let result: serde_json::Value =
        serde_json::from_str(&stdout(directory, &["run", "small.toml", "--slots", "2", "--json"]))
            .unwrap();
    assert_eq!(result["state"], "completed");
    assert_eq!(result["counts"]["completed"], 6);
    assert_eq!(result["rounds"].as_array().unwrap().len(), 2);
    // The slots of the run count, whether its worker has connected yet or not.
    assert_eq!((&result["parallelism"], &result["auto_slots"]), (&8.into(), &2.into()));
    assert!(result["test"]["score"]["accuracy"].as_f64().unwrap() > 0.5);

    let again = refusal(directory, &["run", "small.toml"]);
    assert!(
        again.starts_with("error: caviar.db has a completed sweep small\nhint: ")
            && again.contains("--replace")
            && again.contains("--name")
    );
    assert!(
        refusal(directory, &["run", "--resume"])
            .starts_with("error: no sweep in caviar.db is unfinished\nhint: ")
    );
    let resumed = stdout(directory, &["run", "small.toml", "--resume", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&resumed).unwrap(), result);

    let read =
        |arguments: &[&str]| stdout(directory, &[arguments, &["--store", "caviar.db"]].concat());
    assert!(read(&["list"]).contains("small  completed  6/6 "));
    assert_eq!(read(&["export", "1"]), read(&["export", "small", "--csv"]));
    assert!(read(&["status", "small"]).contains("best trial"));
    assert_eq!(read(&["trials", "small", "--csv"]).lines().count(), 7);
    assert!(read(&["best", "small", "--toml"]).contains("\n[fixed]\n"));
    assert_eq!(read(&["export", "small", "--format", "csv"]).lines().count(), 13);
    assert_eq!(
        read(&["export", "small", "--format", "json"]),
        read(&["export", "small", "--json"])
    );
    assert!(
        refusal(directory, &["status", "other", "--store", "caviar.db"])
            .starts_with("error: there is no sweep")
    );
}

#[test]
fn a_paused_sweep_continues_only_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let store = directory.join("caviar.db");
    let spec = |name: &str| {
        let spec = caviar_common::spec::file::parse(&SWEEP.replace("small", name)).unwrap().spec;
        let data = caviar_data::prepare(&spec.data, spec.seed).unwrap().1;
        let request_id = caviar_common::ids::Name::parse("name", name).unwrap();
        caviar_core::input::Input::CreateSweep {
            request_id,
            spec: Box::new(spec),
            data,
            for_slots: None,
        }
    };
    make(
        &store,
        vec![
            spec("rests"),
            spec("continues"),
            caviar_core::input::Input::PauseSweep(caviar_common::ids::SweepId(1)),
        ],
    );
    let output = caviar(directory, &["run", "--resume", "--json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(
            "note: rests stays paused; to continue it: caviar run --resume --name rests\n"
        ),
        "{said}"
    );
    assert!(output.status.success(), "{said}");
    assert!(stdout(directory, &["list", "--store", "caviar.db"]).contains("paused"));
    stdout(directory, &["run", "--resume", "--name", "rests", "--json"]);
    assert!(!stdout(directory, &["list", "--store", "caviar.db"]).contains("paused"));
}

#[test]
fn a_sweep_in_a_store_can_be_resized() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let spec = Box::new(caviar_common::spec::file::parse(SWEEP).unwrap().spec);
    let data = caviar_data::prepare(&spec.data, spec.seed).unwrap().1;
    let request_id = caviar_common::ids::Name::parse("name", "r").unwrap();
    let for_slots = Some(64);
    let create = caviar_core::input::Input::CreateSweep { request_id, spec, data, for_slots };
    make(&directory.join("caviar.db"), vec![create]);
    assert!(
        stdout(directory, &["status", "small"]).contains("\nparallelism 8 (auto, for 64 slots)")
    );
    let resize = |number, rest: &[&str]| {
        stdout(directory, &[&["resize", "small", "--parallelism", number], rest].concat())
    };
    assert_eq!(resize("3", &[]), "");
    let resized: serde_json::Value = serde_json::from_str(&resize("2", &["--json"])).unwrap();
    assert_eq!(resized["parallelism"], 2);
    assert_eq!(resized["resizes"][1]["trials"], 4, "all trials of the first round have started");
    let status = stdout(directory, &["status", "small"]);
    assert!(status.contains("\nparallelism 2 (it began with 8)"), "{status}");
    let export = stdout(directory, &["export", "small", "--json"]);
    let export: serde_json::Value = serde_json::from_str(&export).unwrap();
    assert_eq!(
        (&export["parallelism"], &export["spec"]["search"]["parallelism"]),
        (&2.into(), &8.into())
    );
    stdout(directory, &["cancel", "small"]);
    let refused = refusal(directory, &["resize", "small", "--parallelism", "9"]);
    assert!(refused.contains("it has ended, so no trial will be in flight"), "{refused}");
}

#[test]
fn a_completed_sweep_in_a_store_is_extended_and_continues() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();
    let run = |arguments: &[&str]| stdout(directory, &[arguments, &["--json"]].concat());
    let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let before = json(run(&["run", "small.toml"]))["counts"]["completed"].as_u64().unwrap();
    let said = caviar(directory, &["extend", "small", "--trials", "2"]).stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.ends_with("; to continue it: caviar run --resume --name small\n"), "{said}");
    let after = json(run(&["run", "--resume", "--name", "small"]));
    assert_eq!(
        (&after["state"], &after["counts"]["completed"]),
        (&"completed".into(), &(before + 2).into())
    );
}

#[test]
fn an_external_sweep_in_a_store_needs_a_coordinator() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let text = "name = \"own\"\n[data]\nsource = \"external\"\n\
                [space]\nC = { low = 0.1, high = 1 }\n[search]\ntrials = 4\n\
                [objective]\nmetric = \"f1\"\ngoal = \"maximize\"\n";
    let spec = caviar_common::spec::file::parse(text).unwrap().spec;
    let request_id = caviar_common::ids::Name::parse("name", "own").unwrap();
    let create = caviar_core::input::Input::CreateSweep {
        request_id,
        spec: Box::new(spec),
        data: caviar_common::data::DataSummary::default(),
        for_slots: None,
    };
    make(&directory.join("caviar.db"), vec![create]);
    let hint = "to start a coordinator for them: caviar coordinator --store caviar.db\n";
    let text = refusal(directory, &["run", "--resume", "--name", "own"]);
    let message = "error: external programs run the trials of own, not a worker\n";
    assert_eq!(text, format!("{message}hint: {hint}"));
    let text = refusal(directory, &["run", "--resume"]);
    assert!(text.contains(hint), "{text}");
    assert!(stdout(directory, &["status", "own"]).contains(hint.trim_end()));
}

/// Creates a store that holds the events of these inputs.
fn make(store: &Path, inputs: Vec<caviar_core::input::Input>) {
    use caviar_coordinator::store::{Batch, Position, Rows, Store};
    let mut store = caviar_coordinator::store::sqlite::SqliteStore::open(store).unwrap();
    let mut core = caviar_core::Coordinator::new(caviar_core::input::Config::default(), store.id());
    for input in inputs {
        let step = core.step(0, input).unwrap();
        step.reply.unwrap();
        let rows = core.take_rows();
        let sweeps = rows.sweeps.iter().filter_map(|id| core.sweep(*id)).collect();
        let rows = Rows { sweeps, trials: rows.trials };
        let Position { term, sequence } = store.position();
        store.append(&Batch { term, sequence: sequence + 1, events: step.events, rows }).unwrap();
    }
}

#[test]
fn mistakes_are_reported_before_a_store_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(
        directory.join("bad.toml"),
        SWEEP.replace("seed = 3", "sed = 3").replace("builtin:digits", "absent.csv"),
    )
    .unwrap();
    let text = refusal_with(2, directory, &["run", "bad.toml"]);
    assert!(text.starts_with("bad.toml:2: sed: unknown key: did you mean seed?\n"), "{text}");
    assert!(text.contains("\nbad.toml:4: data.source = \"absent.csv\": "), "{text}");
    assert!(
        refusal(directory, &["list", "--store", "absent.db"])
            .starts_with("error: there is no store absent.db\nhint: ")
    );
    assert!(
        refusal(directory, &["run", "--resume"])
            .starts_with("error: there is no store caviar.db\nhint: ")
    );
    std::fs::write(directory.join("empty.db"), "").unwrap();
    assert!(
        refusal_with(2, directory, &["list", "--store", "empty.db"])
            .starts_with("error: empty.db is not a Caviar store\nhint: ")
    );
    assert_eq!(std::fs::metadata(directory.join("empty.db")).unwrap().len(), 0);
    assert!(!directory.join("absent.db").exists() && !directory.join("caviar.db").exists());
}

#[test]
fn an_unreachable_coordinator_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = refusal(directory.path(), &["list", "--coordinator", "http://127.0.0.1:1"]);
    assert!(text.starts_with("error: no coordinator answers at http://127.0.0.1:1: "), "{text}");
    assert!(text.contains("hint: start one with: caviar coordinator --listen :1\n"), "{text}");
    for (url, what) in [
        ("ftp://127.0.0.1", "expected HOST:PORT or https://HOST:PORT, not ftp://"),
        ("https://127.0.0.1:x", "port \"x\": expected a number from 0 to 65535"),
    ] {
        let text = refusal_with(2, directory.path(), &["list", "--coordinator", url]);
        assert!(
            text.starts_with(&format!("error: coordinator {url:?}: {what}\nhint: write HOST:PORT")),
            "{text}"
        );
    }
}

#[test]
fn another_server_is_recognised() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _asked = stream.read(&mut [0; 256]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let text = refusal(directory.path(), &["list", "--coordinator", &url]);
    assert!(
        text.starts_with(&format!(
            "error: the server at {url} is not a Caviar coordinator\nhint: name the"
        )),
        "{text}"
    );
}

#[test]
fn the_store_of_the_last_run_is_read_without_being_named() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();
    let run = ["run", "small.toml", "--store", "results.db", "--slots", "2"];
    let output = caviar(directory, &run);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("coordinator at https://127.0.0.1:"), "{said}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.starts_with("sweep small (number 1) is completed\n6 trials finished: "));
    assert!(shown.contains("\n  caviar best small --toml --store results.db\n"), "{shown}");

    assert!(stdout(directory, &["best", "small"]).starts_with("best trial "));
    let top: serde_json::Value =
        serde_json::from_str(&stdout(directory, &["trials", "small", "--top", "2", "--json"]))
            .unwrap();
    let values: Vec<f64> =
        top.as_array().unwrap().iter().map(|t| t["objective"].as_f64().unwrap()).collect();
    assert!(values.len() == 2 && values[0] <= values[1], "{values:?}");
    assert!(stdout(directory, &["watch", "small"]).starts_with("sweep small (number 1)"));

    // The environment counts more than the folder: nothing listens on port 1.
    let join = format!("caviar1.admin.{}.{}@127.0.0.1:1", "ab".repeat(32), "cd".repeat(16));
    let output = program(directory, &["best", "small"]).env("CAVIAR_JOIN", join).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("127.0.0.1:1"), "{said}");

    stdout(directory, &["delete", "small", "--store", "results.db"]);
    assert!(refusal(directory, &["best", "small"]).starts_with("error: there is no sweep"));
}

#[test]
fn a_run_answers_for_its_store_from_another_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let sweep = SWEEP.replace("epochs = 2", "epochs = 2000");
    std::fs::write(directory.join("small.toml"), sweep).unwrap();
    let (mut run, said) = start_run(directory);

    let status = stdout(directory, &["status", "small"]);
    assert!(status.starts_with("sweep small (number 1) is running\n"), "{status}");
    assert!(stdout(directory, &["list", "--store", "caviar.db"]).contains("small  running"));
    assert!(stdout(directory, &["workers"]).contains("\nlocal "));
    let number = running_trial(directory).to_string();
    let trial: serde_json::Value =
        serde_json::from_str(&stdout(directory, &["release", "small", &number, "--json"])).unwrap();
    assert_eq!(trial["trial"].to_string(), number);
    assert!(trial["state"] == "queued" || trial["state"] == "running", "{trial}");
    let text = refusal(directory, &["release", "small", "9"]);
    assert!(text.starts_with("error: sweep small has no trial 9\nhint: "), "{text}");
    stdout(directory, &["cancel", "small"]);
    said.for_each(drop);
    assert_eq!(run.wait().unwrap().code(), Some(1), "a run without a result fails");
    assert!(stdout(directory, &["status", "small"]).starts_with("sweep small (number 1) is canc"));
}

/// Waits until the worker trains a trial of `small`, and returns its number.
fn running_trial(directory: &Path) -> u64 {
    loop {
        let listed = stdout(directory, &["trials", "small", "--json"]);
        let trials: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let trials = trials.as_array().unwrap();
        if let Some(trial) = trials.iter().find(|trial| trial["state"] == "running") {
            return trial["trial"].as_u64().unwrap();
        }
    }
}

#[test]
fn an_export_says_when_every_trial_started_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let sweep = SWEEP.replace("rounds = [4, 2]\n", "").replace("\"rounds\"", "\"random\"");
    let sweep = sweep.replace("epochs = 2", "epochs = 9").replace("trials = 6", "trials = 12");
    std::fs::write(directory.join("small.toml"), sweep).unwrap();
    stdout(directory, &["run", "small.toml", "--json"]);
    let export: serde_json::Value =
        serde_json::from_str(&stdout(directory, &["export", "small", "--json"])).unwrap();
    let trials = export["trials"].as_array().unwrap();
    assert!(trials.iter().any(|trial| trial["state"] == "stopped"), "no trial was stopped");
    for trial in trials {
        let time = |key: &str| trial[key].as_str().unwrap().to_owned();
        assert!(time("started_at").starts_with("20") && time("started_at") <= time("ended_at"));
        assert!(trial["seconds"].as_f64().unwrap() > 0.0, "{trial}");
    }
    let csv = stdout(directory, &["export", "small"]);
    let last = ",message,started_at,ended_at,retrained_epochs";
    assert!(csv.lines().next().unwrap().ends_with(last), "{csv}");
}

#[test]
fn an_edited_file_can_replace_its_earlier_sweep() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();
    stdout(directory, &["run", "small.toml", "--json"]);
    std::fs::write(directory.join("small.toml"), SWEEP.replace("seed = 3", "seed = 4")).unwrap();
    let text = refusal(directory, &["run", "small.toml"]);
    assert!(
        text.starts_with(
            "error: caviar.db has a completed sweep small, and its file has changed since\nhint: "
        ) && text.contains("--replace\n")
            && text.contains("--name NAME\n"),
        "{text}"
    );
    let result: serde_json::Value =
        serde_json::from_str(&stdout(directory, &["run", "small.toml", "--replace", "--json"]))
            .unwrap();
    assert_eq!(result["spec"]["seed"], 4);
    assert_eq!(result["id"], 2);
}

#[test]
fn a_csv_file_becomes_a_sweep_file_that_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let rows: String = (0..90_u16)
        .map(|n| {
            let kind = ["a", "b", "c"][usize::from(n % 3)];
            format!("{},{},{kind}\n", n % 7, f64::from(n) * 0.5)
        })
        .collect();
    std::fs::write(directory.join("own.csv"), format!("x,y2,kind\n{rows}")).unwrap();
    let text = refusal_with(2, directory, &["run", "own.csv"]);
    assert!(text.starts_with("error: own.csv is data and not a sweep file"), "{text}");
    assert!(text.contains("caviar init own.csv"), "{text}");
    for (label, hint) in [
        ("kin", "did you mean \"kind\"?"),
        ("KIND", "did you mean \"kind\"?"),
        ("nothing", "its columns are \"x\", \"y2\", \"kind\""),
    ] {
        let text = refusal_with(2, directory, &["init", "own.csv", "--label", label]);
        let message = format!("error: --label {label:?}: own.csv has no such column\n");
        assert_eq!(text, format!("{message}hint: {hint}\n"));
    }
    stdout(directory, &["init", "own.csv", "--trials", "3"]);
    let valid = stdout(directory, &["check", "own.toml"]);
    assert!(valid.starts_with("own.toml is valid\n") && valid.contains(", 3 classes\n"), "{valid}");
    assert_eq!(refusal(directory, &["init", "own.csv"]).lines().count(), 2);
    stdout(directory, &["run", "own.toml", "--json"]);
    // Names are not mistaken for parts of the file.
    std::fs::write(directory.join("odd[search].csv"), format!("x,y2,[search]\n{rows}")).unwrap();
    stdout(directory, &["init", "odd[search].csv", "--output", "odd.toml"]);
    assert!(stdout(directory, &["check", "odd.toml"]).starts_with("odd.toml is valid\n"));
}

#[test]
fn files_that_cannot_be_used_are_wrong_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for (arguments, text) in [
        (&["run", "absent.toml"][..], "error: cannot open absent.toml: "),
        (&["check", "."], "error: cannot read .: "),
        (&["init", "absent.csv"], "error: absent.csv: cannot be opened: "),
        (&["init", "a.toml"], "error: a.toml: unknown format: expected a text table "),
        (&["list", "--store", "a.db", "--coordinator", ":1"], "error: --coordinator :1 and "),
    ] {
        let refusal = refusal_with(2, directory, arguments);
        assert!(refusal.starts_with(text), "{refusal}");
    }
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();
    let text = refusal_with(2, directory, &["run", "small.toml", "--store", "absent/a.db"]);
    assert!(text.starts_with("error: absent/a.db cannot be created: there is no directory"));
}

#[test]
fn an_interrupted_sweep_can_be_cancelled_and_deleted_without_a_coordinator() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let create = |name: &str| {
        let spec = caviar_common::spec::file::parse(&SWEEP.replace("small", name)).unwrap().spec;
        let data = caviar_data::prepare(&spec.data, spec.seed).unwrap().1;
        let request_id = caviar_common::ids::Name::parse("name", name).unwrap();
        caviar_core::input::Input::CreateSweep {
            request_id,
            spec: Box::new(spec),
            data,
            for_slots: None,
        }
    };
    make(&directory.join("caviar.db"), vec![create("one"), create("two")]);
    let said = caviar(directory, &["pause", "two"]);
    assert_eq!(String::from_utf8(said.stderr).unwrap(), "sweep two is paused\n");
    let cancelled = stdout(directory, &["cancel", "one", "--json"]);
    assert!(cancelled.contains("\"state\": \"cancelled\""), "{cancelled}");
    let text = refusal(directory, &["workers", "--store", "caviar.db"]);
    assert!(text.starts_with("error: no coordinator has caviar.db open\n"), "{text}");
    stdout(directory, &["delete", "one"]);
    assert!(!stdout(directory, &["list"]).contains("one"));
    // One object for each sweep, one a line.
    stdout(directory, &["resume", "two"]);
    let lines = stdout(directory, &["run", "--resume", "--json"]);
    let objects: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((objects.len(), &objects[0]["state"]), (1, &"completed".into()));
}

#[test]
fn a_refused_command_closes_the_store_that_it_has_opened() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let spec = caviar_common::spec::file::parse(SWEEP).unwrap().spec;
    let data = caviar_data::prepare(&spec.data, spec.seed).unwrap().1;
    let request_id = caviar_common::ids::Name::parse("name", "small").unwrap();
    let create = caviar_core::input::Input::CreateSweep {
        request_id,
        spec: Box::new(spec),
        data,
        for_slots: None,
    };
    make(&directory.join("caviar.db"), vec![create]);
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(directory).unwrap();
        // A run makes keys and tokens, which the next one uses again.
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "caviar.db.trust").collect()
    };
    assert_eq!(files(), ["caviar.db"]);
    for arguments in [
        &["status", "other"][..],
        &["watch", "other"],
        &["watch", "small"],
        &["trials", "other"],
        &["best", "other"],
        &["best", "small"],
        &["importance", "small"],
        &["explain", "small", "99"],
        &["export", "other"],
        &["pause", "other"],
        &["resume", "other"],
        &["cancel", "other"],
        &["delete", "small"],
        &["release", "small", "99"],
        &["workers"],
        &["drain", "w"],
        &["run", "--resume", "--name", "other"],
    ] {
        refusal(directory, &[arguments, &["--store", "caviar.db"]].concat());
        assert_eq!(files(), ["caviar.db"], "{arguments:?}");
    }
}

#[test]
fn a_run_whose_worker_is_told_to_leave_ends() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let sweep = SWEEP.replace("epochs = 2", "epochs = 200").replace("[4, 2]", "[20, 20]");
    let sweep = sweep.replace("trials = 6", "trials = 40");
    std::fs::write(directory.join("small.toml"), sweep).unwrap();
    let (mut run, said) = start_run(directory);
    stdout(directory, &["drain", "local"]);
    let rest: Vec<String> = said.collect();
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let hint = "hint: to continue: caviar run --resume --name small";
    assert_eq!(
        rest[rest.len() - 2..],
        ["error: the worker of this run was told to leave".to_owned(), hint.to_owned()]
    );
}

#[test]
fn errors_are_json_for_a_command_that_writes_json() {
    let directory = tempfile::tempdir().unwrap();
    let text = refusal(directory.path(), &["status", "x", "--json", "--store", "absent.db"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["error"]["message"], "there is no store absent.db");
    assert!(value["error"]["hints"][0].is_string());
    let text = refusal_with(2, directory.path(), &["run", "a.toml", "--json", "--sotre", "b.db"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["error"]["message"], "unexpected argument '--sotre' found");
    assert_eq!(value["error"]["hints"][0], "a similar argument exists: '--store'");
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let directory = tempfile::tempdir().unwrap();
    assert!(stdout(directory.path(), &["completions", "bash"]).contains("importance"));
    stdout(directory.path(), &["man", "pages"]);
    for page in ["caviar.1", "caviar-run.1", "caviar-trials.1"] {
        assert!(directory.path().join("pages").join(page).is_file(), "{page}");
    }
}
