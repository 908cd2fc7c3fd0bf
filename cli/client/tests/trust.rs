//! What is trusted and what is refused, between a client and a coordinator in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caviar_client::caviar_common::address::Address;
use caviar_client::caviar_common::join::{JoinString, Pin, Role, Secret, join_file};
use caviar_client::caviar_common::message::PROTOCOL;
use caviar_client::{Client, ClientCertificate, Dialer, Error, Finder, Target};
use caviar_coordinator::trust::Authority;
use caviar_coordinator::{Security, Server, ServerConfig, TlsOptions, start};
use caviar_core::input::Config;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig as TlsServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

async fn serve(folder: &Path, tls: TlsOptions) -> Server {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        store: folder.join("caviar.db"),
        core: Config::default(),
        ticks: true,
        security: Security::Tls(tls),
    };
    start(config).await.unwrap()
}

/// A coordinator that keeps its trust in the folder.
async fn running(folder: &Path) -> Server {
    let trust = folder.join("caviar.db.trust");
    serve(folder, TlsOptions { folder: Some(trust), ..TlsOptions::default() }).await
}

async fn connect(join: JoinString) -> Result<Client, Error> {
    Client::connect(&Dialer::new(join.into(), None).unwrap()).await
}

async fn admin(server: &Server) -> Client {
    connect(server.join(Role::Admin).unwrap()).await.unwrap()
}

/// A join string from a new token.
async fn new_join(admin: &Client, role: &str, ttl: Option<Duration>) -> JoinString {
    admin.create_token(role, "test", ttl).await.unwrap().join.parse().unwrap()
}

/// The error with its hints, as a user sees it.
fn shown(error: &Error) -> String {
    let mut hints = Vec::new();
    if let Error::Refused { hints: given, .. }
    | Error::Untrusted { hints: given, .. }
    | Error::Unreachable { hints: given, .. } = error
    {
        hints.clone_from(given);
    }
    [vec![error.to_string()], hints].concat().join("\nhint: ")
}

#[tokio::test]
async fn each_role_may_do_its_part_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    let admin = admin(&server).await;
    for (role, may_read, may_change, may_administer) in [
        ("view", true, false, false),
        ("worker", false, false, false),
        ("submit", true, true, false),
        ("admin", true, true, true),
    ] {
        let client = connect(new_join(&admin, role, None).await).await.unwrap();
        let read = client.list_sweeps().await.map(|_| ());
        // No sweep has this name: an allowed request is not found, and not forbidden.
        let change = client.cancel_sweep("none").await.map(|_| ());
        let administer = client.list_tokens().await.map(|_| ());
        for (outcome, may, needs) in [
            (read, may_read, "view, submit or admin"),
            (change, may_change, "submit or admin"),
            (administer, may_administer, "admin"),
        ] {
            let text = outcome.as_ref().err().map(shown).unwrap_or_default();
            let is_forbidden = text.contains(&format!("has the role {role}, and "));
            assert_eq!(!is_forbidden, may, "{role}: {text}");
            assert!(may || text.contains(&format!(" needs {needs}\nhint: ")), "{role}: {text}");
        }
    }
    server.stop().await.unwrap();
}

