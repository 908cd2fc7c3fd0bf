"""Measures the share of slots that a coordinator keeps busy with 64 workers that only sleep.

    python tests/peers/utilisation/bench.py            (--workers 8 --trials 200 for a short run)

One coordinator and 64 worker processes of one slot run a sweep in each order, with `parallelism`
"auto" and halving. They are real in everything except the training: an epoch is a sleep. README.md
defines the shares.
"""
import argparse
import contextlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import grpc
import stubs
from stubs import sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc
from trials import SPACE

FOLDER = pathlib.Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[2]
sys.path.append(str(FOLDER.parent / "coordinator"))

from processes import running, wait_for  # noqa: E402

# Seconds between two looks at the sweep. Each is a request to the coordinator.
INTERVAL = 0.25
ORDERS = ["as_completed", "virtual"]
COLUMNS = {
    "order": "{}", "run": "{}", "in_flight": "{}", "busy": "{:.1%}", "whole_epochs": "{:.1%}",
    "busy_to_the_end": "{:.1%}", "wait_ms_median": "{:.1f}", "wait_ms_p99": "{:.1f}",
    "seconds": "{:.1f}", "completed": "{}", "stopped": "{}", "best": "{:.4f}",
}


def build():
    """Builds caviar, and returns the path of the program."""
    command = ["cargo", "build", "--release", "-p", "caviar"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")
    return pathlib.Path(target, "release", "caviar")


class Cluster:
    """A coordinator, its workers, and a channel to it."""

    def __init__(self, args, folder):
        self.args, self.folder, self.workers = args, folder, []
        self.environment = {**os.environ, "CAVIAR_HOME": str(folder / "home")}
        self.environment["PYTHONPATH"] = stubs.folder
        self.log = (folder / "log").open("w+")

    @contextlib.contextmanager
    def run(self):
        store, join = self.folder / "caviar.db", self.folder / "worker.join"
        listen = ["--listen", "127.0.0.1:0", "--advertise", "127.0.0.1"]
        command = [self.args.caviar, "coordinator", *listen, "--store", store, "--join-file", join]
        with running(command, env=self.environment, stderr=self.log) as self.coordinator:
            wait_for(lambda: pathlib.Path(f"{store}.address").exists() and join.exists())
            with self.connect() as self.channel:
                try:
                    self.start_workers(join)
                    yield self
                finally:
                    for worker in self.workers:
                        worker.kill()
                        worker.wait()

    def access(self, *options):
        command = [self.args.caviar, "access", "--json", *options]
        return subprocess.check_output(command, env=self.environment)

    def connect(self):
        access = json.loads(self.access())
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(root_certificates=access["ca"].encode()),
            grpc.access_token_call_credentials(access["token"]))
        options = [("grpc.ssl_target_name_override", access["server_name"])]
        return grpc.secure_channel(access["addresses"][0], credentials, options=options)

    def start_workers(self, join):
        """Starts the workers with the token for workers, and waits until all are connected."""
        access = self.folder / "access.json"
        access.touch(mode=0o600)
        access.write_bytes(self.access("--join", join))
        self.names = [f"w{number}" for number in range(1, self.args.workers + 1)]
        for name in self.names:
            command = [sys.executable, FOLDER / "worker.py", name,
                       str(self.args.seconds_per_epoch)]
            with access.open() as stdin, (self.folder / name).open("w") as stdout:
                self.workers.append(subprocess.Popen(
                    command, stdin=stdin, stdout=stdout, stderr=self.log, env=self.environment))
        wait_for(lambda: self.connected() == self.args.workers)

    def connected(self):
        self.check()
        workers = worker_pb2_grpc.WorkerAdminServiceStub(self.channel).ListWorkers(
            worker_pb2.ListWorkersRequest(page_size=1000)).workers
        return sum(worker.connected for worker in workers)

    def check(self):
        """Fails if a process has ended."""
        if any(process.poll() is not None for process in [self.coordinator, *self.workers]):
            self.log.seek(0)
            sys.exit(f"a process has ended\n{self.log.read()}")

    def drain(self):
        """Drains the workers, which end then."""
        admin = worker_pb2_grpc.WorkerAdminServiceStub(self.channel)
        for name in self.names:
            admin.DrainWorker(worker_pb2.DrainWorkerRequest(worker=name))
        for name, worker in zip(self.names, self.workers):
            assert worker.wait(timeout=60) == 0, f"{name} ended with {worker.returncode}"

    def busy(self, sweep):
        """The times in which each worker trained trials of a sweep, in their order."""
        of_workers = []
        for name in self.names:
            lines = map(json.loads, (self.folder / name).read_text().splitlines())
            times = [line for line in lines if line["sweep"] == sweep and not line["scoring"]]
            for one, next_one in itertools.pairwise(times):
                assert one["end"] <= next_one["begin"], f"{name} trains two at once"
            of_workers.append(times)
        return of_workers


