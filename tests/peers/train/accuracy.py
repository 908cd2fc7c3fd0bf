"""Tests whether caviar-nn trains to the same accuracy as PyTorch.

    python tests/peers/train/accuracy.py digits
    python tests/peers/train/accuracy.py LETTER_CSV

LETTER_CSV is the path of UCI's Letter Recognition as a CSV file with a column `Letter`, the file
that examples/letters.toml uses. Both programs train 30 random assignments with 5 seeds each on the
same splits. PyTorch's runs are kept in --results, so an interrupted comparison continues where it
stopped.

The ten runs of an assignment are ranked together; diverged runs rank last. If the two programs
train alike, each run could belong to either program, so exchanging runs at random shows how large
a distance of the ranks arises by chance (a permutation test, stratified by assignment, which
assumes nothing of the distributions). There are three distances, each of accuracy and of loss:

    shift       one program is better on average
    difference  the programs differ in some assignments, in either direction
    spread      the seeds of one program lie further apart

The verdict is "differ", with exit code 1, if any of the six has a probability below LEVEL / 6. Try
--spoil learning_rate=1.3, which changes only PyTorch's learning rate, to see the test fail.
"""
import argparse
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import torch
from programs import REPOSITORY, build
from torch_net import ACTIVATIONS
from torch_training import examples, train

OPTIMIZERS = ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"]
SCHEDULES = ["constant", "inverse_time", "exponential", "step", "cosine"]
ASSIGNMENTS, SEEDS, PERMUTATIONS, LEVEL = 30, 5, 20_000, 0.01
SPLIT_SEED = 1


def draw(epochs, count=ASSIGNMENTS):
    """Draws assignments on the natural scale of each hyperparameter.

    Thirty assignments contain each pair of an optimiser and one of the first five activations once.
    """
    random = np.random.default_rng(1)

    def log(low, high):
        return float(np.exp(random.uniform(np.log(low), np.log(high))))

    def one_minus_log(low, high):
        return 1 - log(1 - high, 1 - low)

    def sometimes(value):
        return value if random.random() < 0.5 else 0.0

    drawn = []
    for number in range(count):
        layers = int(random.integers(1, 4))
        assignment = {
            "epochs": epochs,
            "layers": layers,
            "optimizer": OPTIMIZERS[number % 6],
            "activation": list(ACTIVATIONS)[number % 5],
            "normalization": str(random.choice(["before", "after", "none"])),
            "schedule": str(random.choice(SCHEDULES)),
            "learning_rate_decay": float(random.uniform(0, 0.3)),
            "learning_rate": log(1e-4, 1),
            "batch_size": round(log(32, 256)),
            "momentum": one_minus_log(0.5, 0.999),
            "beta1": one_minus_log(0.5, 0.99),
            "beta2": one_minus_log(0.9, 0.9999),
            "epsilon": log(1e-10, 1e-4),
            "batch_norm_momentum": one_minus_log(0.5, 0.99),
            "dropout": sometimes(random.uniform(0, 0.5)),
            "weight_decay": sometimes(log(1e-6, 1e-2)),
            "gradient_clip": sometimes(log(0.1, 10)),
        }
        for layer in range(1, layers + 1):
            assignment[f"units_{layer}"] = int(random.integers(16, 257))
        drawn.append(assignment)
    return drawn


def score(loss, accuracy):
    """The (loss, accuracy) to compare. A diverged run has accuracy 0 and an infinite loss."""
    return (loss, accuracy) if math.isfinite(loss) else (math.inf, 0.0)


