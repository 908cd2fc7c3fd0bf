//! The program as a process: how it starts and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar-worker"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("CAVIAR_COORDINATOR")
        .env_remove("CAVIAR_JOIN")
        .env("CAVIAR_HOME", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn a_wrong_address_is_refused_at_once_with_a_hint() {
    let output = program(&["--coordinator", "ftp://127.0.0.1:7070"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let expected = "error: coordinator \"ftp://127.0.0.1:7070\": expected HOST:PORT or https://";
    assert!(text(&output).contains(expected), "{}", text(&output));
    assert_eq!(output.stdout, b"");
    let output = program(&[]).env("CAVIAR_COORDINATOR", "no where").output().unwrap();
    assert!(text(&output).contains("\"no where\""), "{}", text(&output));
}

#[test]
fn without_a_join_string_it_says_how_to_get_one() {
    let output = program(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    assert!(text.starts_with("error: no join string for a coordinator"), "{text}");
    assert!(text.contains("hint: start a coordinator with: caviar coordinator"), "{text}");
    assert!(text.contains("--join FILE, or in CAVIAR_JOIN"), "{text}");
}

#[test]
fn it_prints_the_instruction_set_of_its_kernels() {
    for kernels in ["portable", "avx1024"] {
        let output = program(&["--kernels"]).env("CAVIAR_KERNELS", kernels).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        match kernels {
            "portable" => {
                assert_eq!((printed.as_str(), output.status.success()), ("portable\n", true))
            }
            _ => assert!(
                printed.is_empty()
                    && text(&output).contains("CAVIAR_KERNELS = \"avx1024\": expected"),
                "{}",
                text(&output)
            ),
        }
    }
}

#[test]
fn zero_slots_are_refused() {
    let output = program(&["--slots", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("--slots"), "{}", text(&output));
}

/// A server that closes every connection at once and reports each.
fn closing_server() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (report, connections) = mpsc::channel();
    thread::spawn(move || while listener.accept().is_ok() && report.send(()).is_ok() {});
    (url, connections)
}

#[test]
fn wrong_durations_are_refused_with_what_would_be_right() {
    for (option, value, problem) in [
        ("--idle-timeout", "5", "expected a time such as 90s, 5m, 1h30m or 7d"),
        ("--time-limit", "1y", "expected a time such as 90s, 5m, 1h30m or 7d, or auto, or none"),
    ] {
        let output = program(&[option, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let printed = text(&output);
        assert!(printed.contains(option) && printed.contains(problem), "{printed}");
    }
}

#[test]
fn it_takes_its_slots_and_its_time_from_slurm() {
    let (url, _connections) = closing_server();
    let mut worker = program(&["--coordinator", &url, "--name", "w"]);
    worker.env("SLURM_JOB_ID", "7").env("SLURM_JOB_END_TIME", "0").env("SLURM_CPUS_PER_TASK", "1");
    // The end of its job is over, so it leaves at once.
    let output = worker.output().unwrap();
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 slot: "), "{printed}");
    assert!(printed.contains("leaving before the time limit of 0s"), "{printed}");
}

#[test]
fn it_retries_until_a_signal_ends_it() {
    for asked in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let (url, connections) = closing_server();
        let mut child = program(&["--coordinator", &url, "--slots", "1"]).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert!(line.contains("1 slot: as --slots says"), "{line}");
        line.clear();
        log.read_line(&mut line).unwrap();
        assert!(
            line.contains("WARN")
                && line.contains(&format!("no connection to {url}, trying again")),
            "{line}"
        );
        // One attempt may connect more than once, but not eight times: the worker retries.
        assert_eq!(connections.iter().take(8).count(), 8);
        assert_eq!(child.try_wait().unwrap(), None);
        signal(&child, asked);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        // One line about the signal and one about the end, and none for each failed attempt.
        assert_eq!(rest.lines().count(), 2, "{rest}");
    }
}
