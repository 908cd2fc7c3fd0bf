"""Compares Caviar's importance of hyperparameters with Optuna's fANOVA evaluator.

    python tests/peers/search/importance.py [SWEEP.json ...]

Each SWEEP.json is the output of `caviar export NAME --json`. Without files, the comparison is on
one function. It needs optuna and scikit-learn, and builds the example `importance` with cargo.

Every set of trials is compared under two measures:

  scales   Both get each number on the unit interval of its scale. Caviar's shares are of this.
  values   Both get the numbers themselves, and Optuna gets the space as its users write it. It has
           no scale for momentum. The measure is uniform in the numbers whatever the scale.

Optuna's answer differs between seeds. `off` is the difference between the mean over its seeds and
the mean over ours, in standard deviations of its answers. `first` is the same with our first seed
instead of our mean. The last line says whether every `off` is at most 2.5.

Optuna makes one column per value of a choice. It takes means over all corners of these columns,
also those that stand for several values or for none. With two values this made no visible
difference; with many values it may. Conditional parameters are left out, because Optuna's evaluator
has no conditions.
"""

import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator

SEEDS = 10
WITHIN = 2.5
ROOT = pathlib.Path(__file__).resolve().parents[3]
CARGO = ["cargo", "run", "--quiet", "--package", "caviar-search", "--example", "importance"]


def main(files):
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sets = [("a function", *function())] + [(name, *sweep(name)) for name in files]
    agree = []
    for name, space, trials in sets:
        agree += compare(name, space, trials)
    print("all within" if all(agree) else "NOT all within", WITHIN, "standard deviations")
    return 0 if all(agree) else 1


def function():
    """Three scales, whole numbers, an interaction, and a parameter without an effect."""
    def number(name, kind, scale, low, high):
        return {"name": name, "domain": {kind: {"scale": scale, "low": low, "high": high}}}

    space = [
        number("rate", "float", "log", 1e-4, 1.0),
        number("decay", "float", "one_minus_log", 0.9, 0.999),
        number("layers", "int", "linear", 1, 4),
        number("units", "int", "log", 16, 256),
        number("idle", "float", "linear", 0.0, 1.0),
    ]
    draws, trials = random.Random(7), []
    for _ in range(150):
        a = {p["name"]: decode(p["domain"], draws.random()) for p in space}
        rate, decay = math.log10(a["rate"]), math.log10(1 - a["decay"])
        cost = (rate + 2) ** 2 + (decay + 2) * (rate + 2)
        cost += 0.5 * abs(a["layers"] - 3) - 0.3 * math.log(a["units"])
        trials.append((a, cost))
    return space, trials


def sweep(name):
    with open(name, encoding="utf-8") as file:
        export = json.load(file)
    sign = -1.0 if export["spec"]["objective"]["goal"] == "maximize" else 1.0
    finished = [t for t in export["trials"] if t["objective"] is not None]
    space = [p for p in export["spec"]["space"] if not p.get("when")]
    names = [p["name"] for p in space]
    values = lambda trial: {name: trial["assignment"][name] for name in names}
    return space, [(values(trial), sign * trial["objective"]) for trial in finished]


SCALES = {"linear": (lambda v: v, lambda u: u), "log": (math.log, math.exp),
          "one_minus_log": (lambda v: -math.log(1 - v), lambda u: 1 - math.exp(-u))}


def ends(domain):
    which, d = next(iter(domain.items()))
    forward, backward = SCALES[d["scale"]]
    half = 0.5 if which == "int" else 0.0
    return which, d, forward, backward, forward(d["low"] - half), forward(d["high"] + half)


def encode(domain, value):
    if "choice" in domain:
        return value
    _, _, forward, _, low, high = ends(domain)
    return min(max((forward(value) - low) / (high - low), 0.0), 1.0)


def decode(domain, unit):
    which, d, _, backward, low, high = ends(domain)
    value = backward(low + unit * (high - low))
    return min(max(math.floor(value + 0.5) if which == "int" else value, d["low"]), d["high"])


def distribution(domain, measure):
    which, d = next(iter(domain.items()))
    if which == "choice":
        return CategoricalDistribution(d["values"])
    if measure == "scales":
        return FloatDistribution(0.0, 1.0)
    kind = IntDistribution if which == "int" else FloatDistribution
    return kind(d["low"], d["high"], log=d["scale"] == "log")


def optunas(space, trials, measure):
    distributions = {p["name"]: distribution(p["domain"], measure) for p in space}
    shown = lambda p, value: encode(p["domain"], value) if measure == "scales" else value
    study = optuna.create_study()
    for a, cost in trials:
        params = {p["name"]: shown(p, a[p["name"]]) for p in space}
        trial = optuna.trial.create_trial(
            params=params, distributions=distributions, value=cost)
        study.add_trial(trial)
    return [FanovaImportanceEvaluator(seed=seed).evaluate(study) for seed in range(SEEDS)]


def ours(space, trials, measure):
    answers = []
    for seed in range(SEEDS):
        question = {"space": [{"when": None, "points": None, **p} for p in space],
                    "trials": [{"assignment": a, "cost": cost} for a, cost in trials],
                    "measure": measure, "seed": seed}
        done = subprocess.run(CARGO, input=json.dumps(question), capture_output=True, text=True,
                              check=True, cwd=ROOT)
        answers.append(json.loads(done.stdout))
    return answers


def compare(name, space, trials):
    agree = []
    for measure in ("scales", "values"):
        print(f"{name}: {len(trials)} trials, {measure}")
        print(" " * 24 + "".join(f"{c:>8}" for c in ("Optuna", "sd", "ours", "sd", "off", "first")))
        theirs, mine = optunas(space, trials, measure), ours(space, trials, measure)
        names = sorted((p["name"] for p in space), key=lambda n: -mine[0]["parameters"][n])
        for parameter in names:
            a = [t[parameter] for t in theirs]
            b = [m["parameters"][parameter] for m in mine]
            sd = max(statistics.stdev(a), 1e-9)
            off, first = (abs(x - statistics.mean(a)) / sd for x in (statistics.mean(b), b[0]))
            agree.append(off <= WITHIN)
            print(f"  {parameter:22}{statistics.mean(a):8.4f}{sd:8.4f}{statistics.mean(b):8.4f}"
                  f"{statistics.stdev(b):8.4f}{off:8.2f}{first:8.2f}")
        pairs = ", ".join(f"{a} x {b} {share:.3f}" for a, b, share in mine[0]["pairs"][:3])
        print(f"  pairs: {pairs}\n", flush=True)
    return agree


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