def run_caviar(program, data, assignments):
    """Trains each assignment with each seed; returns scores [assignments, SEEDS, 2]."""
    requests = [json.dumps({"assignment": assignment, "seed": seed})
                for assignment in assignments for seed in range(SEEDS)]
    command = [program, json.dumps(data), str(SPLIT_SEED)]
    output = subprocess.run(command, input="\n".join(requests), check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    results = []
    for epoch in map(json.loads, output.splitlines()):
        train_loss, loss = (float(epoch[split]["loss"]) for split in ("train", "validation"))
        loss = loss if math.isfinite(train_loss) else math.nan
        results.append(score(loss, epoch["validation"]["accuracy"]))
    return np.array(results).reshape(len(assignments), SEEDS, 2)


def run_torch(program, data, assignments, file):
    """The same in PyTorch. Runs that `file` contains are not trained again."""
    known = {}
    if file.exists():
        known = dict(json.loads(line) for line in file.read_text().splitlines())
    file.parent.mkdir(exist_ok=True)
    splits, results = examples(program, data, SPLIT_SEED), []
    for assignment in assignments:
        for seed in range(SEEDS):
            run = json.dumps([data, SPLIT_SEED, assignment, seed, torch.__version__],
                             sort_keys=True)
            if run not in known:
                known[run] = train(assignment, splits, seed)
                with file.open("a") as out:
                    print(json.dumps([run, known[run]]), file=out)
            results.append(score(*known[run]))
    return np.array(results).reshape(len(assignments), SEEDS, 2)


def spoilt(assignment, spoil):
    """The assignment with some numbers multiplied, such as ["learning_rate=1.3"]."""
    factors = dict(text.split("=") for text in spoil)
    return assignment | {name: assignment[name] * float(by) for name, by in factors.items()}


def distances(ranks):
    """Shift, difference and spread of ranks [..., assignments, runs] whose mean is 0.

    The first half of the runs is Caviar's, the second half is PyTorch's.
    """

    def apart(values):
        return values[..., :SEEDS].mean(-1) - values[..., SEEDS:].mean(-1)

    shift, spread = apart(ranks), apart(np.abs(ranks))
    return np.stack([np.abs(shift.sum(-1)), (shift**2).sum(-1), np.abs(spread.sum(-1))])


def likelihoods(ours, theirs):
    """The probability of each of the three distances, or a larger one, by chance."""
    runs = np.concatenate([ours, theirs], axis=1)
    above = runs[:, :, None] > runs[:, None, :]
    ranks = (above.sum(2) - above.sum(1)).astype(float)
    random, seen = np.random.default_rng(1), distances(ranks)
    as_far = sum(distances(random.permuted(ranks, axis=1)) >= seen - 1e-9
                 for _ in range(PERMUTATIONS))
    return (1 + as_far) / (1 + PERMUTATIONS)


def show(assignments, ours, theirs):
    print("  #  optimizer activation  norm    rate     batch"
          "  caviar          PyTorch         difference (accuracy: mean, deviation)")
    pairs = zip(assignments, ours[..., 1], theirs[..., 1])
    for number, (h, our, their) in enumerate(pairs):
        groups = "  ".join(f"{group.mean():.4f} {group.std(ddof=1):.4f} "
                           for group in (our, their))
        names = f"{number:3}  {h['optimizer']:9} {h['activation']:11} {h['normalization']:7}"
        print(f"{names} {h['learning_rate']:.1e} {h['batch_size']:6}  {groups}"
              f"  {our.mean() - their.mean():+.4f}")
    for name, group in (("caviar", ours), ("PyTorch", theirs)):
        losses, accuracies = group[..., 0], group[..., 1]
        print(f"{name}: mean accuracy {accuracies.mean():.4f},"
              f" {np.isinf(losses).sum()} of {losses.size} diverged")


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="digits, or the path of the letters' CSV file")
    parser.add_argument("--spoil", action="append", default=[], metavar="NAME=FACTOR",
                        help="multiply a hyperparameter, for PyTorch only")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "target/accuracy.jsonl",
                        help="file that keeps PyTorch's runs (default target/accuracy.jsonl)")
    return parser.parse_args()


def verdict(found):
    """Prints the probabilities by metric and returns whether the programs differ."""
    for metric, (shift, difference, spread) in found.items():
        print(f"{metric + ':':9} probability by chance: shift {shift:.4f},"
              f" difference {difference:.4f}, spread {spread:.4f}")
    least = min(values.min() for values in found.values())
    differ = least < LEVEL / 6
    print(f"verdict: the two {'differ' if differ else 'agree'}"
          f" (smallest {least:.5f}, limit {LEVEL / 6:.5f})")
    return differ


def main():
    given = options()
    is_digits = given.data == "digits"
    source = {"source": "builtin:digits"} if is_digits else {
        "source": str(Path(given.data).resolve()), "label": "Letter"}
    data = source | {"task": "classification", "validation": 0.2, "test": 0.1}
    program = build("caviar-nn", "--example", "train")
    torch.set_num_threads(1)
    assignments = draw(epochs=20 if is_digits else 5)
    ours = run_caviar(program, data, assignments)
    changed = [spoilt(assignment, given.spoil) for assignment in assignments]
    theirs = run_torch(program, data, changed, given.results)
    show(assignments, ours, theirs)
    differ = verdict({
        "accuracy": likelihoods(ours[..., 1], theirs[..., 1]),
        "loss": likelihoods(ours[..., 0], theirs[..., 0]),
    })
    raise SystemExit(int(differ))


if __name__ == "__main__":
    main()
