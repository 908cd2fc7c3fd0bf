"""Trials per hour of a whole sweep on two slots, against PyTorch in two processes that train exactly the same trials.

    cargo build --release -p caviar --bin caviar && cargo build --release -p caviar-nn --example train
    python worker/nn/peers/sweeps.py            (--trials 4 for a quick look)

Caviar runs examples/digits.toml, by random search without stopping: one process with coordinator, store and worker, from its start to its end. PyTorch gets the finished
sweep's assignments, one after the other to whichever process is free, each process on a core of its own; it validates after each epoch
too. It runs eager, and compiled by torch.compile with an empty cache, as every new assignment is another network. Both use the fused
optimiser, flush denormals, and slice one shuffled copy of the examples each epoch.

`trials/hour` counts from start to end, importing and compiling included; `training alone` only the time inside the trials' training.
Contenders take turns; figures are medians of the rounds. The cores are the first two that this process may use (taskset).
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
from torch.nn.functional import cross_entropy
from torch_training import PROJECT, batches, complete, examples, model_of, optimizer_of, train_all

SLOTS = 2
SWEEP = PROJECT / "examples/digits.toml"


def run_caviar(programs, trials, folder):
    """Runs the sweep; gives the seconds it took, and what it exports."""
    # Every trial to its end, as PyTorch trains it.
    text = SWEEP.read_text().replace('rule = "halving"', 'rule = "none"').replace('strategy = "zoom"', 'strategy = "random"')
    if trials:
        text = re.sub(r"(?m)^trials = \d+", f"trials = {trials}", text)
    file, store = folder / "sweep.toml", folder / "sweep.db"
    file.write_text(text)
    began = time.perf_counter()
    subprocess.run([programs / "caviar", "run", file, "--slots", str(SLOTS), "--store", store], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    command = [programs / "caviar", "export", "digits", "--json", "--store", store]
    return seconds, json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def start(program, spec, cores):
    """Makes a process ready to train: a core of its own, and the data."""
    global data
    os.sched_setaffinity(0, {cores.get()})
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = examples(program, spec["data"], spec["seed"])


def compile_loss(h, model, loss_of):
    """The loss, compiled for both sizes of mini-batch that an epoch has; the model is as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.compiler.reset()
    compiled = torch.compile(loss_of)
    model.train()
    for size in {end - first for first, end in batches(len(data["train"][0]), h["batch_size"])}:
        compiled(*(part[:size] for part in data["train"])).backward()
    model.load_state_dict(before)
    return compiled


def run_trial(job):
    """Trains a trial; gives the seconds of training alone, and the accuracy."""
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


def run_torch(programs, export, is_compiled, folder):
    """Trains the exported trials; gives the seconds from start to end, and of each trial the seconds of training and the accuracy."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    spawn = multiprocessing.get_context("spawn")
    cores, usable = spawn.SimpleQueue(), sorted(os.sched_getaffinity(0))
    for slot in range(SLOTS):
        cores.put(usable[slot % len(usable)])
    jobs = [(export["spec"]["fixed"] | trial["assignment"], is_compiled) for trial in export["trials"]]
    began = time.perf_counter()
    with ProcessPoolExecutor(SLOTS, spawn, start, (programs / "examples/train", export["spec"], cores)) as pool:
        results = list(pool.map(run_trial, jobs))
    return time.perf_counter() - began, results


def one_round(programs, trials):
    """By contender: trials an hour, trials an hour of training alone, mean accuracy."""
    def figures(seconds, results):
        training, accuracies = zip(*results)
        return 3600 * len(results) / seconds, 3600 * SLOTS * len(results) / sum(training), statistics.mean(accuracies)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, export = run_caviar(programs, trials, folder)
        ours = [(trial["seconds"], trial["last"]["validation"]["accuracy"]) for trial in export["trials"]]
        return {
            "caviar": figures(seconds, ours),
            "PyTorch, eager": figures(*run_torch(programs, export, False, folder)),
            "PyTorch, compiled": figures(*run_torch(programs, export, True, folder)),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, help="of the sweep, in place of what its file says")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", type=Path, default=PROJECT / "target/release", help="where the release build is")
    arguments = parser.parse_args()
    rounds = [one_round(arguments.programs, arguments.trials) for _ in range(arguments.rounds)]
    print("contender           trials/hour  caviar's is  training alone  caviar's is  mean accuracy")
    median = lambda of: statistics.median(of(figures) for figures in rounds)
    for name in rounds[0]:
        rate, alone, accuracy = (median(lambda figures: figures[name][column]) for column in range(3))
        faster, faster_alone = (median(lambda figures: figures["caviar"][column] / figures[name][column]) for column in range(2))
        print(f"{name:18} {rate:12,.0f} {faster:11.1f}x {alone:15,.0f} {faster_alone:11.1f}x {accuracy:14.4f}")


if __name__ == "__main__":
    main()
