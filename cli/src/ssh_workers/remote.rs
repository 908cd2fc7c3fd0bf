//! The shell scripts that run on the hosts. They are for any POSIX shell.

use caviar_common::duration::format;

use super::hosts::Host;
use crate::args::ssh_workers::Start;
use crate::failure::Failure;
use crate::slurm::joining::{secret_of, worker_arguments};

/// Begins every script: `worker` is the process id of the worker that runs, or is empty. A process
/// counts only if it started when the worker did: its id may be that of another program by now.
///
/// On Linux, the start is the boot and field 22 of `/proc/PID/stat`, counted after the name, which
/// may have spaces and parentheses. Where there is no `/proc`, it is what `ps` says. A zombie has
/// ended.
const FIND: &str = r#"
folder=$HOME/.cache/caviar/workers
started() {
    if [ -r /proc/self/stat ]; then
        stat=$(cat "/proc/$1/stat" 2>/dev/null)
        set -- ${stat##*) }
        [ "${1:-Z}" = Z ] || echo "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) ${20}"
    else
        echo $(LC_ALL=C TZ=UTC0 ps -p "$1" -o lstart= 2>/dev/null)
    fi
}
runs() {
    [ "$(started "$worker")" = "$start" ]
}
[ -n "$(started $$)" ] || {
    echo "this host has neither /proc nor a ps with lstart, so no worker could be found again" >&2
    exit 1
}
{ read -r worker start <"$folder/pid"; } 2>/dev/null || worker=
[ -n "$start" ] && runs || worker=
"#;

/// Starts a worker in a session of its own, unless one runs. Its arguments are the command line.
/// The first line of standard input is the join string; it reaches the worker in its environment.
pub(super) const START: &str = r#"
umask 077
mkdir -p "$folder"
if [ -n "$worker" ]; then
    echo "a worker runs already: process $worker"
    exit 0
fi
[ -x "$1" ] || command -v "$1" >/dev/null || {
    echo "$1 is not on this host; name the program with --program" >&2
    exit 1
}
IFS= read -r CAVIAR_JOIN || true
if [ -n "$CAVIAR_JOIN" ]; then export CAVIAR_JOIN; else unset CAVIAR_JOIN; fi
detach=
command -v setsid >/dev/null && detach=setsid
nohup $detach "$@" </dev/null >"$folder/log" 2>&1 &
worker=$!
start=$(started "$worker")
echo "$worker $start" >"$folder/pid"
sleep 1
if [ -n "$start" ] && runs; then
    echo "worker started: process $worker, log $folder/log"
else
    rm -f "$folder/pid"
    tail -n 5 "$folder/log" >&2
    exit 1
fi
"#;

/// Says whether a worker runs, with the last line of its log.
pub(super) const LIST: &str = r#"
if [ -n "$worker" ]; then
    echo "running: process $worker, $(tail -n 1 "$folder/log")"
else
    echo "no worker"
fi
"#;

/// Stops a worker, and waits until it is gone.
pub(super) const STOP: &str = r#"
if [ -n "$worker" ] && kill "$worker" 2>/dev/null; then
    for i in 1 2 3 4 5 6 7 8 9 10; do
        runs || break
        sleep 1
    done
    if runs; then
        echo "the worker does not end: process $worker" >&2
        exit 1
    fi
    echo "worker stopped"
else
    echo "no worker"
fi
rm -f "$folder/pid"
"#;

/// How a host finds the coordinator: by what its worker gets as arguments, or by what the host
/// reads on its standard input.
pub(super) struct Joining {
    words: Vec<String>,
    /// A line with the join string, which may be empty.
    pub(super) input: String,
}

/// Finds the join string for the hosts, or else an address.
pub(super) fn joining(start: &Start) -> Result<Joining, Failure> {
    match secret_of(&start.source)? {
        Some(secret) => Ok(Joining { words: Vec::new(), input: format!("{}\n", secret.trim()) }),
        None => Ok(Joining { words: worker_arguments(&start.source)?, input: "\n".to_owned() }),
    }
}

/// The command line of the worker of a host.
pub(super) fn words(start: &Start, host: &Host, joining: &Joining) -> Vec<String> {
    let own = std::env::current_exe().map(|path| path.to_string_lossy().into_owned());
    let program = start.program.clone().or(own.ok()).unwrap_or_else(|| "caviar".to_owned());
    let mut words = vec![program, "worker".to_owned()];
    words.extend(joining.words.iter().cloned());
    if let Some(slots) = host.slots {
        words.extend(["--slots".to_owned(), slots.to_string()]);
    }
    if let Some(idle) = start.idle_timeout {
        words.extend(["--idle-timeout".to_owned(), format(idle)]);
    }
    words
}

/// The text that the shell of a host gets: a script and its arguments.
pub(super) fn command(script: &str, words: &[String]) -> String {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let script = quoted(&format!("{FIND}{script}"));
    format!("exec sh -c {script} caviar {}", words.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gets_the_script_and_its_arguments_in_quotes() {
        let words = ["a b", "it's", "$HOME"].map(str::to_owned);
        let text = command("echo \"$@\"", &words);
        let output = std::process::Command::new("sh").args(["-c", &text]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b it's $HOME\n");
    }

    /// What `caviar ssh-workers list` says on a host without `/proc`, in a home folder with this
    /// file of a worker. `ps` is the script of the program of that name; empty to leave it out.
    fn listed(pid_file: &str, ps: &str) -> (bool, String) {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".cache/caviar/workers");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("pid"), pid_file).unwrap();
        std::fs::write(folder.join("log"), "it trains\n").unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        if !ps.is_empty() {
            std::fs::write(bin.join("ps"), format!("#!/bin/sh\n{ps}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bin.join("ps"), mode).unwrap();
        }
        std::os::unix::fs::symlink("/usr/bin/tail", bin.join("tail")).unwrap();
        let text =
            command(LIST, &[]).replace("/proc", "/nowhere").replace("exec sh", "exec /bin/sh");
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &text]).env("PATH", &bin).env("HOME", home.path());
        let output = shell.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    #[test]
    fn without_proc_a_worker_is_the_process_that_started_when_ps_says() {
        let ps = "[ \"$*\" = '-p 7 -o lstart=' ] && echo 'Sun Nov 29  12:00:00 2026' || echo now";
        let running = (true, "running: process 7, it trains\n".to_owned());
        assert_eq!(listed("7 Sun Nov 29 12:00:00 2026\n", ps), running);
        let none = (true, "no worker\n".to_owned());
        for other in ["7 Sun Nov 29 12:00:01 2026\n", "8 Sun Nov 29 12:00:00 2026\n", "7\n", ""] {
            assert_eq!(listed(other, ps), none, "{other}");
        }
    }

    #[test]
    fn a_host_that_does_not_tell_when_a_process_started_is_refused() {
        for ps in ["", "echo 'unknown option: lstart' >&2; exit 1"] {
            let (succeeded, said) = listed("7 Sun Nov 29 12:00:00 2026\n", ps);
            assert!(!succeeded && said.contains("neither /nowhere nor a ps with lstart"), "{said}");
        }
    }
}
