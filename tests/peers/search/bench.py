"""Compares Caviar's search with its peers on the problems and in the simulator of search-bench.

    python tests/peers/search/bench.py SEARCH_BENCH

SEARCH_BENCH is the folder that contains search-bench's problems.py. The command builds the sampler,
does the runs that are missing, and prints the table of targets. See README.md.
"""
import argparse
import json
import os
import subprocess
import sys
import time

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
# The regret is kept after these numbers of trials.
KEPT = sorted({10, 25, 50, 75, 100, 150, 200} | set(range(5, 201, 5)))


def common_arguments(a, methods, workers):
    a.add_argument("search_bench", help="folder of search-bench, with problems.py in it")
    a.add_argument("--set", default="open", help="open, held_out, or problem names with commas")
    a.add_argument("--seeds", type=int, default=20)
    a.add_argument("--workers", default=workers, help="numbers of trials in flight, with commas")
    a.add_argument("--methods", default=methods, help="names of methods, with commas")
    a.add_argument("--cache", default=os.path.join(ROOT, "target", "search-bench"),
                   help="folder of the results of earlier runs, which are not run again")
    a.add_argument("--also", action="append", default=[], help="another file of results to read")
    a.add_argument("--strategy", default="zoom",
                   help="Caviar's strategy that the method zoom stands for")
    a.add_argument("--label", default="zoom",
                   help="name of our results; give each variant of the search its own")
    a.add_argument("--program", help="path of the built example ask_tell; the default builds it")


def parse():
    a = argument_parser(__doc__)
    # A run with one trial in flight has 100 trials, the others have 200.
    common_arguments(a, methods="random,sobol,tpe,tpe_classic,gp,zoom", workers="8,64,1")
    a.add_argument("--gp-seeds", type=int, default=3,
                   help="number of seeds for the global Gaussian process, which is slow")
    return a.parse_args()


def argument_parser(text):
    return argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


class Caviar:
    """The coordinator's sampler, run as a separate process."""

    def __init__(self, program, problem, strategy, workers, seed, trials):
        self.space = problem.space
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True)
        parameters = [parameter(problem.space, j) for j in range(problem.d)]
        first = dict(strategy=strategy, seed=seed, parallelism=workers, goal="minimize",
                     trials=trials, parameters=parameters)
        self.process.stdin.write(json.dumps(first) + "\n")

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ask(self, trial):
        import numpy as np

        values = self.send({"ask": trial})["assignment"]
        point = np.full(len(self.space), 0.5)
        for j, p in enumerate(self.space):
            if name(j) in values:
                point[j] = min(max(p.to_unit(values[name(j)]), 0.0), 1 - 1e-9)
        return point

    def tell(self, trial, point, value):
        self.send({"tell": trial, "value": float(value)})

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def name(j):
    return f"p{j:02}"


def parameter(space, j):
    """Parameter j in the coordinator's JSON form."""
    p, when = space[j], None
    scales = {"lin": "linear", "log": "log", "oml": "one_minus_log", "int": "linear",
              "logint": "log"}
    scale = scales.get(p.kind)
    if p.kind == "cat":
        domain = {"choice": {"values": list(range(len(p.choices)))}}
    else:
        kind = "int" if p.kind in ("int", "logint") else "float"
        domain = {kind: {"scale": scale, "low": p.lo, "high": p.hi}}
    if p.cond is not None:
        when = {"parameter": name(p.cond[0]), "holds": {"one_of": list(p.cond[1])}}
    return dict(name=name(j), domain=domain, when=when, points=None)


def build(program):
    if program:
        return program
    command = ["cargo", "build", "--quiet", "--release", "--package", "caviar-search"]
    subprocess.run([*command, "--example", "ask_tell"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(target, "release", "examples", "ask_tell")


def load(a):
    """Imports search-bench's modules and held_out, and builds our sampler if it takes part."""
    if not os.path.exists(os.path.join(a.search_bench, "problems.py")):
        sys.exit(f"{a.search_bench}: expected the folder of search-bench, with problems.py in it")
    sys.path[:0] = [a.search_bench, HERE]
    os.makedirs(a.cache, exist_ok=True)
    import baselines
    import held_out
    import problems

    if "zoom" in a.methods.split(","):
        a.program = build(a.program)
    return problems, baselines, held_out


def run_missing(a, file_name, tasks, run, is_whole, problems, held_out):
    """Returns the results of all tasks (method, problem, workers, seed, ...).

    Results of earlier runs are read from the cache. Missing ones are run and added to it.
    """
    kept = os.path.join(a.cache, file_name)
    paths = [path for path in a.also + [kept] if os.path.exists(path)]
    results = [r for path in paths for r in map(json.loads, open(path))]
    done = {(r["m"], r["p"], r["W"], r["s"]) for r in results if is_whole(r)}
    todo = [task for task in tasks if task[:4] not in done]
    ready = {}
    with open(kept, "a") as file:
        for number, task in enumerate(todo):
            if task[1] not in ready:
                references = os.path.join(a.cache, "references.json")
                ready[task[1]] = held_out.get(problems, task[1], references)
            results.append(run(task, ready[task[1]]))
            file.write(json.dumps(results[-1]) + "\n")
            file.flush()
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {len(todo)} runs", end="", file=sys.stderr)
    return results


def run(a, task, problem, simulator, baselines):
    method, _, workers, seed, trials = task
    start = time.process_time()
    ours = method == a.label
    if ours:
        sampler = Caviar(a.program, problem, a.strategy, workers, seed, trials)
    else:
        sampler = baselines.make(method, problem, workers, seed)
    curve = simulator.regret(problem, simulator.run(sampler, problem, workers, trials, seed))
    if ours:
        sampler.close()
    kept = {str(k): round(float(curve[k - 1]), 6) for k in KEPT if k <= trials}
    seconds = round(time.process_time() - start, 2)
    return dict(m=method, p=task[1], W=workers, s=seed, n=trials, r=kept, t=seconds)


def tasks(a, names):
    for seed in range(a.seeds):
        for workers in map(int, a.workers.split(",")):
            for method in a.methods.split(","):
                method = a.label if method == "zoom" else method
                only_at_8 = method in ("sobol", "tpe_classic", "gp")
                if (only_at_8 and workers != 8) or (method == "gp" and seed >= a.gp_seeds):
                    continue
                for problem in names:
                    yield method, problem, workers, seed, 100 if workers == 1 else 200


def names_of(which, problems, held_out):
    """The names of the problems of a set: open, held_out, or a list with commas."""
    return {"open": problems.OPEN, "held_out": held_out.HELD_OUT}.get(which, which.split(","))


def main():
    a = parse()
    problems, baselines, held_out = load(a)
    import report
    import sim

    names = names_of(a.set, problems, held_out)
    is_whole = lambda r: max(map(int, r["r"])) >= (100 if r["W"] == 1 else 200)
    go = lambda task, problem: run(a, task, problem, sim, baselines)
    results = run_missing(a, "runs.jsonl", tasks(a, names), go, is_whole, problems, held_out)
    report.table(results, set(names), a.label)


if __name__ == "__main__":
    main()