/// Every way to be refused, with the text that the user gets.
#[tokio::test]
async fn what_cannot_be_trusted_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    let admin = admin(&server).await;
    let own = server.join(Role::Admin).unwrap();

    let wrong_pin = JoinString { pin: Pin([7; 32]), ..own.clone() };
    let unknown = JoinString { secret: Secret::new([7; 16]), ..own.clone() };
    let expired = new_join(&admin, "submit", Some(Duration::from_secs(1))).await;
    let revoked = new_join(&admin, "view", None).await;
    admin.revoke_token(&last_token(&admin).await).await.unwrap();
    let replaced = new_join(&admin, "view", None).await;
    admin.rotate_token(&last_token(&admin).await, Duration::ZERO).await.unwrap();
    wait_until_expired(&admin, "submit").await;

    for (join, expected) in [
        (wrong_pin, "another coordinator answers there: its authority does not have the key"),
        (unknown, "the token is not one of this coordinator\nhint: it may be of another store"),
        (expired, "caviar tokens create --role submit"),
        (revoked, "was revoked at 20"),
        (replaced, "was replaced at 20"),
    ] {
        let error = match connect(join.clone()).await {
            Err(error) => error,
            Ok(client) => client.list_sweeps().await.unwrap_err(),
        };
        let text = shown(&error);
        assert!(text.contains(expected), "expected {expected:?}:\n{text}");
        assert!(!text.contains(&join.secret.reveal()), "{text}");
    }
    let address = server.address();
    let plain = Dialer::new(Target::plain(&format!("http://{address}")).unwrap(), None).unwrap();
    let text = shown(&Client::connect(&plain).await.unwrap_err());
    assert!(text.contains("this coordinator uses TLS"), "{text}");
    server.stop().await.unwrap();
}

async fn last_token(admin: &Client) -> String {
    admin.list_tokens().await.unwrap().pop().unwrap().id
}

/// Waits until the coordinator's clock is past the end of the first token of a role that has one.
async fn wait_until_expired(admin: &Client, role: &str) {
    let tokens = admin.list_tokens().await.unwrap();
    let end = tokens.iter().find(|it| it.role == role).and_then(|it| it.expires_ms).unwrap();
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(end);
    while let Ok(left) = end.duration_since(SystemTime::now()) {
        tokio::time::sleep(left + Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_expired_certificate_and_a_server_without_tls_are_not_trusted() {
    let authority = Authority::create().unwrap();
    let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
    for (issued, valid_for, expected) in [
        (now - 3 * day, day, "the coordinator's certificate has expired"),
        (now + 3 * day, day, "the coordinator's certificate is not valid yet"),
    ] {
        let key = authority.issue(&[], issued, valid_for).unwrap();
        let address = tls_server(key).await;
        let join = JoinString {
            role: Role::Admin,
            pin: authority.pin(),
            secret: Secret::new([1; 16]),
            addresses: vec![address],
        };
        let error = connect(join).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt;
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        }
    });
    let join = JoinString {
        role: Role::Admin,
        pin: authority.pin(),
        secret: Secret::new([1; 16]),
        addresses: vec![address.into()],
    };
    let text = connect(join).await.unwrap_err().to_string();
    assert!(text.contains("the server there does not use TLS"), "{text}");
}

/// A server that completes TLS handshakes with this certificate, and nothing else.
async fn tls_server(key: CertifiedKey) -> Address {
    #[derive(Debug)]
    struct Always(Arc<CertifiedKey>);
    impl ResolvesServerCert for Always {
        fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let config = TlsServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(key))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client is expected to refuse.
            let _refused = acceptor.accept(stream).await;
        }
    });
    address.into()
}

