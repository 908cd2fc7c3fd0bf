"""How good the models of `caviar run` are on public tables, next to other programs.

    pip install -r tests/peers/tables/requirements.txt pytabkit torch
    cargo build --release
    python tests/peers/tables/accuracy.py --caviar target/release/caviar --raw FOLDER

Every program gets the same rows: a fifth is held back for the test, and a fifth of the rest judges
the trials. Caviar runs 60 trials of a file without `[space]`, and predicts with the best one and
with `--ensemble`. RealMLP-TD has tuned defaults and one training. The peers of scikit-learn draw 60
random settings. The error is 1 - accuracy, or the RMSE of regression. Each result is appended to a
file as soon as it is there, and what is in the file is not run again. accuracy.jsonl has what
all have reached so far, with times on a machine that was busy: begin with a copy of it, without the
lines of caviar to run that again.

RealMLP-TD has two threads, or OMP_NUM_THREADS: on a busy machine one is several times faster.

`--variant NAME=FILE` runs Caviar again with the sections of a TOML file, such as `[fixed]`, to see
what one ingredient gains. A line before the sections, such as `preset = "basic"`, counts too.
Defaults are decided on other tables, those of `--development`: what is chosen on the tables of the
test looks better there than it is.
"""

import argparse
import json
import math
import os
import subprocess
import tempfile
import time

import numpy
import pandas
from sklearn.model_selection import train_test_split

import tables

TABLES = {
    "attrition", "wa_churn", "credit_data", "mlc_churn", "spam7", "german", "breast_cancer",
    "letter", "ames", "abalone", "winequality-white", "concrete",
}
MORE = [
    ("letter", "Letter", "classification", "letter.csv"),
    ("abalone", "column9", "regression", "abalone.csv"),
    ("winequality-white", "column12", "regression", "winequality-white.csv"),
    ("concrete", "compressive_strength", "regression", tables.rdataset("modeldata", "concrete")),
]
DEVELOPMENT = [
    (item.lower(), label, task, tables.rdataset(package, item))
    for task, package, item, label in (
        ("classification", "modeldata", "cells", "class"),
        ("classification", "survival", "nwtco", "rel"),
        ("classification", "modeldata", "ad_data", "Class"),
        ("classification", "Stat2Data", "Titanic", "Survived"),
        ("classification", "MASS", "fgl", "type"),
        ("classification", "modeldata", "leaf_id_flavia", "species"),
        ("classification", "AER", "HMDA", "deny"),
        ("classification", "carData", "Chile", "vote"),
        ("classification", "MASS", "biopsy", "class"),
        ("classification", "ISLR", "OJ", "Purchase"),
        ("classification", "Ecdat", "Mode", "choice"),
        ("classification", "modeldata", "two_class_dat", "Class"),
        ("classification", "carData", "WVS", "poverty"),
        ("regression", "modeldata", "Sacramento", "price"),
        ("regression", "modeldata", "car_prices", "Price"),
        ("regression", "ISLR", "Carseats", "Sales"),
        ("regression", "MASS", "Boston", "medv"),
    )
]
TRIALS = 60
SHARE = 0.2


def load(raw, is_development):
    """(name, label, task, frame) of each table. Row numbers are left out."""
    of_test = [it for it in tables.TABLES + MORE if it[0] in TABLES]
    for name, label, task, source in DEVELOPMENT if is_development else of_test:
        if isinstance(source, str):
            path = os.path.join(raw, source)
            if not os.path.exists(path):
                print(f"skipped: {name}: no raw table {source}")
                continue
            has_header = not label.startswith("column")
            header = 0 if has_header else None
            frame = pandas.read_csv(path, header=header, sep=None, engine="python")
            if not has_header:
                frame.columns = [f"column{number}" for number in range(1, frame.shape[1] + 1)]
        else:
            frame = source()
        frame = frame.drop(columns=[it for it in frame.columns if it in ("rownames", "Unnamed: 0")])
        yield name, label, task, frame.dropna(subset=[label]).reset_index(drop=True)


def error(task, truth, predicted):
    if task == "classification":
        return float(numpy.mean(numpy.asarray(truth).astype(str) != numpy.asarray(predicted)))
    gaps = numpy.asarray(truth, dtype=float) - numpy.asarray(predicted, dtype=float)
    return float(math.sqrt(numpy.mean(gaps**2)))


