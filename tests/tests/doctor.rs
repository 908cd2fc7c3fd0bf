//! `caviar doctor` with real coordinators and other servers: what each row says when its check
//! fails, and its next step.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails with the reason at once"
)]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use caviar_common::address::address_file;
use caviar_common::join::{JoinString, Role, Secret};
use caviar_common::message::PROTOCOL;
use caviar_coordinator::trust::Authority;
use caviar_proto::v1;
use caviar_proto::v1::access_service_server::{AccessService, AccessServiceServer};
use caviar_tests::processes::{Process, program};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// A folder with the files and the user of one test.
struct Place {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

/// What `caviar doctor` has printed.
#[derive(Debug)]
struct Diagnosis {
    code: Option<i32>,
    rows: Vec<Value>,
    errors: String,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            runtime: tokio::runtime::Runtime::new().expect("threads"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with this mode, and returns its path.
    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder can be written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the file is there");
        text_of(&path)
    }

    /// A program of a user without any other coordinator.
    fn program(&self, name: &str) -> Command {
        let mut command = program(name);
        command.env("CAVIAR_HOME", self.path("home")).env("CAVIAR_CACHE", self.path("cache"));
        command
    }

    fn doctor(&self, args: &[&str]) -> Diagnosis {
        self.doctor_with(args, |_| {})
    }

