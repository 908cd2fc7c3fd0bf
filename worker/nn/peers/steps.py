"""How fast caviar-nn trains against PyTorch, JAX and scikit-learn, on one core.

    pip install -r requirements.txt
    python steps.py --nets tiny,small --optimizers adam --core 1

All contenders of a net stay loaded, one thread each, pinned to one core. A round times one block of steps of each, in random order, by CPU
time; so whatever slows the machine for a while slows all of them. The table shows the median of our steps per second, and the medians of
the rounds' ratios: how many times as many steps we did as the other.
"""
import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import operator
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

from contender import CONTENDERS

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
    """A contender stopped; says why."""


class Contender:
    """A process that trains as many steps as it is asked for, pinned to a core."""

    def __init__(self, name, command, core):
        self.name = name
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], env=os.environ | ONE_THREAD, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.parameters = int(self.answer().removeprefix("ready "))

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            self.log.seek(0)
            said = self.log.read().strip().splitlines() or ["nothing"]
            raise Failed(f"{self.name} stopped and said: {said[-1]}")
        return line

    def begin(self, steps):
        print(steps, file=self.process.stdin)

    def rate(self, steps):
        """Steps per CPU second over so many steps, or as few more as it can do at once."""
        self.begin(steps)
        return float(self.answer())

    def steps_in(self, seconds):
        """How many steps take so long. Finding out warms it up."""
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


def build():
    """Builds our program and returns its path."""
    command = ["cargo", "build", "--release", "--package", "caviar-nn", "--example", "steps", "--message-format", "json"]
    built = subprocess.run(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=True)
    artifacts = map(json.loads, built.stdout.splitlines())
    return next(a["executable"] for a in artifacts if a.get("target", {}).get("name") == "steps" and a.get("executable"))


def package(name):
    return name.split("-")[0]


def with_packages(names):
    """Those whose package is installed; the others are named."""
    missing = sorted({package(name) for name in names if importlib.util.find_spec(package(name)) is None})
    for name in missing:
        print(f"{name} is not installed, so it is left out: pip install -r {FOLDER / 'requirements.txt'}", file=sys.stderr)
    return [name for name in names if package(name) not in missing]


def start(program, names, net, optimizer, core, running):
    """Starts ours and the others, which end with `running`; a contender that does not start is left out."""
    ours = [program, "--net", NETS[net], "--optimizer", optimizer, "--serve"]
    contenders = [running.enter_context(Contender(OURS, ours, core))]
    for name in names:
        command = [sys.executable, FOLDER / "contender.py", name, NETS[net], optimizer]
        try:
            contenders.append(running.enter_context(Contender(name, command, core)))
        except Failed as why:
            print(f"{net}, {optimizer}: {why}", file=sys.stderr)
            continue
        check_parameters(contenders[-1].parameters, contenders[0].parameters, name)
    return contenders


def check_parameters(theirs, ours, name):
    # scikit-learn has no gamma, and so its net is another.
    if theirs != ours and name != "sklearn":
        raise Failed(f"{name} trains {theirs} parameters and we {ours}: these are not the same net")


def compare(program, names, net, optimizer, core, rounds):
    """Each contender's rates, round by round."""
    order = random.Random(f"{net} {optimizer}")
    with contextlib.ExitStack() as running:
        contenders = start(program, names, net, optimizer, core, running)
        steps = {contender: contender.steps_in(BLOCK_SECONDS) for contender in contenders}
        rates = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in order.sample(contenders, len(contenders)):
                rates[contender.name].append(contender.rate(steps[contender]))
    return rates


def ratios(rates):
    """How many times as fast we were as each other contender: the median over the rounds."""
    return {name: statistics.median(map(operator.truediv, rates[OURS], theirs)) for name, theirs in rates.items() if name != OURS}


def cells(net, optimizer, rates, names):
    ours, ratio = statistics.median(rates[OURS]), ratios(rates)
    best = [min((ratio[name] for name in ratio if package(name) == library), default=None) for library in ("torch", "jax")]
    figures = ["-" if figure is None else f"{figure:.2f}" for figure in [ratio.get(name) for name in names] + best]
    return [net, optimizer, f"{ours:,.0f}" if ours >= 100 else f"{ours:.1f}", *figures]


def row(cells):
    return "| " + " | ".join(cells) + " |"


def choices(allowed):
    """A comma-separated list of some of these."""

    def parse(text):
        for name in text.split(","):
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}")
        return text.split(",")

    return parse


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, allowed in [("nets", NETS), ("optimizers", OPTIMIZERS), ("contenders", CONTENDERS)]:
        parser.add_argument(f"--{name}", type=choices(allowed), default=list(allowed), help=f"some of {','.join(allowed)}; all if not given")
    parser.add_argument("--rounds", type=int, default=13, help="blocks of each contender (default 13)")
    parser.add_argument("--core", type=int, default=0, help="the core that all run on (default 0)")
    return parser.parse_args()


def main():
    given = options()
    names, program = with_packages(given.contenders), build()
    table = [row(["net", "optimiser", "caviar, steps/s", *names, "best PyTorch", "best JAX"]), "|---" * (len(names) + 5) + "|"]
    for net in given.nets:
        for optimizer in given.optimizers:
            rates = compare(program, names, net, optimizer, given.core, given.rounds)
            table.append(row(cells(net, optimizer, rates, names)))
            print(table[-1], file=sys.stderr)
    print(*table, sep="\n")
    distributions = {"torch": "torch", "jax": "jax", "sklearn": "scikit-learn"}
    versions = [f"{distributions[name]} {importlib.metadata.version(distributions[name])}" for name in dict.fromkeys(map(package, names))]
    print("\n" + ", ".join(["CPU time of one core", f"{given.rounds} rounds", *versions]))


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(str(why))
