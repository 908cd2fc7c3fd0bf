"""Runs the Python of a model's README.md: run_readme.py FOLDER ROWS.csv OUTPUTS.json

It is the program below the heading "model.onnx", which reads `rows.csv` with pandas.
"""

import json
import os
import re
import shutil
import sys
import tempfile

import numpy


def main():
    folder, rows, outputs = (os.path.abspath(path) for path in sys.argv[1:])
    with open(os.path.join(folder, "README.md"), encoding="utf-8") as file:
        text = file.read()
    program = re.search(r"### model\.onnx\n\n```python\n(.*?)```", text, re.DOTALL).group(1)
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(rows, os.path.join(place, "rows.csv"))
        shutil.copy(os.path.join(folder, "model.onnx"), place)
        os.chdir(place)
        names = {}
        exec(compile(program, "README.md", "exec"), names)
        os.chdir("/")
    results = {
        name: numpy.asarray(names[name]).ravel().tolist()
        for name in ("label", "probabilities")
        if name in names
    }
    with open(outputs, "w", encoding="utf-8") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
