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
epochs = 150
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
    contenders = {"caviar": (caviar, options.caviar or build())}
    if options.hyperqueue:
        contenders["hyperqueue"] = (hyperqueue, options.hyperqueue)
    seconds = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        up = ROOT / "tests/slurm/up.sh"
        started = subprocess.run([up, "start", folder], capture_output=True, text=True, check=True)
        os.environ["SLURM_CONF"] = started.stdout.strip()
        try:
            for number in range(options.rounds):
                for name, (measure, program) in contenders.items():
                    place = pathlib.Path(folder, f"{name}-{number}")
                    place.mkdir()
                    seconds[name].append(measure(program.resolve(), place))
                    wait_until_idle()
        finally:
            subprocess.run([up, "stop", folder], check=True)
    print("| contender | commands | first trial or task runs | all nodes work |")
    print("|---|---|---|---|")
    commands = {"caviar": 1, "hyperqueue": 3}
    for name, runs in seconds.items():
        cells = " | ".join(summary(column) for column in zip(*runs))
        print(f"| {name} | {commands[name]} | {cells} |")


def build():
    command = ["cargo", "build", "--release", "--bin", "caviar"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "target/release/caviar"


def summary(values):
    return f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"


def caviar(program, place):
    """Seconds until the first trial runs and until every node has had one."""
    (place / "nodes.toml").write_text(SWEEP)
    environment = {**os.environ, "CAVIAR_HOME": str(place / "home")}
    store = ["--store", "nodes.db"]
    began = time.time()
    command = [program, "slurm", "run", "nodes.toml", *store, "--nodes", str(NODES), "--", "--wait"]
    run(command, place, environment)
    command = [program, "export", "nodes", *store, "--format", "csv"]
    rows = csv.DictReader(io.StringIO(run(command, place, environment)))
    starts = {}
    for row in rows:
        at = datetime.datetime.fromisoformat(row["started_at"].replace("Z", "+00:00"))
        starts.setdefault(row["worker"], []).append(at.timestamp())
    assert len(starts) == NODES, f"{sorted(starts)} trained"
    firsts = sorted(min(times) for times in starts.values())
    return firsts[0] - began, firsts[-1] - began


def hyperqueue(program, place):
    """Seconds until the first task runs and until every node has had one."""
    environment = {**os.environ, "HOME": str(place), "HQ_SERVER_DIR": str(place / "server")}
    log = place / "starts"
    task = f"echo $(date +%s.%N) $SLURM_JOB_ID >> {log}; sleep 3"
    began = time.time()
    with open(place / "server.log", "w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [program, "server", "start"], cwd=place, env=environment, stdout=output, stderr=output
        )
    try:
        queue = ["alloc", "add", "slurm", "--time-limit", "10m", "--backlog", str(NODES)]
        # The other programs wait for no server, so a user who is fast has to try again.
        while subprocess.run(
            [program, *queue], cwd=place, env=environment, capture_output=True, check=False
        ).returncode:
            assert time.time() - began < PATIENCE, "the server does not start"
            time.sleep(0.02)
        submit = ["submit", "--array", "1-18", "--wait", "--", "sh", "-c", task]
        run([program, *submit], place, environment)
        lines = [line.split() for line in log.read_text().splitlines()]
        run([program, "server", "stop"], place, environment)
        server.wait(PATIENCE)
    finally:
        server.kill()
        server.wait()
    starts = {}
    for at, job in lines:
        starts.setdefault(job, []).append(float(at))
    firsts = sorted(min(times) for times in starts.values())
    assert len(firsts) >= NODES, f"{len(firsts)} nodes had a task"
    return firsts[0] - began, firsts[NODES - 1] - began


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
