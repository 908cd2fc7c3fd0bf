"""Caviar's search with early stopping against its peers with the same rule, at equal epochs, on the learning curves of ../shared/search-bench. See README.md.

    python coordinator/search/peers/epochs.py           everything: builds, runs what was not run yet, prints the table
"""
import argparse
import heapq
import json
import math
import os
import sys
import time

import bench
import report

# Budgets, in full trainings, at which the regret is kept.
KEPT = (5, 10, 20, 40)
REDUCTION = 3


def rungs(epochs):
    """The rungs of `[stopping] rule = "halving"` (src/stopping.rs)."""
    first = max(2, epochs // 16)
    return [r for r in (first * REDUCTION**k for k in range(20)) if r < epochs]


class Halving:
    """A trial goes on from a rung if it is in the best third of those that came there so far: the same for all methods."""

    def __init__(self, count):
        self.seen = [[] for _ in range(count)]

    def goes_on(self, rung, value):
        better = sum(earlier < value for earlier in self.seen[rung])
        self.seen[rung].append(value)
        return better < math.ceil(len(self.seen[rung]) / REDUCTION)


class Peer:
    """Optuna's samplers as Optuna itself hears of pruned trials; random and Sobol hear nothing."""

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
            self.sampler.st.tell(self.trials.pop(trial), state=optuna.trial.TrialState.PRUNED)

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
    """[(epochs trained by all workers, true value of the best model so far)]: the best observed of the trials that came furthest, so of
    those trained to their end as soon as there is one. Epochs of trials in flight count as they go."""
    import numpy as np

    epochs, budget = problem.max_epochs, max(KEPT) * problem.max_epochs
    stations = rungs(epochs) + [epochs]
    halving = Halving(len(stations) - 1)
    flight, speeds, curves, clock, spent, asked = [], {}, {}, 0.0, 0.0, 0
    best, history = (0, math.inf), [(0.0, math.inf)]
    while spent < budget:
        while len(flight) < workers:
            own = np.random.default_rng((seed, 993, asked))
            curves[asked] = problem.curve(sampler.ask(asked)), own.normal(size=len(stations)) * problem.noise
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
        elif halving.goes_on(station, value):
            sampler.passed(trial, station, epoch, value)
            heapq.heappush(flight, (clock + (stations[station + 1] - epoch) / speeds[trial], trial, station + 1))
        else:
            sampler.stopped(trial, station, epoch, value)
    return history


def run(a, task, problem, baselines):
    method, name, workers, seed = task
    start = time.process_time()
    if method == a.label:
        # The number of trials is not known before: the epochs are.
        sampler = Caviar(a.program, problem, "zoom", workers, seed, 1_000_000)
    else:
        sampler = Peer(baselines, method, problem, workers, seed)
    history = simulate(sampler, problem, workers, seed)
    sampler.close()
    at = lambda full: [true for spent, true in history if spent <= full * problem.max_epochs][-1]
    regret = lambda value: min(max((value - problem.best) / (problem.med - problem.best), 1e-4), 100.0)
    kept = {str(k): round(regret(at(k)), 6) for k in KEPT}
    return dict(m=method, p=name, W=workers, s=seed, n=0, r=kept, t=round(time.process_time() - start, 2))


def table(results, names, ours):
    runs = report.collect(results, names)
    number = lambda value: "-" if math.isnan(value) else f"{value:.2f}"
    print(f"| in flight | against | {' | '.join(f'ratio at {k}' for k in KEPT)} | won at {max(KEPT)} | pairs |\n|---|---|{'---|' * (len(KEPT) + 2)}")
    for (method, workers), found in sorted(runs.items(), key=lambda item: (item[0][1], item[0][0])):
        mine = runs.get((ours, workers), {})
        if method != ours and mine:
            ratios = " | ".join(number(report.ratio(mine, found, k)) for k in KEPT)
            print(f"| {workers} | {method} | {ratios} | {number(report.won(mine, found, max(KEPT)))} | {len(report.pairs(mine, found, max(KEPT)))} |")
    print(f"\nregret at {' / '.join(map(str, KEPT))} full trainings, and runs")
    for (method, workers), found in sorted(runs.items(), key=lambda item: (item[0][1], item[0][0])):
        regrets = [report.means({key: (r[k], r[k]) for key, r in found.items()})[0] for k in KEPT]
        print(f"W={workers:<3} {method:<14} {' / '.join(f'{r:.3g}' for r in regrets)}  ({len(found)})")
    print(f"\nby problem at {max(KEPT)}, first {ours}")
    for problem in sorted(names):
        of = [report.only(found, lambda p: p == problem) for _, found in sorted(runs.items(), key=lambda i: (i[0][1], i[0][0] != ours, i[0][0]))]
        print(f"{problem:<40} {' / '.join(f'{report.means({k: (r[max(KEPT)], r[max(KEPT)]) for k, r in m.items()})[0]:.3g}' for m in of)}")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.common_arguments(a, methods="random,tpe,zoom", workers="8,64")
    a = a.parse_args()
    problems, baselines, held_out = bench.load(a)
    if problems is None:
        return
    names = held_out.HELD_OUT if a.set == "held_out" else problems.OPEN if a.set == "open" else a.set.split(",")
    names = [name for name in names if problems.make(name.removeprefix("rough_")).max_epochs and not name.startswith("rough_")]
    methods = [a.label if method == "zoom" else method for method in a.methods.split(",")]
    tasks = [(m, p, w, s) for s in range(a.seeds) for w in map(int, a.workers.split(",")) for m in methods for p in names]
    go = lambda task, problem: run(a, task, problem, baselines)
    results = bench.run_missing(a, "epochs.jsonl", tasks, go, lambda r: True, problems, held_out)
    table(results, set(names), a.label)


if __name__ == "__main__":
    main()
