//! The shell scripts that run on the hosts. They are for any POSIX shell.

use caviar_common::duration::format;

use super::hosts::Host;
use crate::args::ssh_workers::Start;
use crate::failure::Failure;
use crate::slurm::joining::{secret_of, worker_arguments};

/// Begins every script: `worker` is the process id of the worker that runs, or is empty. A number
/// that another program has by now does not count.
const FIND: &str = r#"
folder=$HOME/.cache/caviar/workers
worker=$(cat "$folder/pid" 2>/dev/null)
if [ -n "$worker" ]; then
    case $(ps -p "$worker" -o args= 2>/dev/null) in
        *caviar*) ;;
        *) worker= ;;
    esac
fi
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
pid=$!
echo "$pid" >"$folder/pid"
sleep 1
if kill -0 "$pid" 2>/dev/null; then
    echo "worker started: process $pid, log $folder/log"
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
        kill -0 "$worker" 2>/dev/null || break
        sleep 1
    done
    if kill -0 "$worker" 2>/dev/null; then
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
}
