//! Data that the workers cannot see: real processes fetch it from the coordinator.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests say at once what failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_proto::v1;
use caviar_proto::v1::artifact_service_client::ArtifactServiceClient;
use caviar_tests::home::home;
use caviar_tests::processes::{Coordinator, Process, caviar_ok, export, program};
use caviar_tests::watch::{block_on, client, dialer, is_completed, until};
use serde_json::Value;

/// A folder with a sweep on data of its own.
struct Origin {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Origin {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("own.csv");
        let kinds = ["oak", "elm", "ash"];
        let row = |i: usize| {
            let (x, y) = (i * 37 % 101, i * 53 % 89);
            format!("{x}.5,{y},{},{}\n", x * y % 17, kinds[(x + y) % 3])
        };
        let rows: String = (0..600).map(row).collect();
        fs::write(&data, format!("x,y,z,kind\n{rows}")).expect("the folder can be written");
        let sweep = "name = \"own\"\nseed = 3\n[data]\nsource = \"own.csv\"\nlabel = \"kind\"\n\
                     [fixed]\nepochs = 4\nlayers = 1\nunits = 8\n\
                     [space]\nlearning_rate = { scale = \"log\", low = 1e-3, high = 1.0 }\n\
                     [search]\ntrials = 12\nparallelism = 4\n\
                     [keep]\nmodels = 0\n";
        fs::write(folder.path().join("own.toml"), sweep).expect("the folder can be written");
        Self { folder, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn submit(&self, coordinator: &Coordinator, name: &str) {
        let file = self.path("own.toml");
        let file = file.to_str().expect("temporary paths are UTF-8");
        caviar_ok(&["submit", file, "--name", name, "--coordinator", &coordinator.url]);
    }

    /// Calls `work` while the data is not at its path.
    fn without_data<T>(&self, work: impl FnOnce() -> T) -> T {
        let hidden = self.path("hidden");
        fs::rename(&self.data, &hidden).expect("it can be renamed");
        let result = work();
        fs::rename(&hidden, &self.data).expect("it can be renamed back");
        result
    }
}

/// A worker with a working folder of its own, and the cache of its host.
fn worker(url: &str, name: &str, folder: &Path, cache: &Path) -> Process {
    let own = folder.join(name);
    fs::create_dir_all(&own).expect("the folder can be written");
    Process::start(
        program("caviar-worker")
            .args(["--coordinator", url, "--name", name, "--slots", "2"])
            .current_dir(own)
            .env("CAVIAR_CACHE", cache)
            .env("RUST_LOG", "warn"),
    )
}

fn usage(url: &str) -> v1::ArtifactUsage {
    block_on(async {
        let dialer = dialer(home(), url);
        let channel = dialer.dial(Duration::from_secs(20)).await;
        let mut client = ArtifactServiceClient::new(channel.expect("it listens"));
        let reply = client.get_artifact_usage(v1::GetArtifactUsageRequest {}).await;
        reply.expect("it answers").into_inner()
    })
}

/// Creates the sweep of another coordinator again, on data at its path.
fn create_by_path(from: &str, to: &str) {
    block_on(async {
        let request = v1::GetSweepRequest { sweep: "own".to_owned() };
        let sweep = client(from).await.get_sweep(request).await.expect("it is there");
        let spec = sweep.into_inner().spec;
        let request_id = "r".to_owned();
        let request = v1::CreateSweepRequest { request_id, spec, ..Default::default() };
        client(to).await.create_sweep(request).await.expect("the data is there");
    });
}

/// The finished sweep, without the name of its block.
fn finished(url: &str, sweep: &str) -> Value {
    until(url, sweep, is_completed);
    let mut value = export(sweep, &["--coordinator", url]);
    if let Some(data) = value["data"].as_object_mut() {
        data.remove("block");
    }
    value
}

#[test]
fn hosts_that_cannot_see_the_data_fetch_it_once_and_train_the_same() {
    let origin = Origin::new();
    let coordinator = Coordinator::start(&origin.path("a.db"), None);
    origin.submit(&coordinator, "own");
    let stored = usage(&coordinator.url);
    assert_eq!((stored.blobs, stored.bytes_sent), (1, 0));

    let by_path = {
        let other = Coordinator::start(&origin.path("b.db"), None);
        create_by_path(&coordinator.url, &other.url);
        let _worker = worker(&other.url, "near", origin.folder.path(), &origin.path("unused"));
        let result = finished(&other.url, "own");
        assert_eq!(usage(&other.url).bytes_sent, 0);
        result
    };

    let cache = origin.path("cache");
    let _workers =
        ["far-1", "far-2"].map(|name| worker(&coordinator.url, name, origin.folder.path(), &cache));
    let by_block = origin.without_data(|| finished(&coordinator.url, "own"));
    assert_eq!(by_block, by_path);
    assert_eq!(usage(&coordinator.url).bytes_sent, stored.bytes, "one download");

    // A second sweep on the same data neither uploads nor downloads it.
    origin.submit(&coordinator, "again");
    origin.without_data(|| finished(&coordinator.url, "again"));
    let after = usage(&coordinator.url);
    assert_eq!((after.bytes_sent, after.bytes_received), (stored.bytes, stored.bytes));
    assert!(!origin.path("unused").exists(), "a small file at its path is not fetched");
}
