"""What `caviar init` and `caviar run` make of public tables.

    pip install -r tests/peers/tables/requirements.txt
    cargo build --release
    python tests/peers/tables/run.py --caviar target/release/caviar [--raw FOLDER] [--only NAMES]

Every table is written to a file as pandas writes it. `caviar init` writes the sweep file from the
data and the name of the label, and `caviar run` runs it without an edit. The table that is printed
has the winner's score on the validation and the test split next to the baseline, and the warnings.
`--raw` names a folder with the tables that no package ships.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time

import tables

COLUMNS = ["table", "rows", "inputs", "validation", "test", "baseline", "seconds", "warnings"]


def call(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def figure(score):
    """The accuracy, or the loss of regression, which is 1 - R2."""
    if score is None:
        return ""
    accuracy = score.get("accuracy")
    return f"{accuracy:.3f}" if accuracy is not None else f"loss {score['loss']:.3f}"


def measure(caviar, folder, table, trials):
    name, label, task, path = table
    sweep = os.path.join(folder, name + ".toml")
    call([caviar, "init", path, "--label", label, "--output", sweep, "--trials", trials], folder)
    begun = time.monotonic()
    found = json.loads(call([caviar, "run", sweep, "--json"], folder))
    seconds = time.monotonic() - begun
    data, best = found["data"], found["best"]
    if found["spec"]["data"]["task"] != task:
        raise RuntimeError(f"the task is {found['spec']['data']['task']}: expected {task}")
    warnings = [note["code"] for note in data.get("notes", []) if note["level"] == "warning"]
    return {
        "table": name,
        "rows": data["train"] + data["validation"] + data["test"],
        "inputs": data["features"],
        "validation": figure(best["counting"]["validation"]),
        "test": figure((found.get("test") or {}).get("score")),
        "baseline": figure(data["baseline"]["test"]),
        "seconds": f"{seconds:.1f}",
        "warnings": ", ".join(warnings),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caviar", required=True)
    parser.add_argument("--raw", default="")
    parser.add_argument("--only", default="", help="names of tables, separated by commas")
    parser.add_argument("--trials", default="30")
    options = parser.parse_args()
    caviar = os.path.abspath(options.caviar)
    folder = tempfile.mkdtemp()
    only = [name for name in options.only.split(",") if name]
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for table in tables.write(folder, options.raw):
        if only and table[0] not in only:
            continue
        try:
            row = measure(caviar, folder, table, options.trials)
            print("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |", flush=True)
        except RuntimeError as error:
            print(f"| {table[0]} | refused: {str(error).splitlines()[0]} |", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
