//! Which command lines are accepted.

use super::*;

fn accepts(words: &str) -> bool {
    Arguments::try_parse_from(words.split(' ')).is_ok()
}

#[test]
fn documented_commands_are_accepted() {
    for words in [
        "caviar run examples/digits.toml",
        "caviar run --resume --store caviar.db",
        "caviar run examples/digits.toml --slots 2 --memory 4GiB",
        "caviar submit examples/digits.toml",
        "caviar list --store caviar.db",
        "caviar status digits --watch --json",
        "caviar trials digits --sort objective --csv",
        "caviar trials digits --top 5 --json",
        "caviar run digits.toml --replace",
        "caviar check examples/digits.toml --json",
        "caviar init iris.csv --label species --output a.toml --trials 5",
        "caviar delete digits --store caviar.db",
        "caviar completions bash",
        "caviar man man1",
        "caviar best digits --toml",
        "caviar importance digits",
        "caviar importance digits --json --store caviar.db",
        "caviar explain digits 46",
        "caviar explain digits 46 --json --store caviar.db",
        "caviar export digits",
        "caviar export digits --format csv",
        "caviar export digits --json",
        "caviar export digits --csv --store caviar.db",
        "caviar submit examples/digits.toml --json",
        "caviar cancel digits --json",
        "caviar pause digits --coordinator http://127.0.0.1:1",
        "caviar pause digits --store caviar.db",
        "caviar resize digits --parallelism 128",
        "caviar resize digits --parallelism 128 --json --store caviar.db",
        "caviar extend digits --trials 40",
        "caviar extend digits --trials 40 --json --store caviar.db",
        "caviar submit examples/digits.toml --for-slots 64",
        "caviar release digits 46",
        "caviar release digits 46 --json --store caviar.db",
        "caviar workers --store caviar.db",
        "caviar drain w1",
        "caviar worker --join worker.join --coordinator a:1,b:2",
        "caviar worker --client-certificate a.pem --client-key a.key",
        "caviar coordinator --listen :0 --advertise login1,10.0.0.1:7 --join-file w.join",
        "caviar coordinator --insecure --listen :7070",
        "caviar coordinator --client-authorities ca.pem",
        "caviar tokens create --role worker --ttl 7d --name ci --output ci.join --json",
        "caviar tokens list --json --join admin.join",
        "caviar tokens revoke ci",
        "caviar tokens rotate ci --grace 1h30m",
        "caviar access",
        "caviar access --ca",
        "caviar access --json --coordinator a:1",
        "caviar health --join -",
        "caviar doctor --join - --coordinator a:1,b:2 --cache /tmp/a --slots 2 --json",
        "caviar doctor --client-certificate a.pem --client-key a.key --memory 4GiB",
        "caviar slurm run digits.toml --nodes 4 -- -p cpu -A account --exclusive",
        "caviar slurm run digits.toml --print --skip-directive --mem --skip-directive --exclusive",
        "caviar slurm run digits.toml --slots-per-node 8 --dry-run --store s.db --name a",
        "caviar slurm workers --max 200 --backlog 2 --slots-per-job 8 -- --time 4:00:00",
        "caviar slurm workers --idle-timeout 90s --poll 1m --until-done --coordinator a:1",
        "caviar ssh-workers hosts.txt start --coordinator a:1 --idle-timeout 5m",
        "caviar ssh-workers hosts.txt list",
        "caviar ssh-workers hosts.txt --ssh-option -p2222 stop",
        "caviar worker --idle-timeout 5m --time-limit 1h30m",
        "caviar worker --time-limit none",
        "caviar bench coordinator",
        "caviar bench coordinator --workers 10000 --sweeps 100 --trials 100000 --json",
        "caviar bench coordinator --parallelism 8 --strategy zoom --store a.db --seconds 30",
    ] {
        assert!(accepts(words), "{words}");
    }
}

#[test]
fn wrong_commands_are_refused() {
    for words in [
        "caviar run",
        "caviar run a.toml --slots 0",
        "caviar resize digits",
        "caviar resize digits --parallelism 0",
        "caviar extend digits",
        "caviar extend digits --trials 0",
        "caviar resize digits --parallelism 65537",
        "caviar submit a.toml --for-slots 0",
        "caviar slurm",
        "caviar slurm run",
        "caviar slurm run a.toml --nodes 0",
        "caviar slurm run a.toml --print --dry-run",
        "caviar slurm run a.toml -p cpu",
        "caviar slurm workers --max 0",
        "caviar slurm workers --idle-timeout 5",
        "caviar ssh-workers hosts.txt",
        "caviar ssh-workers hosts.txt restart",
        "caviar run a.toml --memory abc",
        "caviar run a.toml --memory 5",
        "caviar run a.toml --name é",
        "caviar run a.toml --name 7",
        "caviar trials digits --csv --json",
        "caviar trials digits --top 0",
        "caviar trials digits --top 5 --sort number",
        "caviar run --replace",
        "caviar run digits.toml --resume --replace",
        "caviar explain digits",
        "caviar explain digits best",
        "caviar release digits",
        "caviar release digits best",
        "caviar export digits --format csv --json",
        "caviar export digits --csv --json",
        "caviar init iris.csv --trials 100000000",
        "caviar check https://a/b.toml",
        "caviar list --store http://127.0.0.1:7070",
        "caviar worker --client-certificate a.pem",
        "caviar coordinator --advertise a:b",
        "caviar coordinator --insecure --client-authorities ca.pem",
        "caviar tokens",
        "caviar tokens create",
        "caviar tokens create --role root",
        "caviar tokens create --role view --ttl 7",
        "caviar tokens revoke",
        "caviar access --ca --token",
        "caviar bench",
        "caviar bench coordinator --workers 0",
        "caviar bench coordinator --strategy grid",
        "caviar bench coordinator --seconds 0",
    ] {
        assert!(!accepts(words), "{words}");
    }
}

#[test]
fn the_definition_of_every_command_is_consistent() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn every_command_shows_an_example_and_no_line_passes_the_edge() {
    use clap::CommandFactory;
    let mut command = Arguments::command().term_width(80);
    command.build();
    check_help_of_subcommands(&mut command);
}

fn check_help_of_subcommands(command: &mut clap::Command) {
    for command in command.get_subcommands_mut().filter(|it| it.get_name() != "help") {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example"), "{}", command.get_name());
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        check_help_of_subcommands(command);
    }
}
