"""The models that compare.py makes: a sweep for each, and the rows that it predicts later."""

import csv
import gzip
import json
import os
import random

import numpy

from cells import read_table

HERE = os.path.dirname(os.path.abspath(__file__))
DIGITS = os.path.join(HERE, "..", "..", "..", "common", "data", "src", "digits.csv.gz")

# Each model: the raw table, the sections of its sweep, and the options of `caviar model`. Together
# they use every activation, every place of batch normalisation, and every scaling and embedding.
MODELS = [
    {
        "name": "titanic",
        "what": "two classes, text, gaps",
        "table": "titanic.csv",
        "label": "survived",
        "data": 'ignore = ["alive", "adult_male", "class", "embark_town"]',
        "fixed": 'activation = "relu"\nscaling = "robust"\nembedding = "periodic"\n'
        "input_scaling = true",
    },
    {
        "name": "penguins",
        "what": "three classes",
        "table": "penguins.csv",
        "label": "species",
        "fixed": 'activation = "gelu"\nnormalization = "after"',
    },
    {
        "name": "diamonds",
        "what": "regression",
        "table": "diamonds.csv",
        "label": "price",
        "fixed": 'activation = "silu"',
        "epochs": 2,
    },
    {
        "name": "auto-mpg",
        "what": "regression, small",
        "table": "auto-mpg.csv",
        "label": "mpg",
        "fixed": 'activation = "mish"\nnormalization = "after"\nscaling = "quantile"\n'
        'embedding = "piecewise_linear"',
        "epochs": 20,
    },
    {
        "name": "wine",
        "what": "ensemble of seven classes",
        "table": "winequality-white.csv",
        "label": "column12",
        "has_header": False,
        "task": "classification",
        "space": 'activation = { choices = ["relu", "tanh", "sigmoid", "selu"] }\n'
        'normalization = { choices = ["before", "after", "none"] }\n'
        'embedding = { choices = ["none", "periodic", "piecewise_linear"] }',
        "options": ["--ensemble"],
        "trials": 12,
    },
    {
        "name": "seattle-weather",
        "what": "dates, five classes",
        "table": "seattle-weather.csv",
        "label": "weather",
        "fixed": 'activation = "selu"',
    },
    {
        "name": "birdstrikes",
        "what": "dates, long categories",
        "table": "birdstrikes.csv",
        "label": "Wildlife Size",
        "fixed": 'activation = "tanh"\nnormalization = "none"',
    },
    {
        "name": "german",
        "what": "calibrated, two classes",
        "table": "german.csv",
        "label": "column21",
        "has_header": False,
        "fixed": 'activation = "leaky_relu"',
        "options": ["--calibrate"],
    },
    {
        "name": "digits",
        "what": "images, ten classes",
        "table": None,
        "images": True,
        "fixed": 'activation = "gelu"',
    },
    {
        "name": "houses",
        "what": "calibrated ensemble, unusual cells",
        "table": None,
        "label": "label",
        "data": 'types = { "Å" = "category" }',
        "options": ["--ensemble", "--calibrate"],
        "trials": 8,
        "epochs": 20,
    },
]

SWEEP = """name = "{name}"
seed = 1
[data]
{data}
validation = 0.25
[fixed]
epochs = {epochs}
{fixed}
[space]
learning_rate = {{ scale = "log", low = 0.001, high = 0.1 }}
units = {{ type = "int", scale = "linear", low = 8, high = 32 }}
layers = {{ type = "int", scale = "linear", low = 1, high = 2 }}
{space}
[search]
trials = {trials}
[stopping]
rule = "none"
"""


def houses():
    """A table with cells that need care, among them a column called like an output."""
    draw = random.Random(3)
    names = ["label", "probabilities", "price", "share", "sold", "seen", "pool", "fence", "at", "Å"]
    rows = []
    for _ in range(600):
        price = draw.randint(1000, 999999)
        day, month = draw.randint(1, 28), draw.randint(1, 12)
        share = draw.random()
        fence = draw.choice(["None", "wood", "stone, grey", 'so-called "hedge"'])
        good = price > 5e5 or (share > 0.7 and fence == "None") or month > 9
        cells = [
            ["poor", "good"][good],
            draw.choice(["a", "b", " c"]),
            draw.choice(["None", "-", f"{price:,}", f"{price:,}", f"{price:,}"]),
            f"{100 * share:.1f}%",
            f"{day:02}/{month:02}/{draw.randint(1996, 2026)}",
            f"20{draw.randint(10, 30)}-{month:02}-{day:02} {draw.randint(0, 23):02}:30",
            draw.choice(["Yes", "No", "no", "?"]),
            fence,
            f"{draw.randint(0, 23):02}:{draw.randint(0, 59):02}",
            draw.choice(["1", "2", "007", "7"]),
        ]
        rows.append(cells)
    return names, rows


def write(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(([names] if names else []) + rows)


def digits(folder):
    """Writes images and their labels as arrays, and returns the images of the test."""
    with gzip.open(DIGITS, "rt") as file:
        rows = numpy.array(list(csv.reader(file))[1:]).astype(numpy.uint8)
    images, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    train = len(rows) * 4 // 5
    numpy.save(os.path.join(folder, "train.npy"), images[:train])
    numpy.save(os.path.join(folder, "labels.npy"), labels[:train])
    numpy.save(os.path.join(folder, "later.npy"), images[train:])
    return images[train:].reshape(-1, 64)


def prepare(model, raw, folder):
    """Writes the data of the training and the sweep. Returns the names of the columns, which are
    empty for images, and the rows that are predicted later."""
    if model.get("images"):
        names, test = [], digits(folder)
        data = ['source = "train.npy"', 'labels = "labels.npy"']
    else:
        names, test = tables(model, raw, folder)
        header = str(model.get("has_header", True)).lower()
        data = ['source = "train.csv"', 'test_source = "test.csv"', f"header = {header}"]
        data += [f"label = {json.dumps(model['label'])}", model.get("data", "")]
    if "task" in model:
        data.append(f'task = "{model["task"]}"')
    text = SWEEP.format(
        name=model["name"],
        data="\n".join(data),
        epochs=model.get("epochs", 8),
        fixed=model.get("fixed", ""),
        space=model.get("space", ""),
        trials=model.get("trials", 4),
    )
    with open(os.path.join(folder, "sweep.toml"), "w", encoding="utf-8") as file:
        file.write(text)
    return names, test


def tables(model, raw, folder):
    """Writes the tables of the training and the test. Returns the names of the columns and the
    rows of the test."""
    has_header = model.get("has_header", True)
    if model["table"] is None:
        names, rows = houses()
    else:
        names, rows = read_table(os.path.join(raw, model["table"]), has_header)
    random.Random(1).shuffle(rows)
    test = rows[: len(rows) // 5]
    header = names if has_header else None
    write(os.path.join(folder, "train.csv"), header, rows[len(test) :])
    write(os.path.join(folder, "test.csv"), header, test)
    return names, test


def damage(config, names, rows):
    """The same rows with some cells emptied, and some categories replaced by unknown ones."""
    draw = random.Random(2)
    places = {column["name"]: column["type"] for column in config["schema"]["columns"]}
    damaged = []
    for row in rows:
        row = list(row)
        for place, name in enumerate(names):
            chance = draw.random()
            if name not in places:
                continue
            if chance < 0.03:
                row[place] = draw.choice(["", "NA", "?"])
            elif chance < 0.06 and places[name] == "category":
                row[place] = draw.choice(["never seen", "none", "Ünknown"])
        damaged.append(row)
    return damaged
