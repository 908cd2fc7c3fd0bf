"""Whether the files of a model predict what `caviar predict` predicts.

    pip install -r tests/peers/models/requirements.txt
    cargo build --release
    python tests/peers/models/compare.py --caviar target/release/caviar --raw FOLDER

README.md in this folder says what is compared. The exit code is 1 if a peer differs or fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import cells
import models

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = ["model", "what", "peer", "rows", "largest difference", "labels that differ", "result"]
FORMATS = "caviar,onnx,onnx-core,safetensors"
TOLERANCE = 1e-5


def call(arguments, folder="."):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
    return done.stdout


def make(caviar, model, raw, folder):
    """Trains the model, writes both folders of it, and predicts the later rows."""
    names, rows = models.prepare(model, raw, folder)
    call([caviar, "run", "sweep.toml"], folder)
    for output, more in [("plain", []), ("folded", ["--fold-batch-norm"])]:
        options = model.get("options", []) + more
        command = [caviar, "model", model["name"], "-o", output, "--format", FORMATS]
        call(command + options, folder)
    with open(os.path.join(folder, "plain", "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    later = "later.npy"
    if names:
        later = "later.csv"
        rows = models.damage(config, names, rows)
        header = names if model.get("has_header", True) else None
        models.write(os.path.join(folder, later), header, rows)
    for output in ("plain", "folded"):
        call([caviar, "predict", output, later, "-o", output + ".csv"], folder)
    if read(folder, "plain.csv") != read(folder, "folded.csv"):
        raise RuntimeError("--fold-batch-norm changes what caviar predict predicts")
    return config, names, rows


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def expected(config, folder, width, has_header):
    """The predictions of Caviar, which follow `width` columns: their labels, and probabilities or
    values, row by row."""
    _, rows = cells.read_table(os.path.join(folder, "plain.csv"), has_header)
    labels = [row[width] for row in rows]
    if config["task"] == "regression":
        return None, [float(label) for label in labels]
    if any(len(row) != width + 1 + len(config["classes"]) for row in rows):
        raise RuntimeError("plain.csv does not have a column for each class")
    return labels, [float(cell) for row in rows for cell in row[width + 1 :]]


def compare(config, wanted, outputs):
    """The largest difference, and the number of labels that differ without a tie."""
    labels, numbers = wanted
    deviation = 1.0
    if labels is None:
        deviation = 1 / config["schema"]["label"]["standard"]["scale"]
    found = next(
        outputs[name] for name in ("probabilities", "value", "predictions", "label")
        if name in outputs
    )
    if len(found) != len(numbers):
        raise RuntimeError(f"{len(found)} numbers: expected {len(numbers)}")
    # NaN is a difference too, so the comparison is written to be false for it.
    differences = [abs(a - b) / deviation for a, b in zip(found, numbers)]
    if not all(difference < float("inf") for difference in differences):
        raise RuntimeError("a prediction is not finite")
    wrong = 0
    if labels is not None and "label" in outputs:
        width = len(config["classes"])
        for place, (label, own) in enumerate(zip(outputs["label"], labels)):
            label = label if isinstance(label, str) else config["classes"][int(label)]
            row = sorted(numbers[place * width : (place + 1) * width])
            wrong += label != own and row[-1] - row[-2] > TOLERANCE
    return max(differences), wrong


def inputs_of(config, names, rows, folder):
    """Writes the inputs of both forms to files, and returns their paths."""
    if names:
        columns = cells.Cells(config, names, rows)
        raw, matrix = cells.raw_inputs(columns), cells.features(columns)
    else:
        pixels = {"type": "uint8", "width": rows.shape[1], "values": rows.ravel().tolist()}
        raw, matrix = {"pixels": pixels}, cells.pixels(config, rows)
    if matrix.shape[1] != len(config["features"]):
        raise RuntimeError(f"{matrix.shape[1]} features: config.json names other ones")
    core = {"type": "float", "width": matrix.shape[1], "values": matrix.ravel().tolist()}
    paths = {}
    for form, inputs in [("raw", raw), ("core", {"features": core})]:
        for item in inputs.values():
            # JSON has no NaN, which is the only value that differs from itself.
            item["values"] = [value if value == value else None for value in item["values"]]
        paths[form] = os.path.join(folder, form + ".json")
        with open(paths[form], "w", encoding="utf-8") as file:
            json.dump(inputs, file)
    return paths


def can_import(python, modules):
    try:
        call([python, "-c", "import " + modules])
        return True
    except (RuntimeError, OSError):
        return False


def peers(options):
    """What runs the models: a name, and a function from the folder of the model, a form and paths
    of inputs to the command that writes the outputs."""
    script = lambda name: os.path.join(HERE, name)
    own = options.python
    found = []
    for name, python in [("onnxruntime", own), ("old onnxruntime", options.old_python)]:
        if python and can_import(python, "onnxruntime"):
            version = call([python, "-c", "import onnxruntime as o; print(o.__version__)"]).strip()
            found.append((f"onnxruntime {version}", [python, script("run_onnx.py")], "onnx"))
        else:
            print(f"skipped: {name}: no Python that has it; see README.md")
    if can_import(own, "pandas, onnxruntime"):
        found.append(("README.md, pandas", [own, script("run_readme.py")], "readme"))
    else:
        print("skipped: README.md: this Python lacks pandas or onnxruntime")
    if can_import(own, "torch, safetensors"):
        version = call([own, "-c", "import torch; print(torch.__version__)"]).strip()
        found.append((f"PyTorch {version}", [own, script("run_torch.py")], "torch"))
    else:
        print("skipped: PyTorch: this Python lacks torch or safetensors")
    if options.tract and os.path.exists(options.tract):
        found.append(("tract", [os.path.abspath(options.tract)], "onnx"))
    else:
        print("skipped: tract: --tract names no program; see README.md")
    return found


def commands(kind, folder, paths):
    """(what is run, arguments) for a peer of this kind."""
    if kind == "torch":
        return [("model.py", [os.path.join(folder, "plain"), paths["core"]])]
    if kind == "readme":
        return [("", [os.path.join(folder, "plain"), os.path.join(folder, "later.csv")])]
    return [
        (f"{name}{', folded' * (output == 'folded')}", [f"{folder}/{output}/{name}", paths[form]])
        for form, name in [("raw", "model.onnx"), ("core", "model-core.onnx")]
        for output in ("plain", "folded")
    ]


def row(*fields):
    print("| " + " | ".join(str(field) for field in fields) + " |", flush=True)


def check(model, options, programs, folder):
    """Prints a row for each peer, and returns whether all agree."""
    config, names, rows = make(options.caviar, model, options.raw, folder)
    wanted = expected(config, folder, len(names), model.get("has_header", True))
    paths = inputs_of(config, names, rows, folder)
    agrees = True
    for peer, program, kind in programs:
        if kind == "readme" and not names:
            continue
        for what, arguments in commands(kind, folder, paths):
            title = f"{peer} {what}".strip()
            outputs = os.path.join(folder, "outputs.json")
            try:
                call(program + arguments + [outputs])
                with open(outputs, encoding="utf-8") as file:
                    largest, wrong = compare(config, wanted, json.load(file))
                is_good = largest <= TOLERANCE and wrong == 0
                figures = [len(rows), f"{largest:.1e}", wrong, "equal" if is_good else "DIFFERS"]
            except RuntimeError as error:
                is_good = False
                reason = str(error).splitlines()[-1][:200].replace("|", "/")
                figures = [len(rows), "", "", "FAILED: " + reason]
                if options.verbose:
                    print(error, file=sys.stderr)
            row(model["name"], model["what"], title, *figures)
            agrees = agrees and is_good
    return agrees


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caviar", required=True)
    parser.add_argument("--raw", required=True, help="the folder with the raw tables")
    parser.add_argument("--only", default="", help="names of models, separated by commas")
    parser.add_argument("--python", default=sys.executable, help="runs onnxruntime and PyTorch")
    parser.add_argument("--old-python", default="", help="a Python with an older onnxruntime")
    parser.add_argument("--tract", default="", help="a program that runs tract; see README.md")
    parser.add_argument("--verbose", action="store_true", help="show errors of peers in full")
    parser.add_argument("--keep", default="", help="a folder for all files, which is kept")
    options = parser.parse_args()
    options.caviar = os.path.abspath(options.caviar)
    only = [name for name in options.only.split(",") if name]
    programs = peers(options)
    row(*COLUMNS)
    print("|" + "---|" * len(COLUMNS))
    agrees = True
    with tempfile.TemporaryDirectory() as temporary:
        for model in models.MODELS:
            if only and model["name"] not in only:
                continue
            folder = os.path.join(os.path.abspath(options.keep or temporary), model["name"])
            os.makedirs(folder)
            try:
                agrees = check(model, options, programs, folder) and agrees
            except (RuntimeError, OSError, ValueError) as error:
                agrees = False
                row(model["name"], model["what"], "", "", "", "", f"FAILED: {error}")
    sys.exit(0 if agrees else 1)


if __name__ == "__main__":
    main()
