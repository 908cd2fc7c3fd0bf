"""Real sweeps in equal time: the best validation accuracy of Caviar's strategies and of Optuna's TPE, on the same worker with two slots.

    cargo build --release --bins
    python tests/peers/search/sweeps.py                     runs what was not run yet, prints the tables, draws docs/images/sweeps.svg

Needs: pip install grpcio grpcio-tools optuna matplotlib; for letters also ../shared/data/letter.csv (or --letters).

zoom, random   a coordinator and a worker, two programs, more trials than fit; stopping as is the default (halving), cancelled when the time is over
rounds         the same, without stopping, as is its default. It has to know its number of trials beforehand: it gets the number that TPE brought
               to their end with this seed
tpe            Optuna's TPESampler(seed) as it is, two trials in flight, by ask and tell; it drives the same worker through the workers' protocol
               (driver.py), without a store. Momentum is drawn as 1 - momentum on a log scale
More, by --methods: tpe-pruned (tpe with Optuna's default pruner, which hears of every epoch), zoom-none, random-none (without stopping).

A seed means the same split, and the same first weights for the same number of a trial, to every method. Methods take turns, seed by seed.
The clock begins when the sweep is handed in with the worker connected: reading the data counts, starting the programs does not. What counts
is what the stream of the sweep (or the worker, before Optuna) says, when it says so. Afterwards the winner is trained again, with other first
weights: the best of many is partly luck, and more so where more trials come to their end.
"""
import argparse
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
    print(f"skipped: {error}: pip install grpcio grpcio-tools optuna matplotlib")
    sys.exit()

ROOT = pathlib.Path(__file__).resolve().parents[3]
SLOTS = 2
# The parameters of examples/digits.toml, and epochs and seconds with which random search without stopping trains some hundred times.
SPACE = [
    ("learning_rate", "log", 1e-4, 1.0),
    ("momentum", "one_minus_log", 0.9, 0.999),
    ("units", "linear", 32, 128),
    ("layers", "linear", 1, 4),
    ("batch_size", "log", 16, 256),
    ("activation", None, "relu", "tanh"),
]
DATA = {"digits": dict(epochs=30, seconds=10), "letters": dict(epochs=10, seconds=20)}
# Strategy and rule; a rule of None is the strategy's default.
OURS = {"zoom": ("zoom", None), "rounds": ("rounds", None), "random": ("random", None), "zoom-none": ("zoom", "none"), "random-none": ("random", "none")}
MANY = 20_000
OTHERS = 8  # trainings of each winner with other first weights


def parse():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--data", default="digits,letters")
    a.add_argument("--methods", default="tpe,rounds,random,zoom")
    a.add_argument("--seeds", type=int, default=10)
    a.add_argument("--seconds", type=float, help="of each run, in place of what is set for the data")
    a.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many, so that a long measurement can be had in parts")
    a.add_argument("--letters", type=pathlib.Path, default=ROOT / "../shared/data/letter.csv")
    a.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release", help="where the release build is")
    a.add_argument("--cache", type=pathlib.Path, default=ROOT / "target/sweeps.jsonl", help="results that need not be run again, one a line")
    a.add_argument("--plot", type=pathlib.Path, default=ROOT / "docs/images/sweeps.svg")
    return a.parse_args()


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
            spec.space.parameters.add(name=name).choices.values.extend(types_pb2.Value(text=text) for text in (low, high))
    spec.search.strategy, spec.search.trials = strategy, trials
    if rule:
        spec.stopping.rule = rule
    return spec