def caviar(program, name, variant):
    """A peer that trains with Caviar, and predicts with its best trial and with an ensemble."""

    def predict(task, label, train, test, seed):
        with tempfile.TemporaryDirectory() as folder:
            train.to_csv(os.path.join(folder, "train.csv"), index=False)
            test.drop(columns=[label]).to_csv(os.path.join(folder, "test.csv"), index=False)
            top, sections = (variant + "[").split("[", 1)
            sections = ("[" + sections)[:-1]
            text = (
                f'name = "s"\nseed = {seed}\n{top}\n[data]\nsource = "train.csv"\n'
                f"label = {json.dumps(label)}\ntask = {json.dumps(task)}\n"
                f"validation = {SHARE}\ntest = 0\n[search]\ntrials = {TRIALS}\n{sections}"
            )
            with open(os.path.join(folder, "s.toml"), "w", encoding="utf-8") as file:
                file.write(text)
            for arguments in (
                ["run", "s.toml"],
                ["model", "s", "-o", "one"],
                ["model", "s", "-o", "all", "--ensemble"],
                ["predict", "one", "test.csv", "-o", "one.csv"],
                ["predict", "all", "test.csv", "-o", "all.csv"],
            ):
                done = subprocess.run([program] + arguments, cwd=folder, capture_output=True)
                if done.returncode != 0:
                    raise RuntimeError(done.stderr.decode().strip()[-500:])
            predicted = {
                key: pandas.read_csv(os.path.join(folder, file), dtype=str)["prediction"]
                for key, file in ((name, "one.csv"), (f"{name} ensemble", "all.csv"))
            }
            return predicted

    return predict


def parts(frame, label):
    inputs = frame.drop(columns=[label])
    texts = [name for name in inputs.columns if not pandas.api.types.is_numeric_dtype(inputs[name])]
    return inputs, [name for name in inputs.columns if name not in texts], texts


def encoder(numbers, texts, scaled):
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    impute = SimpleImputer(strategy="median", add_indicator=True)
    of_numbers = make_pipeline(impute, StandardScaler()) if scaled else "passthrough"
    one_hot = OneHotEncoder(handle_unknown="ignore", max_categories=50, sparse_output=False)
    return make_column_transformer((of_numbers, numbers), (one_hot, texts))


def searched(make, space, scaled):
    """A peer that draws settings of an estimator of scikit-learn."""
    from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit, StratifiedShuffleSplit
    from sklearn.pipeline import Pipeline

    def predict(task, label, train, test, seed):
        inputs, numbers, texts = parts(train, label)
        steps = [("encode", encoder(numbers, texts, scaled)), ("model", make(task, seed))]
        has_classes = task == "classification"
        split = (StratifiedShuffleSplit if has_classes else ShuffleSplit)(
            1, test_size=SHARE, random_state=seed
        )
        score = "accuracy" if has_classes else "neg_root_mean_squared_error"
        search = RandomizedSearchCV(
            Pipeline(steps), space, n_iter=TRIALS, cv=split, scoring=score, n_jobs=2,
            random_state=seed,
        )
        target = train[label].astype(str) if has_classes else train[label]
        search.fit(inputs.astype({name: str for name in texts}), target)
        later = test.drop(columns=[label]).astype({name: str for name in texts})
        return search.predict(later)

    return predict


def mlp():
    from scipy.stats import loguniform
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    def make(task, seed):
        kind = MLPClassifier if task == "classification" else MLPRegressor
        return kind(random_state=seed, early_stopping=True, max_iter=200)

    widths = [(a,) * n for a in (32, 64, 128, 256) for n in (1, 2, 3)]
    space = {
        "model__hidden_layer_sizes": widths,
        "model__learning_rate_init": loguniform(1e-4, 1e-1),
        "model__alpha": loguniform(1e-6, 1e-1),
        "model__batch_size": [32, 64, 128, 256],
        "model__activation": ["relu", "tanh"],
    }
    return searched(make, space, scaled=True)


def boosting():
    from scipy.stats import loguniform, randint
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def make(task, seed):
        has_classes = task == "classification"
        kind = HistGradientBoostingClassifier if has_classes else HistGradientBoostingRegressor
        return kind(random_state=seed, early_stopping=True, max_iter=500)

    space = {
        "model__learning_rate": loguniform(1e-2, 5e-1),
        "model__max_leaf_nodes": randint(4, 128),
        "model__min_samples_leaf": randint(2, 60),
        "model__l2_regularization": loguniform(1e-6, 1e1),
    }
    return searched(make, space, scaled=False)