#[tokio::test]
async fn a_client_learns_the_release_the_time_and_the_end_of_its_own_secret() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    let admin = admin(&server).await;
    let own = admin.coordinator().await.unwrap().unwrap();
    assert_eq!((own.protocol, own.release.as_str()), (PROTOCOL, env!("CARGO_PKG_VERSION")));
    assert_eq!(own.token.unwrap().expires_ms, None);

    let (hour, minute) = (Duration::from_secs(3_600), Duration::from_secs(60));
    let viewer = connect(new_join(&admin, "view", Some(hour)).await).await.unwrap();
    let before = viewer.coordinator().await.unwrap().unwrap().token.unwrap();
    assert_eq!((before.role.as_str(), before.name.as_str()), ("view", "test"));
    assert_eq!(before.expires_ms, Some(before.created_ms + 3_600_000));
    admin.rotate_token("test", minute).await.unwrap();
    let after = viewer.coordinator().await.unwrap().unwrap().token.unwrap();
    assert!(after.expires_ms < before.expires_ms, "the old secret ends sooner: {after:?}");

    let clock = viewer.clock().await.unwrap().unwrap();
    let apart = clock.here.duration_since(clock.there).unwrap_or_default();
    assert!(apart < minute, "{clock:?}");
    admin.try_to_work().await.unwrap();
    let text = shown(&viewer.try_to_work().await.unwrap_err());
    assert!(text.contains("WorkerService/Work needs worker or admin\nhint: "), "{text}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_open_stream_ends_with_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    let admin = admin(&server).await;
    let text = "name = \"s\"\n[data]\nsource = \"builtin:digits\"\n[search]\ntrials = 2\n";
    let spec = caviar_client::caviar_common::spec::file::parse(text).unwrap().spec;
    admin.create_sweep("r", &spec).await.unwrap();

    let viewer = connect(new_join(&admin, "view", None).await).await.unwrap();
    let mut changes = viewer.watch_sweep("s").await.unwrap();
    assert!(changes.next().await.unwrap().is_some());
    admin.revoke_token("test").await.unwrap();
    let error = changes.next().await.unwrap_err();
    assert!(error.to_string().contains("was revoked at"), "{error}");
    assert!(viewer.list_sweeps().await.is_err());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn tokens_and_authority_survive_a_restart_and_a_rotated_one_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("caviar.db.trust");
    let server = running(folder.path()).await;
    let first = server.join(Role::Worker).unwrap();
    let client = admin(&server).await;
    let kept = new_join(&client, "view", None).await;
    drop(client);
    server.stop().await.unwrap();

    let server = running(folder.path()).await;
    let again = server.join(Role::Worker).unwrap();
    assert_eq!((first.pin, &first.secret), (again.pin, &again.secret));
    let viewer = connect(kept.at(again.addresses.clone())).await.unwrap();
    assert_eq!(viewer.list_sweeps().await.unwrap(), []);

    let published = folder.path().join("new/worker.join");
    server.publish_join(published.clone(), Role::Worker).unwrap();
    let new = admin(&server).await.rotate_token("first-worker", Duration::ZERO).await.unwrap();
    for path in [published.clone(), join_file(&trust, Role::Worker)] {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), new.join);
    }
    server.stop().await.unwrap();
    assert!(!published.exists(), "removed with the coordinator");
}

#[tokio::test]
async fn every_change_is_written_to_the_audit_log_without_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    let admin = admin(&server).await;
    let viewer = new_join(&admin, "view", None).await;
    let secret = viewer.secret.reveal();
    admin.cancel_sweep("none").await.unwrap_err();
    connect(viewer).await.unwrap().cancel_sweep("mine").await.unwrap_err();
    admin.revoke_token("test").await.unwrap();
    server.stop().await.unwrap();

    let trust = folder.path().join("caviar.db.trust");
    let log = fs::read_to_string(trust.join("audit.jsonl")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    for (line, parts) in lines.iter().zip([
        ["\"name\":\"first-admin\"", "AccessService/CreateToken", "test (", "\"ok\""],
        ["\"role\":\"admin\"", "SweepService/CancelSweep", "\"on\":\"none\"", "NotFound: "],
        ["\"role\":\"view\"", "SweepService/CancelSweep", "refused (attempt 1)", "127.0.0.1:"],
        ["\"name\":\"first-admin\"", "AccessService/RevokeToken", "test", "\"ok\""],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    for file in fs::read_dir(trust).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&secret), "{} has the secret of a token", file.display());
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn the_next_address_is_used_when_one_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    // Accepts connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut join = server.join(Role::Admin).unwrap();
    let right = join.addresses[0].clone();
    join.addresses =
        vec!["127.0.0.1:1".parse().unwrap(), silent.local_addr().unwrap().into(), right.clone()];
    let dialer = Dialer::new(join.into(), None).unwrap();
    let client = Client::connect(&dialer).await.unwrap();
    assert_eq!(client.list_sweeps().await.unwrap(), []);
    assert_eq!(dialer.address(), Some(&right), "it is remembered");
    drop(client);
    server.stop().await.unwrap();
    let error = Client::connect(&Dialer::new(Target::Trusted(dead()), None).unwrap()).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("127.0.0.1:1: ") && text.contains("; 127.0.0.1:2: "), "{text}");
}