class Coordinator:
    """A coordinator with a store of its own."""

    def __init__(self, a):
        self.folder = tempfile.TemporaryDirectory()
        command = [a.programs / "caviar-coordinator", "--listen", "127.0.0.1:0", "--store", f"{self.folder.name}/sweeps.db"]
        self.process = subprocess.Popen(command, env={"RUST_LOG": "info"}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = next(line for line in self.process.stderr if "http://" in line)
        self.address = said.split("http://")[1].split()[0].rstrip(",")
        # It would wait for whoever should read the rest.
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()
        self.channel = grpc.insecure_channel(self.address)
        self.sweeps = sweep_pb2_grpc.SweepServiceStub(self.channel)
        self.workers = worker_pb2_grpc.WorkerAdminServiceStub(self.channel)

    def create(self, spec):
        return self.sweeps.CreateSweep(sweep_pb2.CreateSweepRequest(request_id="sweeps", spec=spec))

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
    """Runs a sweep of the coordinator's own; what became better and when, and the last that was seen of it."""
    with Coordinator(a) as coordinator:
        worker = driver.start_worker(a.programs, coordinator.address, SLOTS)
        while not coordinator.workers.ListWorkers(worker_pb2.ListWorkersRequest()).workers:
            time.sleep(0.005)
        began, curve = time.perf_counter(), []
        sweep = coordinator.create(spec)
        created = time.perf_counter() - began
        try:
            for sweep in coordinator.sweeps.WatchSweep(sweep_pb2.WatchSweepRequest(sweep=spec.name), timeout=seconds - created):
                if sweep.HasField("best") and (not curve or sweep.best.objective > curve[-1][1]):
                    curve.append((time.perf_counter() - began, sweep.best.objective))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        worker.kill()
        worker.wait()
    counts = {state: getattr(sweep.counts, state) for state in ("completed", "stopped", "diverged")}
    return sweep, sweep.best.trial, sweep.best.assignment, dict(curve=curve, created=round(created, 4), **counts)


def suggest(trial):
    """Optuna's choice, as the worker hears it."""
    assignment = types_pb2.Assignment()
    for name, scale, low, high in SPACE:
        if scale is None:
            assignment.values[name].text = trial.suggest_categorical(name, [low, high])
        elif scale == "one_minus_log":
            assignment.values[name].float = 1 - trial.suggest_float(name, 1 - high, 1 - low, log=True)
        elif isinstance(low, float):
            assignment.values[name].float = trial.suggest_float(name, low, high, log=scale == "log")
        else:
            assignment.values[name].int = trial.suggest_int(name, low, high, log=scale == "log")
    return assignment


def run_optuna(a, spec, seconds, is_pruned):
    """The same with Optuna in the coordinator's place. A diverged trial is told with the accuracy that it had, which says more than a failure."""
    with Coordinator(a) as coordinator:
        sweep = coordinator.create(spec)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=spec.seed))
    running, curve, best, counts, times = {}, [], None, dict(completed=0, stopped=0, diverged=0), dict(deciding=0.0, training=0.0)

    def decide(call, *arguments, **named):
        before = time.perf_counter()
        answer = call(*arguments, **named)
        times["deciding"] += time.perf_counter() - before
        return answer

    with driver.Driver(a.programs, SLOTS) as worker:
        began = time.perf_counter()
        left = lambda: began + seconds - time.perf_counter()
        while left() > 0:
            while len(running) < SLOTS:
                trial = decide(study.ask)
                assignment = decide(suggest, trial)
                running[worker.grant(sweep, trial.number, assignment)] = trial, assignment
            kind, said = worker.next(left())
            trial, assignment = running.get(said.lease, (None, None)) if kind in ("report", "finished") else (None, None)
            if trial and kind == "report" and is_pruned:
                for point in said.points:
                    decide(trial.report, point.validation.accuracy, point.epoch)
                if decide(trial.should_prune):
                    decide(study.tell, trial, state=optuna.trial.TrialState.PRUNED)
                    worker.stop(said.lease)
                    del running[said.lease]
                    counts["stopped"] += 1
            elif trial and kind == "finished":
                del running[said.lease]
                accuracy, diverged = said.last.validation.accuracy, said.outcome == types_pb2.OUTCOME_DIVERGED
                decide(study.tell, trial, accuracy)
                times["training"] += said.seconds
                counts["diverged" if diverged else "completed"] += 1
                if not diverged and (not curve or accuracy > curve[-1][1]):
                    curve.append((time.perf_counter() - began, accuracy))
                    best = trial.number, assignment
    return sweep, *best, dict(curve=curve, **counts, **{name: round(seconds, 3) for name, seconds in times.items()})


