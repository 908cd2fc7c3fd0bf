//! The manifests for Kubernetes and the files for containers: they are what the API says, and their
//! ports, commands and paths are those of the program.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails with the reason at once"
)]

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::address::DEFAULT_PORT;
use caviar_tests::launch::{check_command_line, deploy, text, value};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Service};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const BASE: &str = "kubernetes/base";
const OVERLAYS: [&str; 3] = ["deployment", "job", "kueue"];
/// Where the image has the program.
const PROGRAM: &str = "/caviar";
/// The user of the image.
const USER: i64 = 65_532;

fn yaml(path: &str) -> Value {
    let text = text(path);
    let mut value: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    value.apply_merge().unwrap();
    serde_json::to_value(value).unwrap()
}

/// The object of a file as its type. A field that the type does not have is lost on the way, and so
/// is noticed.
fn typed<T: DeserializeOwned + Serialize>(path: &str) -> T {
    let written = yaml(path);
    let object: T =
        serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
    let read = serde_json::to_value(&object).unwrap();
    let lost = lost(&written, &read);
    assert!(lost.is_empty(), "{path}: no field of its kind: {}", lost.join(", "));
    object
}

/// The paths of what was written and is not in what was read.
fn lost(written: &Value, read: &Value) -> Vec<String> {
    let below = |name: String, written: &Value, read: Option<&Value>| match read {
        Some(read) => lost(written, read).iter().map(|rest| format!("/{name}{rest}")).collect(),
        None => vec![format!("/{name}")],
    };
    match (written, read) {
        (Value::Object(fields), Value::Object(found)) => {
            let lost = fields.iter().map(|(name, it)| below(name.clone(), it, found.get(name)));
            lost.flatten().collect()
        }
        (Value::Array(items), Value::Array(found)) => {
            let lost = items.iter().enumerate();
            lost.flat_map(|(at, item)| below(at.to_string(), item, found.get(at))).collect()
        }
        (written, read) if written == read => Vec::new(),
        _ => vec![format!(" = {written}")],
    }
}

fn coordinator() -> StatefulSet {
    typed("kubernetes/base/coordinator.yaml")
}

/// The pod templates, with the file of each.
fn templates() -> Vec<(&'static str, PodTemplateSpec)> {
    let deployment: Deployment = typed("kubernetes/overlays/deployment/workers.yaml");
    let job: Job = typed("kubernetes/overlays/job/workers.yaml");
    vec![
        ("kubernetes/base/coordinator.yaml", coordinator().spec.unwrap().template),
        ("kubernetes/overlays/deployment/workers.yaml", deployment.spec.unwrap().template),
        ("kubernetes/overlays/job/workers.yaml", job.spec.unwrap().template),
    ]
}

fn pod(template: &PodTemplateSpec) -> &PodSpec {
    template.spec.as_ref().unwrap()
}

fn container(template: &PodTemplateSpec) -> &Container {
    let [container] = pod(template).containers.as_slice() else { panic!("one container") };
    container
}

fn labels(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    template.metadata.as_ref().unwrap().labels.clone().unwrap()
}

fn words(values: &Option<Vec<String>>) -> Vec<String> {
    values.clone().unwrap_or_default()
}

#[test]
fn every_manifest_is_an_object_of_its_kind_and_in_a_kustomization() {
    let mut folders = vec![BASE.to_owned()];
    folders.extend(OVERLAYS.map(|name| format!("kubernetes/overlays/{name}")));
    for folder in folders {
        let kustomization = yaml(&format!("{folder}/kustomization.yaml"));
        assert_eq!(kustomization["kind"], "Kustomization");
        let mut used = BTreeSet::new();
        for list in ["resources", "patches"] {
            for entry in kustomization[list].as_array().into_iter().flatten() {
                let path = entry["path"].as_str().or(entry.as_str()).unwrap();
                assert!(deploy(&format!("{folder}/{path}")).exists(), "{folder}: {path}");
                used.insert(path.to_owned());
            }
        }
        for entry in std::fs::read_dir(deploy(&folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name == "kustomization.yaml" || used.contains(&name), "{folder}: {name}");
            let path = format!("{folder}/{name}");
            match yaml(&path)["kind"].as_str().unwrap() {
                "Kustomization" => {}
                "StatefulSet" => drop(typed::<StatefulSet>(&path)),
                "Deployment" => drop(typed::<Deployment>(&path)),
                "Job" if folder.ends_with("kueue") => {}
                "Job" => drop(typed::<Job>(&path)),
                "Service" => drop(typed::<Service>(&path)),
                "NetworkPolicy" => drop(typed::<NetworkPolicy>(&path)),
                "PodDisruptionBudget" => drop(typed::<PodDisruptionBudget>(&path)),
                kind => panic!("{path}: {kind}"),
            }
        }
    }
}