#[tokio::test]
async fn a_foreign_server_at_one_address_does_not_hide_that_the_coordinator_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = running(folder.path()).await;
    let other = tempfile::tempdir().unwrap();
    let server = running(other.path()).await;
    let taken = foreign.join(Role::Admin).unwrap().addresses[0].clone();
    let mut join = server.join(Role::Admin).unwrap();
    join.addresses.push(taken.clone());
    assert!(connect(join.clone()).await.is_ok(), "the coordinator is at the other address");
    server.stop().await.unwrap();
    let gone = join.addresses[0].clone();
    let error = connect(join.clone()).await.err().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let text = shown(&error);
    for part in [
        format!("{gone}: "),
        format!("{taken}: another coordinator answers there"),
        "hint: get a new join string".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    // Every address leads to the other coordinator.
    join.addresses = vec![taken.clone(), format!("localhost:{}", taken.port()).parse().unwrap()];
    let error = connect(join).await.err().unwrap();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    let text = shown(&error);
    assert!(text.contains(&format!("localhost:{}: another", taken.port())), "{text}");
    assert_eq!(text.matches("hint: ").count(), 1, "{text}");
    foreign.stop().await.unwrap();
}

/// A join string with two addresses at which nothing listens.
fn dead() -> JoinString {
    JoinString {
        role: Role::Admin,
        pin: Pin([0; 32]),
        secret: Secret::new([0; 16]),
        addresses: vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()],
    }
}

#[tokio::test]
async fn a_join_file_that_others_can_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let server = running(folder.path()).await;
    let path = folder.path().join("given.join");
    server.publish_join(path.clone(), Role::Admin).unwrap();
    let finder = Finder { join: Some(path.clone()), ..Finder::default() };
    let dialer = Dialer::new(finder.find(Role::Admin).unwrap(), None).unwrap();
    assert!(Client::connect(&dialer).await.is_ok());
    fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
    let error = finder.find(Role::Admin).unwrap_err().to_string();
    assert!(error.contains("has mode 0604: other users can read"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_site_can_ask_for_client_certificates_too() {
    let folder = tempfile::tempdir().unwrap();
    let (site, other) = (Site::new("site"), Site::new("other"));
    let path = |name: &str| folder.path().join(name);
    fs::write(path("ca.pem"), &site.authority).unwrap();
    let server = serve(
        folder.path(),
        TlsOptions { client_authorities: Some(path("ca.pem")), ..TlsOptions::default() },
    )
    .await;
    let join = server.join(Role::Admin).unwrap();
    let without = connect(join.clone()).await;
    let text = match without {
        Err(error) => shown(&error),
        Ok(client) => shown(&client.list_sweeps().await.unwrap_err()),
    };
    assert!(text.contains("asks for a client certificate"), "{text}");
    for (made_by, is_accepted) in [(&site, true), (&other, false)] {
        fs::write(path("client.pem"), &made_by.certificate).unwrap();
        fs::write(path("client.key"), &made_by.key).unwrap();
        fs::set_permissions(path("client.key"), Permissions::from_mode(0o600)).unwrap();
        let certificate =
            ClientCertificate { certificate: path("client.pem"), key: path("client.key") };
        let dialer = Dialer::new(join.clone().into(), Some(&certificate)).unwrap();
        let outcome = match Client::connect(&dialer).await {
            Ok(client) => client.list_sweeps().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert_eq!(outcome.is_ok(), is_accepted, "{outcome:?}");
    }
    server.stop().await.unwrap();
}

/// The certificate authority of a site, and a client certificate from it, in PEM.
struct Site {
    authority: String,
    certificate: String,
    key: String,
}

impl Site {
    fn new(name: &str) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Self { authority, certificate, key: key.serialize_pem() }
    }
}