def again(a, sweep, trial, assignment, expected):
    """Trains the winner once more, which must give the same bits whoever had it trained, and then with other first weights: the means of their
    accuracies, which nobody had picked."""
    with driver.Driver(a.programs, SLOTS) as worker:
        def score(trials):
            leases = {worker.grant(sweep, t, assignment, "WORK_SCORE") for t in trials}
            while leases:
                kind, said = worker.next(60)
                if kind == "finished":
                    leases.remove(said.lease)
                    yield said

        (same,) = score([trial])
        assert same.last.validation.accuracy == expected, (same, expected)
        others = [said for first in range(0, OTHERS, SLOTS) for said in score(range(MANY + first, MANY + first + SLOTS))]
    mean = lambda values: round(sum(values) / len(others), 5)
    return dict(again=mean(o.last.validation.accuracy for o in others), again_test=mean(o.test.accuracy for o in others))


def cpu_seconds():
    """Of this process, and of those that it started and saw end."""
    return sum(os.times()[:4])


def run(a, data, method, seed, seconds, results):
    trials = MANY
    if method == "rounds":
        trials = next((r["completed"] for r in results if (r["data"], r["method"], r["seed"], r["seconds"]) == (data, "tpe", seed, seconds)), None)
        if trials is None:
            sys.exit("rounds is given as many trials as tpe had: run tpe too, and before it (--methods tpe,rounds)")
    began, before = time.perf_counter(), cpu_seconds()
    if method in OURS:
        found = run_ours(a, spec_of(a, data, seed, *OURS[method], trials), seconds)
    else:
        found = run_optuna(a, spec_of(a, data, seed, "random", "none", trials), seconds, method == "tpe-pruned")
    *winner, result = found
    # Less than 0.8 or so: something else ran on the machine.
    result["cpu"] = round((cpu_seconds() - before) / (SLOTS * (time.perf_counter() - began)), 3)
    result |= again(a, *winner, result["curve"][-1][1])
    result["curve"] = [(round(t, 3), v) for t, v in result["curve"]]
    return dict(data=data, method=method, seed=seed, seconds=seconds, **result)


def main():
    a = parse()
    absent = [name for name in ("caviar-coordinator", "caviar-worker") if not (a.programs / name).exists()]
    if absent:
        print(f"skipped: no {absent[0]} in {a.programs}: cargo build --release --bins")
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    datas = a.data.split(",")
    if "letters" in datas and not a.letters.exists():
        print(f"skipped: letters, as there is no {a.letters} (--letters)")
        datas.remove("letters")
    end = time.monotonic() + 60 * a.minutes
    a.cache.parent.mkdir(exist_ok=True)
    results = [json.loads(line) for line in a.cache.read_text().splitlines()] if a.cache.exists() else []
    length = {data: a.seconds or DATA[data]["seconds"] for data in datas}
    done = {(r["data"], r["method"], r["seed"], r["seconds"]) for r in results}
    for seed in range(a.seeds):
        for data in datas:
            for method in a.methods.split(","):
                if (data, method, seed, length[data]) in done or time.monotonic() > end:
                    continue
                result = run(a, data, method, seed, length[data], results)
                results.append(result)
                with a.cache.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"{data} {method} {seed}: {result['curve'][-1][1]:.4f}", file=sys.stderr)
    wanted = [r for r in results if length.get(r["data"]) == r["seconds"] and r["method"] in a.methods.split(",")]
    sweeps_report.tables(wanted)
    sweeps_report.plot(wanted, a.plot)


if __name__ == "__main__":
    main()
