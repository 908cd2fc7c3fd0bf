//! A site that asks for client certificates: every command on the coordinator's host needs one too.
#![allow(clippy::expect_used, reason = "a test fails with the reason")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use caviar_tests::processes::{Coordinator, program};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Writes an authority, and a certificate that it has issued with its key.
fn write_site(folder: &Path) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).expect("a certificate").pem();
    let key = KeyPair::generate().expect("a key");
    let mut node = CertificateParams::new(vec!["node".to_owned()]).expect("a name");
    node.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let issuer = Issuer::from_params(&authority, &authority_key);
    let node = node.signed_by(&key, &issuer).expect("a certificate").pem();
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).expect("another");
    for (name, text) in [
        ("site.pem", authority_pem),
        ("node.pem", node),
        ("node.key", key.serialize_pem()),
        ("other.pem", other.cert.pem()),
        ("other.key", other.signing_key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).expect("it can be written");
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).expect("a mode");
    }
}

/// Lists the sweeps from the folder of the store, with a certificate or without.
fn list(folder: &Path, certificate: Option<&str>) -> Output {
    let mut command = program("caviar");
    command.arg("list").current_dir(folder).env("CAVIAR_HOME", folder);
    if let Some(name) = certificate {
        command.args(["--client-certificate", &format!("{name}.pem")]);
        command.args(["--client-key", &format!("{name}.key")]);
    }
    command.output().expect("caviar runs")
}

#[test]
fn commands_next_to_the_store_use_the_certificate_and_say_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    write_site(folder);
    let mut command = program("caviar-coordinator");
    command.args(["--listen", "127.0.0.1:0", "--store", "caviar.db"]);
    command.args(["--client-authorities", "site.pem"]).env("RUST_LOG", "info");
    let _coordinator = Coordinator::hear(command.current_dir(folder).env("CAVIAR_HOME", folder));
    let output = list(folder, Some("node"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let refused = |certificate| {
        let output = list(folder, certificate);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let without = refused(None);
    assert!(without.contains("the coordinator asks for a client certificate"), "{without}");
    let other = refused(Some("other"));
    assert!(other.contains("does not accept this client certificate"), "{other}");
    assert!(other.contains("hint: an authority in the file"), "{other}");
    fs::set_permissions(folder.join("node.key"), Permissions::from_mode(0o644)).expect("a mode");
    let readable = refused(Some("node"));
    assert!(readable.contains("hint: chmod 600 node.key"), "{readable}");
    assert!(!readable.contains("tokens"), "{readable}");
}
