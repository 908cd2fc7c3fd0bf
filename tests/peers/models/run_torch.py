"""Runs model.py and model.safetensors in PyTorch: run_torch.py FOLDER INPUTS.json OUTPUTS.json

The files are those of run_onnx.py; the input is `features`.
"""

import json
import os
import sys

import torch


def main():
    folder, inputs, outputs = (os.path.abspath(path) for path in sys.argv[1:])
    with open(inputs, encoding="utf-8") as file:
        item = json.load(file)["features"]
    os.chdir(folder)
    sys.path.insert(0, folder)
    import model

    features = torch.tensor(item["values"], dtype=torch.float32).reshape(-1, item["width"])
    network = model.load()
    with torch.no_grad():
        predicted = model.predict(network, features)
    with open(outputs, "w", encoding="utf-8") as file:
        json.dump({"predictions": predicted.flatten().tolist()}, file)


if __name__ == "__main__":
    main()
