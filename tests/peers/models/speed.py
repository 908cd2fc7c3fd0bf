"""How fast `caviar predict` is, next to scikit-learn and onnxruntime, on one core.

    pip install -r tests/peers/models/requirements.txt
    cargo build --release
    python tests/peers/models/speed.py --caviar target/release/caviar

README.md in this folder says what is measured.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBERS, CATEGORIES = 15, 5
WORDS = ["red", "green", "blue", "black", "white", "grey", "orange", "violet"]
HIDDEN = [64, 64]
COLUMNS = ["program", "seconds", "fastest", "slowest", "rows per second", "peak memory, MiB"]
SWEEP = """name = "speed"
seed = 1
[data]
source = "train.csv"
label = "target"
[fixed]
epochs = 5
layers = {layers}
units = {units}
[space]
activation = {{ choices = ["relu"] }}
[search]
trials = 1
"""


def write_table(path, rows, seed):
    """A table of numbers and texts with a label that depends on some of them."""
    draw = numpy.random.default_rng(seed)
    numbers = [f"number_{place}" for place in range(NUMBERS)]
    texts = [f"text_{place}" for place in range(CATEGORIES)]
    with open(path, "w", encoding="utf-8") as file:
        file.write(",".join(numbers + texts + ["target"]) + "\n")
        for start in range(0, rows, 50_000):
            count = min(50_000, rows - start)
            values = draw.normal(size=(count, NUMBERS)).round(4)
            codes = draw.integers(len(WORDS), size=(count, CATEGORIES))
            score = values[:, 0] * values[:, 1] + (codes[:, 0] > 4) - 0.5
            target = numpy.where(score > 0, "yes", "no")
            for row, code, label in zip(values.tolist(), codes.tolist(), target):
                cells = [*map(str, row), *(WORDS[place] for place in code), label]
                file.write(",".join(cells) + "\n")


def train_sklearn(folder):
    import joblib
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = pandas.read_csv(os.path.join(folder, "train.csv"))
    target = rows.pop("target")
    numbers = [name for name in rows if name.startswith("number_")]
    texts = [name for name in rows if name.startswith("text_")]
    encode = ColumnTransformer(
        [
            ("numbers", StandardScaler(), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
        ]
    )
    network = MLPClassifier(hidden_layer_sizes=HIDDEN, max_iter=5, random_state=1)
    import warnings

    with warnings.catch_warnings():
        # Five epochs are as few as Caviar's; the speed does not depend on them.
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(encode, network).fit(rows, target)
    joblib.dump(pipeline, os.path.join(folder, "pipeline.joblib"))


def train_caviar(caviar, folder):
    with open(os.path.join(folder, "sweep.toml"), "w", encoding="utf-8") as file:
        file.write(SWEEP.format(layers=len(HIDDEN), units=HIDDEN[0]))
    for arguments in (
        ["run", "sweep.toml"],
        ["model", "speed", "-o", "model", "--format", "caviar,onnx", "--fold-batch-norm"],
    ):
        subprocess.run([caviar, *arguments], cwd=folder, check=True, capture_output=True)


def predict_sklearn(folder, output):
    import joblib
    import pandas

    pipeline = joblib.load(os.path.join(folder, "pipeline.joblib"))
    rows = pandas.read_csv(os.path.join(folder, "later.csv"))
    finish(rows, pipeline.predict_proba(rows), output)


def predict_onnxruntime(folder, output):
    import onnxruntime
    import pandas

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = os.path.join(folder, "model", "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rows = pandas.read_csv(os.path.join(folder, "later.csv"))
    names = {item.name: item.type for item in session.get_inputs()}
    feed = {
        name: rows[[name]].to_numpy(dtype=object if kind == "tensor(string)" else float)
        for name, kind in names.items()
    }
    finish(rows, session.run(["probabilities"], feed)[0], output)


def finish(rows, probabilities, output):
    """Writes what Caviar writes, if it is asked for."""
    if output:
        rows["prediction"] = numpy.where(probabilities[:, 1] > probabilities[:, 0], "yes", "no")
        rows["p_no"], rows["p_yes"] = probabilities[:, 0], probabilities[:, 1]
        rows.to_csv(output, index=False)


def measure(command, core, folder):
    """Seconds and the peak memory in MiB of a command on one core."""
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    errors, result = os.path.join(folder, "errors.txt"), os.path.join(folder, "measured.txt")
    measured = [sys.executable, "-S", os.path.join(HERE, "run_measured.py"), result, str(core)]
    with open(errors, "wb") as file:
        subprocess.run(
            measured + command,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=file,
            check=True,
        )
    with open(result, encoding="utf-8") as file:
        seconds, kib, code = file.read().split()
    if code != "0":
        with open(errors, encoding="utf-8") as file:
            raise RuntimeError(file.read().strip() or f"exit code {code}")
    return float(seconds), int(kib) / 1024


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.machine()


def compare(options, folder):
    write_table(os.path.join(folder, "train.csv"), options.train_rows, 1)
    write_table(os.path.join(folder, "later.csv"), options.rows, 2)
    train_caviar(options.caviar, folder)
    train_sklearn(folder)
    own = [sys.executable, os.path.abspath(__file__), "--folder", folder]
    # Each program writes to a file of its own, so that none replaces a file of another one.
    write = lambda name: ["--output", os.path.join(folder, name)] if options.write else []
    programs = {
        "caviar predict": [options.caviar, "predict", "model", "later.csv", "-o", "caviar.csv"],
        "pandas, scikit-learn": own + ["--child", "sklearn"] + write("sklearn.csv"),
        "pandas, onnxruntime": own + ["--child", "onnxruntime"] + write("onnxruntime.csv"),
    }
    runs = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, command in programs.items():
            runs[name].append(measure(command, options.core, folder))
    print(f"{options.rows} rows on one core of {processor()}, {options.rounds} rounds\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for name, found in runs.items():
        seconds = [second for second, _ in found]
        middle = statistics.median(seconds)
        figures = [f"{second:.2f}" for second in (middle, min(seconds), max(seconds))]
        memory = max(peak for _, peak in found)
        figures += [f"{options.rows / middle:.0f}", f"{memory:.0f}"]
        print("| " + " | ".join([name, *figures]) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caviar", default="")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--train-rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="the peers write a table as well")
    # What a measured process of this script does.
    parser.add_argument("--child", choices=["sklearn", "onnxruntime"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--output", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        predict = {"sklearn": predict_sklearn, "onnxruntime": predict_onnxruntime}[options.child]
        predict(options.folder, options.output)
        return
    if not options.caviar:
        parser.error("--caviar PATH is required")
    options.caviar = os.path.abspath(options.caviar)
    with tempfile.TemporaryDirectory() as folder:
        compare(options, folder)


if __name__ == "__main__":
    main()
