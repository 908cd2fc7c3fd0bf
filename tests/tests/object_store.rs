//! Coordinators that keep blobs in a bucket: real processes, and an S3 server in memory.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests say at once what failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use caviar_common::address::address_file;
use caviar_tests::processes::{Coordinator, Process, caviar_ok, export, program};
use caviar_tests::python::python;
use caviar_tests::watch::{done, is_completed, until};

const KEY_ID: &str = "KEYIDFORTHISTEST";
const SECRET: &str = "this+secret/is/in/no/log";

/// An S3 server with the bucket `sweeps`.
struct S3 {
    _process: Process,
    url: String,
}

impl S3 {
    /// `None` if Python lacks the server; then the test is skipped with a message.
    fn start() -> Option<Self> {
        let python = python("boto3, moto.server")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/s3.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped());
        let (process, url) = Process::start_and_hear(&mut command, |line| {
            line.strip_prefix("listening on ").map(str::to_owned)
        });
        Some(Self { _process: process, url })
    }

    /// The names of the blobs in the bucket below a prefix, in order.
    fn blobs(&self, prefix: &str) -> Vec<String> {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).expect("the server listens");
        let scope = "20300101/us-east-1/s3/aws4_request";
        let request = format!(
            "GET /sweeps?list-type=2&prefix={prefix}/ HTTP/1.0\r\nHost: {host}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=any/{scope}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the server answers");
        assert!(reply.contains("<ListBucketResult"), "{reply}");
        let keys = reply.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        let folder = format!("{prefix}/blobs/");
        let names = keys.filter_map(|(key, _)| key.strip_prefix(&folder).map(str::to_owned));
        names.filter(|name| !name.ends_with(".outline")).collect()
    }
}

/// A coordinator whose blobs are at `artifacts`, on a server at `endpoint`. Its log has everything.
fn command(folder: &Path, endpoint: &str, artifacts: &str, listen: &str) -> Command {
    let mut command = program("caviar-coordinator");
    command.args(["--listen", listen, "--lease-ttl-ms", "2000", "--artifacts", artifacts]);
    command.arg("--store").arg(folder.join("caviar.db"));
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_ALLOW_HTTP", "true");
    command.env("AWS_REGION", "us-east-1").env("RUST_LOG", "trace");
    command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
    command
}

/// Data and a sweep on it, which no worker sees. The sweep lasts until its first worker is killed,
/// on a fast machine too.
fn write_sweep(folder: &Path) -> PathBuf {
    let row = |i: usize| {
        let (x, y) = (i * 37 % 101, i * 53 % 89);
        format!("{x}.5,{y},{},{}\n", x * y % 17, ["oak", "elm", "ash"][(x + y) % 3])
    };
    let rows: String = (0..600).map(row).collect();
    fs::write(folder.join("own.csv"), format!("x,y,z,kind\n{rows}")).expect("it can be written");
    let sweep = "name = \"own\"\nseed = 3\n[data]\nsource = \"own.csv\"\nlabel = \"kind\"\n\
                 [fixed]\nepochs = 1500\nlayers = 1\nunits = 8\n\
                 [space]\nlearning_rate = { scale = \"log\", low = 1e-3, high = 1.0 }\n\
                 [search]\nstrategy = \"random\"\ntrials = 24\nparallelism = 4\n";
    let file = folder.join("own.toml");
    fs::write(&file, sweep).expect("it can be written");
    file
}

/// A worker on a host of its own.
fn worker(url: &str, host: &Path) -> Process {
    fs::create_dir_all(host).expect("it can be created");
    let mut command = program("caviar-worker");
    command.args(["--coordinator", url, "--slots", "2"]).current_dir(host);
    Process::start(command.env("CAVIAR_CACHE", host.join("cache")).env("RUST_LOG", "warn"))
}