/// Only overlays that users edit name an image. If the base replaced the name `caviar`, an overlay
/// would not find it, and the coordinator would keep the image of the base.
#[test]
fn the_image_of_an_overlay_reaches_every_container() {
    for folder in [BASE, "kubernetes/overlays/kueue"] {
        let kustomization = yaml(&format!("{folder}/kustomization.yaml"));
        assert!(kustomization.get("images").is_none(), "{folder}: an overlay names the image");
    }
    for overlay in ["deployment", "job"] {
        let kustomization = yaml(&format!("kubernetes/overlays/{overlay}/kustomization.yaml"));
        let images = kustomization["images"].as_array().unwrap();
        assert_eq!(images.len(), 1, "{overlay}");
        assert_eq!(images[0]["name"], "caviar", "{overlay}");
    }
    for (place, template) in templates() {
        assert_eq!(container(&template).image.as_deref(), Some("caviar"), "{place}");
    }
}

#[test]
fn a_field_that_the_kind_does_not_have_is_noticed() {
    let mut service = yaml("kubernetes/base/service.yaml");
    service["spec"]["prots"] = Value::Bool(true);
    let read: Service = serde_json::from_value(service.clone()).unwrap();
    assert_eq!(lost(&service, &serde_json::to_value(&read).unwrap()), ["/spec/prots"]);
}

#[test]
fn the_commands_are_those_of_the_program() {
    for (place, template) in templates() {
        let container = container(&template);
        assert_eq!(container.command, None, "{place}: the entry point of the image is the program");
        // Kubernetes replaces the name of a variable by its value.
        let args = words(&container.args);
        let args: Vec<String> =
            args.iter().map(|word| word.replace("$(CAVIAR_NAME)", "caviar-worker-0")).collect();
        check_command_line(place, &args);
        let expected = if place.contains("coordinator") { "coordinator" } else { "worker" };
        assert_eq!(args[0], expected, "{place}");
        let probes =
            [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
        for probe in probes.into_iter().flatten() {
            let command = words(&probe.exec.as_ref().unwrap().command);
            assert_eq!(command[..2], [PROGRAM, "health"], "{place}");
            assert_eq!(value(&command, "--join"), value(&args, "--join-file"), "{place}");
            check_command_line(place, &command[1..]);
        }
    }
    // Only the coordinator has a port to ask.
    let probes = templates().iter().filter(|(_, t)| container(t).readiness_probe.is_some()).count();
    assert_eq!(probes, 1);
}

#[test]
fn every_port_is_the_port_of_the_coordinator() {
    let port = i32::from(DEFAULT_PORT);
    let template = coordinator().spec.unwrap().template;
    let args = words(&container(&template).args);
    assert_eq!(value(&args, "--listen"), Some(format!("0.0.0.0:{port}").as_str()));
    let ports = container(&template).ports.clone().unwrap();
    assert_eq!(ports.iter().map(|port| port.container_port).collect::<Vec<_>>(), [port]);

    let service: Service = typed("kubernetes/base/service.yaml");
    let name = service.metadata.name.unwrap();
    let spec = service.spec.unwrap();
    let served = &spec.ports.unwrap()[0];
    assert_eq!(served.port, port);
    assert_eq!(served.target_port, Some(IntOrString::String(ports[0].name.clone().unwrap())));
    let advertised = value(&args, "--advertise").unwrap();
    assert_eq!(advertised.split(',').next(), Some(format!("{name}:{port}").as_str()));
    assert_eq!(coordinator().spec.unwrap().service_name, Some(name));
    for (key, label) in spec.selector.unwrap() {
        assert_eq!(labels(&template).get(&key), Some(&label));
    }

    let ingress: NetworkPolicy = typed("kubernetes/base/network-policy-coordinator.yaml");
    let egress: NetworkPolicy = typed("kubernetes/base/network-policy-workers.yaml");
    let opened = ingress.spec.unwrap().ingress.unwrap()[0].ports.clone();
    assert_eq!(opened, egress.spec.unwrap().egress.unwrap()[0].ports);
    assert_eq!(opened.unwrap()[0].port, Some(IntOrString::Int(port)));
}

/// Whether the policy lets its pods ask the name service and dial `port` of the coordinator.
fn allows_names_and_coordinator(policy: &NetworkPolicy, port: i32) -> bool {
    let rules = policy.spec.as_ref().and_then(|spec| spec.egress.clone()).unwrap_or_default();
    let allows = |port: i32, component: Option<&str>| {
        let leads_there = |to: &Option<Vec<NetworkPolicyPeer>>| {
            let label = |peer: &NetworkPolicyPeer| {
                let labels = peer.pod_selector.as_ref()?.match_labels.as_ref()?;
                labels.get("app.kubernetes.io/component").cloned()
            };
            to.as_ref().is_none_or(|to| to.iter().any(|it| label(it).as_deref() == component))
        };
        rules.iter().any(|rule| {
            let mut ports = rule.ports.iter().flatten().map(|port| port.port.clone());
            let is_open =
                rule.ports.is_none() || ports.any(|it| it == Some(IntOrString::Int(port)));
            is_open && leads_there(&rule.to)
        })
    };
    allows(53, None) && allows(port, Some("coordinator"))
}

#[test]
fn the_probes_reach_the_coordinator_under_its_network_policy() {
    let template = coordinator().spec.unwrap().template;
    let args = words(&container(&template).args);
    let advertised = value(&args, "--advertise").unwrap();
    let loopback = [format!("127.0.0.1:{DEFAULT_PORT}"), format!("[::1]:{DEFAULT_PORT}")];
    let is_local = advertised.split(',').any(|address| loopback.iter().any(|it| it == address));
    let policy: NetworkPolicy = typed("kubernetes/base/network-policy-coordinator.yaml");
    assert!(
        is_local || allows_names_and_coordinator(&policy, i32::from(DEFAULT_PORT)),
        "the policy denies a container the name service, and {advertised} has no loopback address"
    );
    // The rules of the workers are what it would take otherwise.
    let workers: NetworkPolicy = typed("kubernetes/base/network-policy-workers.yaml");
    assert!(allows_names_and_coordinator(&workers, i32::from(DEFAULT_PORT)));
}

/// The bytes of a size with a unit of 1024: `10Gi` for Kubernetes, `6GiB` for Caviar.
fn bytes(size: &str) -> u64 {
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap());
    let shift = match unit.trim_end_matches('B') {
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        _ => panic!("{size}: expected Mi, Gi or Ti"),
    };
    number.parse::<u64>().unwrap() << shift
}

