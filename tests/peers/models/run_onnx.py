"""Runs an ONNX model in the onnxruntime of this Python: run_onnx.py MODEL INPUTS.json OUTPUTS.json

The inputs are {"name": {"type": "float", "width": 3, "values": [...]}}, row by row, with null for
NaN. The outputs are {"name": [...]}.
"""

import json
import sys

import numpy
import onnxruntime

TYPES = {"float": numpy.float32, "double": numpy.float64, "uint8": numpy.uint8, "string": object}


def main():
    model, inputs, outputs = sys.argv[1:]
    with open(inputs, encoding="utf-8") as file:
        inputs = json.load(file)
    feed = {}
    for name, item in inputs.items():
        values = item["values"]
        if item["type"] in ("float", "double"):
            values = [numpy.nan if value is None else value for value in values]
        feed[name] = numpy.array(values, dtype=TYPES[item["type"]]).reshape(-1, item["width"])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    results = session.run(names, feed)
    flat = {name: numpy.asarray(result).ravel().tolist() for name, result in zip(names, results)}
    with open(outputs, "w", encoding="utf-8") as file:
        json.dump(flat, file)


if __name__ == "__main__":
    main()