def realmlp(task, label, train, test, seed):
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    inputs, numbers, texts = parts(train, label)
    later = test.drop(columns=[label])
    # It does not take missing numbers.
    middle = inputs[numbers].median()

    def ready(frame):
        frame = frame.copy()
        gaps = [name for name in numbers if inputs[name].isna().any()]
        for name in gaps:
            frame[name + " is missing"] = frame[name].isna().astype(float)
        frame[numbers] = frame[numbers].fillna(middle)
        return frame.astype({name: str for name in texts})

    has_classes = task == "classification"
    kind = RealMLP_TD_Classifier if has_classes else RealMLP_TD_Regressor
    model = kind(
        device="cpu", random_state=seed, n_cv=1, val_fraction=SHARE, verbosity=0,
        n_threads=int(os.environ.get("OMP_NUM_THREADS", "2")),
    )
    target = train[label].astype(str) if has_classes else train[label]
    model.fit(ready(inputs), target, cat_col_names=texts)
    return model.predict(ready(later))


def ratios(results, peer, other):
    """The geometric mean of error(peer) / error(other), over tables and seeds."""
    found = {(it["table"], it["seed"], it["peer"]): it["error"] for it in results}
    logs = [
        math.log(max(value, 1e-4) / max(found[(table, seed, other)], 1e-4))
        for (table, seed, name), value in found.items()
        if name == peer and (table, seed, other) in found
    ]
    return (math.exp(sum(logs) / len(logs)), len(logs)) if logs else (float("nan"), 0)


def summary(results):
    peers = sorted({it["peer"] for it in results})
    print("| peer | " + " | ".join(f"error / {other}" for other in peers) + " | seconds |")
    print("|---" * (len(peers) + 2) + "|")
    for peer in peers:
        cells = [f"{value:.3f} ({n})" for value, n in (ratios(results, peer, o) for o in peers)]
        seconds = [it["seconds"] for it in results if it["peer"] == peer]
        print(f"| {peer} | " + " | ".join(cells) + f" | {numpy.mean(seconds):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caviar", required=True)
    parser.add_argument("--raw", default="")
    parser.add_argument("--results", default="accuracy.jsonl")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="the tables, separated by commas")
    parser.add_argument("--peers", help="the peers, separated by commas")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=FILE")
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.caviar)
    peers = {
        "caviar": caviar(program, "caviar", ""),
        "realmlp": realmlp,
        "mlp": mlp(),
        "boosting": boosting(),
    }
    for variant in arguments.variant:
        name, path = variant.split("=", 1)
        with open(path, encoding="utf-8") as file:
            peers[name] = caviar(program, name, file.read())
    chosen = arguments.peers.split(",") if arguments.peers else list(peers)
    results = []
    if os.path.exists(arguments.results):
        with open(arguments.results, encoding="utf-8") as file:
            results = [json.loads(line) for line in file]
    done = {(it["table"], it["seed"], it["peer"]) for it in results}
    for name, label, task, frame in load(arguments.raw, arguments.development):
        if arguments.only and name not in arguments.only.split(","):
            continue
        for seed in range(arguments.seeds):
            by = frame[label] if task == "classification" else None
            train, test = train_test_split(frame, test_size=SHARE, random_state=seed, stratify=by)
            for peer in chosen:
                if (name, seed, peer) in done:
                    continue
                start = time.monotonic()
                try:
                    predicted = peers[peer](task, label, train, test, seed)
                except Exception as problem:  # A peer that fails must not end the others.
                    print(f"{name} {seed} {peer}: {problem}", flush=True)
                    continue
                seconds = time.monotonic() - start
                by_name = predicted if isinstance(predicted, dict) else {peer: predicted}
                for key, values in by_name.items():
                    result = {
                        "table": name, "seed": seed, "peer": key,
                        "error": error(task, test[label], values), "seconds": round(seconds, 1),
                    }
                    results.append(result)
                    print(json.dumps(result), flush=True)
                    with open(arguments.results, "a", encoding="utf-8") as file:
                        file.write(json.dumps(result) + "\n")
    summary(results)


if __name__ == "__main__":
    main()