#[test]
fn the_artifacts_leave_room_for_the_store_on_its_volume() {
    let spec = coordinator().spec.unwrap();
    let args = words(&container(&spec.template).args);
    assert_eq!(value(&args, "--artifacts"), None, "they are next to the store");
    let limit = bytes(value(&args, "--artifact-limit").expect("the default is 64 GiB"));
    let [claim] = spec.volume_claim_templates.as_deref().unwrap() else { panic!("one volume") };
    let resources = claim.spec.clone().unwrap().resources.unwrap();
    let volume = bytes(&resources.requests.unwrap()["storage"].0);
    // The rest is for the store, its log and its snapshots.
    assert!(limit + (2 << 30) <= volume, "{limit} of {volume} bytes are for artifacts");
}

#[test]
fn every_path_is_on_a_volume() {
    for (place, template) in templates() {
        let container = container(&template);
        let mounts = container.volume_mounts.clone().unwrap();
        let mut volumes: BTreeSet<String> =
            pod(&template).volumes.iter().flatten().map(|volume| volume.name.clone()).collect();
        if place.contains("coordinator") {
            let claims = coordinator().spec.unwrap().volume_claim_templates.unwrap();
            volumes.extend(claims.into_iter().filter_map(|claim| claim.metadata.name));
        }
        for mount in &mounts {
            assert!(volumes.contains(&mount.name), "{place}: no volume {}", mount.name);
        }
        let home = container.env.iter().flatten().find(|variable| variable.name == "HOME").unwrap();
        let mut paths = words(&container.args);
        paths.push(home.value.clone().unwrap());
        for path in paths.iter().filter(|path| path.starts_with('/')) {
            let is_mounted = mounts.iter().any(|mount| path.starts_with(&mount.mount_path));
            assert!(is_mounted, "{place}: {path} is on the read-only root");
        }
    }
}

#[test]
fn pods_have_no_rights_that_they_do_not_need() {
    for (place, template) in templates() {
        let pod = pod(&template);
        assert_eq!(pod.automount_service_account_token, Some(false), "{place}");
        assert_eq!(pod.termination_grace_period_seconds, Some(30), "{place}");
        let security = pod.security_context.clone().unwrap();
        assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(USER)));
        assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault", "{place}");
        let security = container(&template).security_context.clone().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true), "{place}");
        assert_eq!(security.allow_privilege_escalation, Some(false), "{place}");
        let dropped = security.capabilities.unwrap();
        assert_eq!((dropped.drop.unwrap(), dropped.add), (vec!["ALL".to_owned()], None), "{place}");
    }
    let policies = ["network-policy-coordinator", "network-policy-workers"];
    for (policy, (place, template)) in policies.iter().zip(templates()) {
        let policy: NetworkPolicy = typed(&format!("{BASE}/{policy}.yaml"));
        let spec = policy.spec.unwrap();
        assert_eq!(spec.policy_types.unwrap(), ["Ingress", "Egress"]);
        let selected = spec.pod_selector.unwrap().match_labels.unwrap();
        assert!(selected.iter().all(|(k, v)| labels(&template).get(k) == Some(v)), "{place}");
    }
}

