"""What `precision = "bf16"` does to the accuracy: 50 random assignments on digits, 5 seeds each, in both precisions.

    cargo build --release -p caviar-nn --example train
    python worker/nn/peers/precision.py
"""
import argparse

import numpy as np
from accuracy import PROJECT, draw, run_caviar

DIGITS = {"source": "builtin:digits", "task": "classification", "validation": 0.2, "test": 0.1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=PROJECT / "target/release/examples/train", help="caviar-nn's example `train`")
    program = parser.parse_args().program
    assignments = draw(epochs=20, count=50)
    accuracy = {}
    for precision in ("f32", "bf16"):
        results = run_caviar(program, DIGITS, [assignment | {"precision": precision} for assignment in assignments])
        accuracy[precision] = results[..., 1]
        print(f"{precision:4}: mean accuracy {accuracy[precision].mean():.4f}, {np.isinf(results[..., 0]).sum()} of {results[..., 0].size} diverged")
    change, seeds = (accuracy["bf16"] - accuracy["f32"]).mean(axis=1), accuracy["f32"].std(axis=1, ddof=1)
    print(f"bf16 - f32, by assignment: mean {change.mean():+.4f} (standard error {change.std(ddof=1) / len(change) ** 0.5:.4f})")
    print(f"  median {np.median(change):+.4f}, quartiles {np.quantile(change, 0.25):+.4f} {np.quantile(change, 0.75):+.4f}, worst {change.min():+.4f}")
    print(f"  lower in {(change < 0).sum()}, equal in {(change == 0).sum()}, higher in {(change > 0).sum()} of {len(change)} assignments")
    print(f"for comparison, between the seeds of an f32 assignment: median standard deviation {np.median(seeds):.4f}")
    best = {name: values.mean(axis=1).max() for name, values in accuracy.items()}
    print(f"the best assignment's mean: f32 {best['f32']:.4f}, bf16 {best['bf16']:.4f}")


if __name__ == "__main__":
    main()
