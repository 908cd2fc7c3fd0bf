"""The problems of search-bench, and further ones that the search was not tuned on."""
import json
import os

import numpy as np

HELD_OUT = [
    "synth_ackley5", "synth_levy8", "lcbench_34539", "lcbench_167190", "lcbench_168908",
    "lcbench_189906", "rbv2xgb_1040", "rbv2xgb_1053", "rbv2xgb_1462", "rbv2xgb_41138",
    "rough_lcbench_167200", "rough_rbv2xgb_40981", "rough_xgbsur_a6a", "rough_synth_hart6",
    "rough_digits_err",
]
ROUGH_OPEN = ["xgbnn_spambase"]


def rough(problems, base):
    """A table of 5,000 random points of a smooth problem, looked up by the nearest neighbour.

    The problems xgbnn_* look up a real table in the same way.
    """
    from scipy.spatial import cKDTree

    smooth = problems.make(base)
    generator = np.random.default_rng(7)
    points = generator.random((5000, smooth.d))
    snapped = np.stack([p.snap(points[:, j]) for j, p in enumerate(smooth.space)], 1)
    values = np.concatenate([smooth.f(snapped[i : i + 1000]) for i in range(0, 5000, 1000)])
    # The table has one training per point, so it includes the noise of that training.
    values = values + 0.05 * (np.median(values) - values.min()) * generator.normal(size=5000)
    tree = cKDTree(points)
    smooth.f = lambda u, epoch=None: values[tree.query(u)[1]]
    smooth.name, smooth.family, smooth.curve = "rough_" + base, "rough", None
    smooth.best, smooth.med = float(values.min()), float(np.median(values))
    return smooth


def reference(problem, problems):
    """The best known value and the median of random points.

    It follows problems.get with a tenth of the evaluations.
    """
    generator = np.random.default_rng(0)
    snap = lambda u: np.stack([p.snap(u[:, j]) for j, p in enumerate(problem.space)], 1)
    blocks = lambda u: [u[i : i + 2000] for i in range(0, len(u), 2000)]
    evaluate = lambda u: np.concatenate([problem.f(block) for block in blocks(u)])
    points = snap(generator.random((10000, problem.d)))
    values = evaluate(points)
    median, order = float(np.median(values)), np.argsort(values)[:40]
    top, best = points[order], values[order]
    for step in range(60):
        near = np.repeat(top, 10, 0)
        mask = generator.random(near.shape) < max(0.3, 2 / problem.d)
        move = mask * generator.normal(size=near.shape) * 0.3 * 0.92**step
        near = snap(np.clip(near + move, 0, 1 - 1e-9))
        everything = np.concatenate([top, near])
        all_values = np.concatenate([best, evaluate(near)])
        order = np.argsort(all_values)[:40]
        top, best = everything[order], all_values[order]
    return dict(best=float(best[0]), med=median)


def get(problems, name, cache):
    """The problem of this name, with its reference values and noise.

    `cache` is a file of the reference values that search-bench does not have.
    """
    if name in problems.OPEN:
        return problems.get(name)
    if name.startswith("rough_"):
        problem = rough(problems, name.removeprefix("rough_"))
    else:
        problem = problems.make(name)
        known = json.load(open(cache)) if os.path.exists(cache) else {}
        if name not in known:
            known[name] = reference(problem, problems)
            json.dump(known, open(cache, "w"), indent=0)
        problem.best, problem.med = known[name]["best"], known[name]["med"]
    problem.noise = 0.0 if problem.family == "synth" else 0.03 * (problem.med - problem.best)
    return problem
