"""Compares the trials per hour of a whole sweep with PyTorch training exactly the same trials.

    python tests/peers/train/sweeps.py            (--trials 4 for a short run)

Caviar runs examples/digits.toml with random search and without stopping, on two slots: one process
with coordinator, store and worker, timed from its start to its end. PyTorch trains the assignments
of the finished sweep in two processes, each on its own core; a process that becomes free takes the
next assignment. PyTorch also validates after each epoch. It runs eager, and compiled by
torch.compile with an empty cache, because every assignment is another network. Both use the fused
optimiser, flush denormals, and slice one shuffled copy of the examples each epoch.

`trials/hour` counts from start to end, with importing and compiling. `training only` counts the
time inside the training loops. The contenders take turns, and the figures are medians of the
rounds. They run on the first two cores that this process may use; restrict them with taskset.
"""
import argparse
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from programs import REPOSITORY, build
from torch.nn.functional import cross_entropy
from torch_training import batches, complete, examples, model_of, optimizer_of, train_all

SLOTS = 2
SWEEP = REPOSITORY / "examples/digits.toml"


def sweep_text(trials):
    """The sweep file, changed so that every trial trains to its end, as PyTorch's do."""
    text = SWEEP.read_text()
    text = text.replace('rule = "halving"', 'rule = "none"')
    text = text.replace('strategy = "zoom"', 'strategy = "random"')
    return re.sub(r"(?m)^trials = \d+", f"trials = {trials}", text) if trials else text


def run_caviar(caviar, trials, folder):
    """Runs the sweep; returns the seconds it took and its exported JSON."""
    file, store = folder / "sweep.toml", folder / "sweep.db"
    file.write_text(sweep_text(trials))
    began = time.perf_counter()
    command = [caviar, "run", file, "--slots", str(SLOTS), "--store", store]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    command = [caviar, "export", "digits", "--json", "--store", store]
    return seconds, json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def start(program, spec, cores):
    """Prepares a process: pins it to its own core and loads the data."""
    global data
    os.sched_setaffinity(0, {cores.get()})
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = examples(program, spec["data"], spec["seed"])


def compile_loss(h, model, loss_of):
    """Compiles the loss for both mini-batch sizes of an epoch, and leaves the model unchanged."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.compiler.reset()
    compiled = torch.compile(loss_of)
    model.train()
    for size in {end - first for first, end in batches(len(data["train"][0]), h["batch_size"])}:
        compiled(*(part[:size] for part in data["train"])).backward()
    model.load_state_dict(before)
    return compiled


def run_trial(job):
    """Trains one trial; returns the seconds of its training loop and its accuracy."""
    assignment, is_compiled = job
    h = complete(assignment)
    model = model_of(h, data)
    optimizer = optimizer_of(h, model, fused=True)
    loss_of = lambda x, y: cross_entropy(model(x), y)
    if is_compiled:
        loss_of = compile_loss(h, model, loss_of)
    began = time.perf_counter()
    _, accuracy = train_all(h, model, optimizer, loss_of, data)
    return time.perf_counter() - began, accuracy


def run_torch(program, export, is_compiled, folder):
    """Trains the exported trials; returns the seconds in total, and run_trial's result of each."""
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }
    spawn = multiprocessing.get_context("spawn")
    cores, usable = spawn.SimpleQueue(), sorted(os.sched_getaffinity(0))
    for slot in range(SLOTS):
        cores.put(usable[slot % len(usable)])
    fixed = export["spec"]["fixed"]
    jobs = [(fixed | trial["assignment"], is_compiled) for trial in export["trials"]]
    began = time.perf_counter()
    with ProcessPoolExecutor(SLOTS, spawn, start, (program, export["spec"], cores)) as pool:
        results = list(pool.map(run_trial, jobs))
    return time.perf_counter() - began, results


def figures(seconds, results):
    """Trials per hour, trials per hour of training only, and the mean accuracy."""
    training, accuracies = zip(*results)
    rate = 3600 * len(results) / seconds
    return rate, 3600 * SLOTS * len(results) / sum(training), statistics.mean(accuracies)


def one_round(caviar, program, trials):
    """The figures of each contender."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, export = run_caviar(caviar, trials, folder)
        ours = [(trial["seconds"], trial["last"]["validation"]["accuracy"])
                for trial in export["trials"]]
        return {
            "caviar": figures(seconds, ours),
            "PyTorch, eager": figures(*run_torch(program, export, False, folder)),
            "PyTorch, compiled": figures(*run_torch(program, export, True, folder)),
        }


def show(rounds):
    """Prints the medians of the rounds."""
    print("contender           trials/hour  caviar's is  training only  caviar's is"
          "  mean accuracy")
    for name in rounds[0]:
        def median(value):
            return statistics.median(map(value, rounds))

        rate, training, accuracy = (median(lambda r: r[name][i]) for i in range(3))
        faster, faster_training = (median(lambda r: r["caviar"][i] / r[name][i])
                                   for i in range(2))
        print(f"{name:18} {rate:12,.0f} {faster:11.1f}x {training:14,.0f}"
              f" {faster_training:11.1f}x {accuracy:14.4f}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, help="trials of the sweep (default: as in its file)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    given = parser.parse_args()
    caviar = build("caviar", "--bin", "caviar")
    program = build("caviar-nn", "--example", "train")
    show([one_round(caviar, program, given.trials) for _ in range(given.rounds)])


if __name__ == "__main__":
    main()
