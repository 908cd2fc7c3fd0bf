//! Python clients that are generated from the `.proto` files, and reflection.
#![allow(clippy::expect_used, reason = "tests say at once what failed")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use caviar_tests::home::home;
use caviar_tests::processes::{Coordinator, caviar_ok, programs, worker};
use caviar_tests::python::python;

#[test]
fn a_generated_python_client_lists_services_submits_and_watches() {
    let Some(python) = python("grpc, grpc_tools, grpc_reflection") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let coordinator = Coordinator::start(&folder.path().join("caviar.db"), None);
    let _worker = worker(&coordinator.url, "w", 2);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut client = Command::new(python);
    client.arg(root.join("python/client.py")).arg(root.join("../proto"));
    client.arg("from-python").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = client.stdin(Stdio::piped()).spawn().expect("python runs");
    let access = caviar_ok(&["access", "--json", "--coordinator", &coordinator.url]);
    let mut input = process.stdin.take().expect("its input is piped");
    input.write_all(access.as_bytes()).expect("python reads");
    drop(input);
    let output = process.wait_with_output().expect("python ends");
    let (said, failed) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.starts_with("SWEEP_STATE_COMPLETED 0.9"), "{said}");
}

#[test]
fn the_ask_and_tell_example_tunes_what_caviar_does_not_train() {
    let Some(python) = python("grpc, grpc_tools, sklearn") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let coordinator = Coordinator::start(&folder.path().join("caviar.db"), None);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/ask_tell.py");
    let begin = || {
        let mut program = Command::new(&python);
        program.arg(&example).arg("mlp").env("CAVIAR", programs().join("caviar"));
        program.env("CAVIAR_HOME", home()).env("CAVIAR_COORDINATOR", &coordinator.url);
        program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python runs")
    };
    let programs = [begin(), begin()];
    let outputs = programs.map(|program| program.wait_with_output().expect("python ends"));
    let said: String =
        outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect();
    let failed: String =
        outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{said}\n{failed}");
    let mut trials: Vec<u32> = said
        .lines()
        .filter_map(|line| line.strip_prefix("trial ")?.split(':').next()?.parse().ok())
        .collect();
    trials.sort_unstable();
    assert_eq!(trials, (0..24).collect::<Vec<_>>(), "each was run once: {said}");
    assert!(said.contains("stopped after epoch"), "{said}");
    assert!(
        said.lines()
            .filter(|line| line.starts_with("best trial") && line.contains("accuracy 0.9"))
            .count()
            == 2,
        "{said}"
    );
}
