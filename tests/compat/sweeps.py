"""The sweeps that are recorded. Together they take a few minutes of CPU time."""

import dataclasses
import json
import pathlib
import re

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """One sweep, and how it is run."""

    name: str
    text: str
    slots: int = 2
    # The sweep whose store it shares. That sweep runs first.
    after: str = ""
    # Run by a coordinator, a worker and a client as three programs instead of by one.
    processes: bool = False


SPACE = """
learning_rate = { low = 1e-3, high = 1.0 }
units = { low = 8, high = 48 }
activation = { choices = ["relu", "tanh"] }
"""

# Every choice of every hyperparameter that 0.1 knows, with conditions and units for each layer.
WIDE_SPACE = """
learning_rate = { low = 1e-4, high = 1e-1 }
optimizer = { choices = ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"] }
momentum = { low = 0.5, high = 0.99, when = { optimizer = ["momentum", "nesterov"] } }
beta2 = { low = 0.9, high = 0.9999, when = { optimizer = ["rmsprop", "adam", "adamw"] } }
schedule = { choices = ["constant", "inverse_time", "exponential", "step", "cosine"] }
activation = { choices = ["relu", "leaky_relu", "tanh", "sigmoid", "gelu"] }
normalization = { choices = ["before", "after", "none"] }
init = { choices = ["auto", "he", "xavier"] }
precision = { choices = ["f32", "bf16"] }
layers = { low = 1, high = 3 }
units_1 = { low = 8, high = 40 }
units_2 = { low = 8, high = 40 }
units_3 = { low = 8, high = 40 }
batch_size = { low = 16, high = 128 }
dropout = { low = 0.0, high = 0.5 }
weight_decay = { low = 1e-6, high = 1e-2 }
gradient_clip = { choices = [0.0, 1.0] }
"""


def on_digits(name, search, *, fixed="epochs = 6", space=SPACE, rest=""):
    """The text of a sweep on the bundled digits."""
    data = '[data]\nsource = "builtin:digits"'
    return (f'name = "{name}"\nseed = 11\n{data}\n[fixed]\n{fixed}\n[space]{space}'
            f"[search]\n{search}\n{rest}\n")


def example(name, changes):
    """The text of an example with other values. Each key is on exactly one line of it."""
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    for key, value in changes.items():
        line = f"{key} = {json.dumps(str(value) if isinstance(value, pathlib.Path) else value)}"
        text, count = re.subn(rf"^{key} *=.*$", lambda _: line, text, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"{name}.toml has {count} lines with {key}: exactly one was expected")
    return text


def write_regression(path):
    """A CSV file whose label is a function of its columns. Only sums and products of whole
    numbers are used, so the file has the same bytes everywhere."""
    state, lines = 1, ["a,b,c,y"]
    for _ in range(400):
        row = []
        for _ in range(3):
            state = (state * 1103515245 + 12345) % 2**31
            row.append((state >> 16) % 201 - 100)
        a, b, c = row
        lines.append(f"{a},{b},{c},{300 * a - a * b + 2 * c * c}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def all_sweeps(data, work):
    """The sweeps on the data in `data`. Files that they need are written into `work`."""
    write_regression(work / "regression.csv")
    mnist = data / "mnist10k"
    return [
        Sweep("digits", example("digits", {})),
        Sweep("letters", example("letters", {
            "source": data / "letter.csv", "epochs": 4, "trials": 6, "rounds": [4, 2]})),
        Sweep("mnist", example("mnist", {
            "source": mnist / "t10k-images-idx3-ubyte.gz",
            "labels": mnist / "t10k-labels-idx1-ubyte.gz",
            "epochs": 2, "trials": 4, "rounds": [3, 1]})),
        *strategies(),
        *special_sweeps(work),
    ]


def strategies():
    """One sweep for each strategy. Those that learn from results get more trials."""
    return [
        Sweep("zoom", on_digits("zoom", 'strategy = "zoom"\ntrials = 24\nparallelism = 4')),
        Sweep("rounds", on_digits(
            "rounds", 'strategy = "rounds"\ntrials = 12\nrounds = [6, 4, 2]')),
        Sweep("tpe", on_digits("tpe", 'strategy = "tpe"\ntrials = 24\nparallelism = 4')),
        Sweep("random", on_digits("random", 'strategy = "random"\ntrials = 8')),
        Sweep("sobol", on_digits("sobol", 'strategy = "sobol"\ntrials = 8')),
        Sweep("grid", on_digits("grid", 'strategy = "grid"\ntrials = 8')),
    ]


def special_sweeps(work):
    """One sweep for each feature that the others do not use."""
    random = 'strategy = "random"\ntrials = {}\n'
    regression = on_digits("regression", random.format(8)).replace(
        'source = "builtin:digits"',
        f'source = {json.dumps(str(work / "regression.csv"))}\nlabel = "y"\ntask = "regression"')
    diverging = "\nlearning_rate = { low = 0.1, high = 1000.0 }\n"
    weak = 'epochs = 4\nnormalization = "none"\noptimizer = "sgd"'
    return [
        Sweep("wide", on_digits("wide", random.format(24), fixed="epochs = 3", space=WIDE_SPACE)),
        Sweep("median", on_digits("median", random.format(24), fixed="epochs = 12",
                                  rest='[stopping]\nrule = "median"')),
        Sweep("as_completed", on_digits(
            "as_completed", 'strategy = "zoom"\ntrials = 12\nparallelism = 1\n'
            'order = "as_completed"'), slots=1),
        Sweep("regression", regression),
        Sweep("diverging", on_digits(
            "diverging", random.format(8), fixed=weak, space=diverging,
            rest='[stopping]\nrule = "none"')),
        Sweep("diverging_loss", on_digits(
            "diverging_loss", 'trials = 16\nparallelism = 4', fixed=weak, space=diverging,
            rest='[objective]\nmetric = "validation_loss"')),
        Sweep("minimized", on_digits(
            "minimized", random.format(8),
            rest='[objective]\nmetric = "validation_loss"\ngoal = "minimize"')),
        Sweep("warm", on_digits("warm", 'trials = 8\nparallelism = 4\nwarm_start = "zoom"'),
              after="zoom"),
        Sweep("processes", on_digits("processes", 'trials = 16\nparallelism = 4'), processes=True),
    ]
