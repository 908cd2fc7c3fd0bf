//! `caviar ssh-workers`: workers on a list of hosts, by the ssh program of the system.
//!
//! Every host runs a small shell script, which arrives as the argument of ssh. What is secret goes
//! over standard input. On the host, `~/.cache/caviar/workers` has the process id, the command line
//! and the log of each worker.

mod hosts;
mod remote;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use self::hosts::Host;
use self::remote::Joining;
use crate::args::ssh_workers::{Action, SshWorkers, Start};
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;

/// Hosts that are called at the same time.
const AT_ONCE: usize = 16;

/// What is done on every host.
enum Errand<'a> {
    Start(&'a Start, Joining),
    List,
    Stop,
}

/// What a host replied.
struct Call {
    host: Host,
    result: Result<String, String>,
}

/// Starts, lists or stops the workers of a host file.
pub(crate) async fn ssh_workers(args: &SshWorkers) -> anyhow::Result<()> {
    let hosts = hosts::read(&args.hosts)?;
    let errand = match &args.action {
        Action::Start(start) => Errand::Start(start, remote::joining(start)?),
        Action::List => Errand::List,
        Action::Stop => Errand::Stop,
    };
    let calls = call_all(args, hosts, &errand).await?;
    let mut text = String::new();
    for Call { host, result } in &calls {
        if let Ok(output) = result {
            for line in output.lines() {
                writeln!(text, "{}: {line}", host.name)?;
            }
        }
    }
    let mut out = show::stdout();
    std::io::Write::write_all(&mut out, text.as_bytes())?;
    std::io::Write::flush(&mut out)?;
    let failed: Vec<&Call> = calls.iter().filter(|call| call.result.is_err()).collect();
    for Call { host, result } in &failed {
        if let Err(why) = result {
            talk(&format!("error: {}: {why}", host.name));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("{} of {} hosts failed", failed.len(), calls.len());
    let hint = "ssh must reach each of them without a password: ssh -o BatchMode=yes HOST true";
    Err(Failure::hinted(message, hint).into())
}

/// Calls all hosts, some at the same time. The calls are in the order of the hosts.
async fn call_all(
    args: &SshWorkers,
    hosts: Vec<Host>,
    errand: &Errand<'_>,
) -> anyhow::Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut hosts = hosts.into_iter();
    loop {
        let chunk: Vec<Host> = hosts.by_ref().take(AT_ONCE).collect();
        if chunk.is_empty() {
            return Ok(calls);
        }
        let running: Vec<_> = chunk
            .into_iter()
            .map(|host| {
                let command = ssh(args, &host, errand);
                let input = match errand {
                    Errand::Start(_, joining) => joining.input.clone(),
                    Errand::List | Errand::Stop => String::new(),
                };
                tokio::task::spawn_blocking(move || {
                    let result = call(command, input.as_bytes());
                    Call { host, result }
                })
            })
            .collect();
        for task in running {
            calls.push(task.await.context("calling ssh")?);
        }
    }
}

/// The call of one host. Nothing secret is in it.
fn ssh(args: &SshWorkers, host: &Host, errand: &Errand<'_>) -> Command {
    let mut ssh = Command::new(&args.ssh);
    ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15"]);
    ssh.args(&args.ssh_option);
    let (script, words) = match errand {
        Errand::Start(start, joining) => (remote::START, remote::words(start, host, joining)),
        Errand::List => (remote::LIST, Vec::new()),
        Errand::Stop => (remote::STOP, Vec::new()),
    };
    ssh.arg("--").arg(&host.address).arg(remote::command(script, &words));
    ssh
}

/// Calls a host, and returns what its script printed, or why it failed.
fn call(mut command: Command, input: &[u8]) -> Result<String, String> {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ssh cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A host that refuses the connection reads nothing.
        let _refused = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(caviar_common::text::shortened(&said, 500))
}

/// The path in an error.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
