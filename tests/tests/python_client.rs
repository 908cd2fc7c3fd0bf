//! A client in another language, generated from the `.proto` files, and reflection.
#![allow(clippy::expect_used, reason = "tests say at once what failed")]

use std::io::Write;
use std::path::Path;
use std::process::Command;

use caviar_tests::processes::{Coordinator, worker};

/// A Python with grpcio, grpcio-tools and grpcio-reflection: `CAVIAR_PYTHON`, or the one on the path.
fn python() -> Option<String> {
    let python = std::env::var("CAVIAR_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut probe = Command::new(&python);
    probe.args(["-c", "import grpc, grpc_tools, grpc_reflection"]);
    let found = probe.output().is_ok_and(|output| output.status.success());
    found.then_some(python)
}

#[test]
fn a_generated_python_client_lists_services_submits_and_watches() {
    let Some(python) = python() else {
        // Not by a macro, whose output is shown for tests that fail alone.
        let _unheard =
            writeln!(std::io::stderr(), "skipped: no Python with grpcio, grpcio-tools and grpcio-reflection; name one in CAVIAR_PYTHON");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let coordinator = Coordinator::start(&folder.path().join("caviar.db"), None);
    let _worker = worker(&coordinator.url, "w", 2);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut client = Command::new(python);
    client.arg(root.join("python/client.py")).arg(root.join("../proto"));
    client.args([coordinator.url.trim_start_matches("http://"), "from-python"]);
    let output = client.output().expect("python runs");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.starts_with("SWEEP_STATE_COMPLETED 0.9"), "{said}");
}
