"""Whether caviar-nn trains to the same accuracy as PyTorch: 30 random assignments, 5 seeds each, on the same splits.

    cargo build --release -p caviar-nn --example train
    python worker/nn/peers/accuracy.py digits
    python worker/nn/peers/accuracy.py letters --csv letter.csv      (UCI's Letter Recognition, as for examples/letters.toml)

The runs of PyTorch are kept in --results, so that an interrupted comparison goes on; ours are fast enough to be done anew.

The runs of an assignment are ranked together, a diverged one last. If the two programs train alike, which five of the ten are whose is
chance, so exchanging them at random says how far apart chance puts the ranks (a permutation test, stratified by assignment; it assumes
nothing of the distributions). Three distances, of accuracy and of loss: `shift`, one program is better throughout; `difference`, they
differ in some assignments, either way; `spread`, one program's seeds lie further apart. The verdict is "differ", and the exit code 1,
if any of the six is less likely than LEVEL / 6. It can fail: try --spoil learning_rate=1.3, which changes PyTorch's alone.
"""
import argparse
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import torch
from torch_net import ACTIVATIONS
from torch_training import PROJECT, examples, train

OPTIMIZERS = ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"]
SCHEDULES = ["constant", "inverse_time", "exponential", "step", "cosine"]
ASSIGNMENTS, SEEDS, PERMUTATIONS, LEVEL = 30, 5, 20_000, 0.01
SPLIT_SEED = 1


def draw(epochs, count=ASSIGNMENTS):
    """The assignments: of thirty each optimiser with each activation once, and all else at random on its natural scale."""
    random = np.random.default_rng(1)
    log = lambda low, high: float(np.exp(random.uniform(np.log(low), np.log(high))))
    one_minus_log = lambda low, high: 1 - log(1 - high, 1 - low)
    sometimes = lambda value: value if random.random() < 0.5 else 0.0
    drawn = []
    for number in range(count):
        layers = int(random.integers(1, 4))
        assignment = {
            "epochs": epochs, "layers": layers, "optimizer": OPTIMIZERS[number % 6], "activation": list(ACTIVATIONS)[number % 5],
            "normalization": str(random.choice(["before", "after", "none"])), "schedule": str(random.choice(SCHEDULES)),
            "learning_rate_decay": float(random.uniform(0, 0.3)), "learning_rate": log(1e-4, 1), "batch_size": round(log(32, 256)),
            "momentum": one_minus_log(0.5, 0.999), "beta1": one_minus_log(0.5, 0.99), "beta2": one_minus_log(0.9, 0.9999),
            "epsilon": log(1e-10, 1e-4), "batch_norm_momentum": one_minus_log(0.5, 0.99), "dropout": sometimes(random.uniform(0, 0.5)),
            "weight_decay": sometimes(log(1e-6, 1e-2)), "gradient_clip": sometimes(log(0.1, 10)),
        }
        drawn.append(assignment | {f"units_{layer + 1}": int(random.integers(16, 257)) for layer in range(layers)})
    return drawn


def score(loss, accuracy):
    """A diverged run has accuracy 0 and an infinite loss."""
    return (loss, accuracy) if math.isfinite(loss) else (math.inf, 0.0)


