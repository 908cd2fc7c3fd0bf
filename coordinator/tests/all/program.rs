//! The program as a process: what it prints, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use caviar_common::address::address_file;
use caviar_common::join::user_join_folder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(store: &Path) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar-coordinator"));
    command.args(["--listen", "127.0.0.1:0", "--store"]).arg(store).env_remove("RUST_LOG");
    command.env("CAVIAR_HOME", store.with_extension("home"));
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn it_logs_its_address_and_a_second_one_on_its_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("caviar.db");
    let mut child = program(&store);
    let mut log = BufReader::new(child.0.stderr.take().unwrap());
    let (address, rest) = listening(&mut log, "https://");
    assert_eq!(rest, store.display().to_string());
    assert_ne!(address.parse::<std::net::SocketAddr>().unwrap().port(), 0);
    // What the line promises is there, for a program that waits for it.
    let joins = std::fs::read_dir(user_join_folder(&store.with_extension("home"))).unwrap();
    assert_eq!(joins.count(), 2);
    assert!(address_file(&store).exists());

    let mut second = program(&store);
    let mut text = String::new();
    second.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let expected = format!(
        "error: {} is in use by another coordinator\nhint: to give that one a sweep: \
         caviar submit FILE --coordinator ADDRESS\n",
        store.display()
    );
    assert_eq!(text, expected);
    assert_eq!(second.0.wait().unwrap().code(), Some(1));

    kill(Pid::from_raw(child.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    let mut out = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "", "standard output is for data");
}

/// The address and the store in the line that says where a coordinator listens.
fn listening(log: &mut impl BufRead, scheme: &str) -> (String, String) {
    let before = format!("listening on {scheme}");
    let line = log.lines().map_while(Result::ok).find(|line| line.contains(&before)).unwrap();
    let (_, rest) = line.split_once(&before).unwrap();
    let (address, store) = rest.split_once(", store ").unwrap();
    (address.to_owned(), store.trim().to_owned())
}

/// A coordinator without encryption that was started by a shell after `limits`, its log, and its
/// address.
fn limited(limits: &str, store: &Path) -> (Running, BufReader<ChildStderr>, String) {
    let mut command = Command::new("sh");
    let script = format!("{limits}; exec \"$0\" --insecure --listen :0 --store \"$1\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_caviar-coordinator")]);
    command.arg(store).env_remove("RUST_LOG").env("CAVIAR_HOME", store.with_extension("home"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let mut log = BufReader::new(child.0.stderr.take().unwrap());
    let (address, _) = listening(&mut log, "http://");
    (child, log, address)
}

/// Connects to a coordinator, which may refuse the connection. A server begins with its settings. A
/// refused connection gets nothing but the frame that ends it, with a reason.
fn connect(address: &str) -> Result<TcpStream, TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut header = [0; 9];
    stream.read_exact(&mut header).unwrap();
    match header[3] {
        4 => Ok(stream),
        7 => Err(stream),
        other => panic!("the first frame has the type {other}"),
    }
}

fn stop(mut child: Running) {
    kill(Pid::from_raw(child.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_connection_for_which_there_is_no_descriptor_is_told_why_and_the_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("caviar.db");
    let (child, mut log, address) = limited("ulimit -n 64", &store);
    let mut open = Vec::new();
    let mut refused = loop {
        match connect(&address) {
            Ok(stream) => open.push(stream),
            Err(refused) => break refused,
        }
        assert!(open.len() < 64, "more connections than descriptors");
    };
    let mut rest = Vec::new();
    refused.read_to_end(&mut rest).unwrap();
    let text = String::from_utf8_lossy(&rest).into_owned();
    assert!(text.contains("no file descriptors left for another connection; hint: "), "{text}");
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("refused connections: the coordinator has no file"), "{line}");
    // Room for one more.
    drop(open.pop());
    while connect(&address).is_err() {}
    stop(child);
}

#[test]
fn a_soft_limit_of_open_files_is_raised() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("caviar.db");
    let (child, _log, address) = limited("ulimit -S -n 64", &store);
    let open: Result<Vec<TcpStream>, TcpStream> = (0..100).map(|_| connect(&address)).collect();
    assert_eq!(open.unwrap().len(), 100, "more connections than the soft limit");
    stop(child);
}