#[test]
fn a_sweep_has_its_data_in_a_bucket_across_a_restart_until_it_is_deleted() {
    let Some(s3) = S3::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let artifacts = "s3://sweeps/some/prefix";
    let start = |listen: &str| {
        // A coordinator that was killed leaves it.
        let published = address_file(&path("caviar.db"));
        let _absent = fs::remove_file(&published);
        let mut command = command(folder.path(), &s3.url, artifacts, listen);
        let coordinator = Coordinator::hear(&mut command);
        while !published.exists() {
            std::thread::yield_now();
        }
        coordinator
    };
    let coordinator = start("127.0.0.1:0");
    let url = coordinator.url.clone();
    let listen = url.trim_start_matches("https://");
    let file = write_sweep(folder.path());
    let file = file.to_str().expect("temporary paths are UTF-8");
    caviar_ok(&["submit", file, "--coordinator", &url]);
    fs::remove_file(path("own.csv")).expect("it is there");
    let block = s3.blobs("some/prefix");
    assert_eq!(block.len(), 1, "{block:?}");
    assert!(!path("caviar.db.artifacts").join("blobs").exists(), "nothing is kept on the disk");

    // The first worker and the coordinator are killed in the middle of the sweep. The block is
    // older than the grace period when the coordinator starts again.
    let first = worker(&url, &path("first"));
    until(&url, "own", |sweep| done(sweep) >= 1);
    drop(first);
    let before = coordinator.process.log();
    let coordinator = start(listen);
    let second = worker(&url, &path("second"));
    until(&url, "own", is_completed);
    drop(second);
    let stored = export("own", &["--coordinator", &url]);
    let block = block[0].as_str();
    assert_eq!(stored["data"]["block"]["name"], block);

    // A coordinator removes what is not needed when it starts, and from time to time.
    caviar_ok(&["delete", "own", "--coordinator", &url]);
    let after = coordinator.process.log();
    let coordinator = start(listen);
    while !s3.blobs("some/prefix").is_empty() {
        std::thread::yield_now();
    }
    let last = after.clone() + &coordinator.process.log();
    for (log, words) in [
        (before, format!("blob {block} is stored")),
        (after, format!("blob {block} is sent")),
        (last, format!("blob {block} is not needed any more and is removed")),
    ] {
        assert!(log.contains(&words), "{words:?} is not in its log");
        for secret in [KEY_ID, SECRET] {
            assert!(!log.contains(secret), "{secret} is in its log");
        }
    }
}

/// Runs a coordinator that cannot start. Returns what it says.
fn refused(endpoint: &str, artifacts: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = command(folder.path(), endpoint, artifacts, "127.0.0.1:0");
    let output = command.env("RUST_LOG", "error").output().expect("it runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains(SECRET), "{said}");
    said
}

#[test]
fn a_bucket_that_does_not_exist_is_an_error_at_the_start() {
    let Some(s3) = S3::start() else { return };
    let said = refused(&s3.url, "s3://absent/prefix");
    assert!(said.contains("s3://absent/prefix: "), "{said}");
    assert!(said.contains("create the bucket \"absent\", or correct the name"), "{said}");
}

#[test]
fn a_bucket_that_denies_access_is_an_error_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it has an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("it connects");
            // The head of the request, which has no body.
            let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
            while !read.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut buffer).expect("it sends");
                read.extend_from_slice(&buffer[..length]);
                if length == 0 {
                    break;
                }
            }
            let body = "<Error><Code>AccessDenied</Code></Error>";
            let head = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length:";
            let reply = format!("{head} {}\r\n\r\n{body}", body.len());
            // The program may be gone.
            let _sent = stream.write_all(reply.as_bytes());
        }
    });
    let said = refused(&endpoint, "s3://private/prefix");
    assert!(said.contains("s3://private/prefix: ") && said.contains("AccessDenied"), "{said}");
    assert!(said.contains("must allow to list, read, write and delete objects"), "{said}");
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}