def spec_of(args, name, order):
    spec = types_pb2.SweepSpec(name=name, seed=args.seed)
    spec.data.source = "builtin:digits"
    spec.fixed["epochs"].int = args.epochs
    for parameter, scale, low, high, *_ in SPACE:
        low, high = types_pb2.Value(float=low), types_pb2.Value(float=high)
        spec.space.parameters.add(name=parameter, scale=scale, low=low, high=high)
    spec.search.strategy, spec.search.trials = args.strategy, args.trials
    spec.search.order = order
    # Without a number, the parallelism is "auto".
    if args.parallelism:
        spec.search.parallelism = args.parallelism
    spec.objective.metric, spec.objective.goal = "validation_loss", "minimize"
    spec.stopping.rule = "halving"
    return spec


def measure(cluster, order, run):
    """Runs a sweep, and returns its row of the table."""
    name = f"{order}-{run}"
    sweeps = sweep_pb2_grpc.SweepServiceStub(cluster.channel)
    spec = spec_of(cluster.args, name, order)
    began = time.monotonic()
    sweeps.CreateSweep(sweep_pb2.CreateSweepRequest(request_id=name, spec=spec))
    unfinished = [types_pb2.SWEEP_STATE_RUNNING, types_pb2.SWEEP_STATE_SCORING]
    state = types_pb2.SWEEP_STATE_RUNNING
    while state in unfinished:
        time.sleep(INTERVAL)
        cluster.check()
        sweep = sweeps.GetSweep(sweep_pb2.GetSweepRequest(sweep=name))
        state = sweep.state
    assert state == types_pb2.SWEEP_STATE_COMPLETED, types_pb2.SweepState.Name(state)
    assert sweep.test.reproduced, sweep.test
    row = {"order": order, "run": run, "in_flight": sweep.parallelism}
    row |= figures(cluster.busy(sweep.id), began, cluster.args.trials)
    return row | {"completed": sweep.counts.completed, "stopped": sweep.counts.stopped,
                  "best": sweep.best.objective}


def figures(of_workers, began, trials):
    """The shares of slot time, and how long slots waited for trials until the last one began."""
    first = {}
    for line in itertools.chain(*of_workers):
        first[line["trial"]] = min(line["begin"], first.get(line["trial"], line["begin"]))
    assert len(first) == trials, f"{len(first)} of {trials} trials began"
    last_began = max(first.values())
    ended = max(line["end"] for line in itertools.chain(*of_workers))
    waits = [1000 * (later["begin"] - earlier["end"]) for times in of_workers
             for earlier, later in itertools.pairwise(times) if later["begin"] <= last_began]
    return {"busy": share(of_workers, began, last_began),
            "whole_epochs": share(of_workers, began, last_began, without="discarded"),
            "busy_to_the_end": share(of_workers, began, ended),
            "wait_ms_median": statistics.median(waits),
            "wait_ms_p99": statistics.quantiles(waits, n=100)[98],
            "window_seconds": last_began - began, "seconds": ended - began}


def share(of_workers, begin, end, without=None):
    """The share of the slot time from `begin` to `end` in which a trial was training."""
    busy = sum(max(min(line["end"] - line.get(without, 0), end) - max(line["begin"], begin), 0)
               for line in itertools.chain(*of_workers))
    return busy / (len(of_workers) * (end - begin))


def show(rows):
    print("|", " | ".join(column.replace("_", " ") for column in COLUMNS), "|")
    print("|---" * len(COLUMNS) + "|")
    for row in rows:
        print("|", " | ".join(text.format(row[name]) for name, text in COLUMNS.items()), "|")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--workers", type=int, default=64, help="at most 1000 processes")
    parser.add_argument("--trials", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seconds-per-epoch", type=float, default=0.2, help="mean over the trials")
    parser.add_argument("--orders", type=lambda text: text.split(","), default=ORDERS,
                        help=f"some of {','.join(ORDERS)}")
    parser.add_argument("--parallelism", type=int, help='a number instead of "auto"')
    parser.add_argument("--strategy", default="zoom")
    parser.add_argument("--seed", type=int, default=1, help="of the sweeps")
    parser.add_argument("--rounds", type=int, default=3, help="of all orders")
    parser.add_argument("--caviar", help="the program, if it is built already")
    parser.add_argument("--json", action="store_true", help="write the rows as JSON instead")
    args = parser.parse_args()
    args.caviar = args.caviar or build()
    return args


def main():
    args, rows = arguments(), []
    with tempfile.TemporaryDirectory() as folder:
        with Cluster(args, pathlib.Path(folder)).run() as cluster:
            for run in range(1, args.rounds + 1):
                for order in args.orders:
                    rows.append(measure(cluster, order, run))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            cluster.drain()
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