def run_caviar(program, data, assignments):
    requests = [json.dumps({"assignment": assignment, "seed": seed}) for assignment in assignments for seed in range(SEEDS)]
    command = [program, json.dumps(data), str(SPLIT_SEED)]
    answers = subprocess.run(command, input="\n".join(requests), check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    results = []
    for epoch in map(json.loads, answers):
        losses = [float(epoch[split]["loss"]) for split in ("train", "validation")]
        results.append(score(losses[1] if math.isfinite(losses[0]) else math.nan, epoch["validation"]["accuracy"]))
    return np.array(results).reshape(len(assignments), SEEDS, 2)


def run_torch(program, data, assignments, file):
    """As run_caviar, but what is in the file is not trained again."""
    known = dict(json.loads(line) for line in file.read_text().splitlines()) if file.exists() else {}
    file.parent.mkdir(exist_ok=True)
    splits, results = examples(program, data, SPLIT_SEED), []
    for assignment in assignments:
        for seed in range(SEEDS):
            run = json.dumps([data, SPLIT_SEED, assignment, seed, torch.__version__], sort_keys=True)
            if run not in known:
                known[run] = train(assignment, splits, seed)
                with file.open("a") as out:
                    print(json.dumps([run, known[run]]), file=out)
            results.append(score(*known[run]))
    return np.array(results).reshape(len(assignments), SEEDS, 2)


def spoilt(assignment, spoil):
    """The assignment with some numbers multiplied: ["learning_rate=1.3"]."""
    factors = {name: float(factor) for name, factor in (text.split("=") for text in spoil)}
    return assignment | {name: assignment[name] * factor for name, factor in factors.items()}


def distances(ranks):
    """Shift, difference and spread of ranks [..., assignments, runs], of which the first half are ours; ranks have mean 0."""
    apart = lambda values: values[..., :SEEDS].mean(-1) - values[..., SEEDS:].mean(-1)
    shift = apart(ranks)
    return np.stack([np.abs(shift.sum(-1)), (shift**2).sum(-1), np.abs(apart(np.abs(ranks)).sum(-1))])


def likelihoods(ours, theirs):
    """How often chance alone puts the two as far apart, for the three distances."""
    runs = np.concatenate([ours, theirs], axis=1)
    above = runs[:, :, None] > runs[:, None, :]
    ranks = (above.sum(2) - above.sum(1)).astype(float)
    random, seen = np.random.default_rng(1), distances(ranks)
    as_far = sum(distances(random.permuted(ranks, axis=1)) >= seen - 1e-9 for _ in range(PERMUTATIONS))
    return (1 + as_far) / (1 + PERMUTATIONS)


def show(assignments, ours, theirs):
    print("  #  optimizer activation  norm    rate     batch  caviar          PyTorch         difference (accuracy: mean, deviation)")
    for number, (h, our, their) in enumerate(zip(assignments, ours[..., 1], theirs[..., 1])):
        groups = "  ".join(f"{group.mean():.4f} {group.std(ddof=1):.4f} " for group in (our, their))
        names = f"{number:3}  {h['optimizer']:9} {h['activation']:11} {h['normalization']:7}"
        print(f"{names} {h['learning_rate']:.1e} {h['batch_size']:6}  {groups}  {our.mean() - their.mean():+.4f}")
    for name, group in (("caviar", ours), ("PyTorch", theirs)):
        print(f"{name}: mean accuracy {group[..., 1].mean():.4f}, {np.isinf(group[..., 0]).sum()} of {group[..., 0].size} diverged")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=["digits", "letters"])
    parser.add_argument("--csv", help="the file of letters, with a column called Letter")
    parser.add_argument("--spoil", action="append", default=[], metavar="NAME=FACTOR", help="multiply a hyperparameter for PyTorch alone")
    parser.add_argument("--results", type=Path, default=PROJECT / "target/accuracy.jsonl", help="PyTorch's runs")
    parser.add_argument("--program", default=PROJECT / "target/release/examples/train", help="caviar-nn's example `train`")
    arguments = parser.parse_args()
    if arguments.data == "letters" and not arguments.csv:
        parser.error("letters needs --csv: the path of letter.csv")
    sources = {"digits": {"source": "builtin:digits"}, "letters": {"source": arguments.csv, "label": "Letter"}}
    data = sources[arguments.data] | {"task": "classification", "validation": 0.2, "test": 0.1}
    torch.set_num_threads(1)
    assignments = draw(epochs={"digits": 20, "letters": 5}[arguments.data])
    ours = run_caviar(arguments.program, data, assignments)
    theirs = run_torch(arguments.program, data, [spoilt(h, arguments.spoil) for h in assignments], arguments.results)
    show(assignments, ours, theirs)
    found = {"accuracy": likelihoods(ours[..., 1], theirs[..., 1]), "loss": likelihoods(ours[..., 0], theirs[..., 0])}
    for metric, (shift, difference, spread) in found.items():
        print(f"{metric + ':':9} by chance as far apart: shift {shift:.4f}, difference {difference:.4f}, spread {spread:.4f}")
    least = min(values.min() for values in found.values())
    differ = least < LEVEL / 6
    print(f"verdict: the two {'differ' if differ else 'agree'} (least {least:.5f}, limit {LEVEL / 6:.5f})")
    raise SystemExit(int(differ))


if __name__ == "__main__":
    main()