#[test]
fn workers_join_by_a_secret_that_the_read_me_makes() {
    for (place, template) in &templates()[1..] {
        let env = container(template).env.clone().unwrap();
        let join = env.iter().find(|variable| variable.name == "CAVIAR_JOIN").unwrap();
        let secret = join.value_from.clone().unwrap().secret_key_ref.unwrap();
        let made = format!("create secret generic {} --from-file={}=", secret.name, secret.key);
        assert!(text("README.md").contains(&made), "{place}: README.md lacks {made}");
        assert!(!words(&container(template).args).iter().any(|word| word == "--join"), "{place}");
    }
    let words: Vec<String> = ["tokens", "create", "--role", "worker"].map(str::to_owned).into();
    assert!(text("README.md").contains(&format!("{PROGRAM} {}", words.join(" "))));
    check_command_line("README.md", &words);
}

#[test]
fn an_evicted_worker_of_a_job_is_no_failure_and_wrong_arguments_are() {
    let job: Job = typed("kubernetes/overlays/job/workers.yaml");
    let spec = job.spec.unwrap();
    assert_eq!(spec.completion_mode.as_deref(), Some("Indexed"));
    assert_eq!(spec.completions, spec.parallelism);
    let rules = spec.pod_failure_policy.unwrap().rules;
    let ignored = rules.iter().find(|rule| rule.action == "Ignore").unwrap();
    assert_eq!(ignored.on_pod_conditions.as_ref().unwrap()[0].type_, "DisruptionTarget");
    let failed = rules.iter().find(|rule| rule.action == "FailJob").unwrap();
    let codes = failed.on_exit_codes.as_ref().unwrap();
    assert_eq!(codes.values, [2], "the code of wrong arguments");
    assert_eq!(codes.container_name.as_ref(), Some(&container(&spec.template).name));
    // Workers end on their own, or the job would never complete.
    assert!(value(&words(&container(&spec.template).args), "--idle-timeout").is_some());
    let queue = yaml("kubernetes/overlays/kueue/queue.yaml");
    assert_eq!(queue["metadata"]["name"].as_str(), job.metadata.name.as_deref());
    assert!(queue["metadata"]["labels"]["kueue.x-k8s.io/queue-name"].is_string());
    assert_eq!(queue["spec"]["suspend"], true);
}

#[test]
fn the_image_has_one_static_program_and_no_root() {
    let file = text("container/Dockerfile");
    let (build, image) = file.split_once("\nFROM scratch\n").expect("the image is empty");
    let manifest = std::fs::read_to_string(deploy("../Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    let base = format!("FROM rust:{}-alpine AS build", version.unwrap().trim_end_matches('"'));
    assert!(build.contains(&base), "{base}");
    for line in [
        format!("COPY --from=build /source/target/release/caviar {PROGRAM}"),
        format!("USER {USER}:{USER}"),
        format!("EXPOSE {DEFAULT_PORT}"),
        format!("ENTRYPOINT [\"{PROGRAM}\"]"),
    ] {
        assert!(image.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn the_services_of_the_compose_file_are_as_closed_as_the_pods() {
    let place = "container/compose.yaml";
    let compose = yaml(place);
    let list = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    for (name, service) in compose["services"].as_object().unwrap() {
        assert_eq!(service["user"], format!("{USER}:{USER}"), "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(list(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(list(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let command = list(&service["command"]);
        check_command_line(place, &command);
        let volumes = list(&service["volumes"]);
        for path in command.iter().filter(|word| word.starts_with('/')) {
            let is_mounted = volumes.iter().any(|volume| {
                let mut parts = volume.split(':');
                assert!(compose["volumes"].get(parts.next().unwrap()).is_some(), "{volume}");
                path.starts_with(parts.next().unwrap())
            });
            assert!(is_mounted, "{name}: {path}");
        }
        let context = service["build"]["context"].as_str().unwrap();
        let file = service["build"]["dockerfile"].as_str().unwrap();
        assert!(deploy("container").join(context).join(file).is_file());
    }
    let coordinator = &compose["services"]["coordinator"];
    let command = list(&coordinator["command"]);
    assert_eq!(value(&command, "--listen"), Some(format!("0.0.0.0:{DEFAULT_PORT}").as_str()));
    let ports = [format!("127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}")];
    assert_eq!(list(&coordinator["ports"]), ports);
    let health = list(&coordinator["healthcheck"]["test"]);
    assert_eq!(health[..3], ["CMD", PROGRAM, "health"]);
    check_command_line(place, &health[2..]);
    let file = value(&command, "--join-file");
    assert_eq!(value(&health, "--join"), file);
    assert_eq!(value(&list(&compose["services"]["worker"]["command"]), "--join"), file);
}
