"""Measures how `precision = "bf16"` changes the accuracy on the built-in digits.

    python tests/peers/train/precision.py

Trains 50 random assignments with 5 seeds each in both precisions.
"""
import argparse

import numpy as np
from accuracy import draw, run_caviar
from programs import build

DIGITS = {
    "source": "builtin:digits", "task": "classification", "validation": 0.2, "test": 0.1,
}


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    program = build("caviar-nn", "--example", "train")
    assignments = draw(epochs=20, count=50)
    accuracy = {}
    for precision in ("f32", "bf16"):
        requests = [assignment | {"precision": precision} for assignment in assignments]
        results = run_caviar(program, DIGITS, requests)
        losses, accuracy[precision] = results[..., 0], results[..., 1]
        mean, diverged = accuracy[precision].mean(), np.isinf(losses).sum()
        print(f"{precision:4}: mean accuracy {mean:.4f}, {diverged} of {losses.size} diverged")
    change = (accuracy["bf16"] - accuracy["f32"]).mean(axis=1)
    error = change.std(ddof=1) / len(change) ** 0.5
    low, middle, high = np.quantile(change, [0.25, 0.5, 0.75])
    lower, equal, higher = (change < 0).sum(), (change == 0).sum(), (change > 0).sum()
    seeds = np.median(accuracy["f32"].std(axis=1, ddof=1))
    best = {name: values.mean(axis=1).max() for name, values in accuracy.items()}
    print(f"bf16 - f32, by assignment: mean {change.mean():+.4f} (standard error {error:.4f})")
    print(f"  median {middle:+.4f}, quartiles {low:+.4f} {high:+.4f}, worst {change.min():+.4f}")
    print(f"  lower in {lower}, equal in {equal}, higher in {higher} of {len(change)} assignments")
    print(f"standard deviation between the seeds of an f32 assignment: median {seeds:.4f}")
    print(f"mean accuracy of the best assignment: f32 {best['f32']:.4f}, bf16 {best['bf16']:.4f}")


if __name__ == "__main__":
    main()
