"""Compares how many trials per second a coordinator carries with Optuna's storage server.

    python tests/peers/coordinator/bench.py            (--seconds 3 --rounds 1 for a short run)

Each contender serves 1, 8 and 64 clients for some seconds. A client gets a trial with four
parameters that are drawn at random, reports one value, tells the result, and begins again. The
contenders take turns, and the figures are medians of the rounds. README.md describes them.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from processes import FOLDER, running, trials_per_second, wait_for

REPOSITORY = FOLDER.parents[2]
# More trials than any contender finishes: the most that a sweep can have.
TRIALS = 65_536
# Tasks of HyperQueue for each second and each client, up to a number of clients. It gets all of
# them at the start, and so the measurement takes about as long as the others.
TASKS, MOST_CLIENTS = 1_000, 16

SWEEP = f"""
name = "bench"
[data]
source = "external"
[fixed]
epochs = 1
[space]
learning_rate = {{ scale = "log", low = 1e-4, high = 1.0 }}
momentum = {{ low = 0.9, high = 0.999 }}
weight_decay = {{ scale = "log", low = 1e-6, high = 1e-2 }}
dropout = {{ low = 0.0, high = 0.5 }}
[search]
strategy = "random"
trials = {TRIALS}
parallelism = 64
[stopping]
rule = "none"
[objective]
metric = "value"
goal = "minimize"
"""


def build():
    """Builds caviar, and returns the path of the program."""
    command = ["cargo", "build", "--release", "-p", "caviar"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")
    return pathlib.Path(target, "release", "caviar")


def caviar(args, clients, folder):
    """The load generator of Caviar: one worker with one slot for each client."""
    command = [args.caviar, "bench", "coordinator", "--json", "--workers", str(clients)]
    command += ["--trials", str(TRIALS), "--seconds", str(args.seconds), "--queries", "0"]
    environment = {**os.environ, "TMPDIR": folder}
    output = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    return json.loads(output)["trials_per_second"]


def caviar_from_python(args, clients, folder):
    """A coordinator with Python clients, which ask and tell as Optuna's clients do."""
    store, sweep = f"{folder}/caviar.db", pathlib.Path(folder, "sweep.toml")
    sweep.write_text(SWEEP)
    listen = ["--insecure", "--listen", "127.0.0.1:0"]
    command = [args.caviar, "coordinator", *listen, "--store", store]
    with running(command, stderr=subprocess.DEVNULL):
        file = pathlib.Path(f"{store}.address")
        url = wait_for(lambda: file.exists() and file.read_text().strip())
        submit = [args.caviar, "submit", sweep, "--coordinator", url]
        subprocess.run(submit, check=True, capture_output=True)
        address = url.removeprefix("http://")
        return trials_per_second("caviar_clients.py", address, clients, args.seconds)


def optuna(args, clients, url):
    """Optuna's gRPC storage proxy on a storage, with Optuna's clients."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with running([sys.executable, FOLDER / "optuna_server.py", str(port), url]):
        return trials_per_second("optuna_clients.py", f"127.0.0.1:{port}", clients, args.seconds)


def optuna_sqlite(args, clients, folder):
    return optuna(args, clients, f"sqlite:///{folder}/optuna.db")


def optuna_memory(args, clients, folder):
    return optuna(args, clients, "memory")


def hyperqueue(args, clients, folder):
    """HyperQueue with workers that execute nothing: one worker with one core for each client."""
    hq = [args.hyperqueue, "--server-dir", f"{folder}/hq"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = [*hq, "server", "start", "--journal", f"{folder}/hq.journal"]
    with running(server, **quiet):
        wait_for(lambda: subprocess.run([*hq, "server", "info"], **quiet).returncode == 0)
        worker = [*hq, "worker", "start", "--cpus", "1", "--no-hyper-threading"]
        workers = [subprocess.Popen(worker, **quiet) for _ in range(clients)]
        try:
            wait_for(lambda: len(hq_json(hq, "worker", "list")) == clients)
            tasks = TASKS * args.seconds * min(clients, MOST_CLIENTS)
            submit = [*hq, "submit", "--array", f"1-{tasks}", "--stdout", "none"]
            submit += ["--stderr", "none", "--wait", "--", "true"]
            began = time.monotonic()
            subprocess.run(submit, check=True, **quiet)
            return tasks / (time.monotonic() - began)
        finally:
            for process in workers:
                process.terminate()
                process.wait()


def hq_json(hq, *command):
    output = subprocess.run([*hq, *command, "--output-mode", "json"], capture_output=True).stdout
    return json.loads(output)


CONTENDERS = {
    "caviar": caviar,
    "caviar-python": caviar_from_python,
    "optuna-sqlite": optuna_sqlite,
    "optuna-memory": optuna_memory,
    "hyperqueue": hyperqueue,
}


def measure(args):
    """The rates of each contender and number of clients, one for each round."""
    rates = {name: {clients: [] for clients in args.clients} for name in args.contenders}
    for round_number in range(args.rounds):
        for clients in args.clients:
            for name in args.contenders:
                with tempfile.TemporaryDirectory() as folder:
                    rate = CONTENDERS[name](args, clients, folder)
                rates[name][clients].append(rate)
                line = f"round {round_number + 1}, {clients} clients, {name}: {rate:.0f}"
                print(line, file=sys.stderr, flush=True)
    return rates


def show(rates, args):
    print("trials per second: median (least to most) of", args.rounds, "rounds\n")
    print("| contender |", " | ".join(f"{clients} clients" for clients in args.clients), "|")
    print("|---|" + "---|" * len(args.clients))
    for name, by_clients in rates.items():
        cells = [f"{statistics.median(r):,.0f} ({min(r):,.0f} to {max(r):,.0f})"
                 for r in by_clients.values()]
        print(f"| {name} |", " | ".join(cells), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser.add_argument("--clients", type=numbers, default=[1, 8, 64])
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--caviar", help="the program, if it is built already")
    parser.add_argument("--hyperqueue", help="a program hq whose workers execute nothing")
    parser.add_argument("--contenders", type=lambda text: text.split(","),
                        help=f"some of {','.join(CONTENDERS)}")
    args = parser.parse_args()
    args.caviar = args.caviar or build()
    if not args.contenders:
        args.contenders = [name for name in CONTENDERS if name != "hyperqueue" or args.hyperqueue]
    show(measure(args), args)


if __name__ == "__main__":
    main()
