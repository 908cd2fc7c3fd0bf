//! Which roles may call which method. A method without a rule is refused, so that a new one cannot
//! be forgotten; a test compares this table with the services.

use caviar_common::join::Role;

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The roles that may call it; `None` if no token is needed.
    pub(crate) roles: Option<&'static [Role]>,
    /// Whether it changes something, so that the call is written to the audit log.
    pub(crate) is_change: bool,
    /// Whether its reply goes on for long. It then ends together with its token.
    pub(crate) is_stream: bool,
}

const ANYBODY: Option<&[Role]> = None;
const EVERY_ROLE: Option<&[Role]> = Some(&Role::ALL);
const READERS: Option<&[Role]> = Some(&[Role::View, Role::Submit, Role::Admin]);
const SUBMITTERS: Option<&[Role]> = Some(&[Role::Submit, Role::Admin]);
const WORKERS: Option<&[Role]> = Some(&[Role::Worker, Role::Submit, Role::Admin]);
const TRAINERS: Option<&[Role]> = Some(&[Role::Worker, Role::Admin]);
const ADMINS: Option<&[Role]> = Some(&[Role::Admin]);

/// The methods whose replies are streams.
const STREAMS: [&str; 5] = ["WatchSweep", "WatchTrial", "ExportTrials", "Work", "GetBlob"];

/// The rule for a path, such as `/caviar.v1.SweepService/GetSweep`; `None` for a method that does
/// not exist.
pub(crate) fn rule(path: &str) -> Option<Rule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (roles, is_change) = match (service, method) {
        // Load balancers and probes have no token, and learn nothing else.
        ("grpc.health.v1.Health", _) => (ANYBODY, false),
        ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _) => {
            (EVERY_ROLE, false)
        }
        ("caviar.v1.SweepService", method) => return sweeps(method),
        // An external client runs trials, as a worker does, and its program submits them too.
        ("caviar.v1.TrialService", "AskTrials" | "ReportTrial" | "TellTrial") => (WORKERS, false),
        // Written to the audit log when the worker has said its name.
        ("caviar.v1.WorkerService", "Work") => (TRAINERS, false),
        ("caviar.v1.WorkerAdminService", "ListWorkers") => (READERS, false),
        ("caviar.v1.WorkerAdminService", "DrainWorker") => (ADMINS, true),
        // A blob is named by its hash, which a worker learns from a lease. It changes nothing until
        // a sweep or a lease refers to it.
        ("caviar.v1.ArtifactService", "FindMissing" | "PutBlob" | "GetBlob") => (WORKERS, false),
        ("caviar.v1.ArtifactService", "GetArtifactUsage") => (READERS, false),
        ("caviar.v1.AccessService", "GetAuthority" | "GetCoordinator") => (EVERY_ROLE, false),
        ("caviar.v1.AccessService", "ListTokens") => (ADMINS, false),
        ("caviar.v1.AccessService", "CreateToken" | "RevokeToken" | "RotateToken") => {
            (ADMINS, true)
        }
        _ => return None,
    };
    Some(Rule { roles, is_change, is_stream: STREAMS.contains(&method) })
}

fn sweeps(method: &str) -> Option<Rule> {
    let (roles, is_change) = match method {
        "GetSweep" | "ListSweeps" | "WatchSweep" | "ListTrials" | "GetTrial" | "WatchTrial"
        | "GetBest" | "GetImportance" | "ExportTrials" => (READERS, false),
        "CreateSweep" | "PauseSweep" | "ResumeSweep" | "CancelSweep" | "DeleteSweep"
        | "ResizeSweep" | "ExtendSweep" | "ReleaseTrial" => (SUBMITTERS, true),
        _ => return None,
    };
    Some(Rule { roles, is_change, is_stream: STREAMS.contains(&method) })
}

/// The roles in words: `submit or admin`.
pub(crate) fn in_words(roles: &[Role]) -> String {
    match roles {
        [] => "none".to_owned(),
        [only] => only.to_string(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|role| role.name()).collect();
            format!("{} or {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method of the services, as paths, and whether its reply is a stream.
    fn methods() -> Vec<(String, bool)> {
        let files = FileDescriptorSet::decode(caviar_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut paths = Vec::new();
        for file in files.file {
            for service in &file.service {
                for method in &service.method {
                    let names = [file.package(), service.name(), method.name()];
                    let path = format!("/{}.{}/{}", names[0], names[1], names[2]);
                    paths.push((path, method.server_streaming()));
                }
            }
        }
        assert!(paths.len() > 20, "{paths:?}");
        paths
    }

    #[test]
    fn every_method_has_a_rule_and_needs_a_token() {
        for (path, is_stream) in methods() {
            let rule = rule(&path).unwrap_or_else(|| panic!("{path} has no rule"));
            assert!(rule.roles.is_some(), "{path}");
            assert_eq!(rule.is_stream, is_stream, "{path}");
        }
    }

    #[test]
    fn a_viewer_changes_nothing() {
        for (path, _) in methods() {
            let rule = rule(&path).unwrap();
            let may_view = rule.roles.unwrap().contains(&Role::View);
            assert!(!may_view || !rule.is_change, "{path}");
            let reads = ["Get", "List", "Watch", "Export"];
            let method = path.rsplit('/').next().unwrap();
            assert!(!may_view || reads.iter().any(|it| method.starts_with(it)), "{path}");
        }
    }

    #[test]
    fn a_worker_works_and_nothing_else() {
        let of_worker: Vec<String> = methods()
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| rule(path).unwrap().roles.unwrap().contains(&Role::Worker))
            .collect();
        assert_eq!(
            of_worker,
            [
                "/caviar.v1.AccessService/GetAuthority",
                "/caviar.v1.AccessService/GetCoordinator",
                "/caviar.v1.ArtifactService/FindMissing",
                "/caviar.v1.ArtifactService/PutBlob",
                "/caviar.v1.ArtifactService/GetBlob",
                "/caviar.v1.TrialService/AskTrials",
                "/caviar.v1.TrialService/ReportTrial",
                "/caviar.v1.TrialService/TellTrial",
                "/caviar.v1.WorkerService/Work",
            ]
        );
    }

    #[test]
    fn an_admin_may_do_everything() {
        for (path, _) in methods() {
            assert!(rule(&path).unwrap().roles.unwrap().contains(&Role::Admin), "{path}");
        }
        assert_eq!(rule("/caviar.v1.SweepService/Other"), None);
        assert_eq!(rule("/x"), None);
    }

    #[test]
    fn roles_are_listed_in_words() {
        assert_eq!(in_words(SUBMITTERS.unwrap()), "submit or admin");
        assert_eq!(in_words(READERS.unwrap()), "view, submit or admin");
        assert_eq!(in_words(ADMINS.unwrap()), "admin");
    }
}
