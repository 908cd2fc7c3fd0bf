"""Compares real sweeps in equal time: Caviar's strategies and Optuna's TPE on the same worker.

    pip install grpcio grpcio-tools optuna matplotlib
    cargo build --release --bins
    python tests/peers/search/sweeps.py --letters LETTER_CSV

It does the runs that are missing, prints tables of the best validation accuracy over time, and
draws docs/images/sweeps.svg. Without --letters, only the built-in digits are run.

zoom, random
    A coordinator and a worker as two programs, and more trials than fit into the time. Stopping is
    the default, halving. The sweep is cut off when the time is over.
rounds
    The same, without stopping, which is its default. It has to know its number of trials, so it
    gets the number that TPE completed with the same seed.
tpe
    Optuna's TPESampler(seed) with its defaults and two trials in flight, by ask and tell. It drives
    the same worker through driver.py. Momentum is drawn as 1 - momentum on a log scale.
tpe-pruned, zoom-none, random-none
    Further methods for --methods: tpe with Optuna's default pruner, which is told every epoch, and
    zoom and random without stopping.

A seed means the same split for every method, and the same first weights for trials of the same
number. Methods take turns, seed by seed.

The clock starts when the sweep is submitted and the worker is connected, so reading the data counts
and starting the programs does not. An accuracy counts from the time at which the stream of the
sweep (for Optuna: the worker) reports it.

Afterwards the winner is trained again with other first weights. The best of many trials is partly
luck, and more so for a method that completes more trials.
"""
import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

try:
    import grpc
    import optuna

    import driver
    import sweeps_report
    from driver import sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc
except ImportError as error:
    sys.exit(f"{error}: pip install grpcio grpcio-tools optuna matplotlib")

ROOT = pathlib.Path(__file__).resolve().parents[3]
SLOTS = 2
# The parameters of examples/digits.toml.
SPACE = [
    ("learning_rate", "log", 1e-4, 1.0),
    ("momentum", "one_minus_log", 0.9, 0.999),
    ("units", "linear", 32, 128),
    ("layers", "linear", 1, 4),
    ("batch_size", "log", 16, 256),
    ("activation", None, "relu", "tanh"),
]
# Epochs and seconds with which random search without stopping trains 100 to 200 times.
DATA = {"digits": dict(epochs=30, seconds=10), "letters": dict(epochs=10, seconds=20)}
# Strategy and stopping rule. A rule of None is the strategy's default.
OURS = {
    "zoom": ("zoom", None),
    "rounds": ("rounds", None),
    "random": ("random", None),
    "zoom-none": ("zoom", "none"),
    "random-none": ("random", "none"),
}
MANY = 20_000
OTHERS = 8  # Trainings of each winner with other first weights.


def parse():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--letters", type=pathlib.Path,
                   help="the UCI letter data as CSV, with the label in the column Letter")
    a.add_argument("--data", help="digits, letters, or both with a comma "
                   "(default: digits, and letters if --letters is given)")
    a.add_argument("--methods", default="tpe,rounds,random,zoom")
    a.add_argument("--seeds", type=int, default=10)
    a.add_argument("--seconds", type=float, help="duration of each run (default: by data set)")
    a.add_argument("--minutes", type=float, default=float("inf"),
                   help="start no run after this time, to divide a long measurement into parts")
    a.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release",
                   help="folder of the release build")
    a.add_argument("--cache", type=pathlib.Path, default=ROOT / "target/sweeps.jsonl",
                   help="results of earlier runs, one per line, which are not run again")
    a.add_argument("--plot", type=pathlib.Path, default=ROOT / "docs/images/sweeps.svg")
    a = a.parse_args()
    a.data = (a.data or ("digits,letters" if a.letters else "digits")).split(",")
    if "letters" in a.data and not a.letters:
        sys.exit("--data letters: give the file with --letters")
    return a


def spec_of(a, data, seed, strategy, rule, trials):
    number = lambda v: types_pb2.Value(float=v) if isinstance(v, float) else types_pb2.Value(int=v)
    spec = types_pb2.SweepSpec(name=data, seed=seed)
    if data == "digits":
        spec.data.source = "builtin:digits"
    else:
        spec.data.source, spec.data.label = str(a.letters.resolve()), "Letter"
    spec.fixed["epochs"].int = DATA[data]["epochs"]
    spec.fixed["optimizer"].text = "momentum"
    for name, scale, low, high in SPACE:
        if scale:
            spec.space.parameters.add(name=name, scale=scale, low=number(low), high=number(high))
        else:
            choices = spec.space.parameters.add(name=name).choices
            choices.values.extend(types_pb2.Value(text=text) for text in (low, high))
    spec.search.strategy, spec.search.trials = strategy, trials
    if rule:
        spec.stopping.rule = rule
    return spec


