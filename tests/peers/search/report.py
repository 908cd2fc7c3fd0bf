"""The table of targets: how the search compares with its peers."""
import math
from collections import defaultdict


def collect(results, names):
    """{(method, workers): {(problem, seed): {trials: regret}}}"""
    runs = defaultdict(dict)
    for r in results:
        if r["p"] in names:
            runs[r["m"], r["W"]][r["p"], r["s"]] = {int(k): v for k, v in r["r"].items()}
    return runs


def pairs(a, b, k):
    """The regrets of two methods after k trials, for the runs that both have."""
    shared = [key for key in a.keys() & b.keys() if k in a[key] and k in b[key]]
    return {key: (a[key][k], b[key][k]) for key in shared}


def won(a, b, k):
    """The share of pairs in which a has the lower regret. An equal regret counts as half."""
    found = pairs(a, b, k).values()
    wins = sum(1.0 if x < y else 0.5 if x == y else 0.0 for x, y in found)
    return wins / len(found) if found else math.nan


def means(pairs_of):
    """The geometric means of both methods over seeds and then over problems."""
    by_problem = defaultdict(list)
    for (problem, _), (x, y) in pairs_of.items():
        by_problem[problem].append((math.log(x), math.log(y)))
    if not by_problem:
        return math.nan, math.nan
    both = [[sum(side) / len(found) for side in zip(*found)] for found in by_problem.values()]
    return tuple(math.exp(sum(side) / len(both)) for side in zip(*both))


def ratio(a, b, k):
    x, y = means(pairs(a, b, k))
    return x / y


def reach(a, b):
    """The number of trials after which a's mean regret is at most b's after 200 trials."""
    for k in sorted({k for run in a.values() for k in run}):
        shared = [key for key in a.keys() & b.keys() if k in a[key] and 200 in b[key]]
        x, y = means({key: (a[key][k], b[key][200]) for key in shared})
        if x <= y:
            return k
    return math.nan


def only(runs, wanted):
    return {key: run for key, run in runs.items() if wanted(key[0])}


def is_rough(problem):
    return problem.startswith(("xgbnn_", "rough_"))


def mean_at(runs, k):
    """The mean regret of a method after k trials."""
    return means({key: (run[k], run[k]) for key, run in runs.items() if k in run})[0]


def join(values):
    return " / ".join("-" if math.isnan(v) else f"{v:.3g}" for v in values)


def targets(runs, ours):
    """The rows of the table: the measure, our values, the target and the goal beyond it."""
    methods = (ours, "tpe", "tpe_classic", "random", "gp")
    mine, tpe, classic, rand, gp = (runs.get((method, 8), {}) for method in methods)
    wide, wide_tpe = runs.get((ours, 64), {}), runs.get(("tpe", 64), {})
    one, one_tpe = runs.get((ours, 1), {}), runs.get(("tpe", 1), {})
    rough, rough_random = only(mine, is_rough), only(rand, is_rough)
    better = max(ratio(mine, tpe, 200), ratio(mine, classic, 200))
    return [
        ("won against tpe, W=8, at 50 / 100 / 200",
         [won(mine, tpe, k) for k in (50, 100, 200)], ".75", ".85"),
        ("regret relative to tpe, W=8, at 100 / 200",
         [ratio(mine, tpe, k) for k in (100, 200)], ".55", ".35"),
        ("regret relative to the better of its defaults, W=8, at 200", [better], ".65", ".45"),
        ("trials to reach tpe's regret at 200, W=8", [reach(mine, tpe)], "75", "45"),
        ("W=64 at 200: won / ratio",
         [won(wide, wide_tpe, 200), ratio(wide, wide_tpe, 200)], ".75 / .6", ".85 / .4"),
        ("W=1 at 100: won / ratio",
         [won(one, one_tpe, 100), ratio(one, one_tpe, 100)], ".65 / .6", ".75 / .4"),
        ("rough tables: ratio to random at 200", [ratio(rough, rough_random, 200)], "1.25", "1"),
        ("ratio to the global GP at 200", [ratio(mine, gp, 200)], "1.15", ".95"),
    ]


def table(results, names, ours):
    runs = collect(results, names)
    print(f"\n| measure | {ours} | target | goal |\n|---|---|---|---|")
    for measure, values, target, goal in targets(runs, ours):
        print(f"| {measure} | {join(values)} | {target} | {goal} |")
    print("\nregret at 25 / 50 / 100 / 200, and runs")
    for (method, workers), found in sorted(runs.items(), key=lambda i: (i[0][1], i[0][0])):
        regrets = [mean_at(found, k) for k in (25, 50, 100, 200)]
        print(f"W={workers:<3} {method:<14} {join(regrets)}  ({len(found)})")
    methods = (ours, "tpe", "tpe_classic", "random", "gp")
    print(f"\nby problem at 200, W=8: {' / '.join(methods)}")
    for problem in sorted(names):
        at_8 = [only(runs.get((m, 8), {}), lambda p: p == problem) for m in methods]
        print(f"{problem:<40} {join([mean_at(found, 200) for found in at_8])}")
