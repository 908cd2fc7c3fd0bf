"""Compares Caviar's importance of hyperparameters with Optuna's fANOVA evaluator on the same trials.

    python tests/peers/search/importance.py [SWEEP.json ...]         # each a file of: caviar export NAME --json

Needs optuna and scikit-learn, and builds the example `importance` with cargo. Without files it compares on one function.
Every set of trials is compared twice:

  scales   both see every number on the unit interval of its scale, which is what Caviar's shares are of
  values   both see the numbers themselves; Optuna gets the space as its users write it. It has no scale for momentum, and the measure
           is uniform in the numbers whatever the scale

A difference counts against the seed-to-seed spread of Optuna's answer: `off` is how many of its standard deviations lie between its mean
over the seeds and ours over as many seeds (`first`: of our first seed alone). The last line says whether all means lie within 2.5.

Optuna makes a column per choice and takes means over all corners of these columns, also those that are several choices or none. With two
choices that makes no difference that could be seen; with many it may. Conditional parameters are left out, for Optuna cannot have them.
"""

import json
import math
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
EXAMPLE = ["cargo", "run", "--quiet", "--package", "caviar-search", "--example", "importance"]


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
    """Three scales, whole numbers, an interaction and a parameter that does nothing."""
    number = lambda name, kind, scale, low, high: {"name": name, "domain": {kind: {"scale": scale, "low": low, "high": high}}}
    space = [number("rate", "float", "log", 1e-4, 1.0), number("decay", "float", "one_minus_log", 0.9, 0.999),
             number("layers", "int", "linear", 1, 4), number("units", "int", "log", 16, 256), number("idle", "float", "linear", 0.0, 1.0)]
    draws, trials = random.Random(7), []
    for _ in range(150):
        a = {p["name"]: decode(p["domain"], draws.random()) for p in space}
        rate, decay = math.log10(a["rate"]), math.log10(1 - a["decay"])
        loss = (rate + 2) ** 2 + (decay + 2) * (rate + 2) + 0.5 * abs(a["layers"] - 3) - 0.3 * math.log(a["units"])
        trials.append((a, loss))
    return space, trials


def sweep(name):
    with open(name, encoding="utf-8") as file:
        export = json.load(file)
    sign = -1.0 if export["spec"]["objective"]["goal"] == "maximize" else 1.0
    finished = [t for t in export["trials"] if t["objective"] is not None]
    space = [p for p in export["spec"]["space"] if not p.get("when")]
    names = [p["name"] for p in space]
    return space, [({n: t["assignment"][n] for n in names}, sign * t["objective"]) for t in finished]


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
    log = d["scale"] == "log"
    return IntDistribution(d["low"], d["high"], log=log) if which == "int" else FloatDistribution(d["low"], d["high"], log=log)


def optunas(space, trials, measure):
    distributions = {p["name"]: distribution(p["domain"], measure) for p in space}
    shown = lambda p, value: encode(p["domain"], value) if measure == "scales" else value
    study = optuna.create_study()
    for a, loss in trials:
        params = {p["name"]: shown(p, a[p["name"]]) for p in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=loss))
    return [FanovaImportanceEvaluator(seed=seed).evaluate(study) for seed in range(SEEDS)]


def ours(space, trials, measure):
    answers = []
    for seed in range(SEEDS):
        question = {"space": [{"when": None, "points": None, **p} for p in space], "measure": measure, "seed": seed,
                    "trials": [{"assignment": a, "cost": loss} for a, loss in trials]}
        done = subprocess.run(EXAMPLE, input=json.dumps(question), capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    return answers


def compare(name, space, trials):
    agree = []
    for measure in ("scales", "values"):
        print(f"{name}: {len(trials)} trials, {measure}\n{'':24}{'Optuna':>8}{'sd':>8}{'ours':>8}{'sd':>8}{'off':>8}{'first':>8}")
        theirs, mine = optunas(space, trials, measure), ours(space, trials, measure)
        for parameter in sorted((p["name"] for p in space), key=lambda n: -mine[0]["parameters"][n]):
            a, b = [t[parameter] for t in theirs], [m["parameters"][parameter] for m in mine]
            sd = max(statistics.stdev(a), 1e-9)
            off, first = (abs(x - statistics.mean(a)) / sd for x in (statistics.mean(b), b[0]))
            agree.append(off <= WITHIN)
            print(f"  {parameter:22}{statistics.mean(a):8.4f}{sd:8.4f}{statistics.mean(b):8.4f}{statistics.stdev(b):8.4f}"
                  f"{off:8.2f}{first:8.2f}")
        pairs = ", ".join(f"{a} x {b} {share:.3f}" for a, b, share in mine[0]["pairs"][:3])
        print(f"  pairs: {pairs}\n", flush=True)
    return agree


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
