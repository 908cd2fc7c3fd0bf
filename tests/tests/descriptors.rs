//! A coordinator that has no file descriptor left refuses connections, and clients cope with that.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should panic where it fails"
)]

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use caviar_tests::home::home;
use caviar_tests::processes::{Process, caviar_ok, program, programs};
use caviar_tests::python::python;

/// What a refused client is told.
const REASON: &str = "the coordinator has no file descriptors left for another connection";

/// A coordinator that may have few files open, started with `options`, and its address.
fn limited(store: &Path, options: &str) -> (Process, String) {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n 64; exec \"$0\" --listen 127.0.0.1:0 {options} --store \"$1\"");
    command.args(["-c", &script]).arg(programs().join("caviar-coordinator")).arg(store);
    command.env("CAVIAR_HOME", home()).env("RUST_LOG", "info");
    Process::start_and_hear(&mut command, |line| {
        let (_, rest) = line.split_once("listening on ")?;
        Some(rest.split(',').next()?.to_owned())
    })
}

/// Repeats `ask` while more and more connections take the descriptors of the coordinator at `url`,
/// until `is_told` says that its output has the answer.
///
/// More connections than are needed would wait in front of the client's, each for its own refusal.
fn ask_until(url: &str, mut ask: impl FnMut() -> Output, is_told: impl Fn(&str) -> bool) -> String {
    let (_, address) = url.split_once("://").unwrap();
    let mut said = String::new();
    // The coordinator closes a connection on which no TLS handshake begins. On a slow machine the
    // first ones may be closed before there are enough.
    for _ in 0..5 {
        let mut held: Vec<TcpStream> = Vec::new();
        while held.len() < 64 {
            held.push(TcpStream::connect(address).unwrap());
            if held.len() < 30 {
                continue;
            }
            said = String::from_utf8_lossy(&ask().stderr).into_owned();
            if is_told(&said) {
                return said;
            }
        }
    }
    panic!("the client is never refused: {said}");
}

#[test]
fn a_command_says_why_it_is_refused() {
    for options in ["", "--insecure"] {
        let folder = tempfile::tempdir().unwrap();
        let (_coordinator, url) = limited(&folder.path().join("caviar.db"), options);
        let list = || program("caviar").args(["list", "--coordinator", &url]).output().unwrap();
        let text = ask_until(&url, list, |text| text.contains(REASON));
        assert!(text.contains("ulimit -n"), "{text}");
        // The other connections are closed by now.
        assert!((0..20).any(|_| list().status.success()), "it serves again");
    }
}

/// gRPC's C library counts a connection as open once it has seen the server's settings. If the
/// connection then ends, the library sends the request again without a pause: it used gigabytes of
/// memory in seconds, and the request failed at its deadline only.
#[test]
fn a_client_in_another_language_fails_at_once() {
    let Some(python) = python("grpc") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/refused.py");
    for options in ["", "--insecure"] {
        let folder = tempfile::tempdir().unwrap();
        let (_coordinator, url) = limited(&folder.path().join("caviar.db"), options);
        let mut command = Command::new(&python);
        command.arg(&script).arg(url.split_once("://").unwrap().1);
        if options.is_empty() {
            let access = folder.path().join("access.json");
            std::fs::write(&access, caviar_ok(&["access", "--json", "--coordinator", &url]))
                .unwrap();
            command.arg(access);
        }
        ask_until(
            &url,
            || command.output().unwrap(),
            |text| {
                assert!(!text.contains("DEADLINE_EXCEEDED"), "it tried all the time: {text}");
                text.contains("UNAVAILABLE")
            },
        );
    }
}
