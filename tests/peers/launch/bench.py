#!/usr/bin/env python3
"""Times the way from nothing to a running sweep on a Slurm cluster, next to HyperQueue.

README.md says what is compared. The contenders take turns.
"""
import argparse
import csv
import datetime
import io
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
# Long enough that every node gets a trial before the last one ends.
SWEEP = """
name = "nodes"
[data]
source = "builtin:digits"
[fixed]
epochs = 2000
layers = 2
units = 96
[search]
strategy = "random"
trials = 18
"""
NODES = 3
# Seconds that a step may take.
PATIENCE = 120


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--caviar", type=pathlib.Path, help="the program (default: build it)")
    parser.add_argument("--hyperqueue", type=pathlib.Path, help="the program hq")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    program = (options.caviar or build()).resolve()
    contenders = {
        "caviar, one job": lambda place: caviar_run(program, place),
        "caviar, on demand": lambda place: caviar_workers(program, place),
    }
    if options.hyperqueue:
        hq = options.hyperqueue.resolve()
        one_job = ["--backlog", "1", "--max-workers-per-alloc", str(NODES)]
        contenders["hyperqueue, one job"] = lambda place: hyperqueue(hq, place, one_job)
        on_demand = ["--backlog", str(NODES)]
        contenders["hyperqueue, on demand"] = lambda place: hyperqueue(hq, place, on_demand)
    seconds = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        up = ROOT / "tests/slurm/up.sh"
        started = subprocess.run([up, "start", folder], capture_output=True, text=True, check=True)
        os.environ["SLURM_CONF"] = started.stdout.strip()
        try:
            for number in range(options.rounds):
                order = list(contenders.items())
                # Each is the first of a round in turn.
                first = number % len(order)
                for name, measure in order[first:] + order[:first]:
                    # HyperQueue cannot work in a folder with a space in its name.
                    place = pathlib.Path(folder, f"{name}-{number}".replace(", ", "-"))
                    place = place.with_name(place.name.replace(" ", "-"))
                    place.mkdir()
                    seconds[name].append(measure(place))
                    wait_until_idle()
        finally:
            subprocess.run([up, "stop", folder], check=True)
    print("| contender | commands | first trial or task runs | three nodes work |")
    print("|---|---|---|---|")
    for name, runs in seconds.items():
        cells = " | ".join(summary(column) for column in zip(*runs))
        print(f"| {name} | {1 if name == 'caviar, one job' else 3} | {cells} |")


def build():
    command = ["cargo", "build", "--release", "--bin", "caviar"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "target/release/caviar"


def summary(values):
    return f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"


def caviar_run(program, place):
    """One job, whose first task is also the coordinator."""
    environment = user(place)
    began = time.time()
    words = ["slurm", "run", "nodes.toml", "--store", "nodes.db", "--nodes", str(NODES)]
    run([program, *words, "--", "--wait"], place, environment)
    return starts_of(program, place, environment, began)


def caviar_workers(program, place):
    """A coordinator here, and a job for each worker, as many as the sweep can use."""
    environment = user(place)
    began = time.time()
    command = [program, "coordinator", "--listen", "127.0.0.1:0", "--store", "nodes.db"]
    with open(place / "coordinator.log", "w", encoding="utf-8") as log:
        coordinator = subprocess.Popen(command, cwd=place, env=environment, stderr=log)
    try:
        submit = [program, "submit", "nodes.toml", "--for-slots", str(2 * NODES)]
        until_it_succeeds(submit, place, environment, began)
        words = ["--max", str(NODES), "--slots-per-job", "2", "--backlog", str(NODES)]
        words += ["--idle-timeout", "2s"]
        run([program, "slurm", "workers", *words, "--until-done"], place, environment)
        coordinator.terminate()
        coordinator.wait(PATIENCE)
    finally:
        coordinator.kill()
        coordinator.wait()
    return starts_of(program, place, environment, began)


def user(place):
    """Writes the sweep file. Returns the environment of a user without any coordinator."""
    (place / "nodes.toml").write_text(SWEEP)
    return {**os.environ, "CAVIAR_HOME": str(place / "home")}


def starts_of(program, place, environment, began):
    """Seconds until the first trial ran and until the last node had had its first one.

    A trial starts when its grant is stored. The worker has it a few milliseconds later.
    """
    command = [program, "export", "nodes", "--store", "nodes.db", "--format", "csv"]
    rows = csv.DictReader(io.StringIO(run(command, place, environment)))
    starts = {}
    for row in rows:
        at = datetime.datetime.fromisoformat(row["started_at"].replace("Z", "+00:00"))
        starts.setdefault(row["worker"], []).append(at.timestamp())
    assert len(starts) == NODES, f"{sorted(starts)} trained"
    firsts = sorted(min(times) for times in starts.values())
    return firsts[0] - began, firsts[-1] - began


def hyperqueue(program, place, allocation):
    """Seconds until the first task ran and until the last node had had its first one."""
    environment = {**os.environ, "HOME": str(place), "HQ_SERVER_DIR": str(place / "server")}
    log = place / "starts"
    task = f"echo $(date +%s.%N) $SLURM_JOB_ID.$SLURM_PROCID >> {log}; sleep 3"
    began = time.time()
    with open(place / "server.log", "w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [program, "server", "start"], cwd=place, env=environment, stdout=output, stderr=output
        )
    try:
        queue = [program, "alloc", "add", "slurm", "--time-limit", "10m", *allocation]
        until_it_succeeds(queue, place, environment, began)
        submit = ["submit", "--array", "1-18", "--wait", "--", "sh", "-c", task]
        run([program, *submit], place, environment)
        lines = [line.split() for line in log.read_text().splitlines()]
        run([program, "server", "stop"], place, environment)
        server.wait(PATIENCE)
    finally:
        server.kill()
        server.wait()
    starts = {}
    for at, worker in lines:
        starts.setdefault(worker, []).append(float(at))
    firsts = sorted(min(times) for times in starts.values())
    assert len(firsts) >= NODES, f"{len(firsts)} nodes had a task"
    return firsts[0] - began, firsts[NODES - 1] - began


def until_it_succeeds(command, place, environment, began):
    """Repeats a command, which fails until the server listens."""
    while subprocess.run(
        command, cwd=place, env=environment, capture_output=True, check=False
    ).returncode:
        assert time.time() - began < PATIENCE, "the server does not start"
        time.sleep(0.02)


def run(command, place, environment):
    process = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE * 2
    )
    assert process.returncode == 0, f"{command}: {process.stdout}{process.stderr}"
    return process.stdout


def wait_until_idle():
    """Waits until Slurm has no job left, so that the contenders do not meet."""
    end = time.monotonic() + PATIENCE
    while subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout:
        assert time.monotonic() < end, "a job does not end"
        time.sleep(0.1)


if __name__ == "__main__":
    main()