class Coordinator:
    """A coordinator with its own store."""

    def __init__(self, a):
        self.folder = tempfile.TemporaryDirectory()
        store = f"{self.folder.name}/sweeps.db"
        options = ["--insecure", "--listen", "127.0.0.1:0", "--store", store]
        self.process = subprocess.Popen(
            [a.programs / "caviar-coordinator", *options], env={"RUST_LOG": "info"},
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = next(line for line in self.process.stderr if "http://" in line)
        self.address = line.split("http://")[1].split()[0].rstrip(",")
        # A thread reads the rest, so that the pipe never fills up.
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()
        self.channel = grpc.insecure_channel(self.address)
        self.sweeps = sweep_pb2_grpc.SweepServiceStub(self.channel)
        self.workers = worker_pb2_grpc.WorkerAdminServiceStub(self.channel)

    def create(self, spec):
        request = sweep_pb2.CreateSweepRequest(request_id="sweeps", spec=spec)
        return self.sweeps.CreateSweep(request)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        self.folder.cleanup()


def run_ours(a, spec, seconds):
    """Runs a sweep with one of Caviar's strategies.

    Returns the sweep as it was last seen, its best trial and assignment, and the measurements.
    """
    with Coordinator(a) as coordinator:
        worker = driver.start_worker(a.programs, coordinator.address, SLOTS)
        while not coordinator.workers.ListWorkers(worker_pb2.ListWorkersRequest()).workers:
            time.sleep(0.005)
        began, curve = time.perf_counter(), []
        sweep = coordinator.create(spec)
        created = time.perf_counter() - began
        try:
            request = sweep_pb2.WatchSweepRequest(sweep=spec.name)
            for sweep in coordinator.sweeps.WatchSweep(request, timeout=seconds - created):
                if sweep.HasField("best") and (not curve or sweep.best.objective > curve[-1][1]):
                    curve.append((time.perf_counter() - began, sweep.best.objective))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        worker.kill()
        worker.wait()
    states = ("completed", "stopped", "diverged")
    counts = {state: getattr(sweep.counts, state) for state in states}
    result = dict(curve=curve, created=round(created, 4), **counts)
    return sweep, sweep.best.trial, sweep.best.assignment, result


def suggest(trial):
    """Optuna's suggestion as an assignment."""
    assignment = types_pb2.Assignment()
    for name, scale, low, high in SPACE:
        if scale is None:
            assignment.values[name].text = trial.suggest_categorical(name, [low, high])
        elif scale == "one_minus_log":
            value = 1 - trial.suggest_float(name, 1 - high, 1 - low, log=True)
            assignment.values[name].float = value
        elif isinstance(low, float):
            value = trial.suggest_float(name, low, high, log=scale == "log")
            assignment.values[name].float = value
        else:
            assignment.values[name].int = trial.suggest_int(name, low, high, log=scale == "log")
    return assignment


class OptunaRun:
    """A run in which Optuna decides what the worker trains."""

    def __init__(self, sweep, is_pruned):
        sampler = optuna.samplers.TPESampler(seed=sweep.spec.seed)
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.sweep, self.is_pruned = sweep, is_pruned
        self.running, self.curve, self.best = {}, [], None
        self.counts = dict(completed=0, stopped=0, diverged=0)
        self.times = dict(deciding=0.0, training=0.0)

    def decide(self, call, *arguments, **named):
        """Calls Optuna and measures the time."""
        before = time.perf_counter()
        result = call(*arguments, **named)
        self.times["deciding"] += time.perf_counter() - before
        return result

    def start_trials(self, worker):
        while len(self.running) < SLOTS:
            trial = self.decide(self.study.ask)
            assignment = self.decide(suggest, trial)
            lease = worker.grant(self.sweep, trial.number, assignment)
            self.running[lease] = trial, assignment

    def report(self, worker, report):
        """Tells the pruner of the epochs of a trial, and stops the trial if it says so."""
        trial, _ = self.running[report.lease]
        for point in report.points:
            self.decide(trial.report, point.validation.accuracy, point.epoch)
        if self.decide(trial.should_prune):
            self.decide(self.study.tell, trial, state=optuna.trial.TrialState.PRUNED)
            worker.stop(report.lease)
            del self.running[report.lease]
            self.counts["stopped"] += 1

    def finish(self, finished, seconds):
        """Tells Optuna of a finished trial.

        A diverged trial is told with its last accuracy, which says more than a failure.
        """
        trial, assignment = self.running.pop(finished.lease)
        accuracy = finished.last.validation.accuracy
        is_diverged = finished.outcome == types_pb2.OUTCOME_DIVERGED
        self.decide(self.study.tell, trial, accuracy)
        self.times["training"] += finished.seconds
        self.counts["diverged" if is_diverged else "completed"] += 1
        if not is_diverged and (not self.curve or accuracy > self.curve[-1][1]):
            self.curve.append((seconds(), accuracy))
            self.best = trial.number, assignment


def run_optuna(a, spec, seconds, is_pruned):
    """Runs a sweep with Optuna in the coordinator's place. Returns what run_ours returns."""
    with Coordinator(a) as coordinator:
        run = OptunaRun(coordinator.create(spec), is_pruned)
    with driver.Driver(a.programs, SLOTS) as worker:
        began = time.perf_counter()
        passed = lambda: time.perf_counter() - began
        while passed() < seconds:
            run.start_trials(worker)
            kind, message = worker.next(seconds - passed())
            if kind not in ("report", "finished") or message.lease not in run.running:
                continue
            if kind == "finished":
                run.finish(message, passed)
            elif is_pruned:
                run.report(worker, message)
    times = {name: round(value, 3) for name, value in run.times.items()}
    return run.sweep, *run.best, dict(curve=run.curve, **run.counts, **times)


def again(a, sweep, trial, assignment, expected):
    """Trains the winner again, and returns its mean accuracies with other first weights.

    With the same first weights it must have the same accuracy, whichever method trained it.
    """
    with driver.Driver(a.programs, SLOTS) as worker:
        def score(trials):
            leases = {worker.grant(sweep, t, assignment, "WORK_SCORE") for t in trials}
            while leases:
                kind, message = worker.next(60)
                if kind == "finished":
                    leases.remove(message.lease)
                    yield message

        (same,) = score([trial])
        assert same.last.validation.accuracy == expected, (same, expected)
        pairs = [range(MANY + first, MANY + first + SLOTS) for first in range(0, OTHERS, SLOTS)]
        others = [message for pair in pairs for message in score(pair)]
    mean = lambda values: round(sum(values) / len(others), 5)
    return dict(again=mean(other.last.validation.accuracy for other in others),
                again_test=mean(other.test.accuracy for other in others))


def cpu_seconds():
    """The CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def trials_of_tpe(results, data, seed, seconds):
    key = (data, "tpe", seed, seconds)
    for r in results:
        if (r["data"], r["method"], r["seed"], r["seconds"]) == key:
            return r["completed"]
    sys.exit("rounds needs the number of trials of tpe: run tpe before it (--methods tpe,rounds)")


def run(a, data, method, seed, seconds, results):
    trials = trials_of_tpe(results, data, seed, seconds) if method == "rounds" else MANY
    began, before = time.perf_counter(), cpu_seconds()
    if method in OURS:
        found = run_ours(a, spec_of(a, data, seed, *OURS[method], trials), seconds)
    else:
        spec = spec_of(a, data, seed, "random", "none", trials)
        found = run_optuna(a, spec, seconds, method == "tpe-pruned")
    *winner, result = found
    # If this is below about 0.8, something else ran on the machine.
    elapsed = time.perf_counter() - began
    result["cpu"] = round((cpu_seconds() - before) / (SLOTS * elapsed), 3)
    result |= again(a, *winner, result["curve"][-1][1])
    result["curve"] = [(round(t, 3), v) for t, v in result["curve"]]
    return dict(data=data, method=method, seed=seed, seconds=seconds, **result)


def main():
    a = parse()
    programs = ("caviar-coordinator", "caviar-worker")
    missing = [name for name in programs if not (a.programs / name).exists()]
    if missing:
        sys.exit(f"{a.programs}: {missing[0]} is missing: run cargo build --release --bins")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    end = time.monotonic() + 60 * a.minutes
    a.cache.parent.mkdir(exist_ok=True)
    lines = a.cache.read_text().splitlines() if a.cache.exists() else []
    results = [json.loads(line) for line in lines]
    length = {data: a.seconds or DATA[data]["seconds"] for data in a.data}
    methods = a.methods.split(",")
    done = {(r["data"], r["method"], r["seed"], r["seconds"]) for r in results}
    for seed in range(a.seeds):
        for data, method in itertools.product(a.data, methods):
            if (data, method, seed, length[data]) in done or time.monotonic() > end:
                continue
            result = run(a, data, method, seed, length[data], results)
            results.append(result)
            with a.cache.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{data} {method} {seed}: {result['curve'][-1][1]:.4f}", file=sys.stderr)
    is_wanted = lambda r: length.get(r["data"]) == r["seconds"] and r["method"] in methods
    wanted = [r for r in results if is_wanted(r)]
    sweeps_report.tables(wanted)
    sweeps_report.plot(wanted, a.plot)


if __name__ == "__main__":
    main()