    fn doctor_with(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Diagnosis {
        let mut command = self.program("caviar");
        command.args(["doctor", "--json"]).args(args);
        change(&mut command);
        let output = command.output().expect("caviar runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let rows = serde_json::from_slice(&output.stdout);
        let rows = rows.unwrap_or_else(|error| panic!("{error}: {args:?}: {errors}"));
        Diagnosis { code: output.status.code(), rows, errors }
    }

    /// A coordinator with these options, whose store has this name, and its address.
    fn coordinator(&self, store: &str, options: &[&str]) -> (Process, String) {
        let store = self.path(store);
        let mut command = self.program("caviar-coordinator");
        command.args(["--listen", "127.0.0.1:0", "--store"]).arg(&store).args(options);
        command.env("RUST_LOG", "info");
        let (process, address) = Process::start_and_hear(&mut command, |line| {
            let rest = line.split_once("listening on ")?.1;
            let address = rest.split([',', ' ']).next()?;
            Some(address.split_once("://").map_or(address, |(_, address)| address).to_owned())
        });
        // It is written last, after the join strings of the user.
        let (published, began) = (address_file(&store), Instant::now());
        while !published.exists() {
            assert!(began.elapsed() < Duration::from_secs(60), "no address is published");
            std::thread::yield_now();
        }
        (process, address)
    }

    /// The join string that a coordinator has left next to its store.
    fn join(&self, store: &str) -> JoinString {
        let path = self.path(&format!("{store}.trust/worker.join"));
        fs::read_to_string(path).expect("the join string").parse().expect("a join string")
    }

    /// The file of a new token of this coordinator.
    fn token(&self, address: &str, file: &str, options: &[&str]) -> String {
        let path = text_of(&self.path(file));
        let args = ["tokens", "create", "--coordinator", address, "--output", &path];
        let mut command = self.program("caviar");
        let output = command.args(args).args(options).output().expect("caviar runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }

    /// Runs a server on a free port of this host, which gets each connection.
    fn serve<F>(&self, serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> String
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        address
    }

    /// A server that completes TLS handshakes with this certificate, and nothing else.
    fn tls_server(&self, key: CertifiedKey) -> String {
        #[derive(Debug)]
        struct Always(Arc<CertifiedKey>);
        impl ResolvesServerCert for Always {
            fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
                Some(self.0.clone())
            }
        }
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("there are versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(key))));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        self.serve(move |stream| {
            let acceptor = acceptor.clone();
            // The client is expected to refuse.
            async move { drop(acceptor.accept(stream).await) }
        })
    }

    /// A coordinator that is not one: without TLS, with another clock and another protocol.
    fn impostor(&self, impostor: Impostor) -> String {
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let server = tonic::transport::Server::builder()
            .add_service(HealthServer::new(impostor))
            .add_service(AccessServiceServer::new(impostor))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
        self.runtime.spawn(server);
        format!("http://{address}")
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("temporary paths are UTF-8").to_owned()
}

/// An address at which nothing listens.
fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    free.expect("a port is free").to_string()
}

impl Diagnosis {
    fn rows(&self, check: &str) -> Vec<&Value> {
        self.rows.iter().filter(|row| row["check"] == check).collect()
    }

    /// Each check with its state. That the disk of this machine is nearly full does not count.
    fn states(&self) -> Vec<(&str, &str)> {
        let states = self.rows.iter().map(|row| {
            let text = |field: &str| row[field].as_str().unwrap_or_default();
            let is_full = text("found").ends_with("larger data is not kept");
            (text("check"), if is_full { "ok" } else { text("state") })
        });
        states.collect()
    }

    /// Checks the row of a check, and that the checks that failed are these.
    fn is(&self, case: &Case<'_>) {
        let Case { name, check, state, found, next } = *case;
        let rows = self.rows(check);
        let row = rows.first().unwrap_or_else(|| panic!("{name}: no row {check}: {self:?}"));
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("state"), state, "{name}: {self:#?}");
        assert!(text("found").contains(found), "{name}: expected {found:?}: {row}");
        let steps = row["next"].as_array().expect("a list");
        let is_there = |step: &Value| step.as_str().is_some_and(|step| step.contains(next));
        assert!(steps.iter().any(is_there), "{name}: expected {next:?}: {row}");
        let has_failed = self.states().iter().any(|(_, state)| *state == "failed");
        assert_eq!(self.code, Some(i32::from(has_failed)), "{name}: {self:#?}");
        assert_eq!(self.errors.contains(check), state == "failed", "{name}: {}", self.errors);
    }
}

/// What a row has to say.
#[derive(Clone, Copy)]
struct Case<'a> {
    name: &'a str,
    check: &'a str,
    state: &'a str,
    found: &'a str,
    next: &'a str,
}

/// A case of a failed row.
const fn failed<'a>(name: &'a str, check: &'a str, found: &'a str, next: &'a str) -> Case<'a> {
    Case { name, check, state: "failed", found, next }
}

const ALL: [&str; 9] =
    ["join", "name", "tcp", "tls", "token", "clock", "protocol", "cache", "slots"];

#[test]
fn a_host_that_can_join_has_only_good_rows() {
    let place = Place::new();
    let (_coordinator, address) = place.coordinator("caviar.db", &[]);
    let diagnosis = place.doctor(&["--slots", "2"]);
    assert_eq!(diagnosis.states(), ALL.map(|check| (check, "ok")), "{diagnosis:#?}");
    assert_eq!((diagnosis.code, diagnosis.errors.as_str()), (Some(0), ""));
    let text = |check: &str| diagnosis.rows(check)[0]["found"].as_str().unwrap_or_default();
    for (check, found) in [
        ("join", "role worker, for 127.0.0.1:"),
        ("tcp", " ms)"),
        ("token", "role worker, and is valid until it is revoked"),
        ("protocol", "both speak protocol "),
        ("cache", "/cache takes up to "),
        ("slots", "2 slots: as --slots says"),
    ] {
        assert!(text(check).contains(found), "{check}: expected {found:?}: {diagnosis:#?}");
    }
    assert_eq!(diagnosis.rows("tls")[0]["address"], address.as_str());

    // The text has the same rows.
    let output = place.program("caviar").args(["doctor", "--slots", "2"]).output();
    let shown = String::from_utf8(output.expect("caviar runs").stdout).expect("text");
    let is_narrow = |line: &str| line.chars().count() <= 80 || !line.trim().contains(' ');
    assert!(shown.lines().all(is_narrow), "{shown}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = words(&shown);
    for row in &diagnosis.rows {
        let text = |field: &str| row[field].as_str().unwrap_or_default();
        let begin = format!("{} {} ", text("check"), text("state"));
        // Times and free space differ between two calls.
        let found = text("found").split(['(', ':']).next().unwrap_or_default();
        let found = found.split(" takes up to ").next().unwrap_or_default();
        assert!(shown.contains(&words(&format!("{begin}{found}"))), "{row}: {shown}");
    }

    // The same from standard input.
    let join = place.write("stdin", &place.join("caviar.db").reveal(), 0o600);
    let diagnosis = place.doctor_with(&["--join", "-"], |command| {
        command.stdin(fs::File::open(join).expect("it is there"));
    });
    assert_eq!(diagnosis.code, Some(0), "{diagnosis:#?}");
    assert_eq!(diagnosis.rows("join")[0]["state"], "ok");
}

#[test]
fn the_book_lists_every_check() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clusters.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, section) = page.split_once("## When a worker does not join").expect("the section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), ALL);
}

#[test]
fn a_join_string_that_cannot_be_used_is_the_only_thing_that_is_checked() {
    let place = Place::new();
    let missing = text_of(&place.path("missing"));
    let join = "caviar1.worker.x.y@a:1";
    let open = place.write("open", join, 0o644);
    let malformed = place.write("malformed", join, 0o600);
    let later = place.write("later", "caviar7.worker.x@a:1", 0o600);
    let make = "caviar tokens create --role worker";
    for (args, case) in [
        (vec![], failed("none", "join", "no join string for a coordinator", make)),
        (
            vec!["--join", &missing],
            failed("missing", "join", "missing: No such file or directory", make),
        ),
        (
            vec!["--join", &open],
            failed("open", "join", "has mode 0644: other users can read", "chmod 600"),
        ),
        (
            vec!["--join", &malformed],
            failed("malformed", "join", "malformed: the pin: expected 64", make),
        ),
        (
            vec!["--join", &later],
            failed("later", "join", "of a later version of Caviar", "the coordinator's release"),
        ),
        (
            vec!["--coordinator", "a:x"],
            failed("address", "join", "\"a:x\": port \"x\"", "write HOST:PORT"),
        ),
    ] {
        let diagnosis = place.doctor(&args);
        diagnosis.is(&case);
        let dependent = &diagnosis.states()[1..7];
        assert!(dependent.iter().all(|(_, state)| *state == "not_checked"), "{diagnosis:#?}");
        let of_host = &diagnosis.states()[7..];
        assert_eq!(of_host, [("cache", "ok"), ("slots", "ok")], "{}", case.name);
    }
    let variable = place.doctor_with(&[], |command| {
        command.env("CAVIAR_JOIN", "password");
    });
    variable.is(&failed("variable", "join", "CAVIAR_JOIN: expected a join string", make));
}

#[test]
fn an_address_that_does_not_lead_to_the_coordinator_says_where_it_ends() {
    let place = Place::new();
    let (_coordinator, _) = place.coordinator("caviar.db", &[]);
    let (_other, other) = place.coordinator("other.db", &[]);
    let (_plain, plain) = place.coordinator("plain.db", &["--insecure"]);
    let join = place.write("join", &place.join("caviar.db").reveal(), 0o600);
    let web = place.serve(|mut stream| async move {
        // It answers before it has read everything, as web servers do.
        let _gone = stream.read(&mut [0; 16]).await;
        let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let stranger = place.tls_server(certificate_of("www.example.org"));
    let refused = free_address();
    let at = |address: &str| place.doctor(&["--join", &join, "--coordinator", address]);
    let unknown = "host.invalid:7070";
    for (address, case) in [
        (unknown, failed("name", "name", "host.invalid: ", "getent hosts host.invalid")),
        (&refused, failed("tcp", "tcp", "connection refused", "caviar coordinator --listen :")),
        (&other, failed("pin", "tls", "another coordinator answers", "get a new join string")),
        (&stranger, failed("stranger", "tls", "another server answers there", "check the address")),
        (&plain, failed("insecure", "tls", "does not use TLS", "write its address with http://")),
        (&web, failed("web", "tls", "is not a Caviar coordinator", "check the address")),
    ] {
        let diagnosis = at(address);
        diagnosis.is(&case);
        let states = diagnosis.states();
        let place = states.iter().position(|(check, _)| *check == case.check);
        let (before, after) = states[..7].split_at(place.expect("it is there"));
        assert!(before.iter().all(|(_, state)| *state == "ok"), "{}: {states:?}", case.name);
        let is_skipped = |(_, state): &(&str, &str)| *state == "not_checked";
        assert!(after[1..].iter().all(is_skipped), "{}: {states:?}", case.name);
    }
    let (_tls, address) = place.coordinator("third.db", &[]);
    let diagnosis = place.doctor(&["--coordinator", &format!("http://{address}")]);
    diagnosis.is(&failed("no TLS", "tls", "this coordinator uses TLS", "--join"));
    let diagnosis = place.doctor(&["--coordinator", &format!("http://{plain}")]);
    assert_eq!(diagnosis.states(), ALL.map(|check| (check, "ok")), "{diagnosis:#?}");
}

/// A certificate that another authority has issued for a host.
fn certificate_of(host: &str) -> CertifiedKey {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let key = tokio_rustls::rustls::crypto::ring::sign::any_supported_type(&key);
    CertifiedKey::new(vec![made.cert.der().clone()], key.expect("a key"))
}

#[test]
fn one_of_several_addresses_is_enough() {
    let place = Place::new();
    let (_coordinator, address) = place.coordinator("caviar.db", &[]);
    let refused = free_address();
    let diagnosis = place.doctor(&["--coordinator", &format!("{refused},{address}")]);
    assert_eq!(diagnosis.code, Some(0), "{diagnosis:#?}");
    let tcp = diagnosis.rows("tcp");
    // A loopback address is for the host of the coordinator.
    assert_eq!((&tcp[0]["address"], &tcp[0]["state"]), (&refused.into(), &"ok".into()));
    assert_eq!((&tcp[1]["address"], &tcp[1]["state"]), (&address.into(), &"ok".into()));
    assert_eq!(diagnosis.rows("tls")[0]["state"], "not_checked");
    assert_eq!(diagnosis.rows("token")[0]["state"], "ok");
}

#[test]
fn a_certificate_that_is_not_valid_now_shows_both_times() {
    let place = Place::new();
    let authority = Authority::create().expect("an authority");
    let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
    for (issued, found, clock) in [
        (now - 5 * day, "has expired: it is valid until 20", "days ahead of the coordinator's"),
        (now + 5 * day, "is not valid yet: it is valid from 20", "days behind the coordinator's"),
    ] {
        let key = authority.issue(&[], issued, day).expect("a certificate");
        let address = place.tls_server(key);
        let join = JoinString {
            role: Role::Worker,
            pin: authority.pin(),
            secret: Secret::new([1; 16]),
            addresses: vec![address.parse().expect("an address")],
        };
        let file = place.write("join", &join.reveal(), 0o600);
        let diagnosis = place.doctor(&["--join", &file]);
        diagnosis.is(&failed("certificate", "tls", found, "date -u"));
        diagnosis.is(&failed("clock", "clock", clock, "timedatectl set-ntp true"));
        assert_eq!(diagnosis.rows("token")[0]["state"], "not_checked");
    }
}

#[test]
fn a_client_certificate_that_is_missing_is_named() {
    let place = Place::new();
    let site = rcgen::generate_simple_self_signed(vec!["site".to_owned()]).expect("a certificate");
    let authority = place.write("site.pem", &site.cert.pem(), 0o600);
    let (_coordinator, _) = place.coordinator("caviar.db", &["--client-authorities", &authority]);
    let option = "--client-certificate FILE";
    let without = place.doctor(&[]);
    without.is(&failed("missing", "tls", "asks for a client certificate", option));
    let missing = text_of(&place.path("missing"));
    let args = ["--client-certificate", &missing, "--client-key", &missing];
    place.doctor(&args).is(&failed("file", "tls", "missing: No such file", option));
}

#[test]
fn a_token_that_is_not_accepted_is_shown_in_the_coordinators_words() {
    let place = Place::new();
    let (_coordinator, address) = place.coordinator("caviar.db", &[]);
    let viewer = place.token(&address, "viewer", &["--role", "view"]);
    let expired = place.token(&address, "expired", &["--role", "worker", "--ttl", "1s"]);
    let revoked = place.token(&address, "revoked", &["--role", "worker", "--name", "gone"]);
    let revoke = ["tokens", "revoke", "gone", "--coordinator", &address];
    assert!(place.program("caviar").args(revoke).output().expect("caviar runs").status.success());
    let unknown = JoinString { secret: Secret::new([7; 16]), ..place.join("caviar.db") };
    let unknown = place.write("unknown", &unknown.reveal(), 0o600);
    // It ends by the clock of the coordinator, which is asked until it does.
    while place.doctor(&["--join", &expired]).code == Some(0) {}
    let make = "caviar tokens create --role worker";
    for (file, case) in [
        (viewer, failed("role", "token", "has the role view, and WorkerService/Work needs", make)),
        (expired, failed("expired", "token", "expired at 20", make)),
        (revoked, failed("revoked", "token", "was revoked at 20", make)),
        (unknown, failed("unknown", "token", "is not one of this coordinator", "caviar tokens")),
    ] {
        let diagnosis = place.doctor(&["--join", &file]);
        diagnosis.is(&case);
        assert_eq!(diagnosis.rows("tls")[0]["state"], "ok", "{}", case.name);
        assert_eq!(diagnosis.rows("clock")[0]["state"], "ok", "{}", case.name);
    }
    let hour = place.token(&address, "hour", &["--role", "worker", "--ttl", "30m"]);
    let state = "warning";
    place.doctor(&["--join", &hour]).is(&Case {
        name: "soon",
        check: "token",
        state,
        found: "role worker, and is valid until 20",
        next: make,
    });
}

#[test]
fn another_clock_and_another_protocol_are_named() {
    let place = Place::new();
    let url =
        place.impostor(Impostor { ahead: Duration::from_secs(7_200), protocol: PROTOCOL + 1 });
    let diagnosis = place.doctor(&["--coordinator", &url]);
    let found = format!("the coordinator speaks protocol {} (release 9.9.9)", PROTOCOL + 1);
    diagnosis.is(&failed("protocol", "protocol", &found, "install the coordinator's release"));
    diagnosis.is(&Case {
        name: "clock",
        check: "clock",
        state: "warning",
        found: "behind the coordinator's",
        next: "timedatectl set-ntp true",
    });
    let url = place.impostor(Impostor { ahead: Duration::ZERO, protocol: PROTOCOL });
    let diagnosis = place.doctor(&["--coordinator", &url]);
    assert_eq!(diagnosis.states(), ALL.map(|check| (check, "ok")), "{diagnosis:#?}");
}

#[test]
fn what_this_host_cannot_give_is_named() {
    let place = Place::new();
    let (_coordinator, _) = place.coordinator("caviar.db", &[]);
    let file = place.write("file", "", 0o600);
    let diagnosis = place.doctor(&["--cache", &file]);
    diagnosis.is(&failed("cache", "cache", "file cannot be written", "--cache FOLDER"));
    assert_eq!(diagnosis.rows("slots")[0]["state"], "ok");
    let diagnosis = place.doctor(&["--memory", "4000TiB"]);
    diagnosis.is(&Case {
        name: "memory",
        check: "slots",
        state: "warning",
        found: "--memory allows",
        next: "lower --memory",
    });
}

/// A server with the services that `caviar doctor` asks.
#[derive(Clone, Copy, Debug)]
struct Impostor {
    /// How far its clock is ahead of that of this host.
    ahead: Duration,
    protocol: u32,
}

#[tonic::async_trait]
impl Health for Impostor {
    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let mut response = Response::new(HealthCheckResponse { status: 1 });
        let date = httpdate::fmt_http_date(SystemTime::now() + self.ahead);
        let date = date.parse().expect("a date is a value of a header");
        response.metadata_mut().insert("date", date);
        Ok(response)
    }

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("it watches nothing"))
    }
}

#[tonic::async_trait]
impl AccessService for Impostor {
    async fn get_coordinator(
        &self,
        _request: Request<v1::GetCoordinatorRequest>,
    ) -> Result<Response<v1::CoordinatorInfo>, Status> {
        Ok(Response::new(v1::CoordinatorInfo {
            protocol: self.protocol,
            release: "9.9.9".to_owned(),
            token: None,
        }))
    }

    async fn get_authority(
        &self,
        _request: Request<v1::GetAuthorityRequest>,
    ) -> Result<Response<v1::Authority>, Status> {
        Err(Status::unimplemented("it has no authority"))
    }

    async fn create_token(
        &self,
        _request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        Err(Status::unimplemented("it has no tokens"))
    }

    async fn list_tokens(
        &self,
        _request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        Err(Status::unimplemented("it has no tokens"))
    }

    async fn revoke_token(
        &self,
        _request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::Token>, Status> {
        Err(Status::unimplemented("it has no tokens"))
    }

    async fn rotate_token(
        &self,
        _request: Request<v1::RotateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        Err(Status::unimplemented("it has no tokens"))
    }
}
