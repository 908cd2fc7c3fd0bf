"""Compares how fast caviar-nn, PyTorch, JAX and scikit-learn train, on one core.

    pip install -r tests/peers/train/requirements.txt
    python tests/peers/train/steps.py --nets tiny,small --optimizers adam --core 1

All contenders of a net stay loaded, each with one thread, and are pinned to one core. A round times
one block of steps of each by CPU time, in random order, so a slow phase of the machine slows all of
them. The table shows the median of our steps per second, and the medians of the rounds' ratios: our
steps per second divided by the other's.
"""
import argparse
import contextlib
import importlib.metadata
import importlib.util
import operator
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

from contender import CONTENDERS
from programs import build

FOLDER = pathlib.Path(__file__).parent
NETS = {
    "tiny": "64-32-32-10@32",
    "small": "64-128-128-10@64",
    "medium": "784-256-256-128-10@128",
    "wide": "784-1024-1024-1024-10@256",
}
OPTIMIZERS = ["adam", "sgd"]
OURS = "caviar"
BLOCK_SECONDS = 0.5
ONE_THREAD = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")


class Failed(Exception):
    """A contender stopped; the text says why."""


class Contender:
    """A process, pinned to a core, that trains the requested numbers of steps."""

    def __init__(self, name, command, core):
        self.name = name
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], env=os.environ | ONE_THREAD, text=True,
            bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.parameters = int(self.reply().removeprefix("ready "))

    def reply(self):
        line = self.process.stdout.readline().strip()
        if not line:
            self.log.seek(0)
            written = self.log.read().strip().splitlines() or ["no output"]
            raise Failed(f"{self.name} stopped: {written[-1]}")
        return line

    def begin(self, steps):
        print(steps, file=self.process.stdin)

    def rate(self, steps):
        """Steps per CPU second over `steps` steps, rounded up to the contender's unit."""
        self.begin(steps)
        return float(self.reply())

    def steps_in(self, seconds):
        """How many steps take `seconds`. Measuring it also warms the contender up."""
        steps = 1
        while steps / (rate := self.rate(steps)) < seconds / 5:
            steps *= 4
        return max(1, round(seconds * rate))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def package(name):
    return name.split("-")[0]


def with_packages(names):
    """The names whose package is installed. Reports each missing package."""
    packages = {package(name) for name in names}
    missing = sorted(name for name in packages if importlib.util.find_spec(name) is None)
    for name in missing:
        print(f"{name} is not installed and is left out:"
              f" pip install -r {FOLDER / 'requirements.txt'}", file=sys.stderr)
    return [name for name in names if package(name) not in missing]


def start(commands, core, running):
    """Starts the named commands on the core, ours first; they end with the stack `running`.

    A contender that does not start is reported and left out.
    """
    contenders = []
    for name, command in commands.items():
        try:
            contenders.append(running.enter_context(Contender(name, command, core)))
        except Failed as error:
            if name == OURS:
                raise
            print(error, file=sys.stderr)
            continue
        check_parameters(contenders[-1].parameters, contenders[0].parameters, name)
    return contenders


def check_parameters(theirs, ours, name):
    # scikit-learn has biases instead of gamma and beta, so its net is another.
    if theirs != ours and name != "sklearn":
        raise Failed(f"{name} has {theirs} parameters instead of {ours}: it trains another net")


def compare(program, names, case, core, rounds):
    """The rates of each contender, round by round. `case` is a net and an optimiser."""
    net, optimizer = case
    order = random.Random(f"{net} {optimizer}")
    contender = [sys.executable, FOLDER / "contender.py"]
    commands = {OURS: [program, "--net", NETS[net], "--optimizer", optimizer, "--serve"]}
    commands |= {name: [*contender, name, NETS[net], optimizer] for name in names}
    with contextlib.ExitStack() as running:
        contenders = start(commands, core, running)
        steps = {contender: contender.steps_in(BLOCK_SECONDS) for contender in contenders}
        rates = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in order.sample(contenders, len(contenders)):
                rates[contender.name].append(contender.rate(steps[contender]))
    return rates


def ratios(rates):
    """Our rate divided by that of each other contender: the median over the rounds."""
    return {
        name: statistics.median(map(operator.truediv, rates[OURS], theirs))
        for name, theirs in rates.items() if name != OURS
    }


def cells(case, rates, names):
    ours, ratio = statistics.median(rates[OURS]), ratios(rates)
    best = [
        min((ratio[name] for name in ratio if package(name) == library), default=None)
        for library in ("torch", "jax")
    ]
    values = [ratio.get(name) for name in names] + best
    figures = ["-" if value is None else f"{value:.2f}" for value in values]
    return [*case, f"{ours:,.0f}" if ours >= 100 else f"{ours:.1f}", *figures]


def row(cells):
    return "| " + " | ".join(cells) + " |"


def choices(allowed):
    """A parser of a comma-separated list of some of these names."""

    def parse(text):
        for name in text.split(","):
            if name not in allowed:
                raise argparse.ArgumentTypeError(
                    f"{name!r}: expected names from {', '.join(allowed)}")
        return text.split(",")

    return parse


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lists = [("nets", NETS), ("optimizers", OPTIMIZERS), ("contenders", CONTENDERS)]
    for name, allowed in lists:
        parser.add_argument(f"--{name}", type=choices(allowed), default=list(allowed),
                            help=f"some of {','.join(allowed)} (default: all)")
    parser.add_argument("--rounds", type=int, default=13,
                        help="blocks of each contender (default 13)")
    parser.add_argument("--core", type=int, default=0,
                        help="the core that all contenders run on (default 0)")
    return parser.parse_args()


def versions(names):
    """The versions of the contenders' packages."""
    distributions = {"torch": "torch", "jax": "jax", "sklearn": "scikit-learn"}
    used = [distributions[name] for name in dict.fromkeys(map(package, names))]
    return [f"{name} {importlib.metadata.version(name)}" for name in used]


def main():
    given = options()
    names, program = with_packages(given.contenders), build("caviar-nn", "--example", "steps")
    header = ["net", "optimiser", "caviar, steps/s", *names, "best PyTorch", "best JAX"]
    table = [row(header), "|---" * len(header) + "|"]
    for net in given.nets:
        for optimizer in given.optimizers:
            case = (net, optimizer)
            rates = compare(program, names, case, given.core, given.rounds)
            table.append(row(cells(case, rates, names)))
            print(table[-1], file=sys.stderr)
    print(*table, sep="\n")
    print("\nCPU time of one core", f"{given.rounds} rounds", *versions(names), sep=", ")


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
