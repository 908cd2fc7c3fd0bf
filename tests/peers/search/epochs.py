"""Compares Caviar's search with its peers when all of them stop trials early by the same rule.

    python tests/peers/search/epochs.py SEARCH_BENCH

The comparison is at equal numbers of epochs, on the learning curves of search-bench. The command
builds the sampler, does the runs that are missing, and prints the table. See README.md.
"""
import heapq
import json
import math
import os
import sys
import time

import bench
import report

# The regret is kept after the epochs of these numbers of full trainings.
KEPT = (5, 10, 20, 40)
REDUCTION = 3


def rungs(epochs):
    """The rungs of `[stopping] rule = "halving"` (coordinator/search/src/stopping.rs)."""
    first = max(2, epochs // 16)
    return [r for r in (first * REDUCTION**k for k in range(20)) if r < epochs]


class Halving:
    """The stopping rule of all methods.

    A trial continues past a rung if it is in the best third of the trials that have reached it.
    """

    def __init__(self, count):
        self.seen = [[] for _ in range(count)]

    def continues(self, rung, value):
        better = sum(earlier < value for earlier in self.seen[rung])
        self.seen[rung].append(value)
        return better < math.ceil(len(self.seen[rung]) / REDUCTION)


class Peer:
    """A sampler of Optuna, which is told of stopped trials as pruned ones.

    The random and Sobol samplers ignore results, so they are told nothing.
    """

    def __init__(self, baselines, method, problem, workers, seed):
        self.sampler = baselines.make(method, problem, workers, seed)
        self.trials = getattr(self.sampler, "t", {})

    def ask(self, trial):
        return self.sampler.ask(trial)

    def passed(self, trial, rung, epoch, value):
        if trial in self.trials:
            self.trials[trial].report(value, epoch)

    def stopped(self, trial, rung, epoch, value):
        if trial in self.trials:
            import optuna

            self.trials[trial].report(value, epoch)
            pruned = optuna.trial.TrialState.PRUNED
            self.sampler.st.tell(self.trials.pop(trial), state=pruned)

    def ended(self, trial, value):
        self.sampler.tell(trial, None, value)

    def close(self):
        pass


class Caviar(bench.Caviar):
    def passed(self, trial, rung, epoch, value):
        self.send({"tell": trial, "value": float(value), "passed": rung})

    def stopped(self, trial, rung, epoch, value):
        self.send({"tell": trial, "value": float(value), "stopped": rung})

    def ended(self, trial, value):
        self.tell(trial, None, value)


def simulate(sampler, problem, workers, seed):
    """Returns [(epochs trained by all workers, true value of the best model so far)].

    The best model is the best observed one among the trials that trained the most epochs: among
    completed trials as soon as there is one. The epochs of trials in flight count as they pass.
    """
    import numpy as np

    epochs, budget = problem.max_epochs, max(KEPT) * problem.max_epochs
    stations = rungs(epochs) + [epochs]
    halving = Halving(len(stations) - 1)
    flight, speeds, curves, clock, spent, asked = [], {}, {}, 0.0, 0.0, 0
    best, history = (0, math.inf), [(0.0, math.inf)]
    while spent < budget:
        while len(flight) < workers:
            own = np.random.default_rng((seed, 993, asked))
            noise = own.normal(size=len(stations)) * problem.noise
            curves[asked] = problem.curve(sampler.ask(asked)), noise
            speeds[asked] = epochs / own.lognormal(0, 0.5)
            heapq.heappush(flight, (clock + stations[0] / speeds[asked], asked, 0))
            asked += 1
        now, trial, station = heapq.heappop(flight)
        spent += (now - clock) * sum(speeds[t] for _, t, _ in flight + [(now, trial, station)])
        clock, epoch = now, stations[station]
        true = float(curves[trial][0][epoch - 1])
        value = true + curves[trial][1][station]
        if (-station, value) < best:
            best = (-station, value)
            history.append((spent, true))
        if epoch == epochs:
            sampler.ended(trial, value)
        elif halving.continues(station, value):
            sampler.passed(trial, station, epoch, value)
            next_clock = clock + (stations[station + 1] - epoch) / speeds[trial]
            heapq.heappush(flight, (next_clock, trial, station + 1))
        else:
            sampler.stopped(trial, station, epoch, value)
    return history


def run(a, task, problem, baselines):
    method, name, workers, seed = task
    start = time.process_time()
    if method == a.label:
        # The budget is in epochs. The number of trials is not known beforehand.
        sampler = Caviar(a.program, problem, a.strategy, workers, seed, 1_000_000)
    else:
        sampler = Peer(baselines, method, problem, workers, seed)
    history = simulate(sampler, problem, workers, seed)
    sampler.close()
    at = lambda full: [true for spent, true in history if spent <= full * problem.max_epochs][-1]
    share = lambda value: (value - problem.best) / (problem.med - problem.best)
    regret = lambda value: min(max(share(value), 1e-4), 100.0)
    kept = {str(k): round(regret(at(k)), 6) for k in KEPT}
    seconds = round(time.process_time() - start, 2)
    return dict(m=method, p=name, W=workers, s=seed, n=0, r=kept, t=seconds)


def table(results, names, ours):
    runs = report.collect(results, names)
    number = lambda value: "-" if math.isnan(value) else f"{value:.2f}"
    last = max(KEPT)
    ratios = " | ".join(f"ratio at {k}" for k in KEPT)
    print(f"| in flight | against | {ratios} | won at {last} | pairs |")
    print(f"|---|---|{'---|' * (len(KEPT) + 2)}")
    by_workers = sorted(runs.items(), key=lambda item: (item[0][1], item[0][0]))
    for (method, workers), found in by_workers:
        mine = runs.get((ours, workers), {})
        if method != ours and mine:
            ratios = " | ".join(number(report.ratio(mine, found, k)) for k in KEPT)
            won, pairs = report.won(mine, found, last), report.pairs(mine, found, last)
            print(f"| {workers} | {method} | {ratios} | {number(won)} | {len(pairs)} |")
    print(f"\nregret at {' / '.join(map(str, KEPT))} full trainings, and runs")
    for (method, workers), found in by_workers:
        regrets = " / ".join(f"{mean_regret(found, k):.3g}" for k in KEPT)
        print(f"W={workers:<3} {method:<14} {regrets}  ({len(found)})")
    print(f"\nby problem at {last}, first {ours}")
    ours_first = sorted(runs.items(), key=lambda i: (i[0][1], i[0][0] != ours, i[0][0]))
    for problem in sorted(names):
        of_problem = [report.only(found, lambda p: p == problem) for _, found in ours_first]
        regrets = " / ".join(f"{mean_regret(found, last):.3g}" for found in of_problem)
        print(f"{problem:<40} {regrets}")


def mean_regret(runs, k):
    return report.means({key: (run[k], run[k]) for key, run in runs.items()})[0]


def main():
    a = bench.argument_parser(__doc__)
    bench.common_arguments(a, methods="random,tpe,zoom", workers="8,64")
    a = a.parse_args()
    problems, baselines, held_out = bench.load(a)
    has_curve = lambda name: (not name.startswith("rough_")
                              and problems.make(name).max_epochs)
    names = [name for name in bench.names_of(a.set, problems, held_out) if has_curve(name)]
    methods = [a.label if method == "zoom" else method for method in a.methods.split(",")]
    workers = list(map(int, a.workers.split(",")))
    tasks = [(m, p, w, s) for s in range(a.seeds) for w in workers for m in methods for p in names]
    go = lambda task, problem: run(a, task, problem, baselines)
    results = bench.run_missing(
        a, "epochs.jsonl", tasks, go, lambda r: True, problems, held_out)
    table(results, set(names), a.label)


if __name__ == "__main__":
    main()
