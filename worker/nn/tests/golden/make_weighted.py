#!/usr/bin/env python3
"""Writes weighted.json: weighted losses and their gradients by scikit-learn's MLP, in f64.

usage: make_weighted.py > weighted.json      (pip install "scikit-learn>=1.7" numpy)

Parameters and gradients are flat lists, layer by layer: W [inputs][outputs] and then b. The loss is
the mean over the rows by their weights. scikit-learn's squared loss is half the squared error, so
it is doubled here.
"""
import json
import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

warnings.filterwarnings("ignore")
ROWS, FEATURES, HIDDEN = 11, 4, 5
SETTINGS = {
    "hidden_layer_sizes": (HIDDEN,), "activation": "tanh", "alpha": 0.0, "max_iter": 1,
    "batch_size": ROWS,
}


def case(kind, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32).astype(np.float64)
    weights = rng.integers(0, 9, ROWS) / 2.0
    if kind == "classes":
        targets = np.arange(ROWS) % 3
        model = MLPClassifier(**SETTINGS)
        onehot = np.eye(3)[targets]
    else:
        targets = rng.normal(size=ROWS).astype(np.float32).astype(np.float64)
        model = MLPRegressor(**SETTINGS)
        onehot = targets.reshape(-1, 1)
    model.fit(x, targets)
    for parts in (model.coefs_, model.intercepts_):
        for part in parts:
            part[...] = rng.normal(size=part.shape).astype(np.float32)
    activations = [x, None, None]
    widths = [FEATURES, HIDDEN, onehot.shape[1]]
    for i in (1, 2):
        activations[i] = np.empty((ROWS, widths[i]))
    empty = [None, None]
    loss, by_weights, by_bias = model._backprop(
        x, onehot, weights, activations, empty.copy(), empty.copy(), empty.copy()
    )
    factor = 1.0 if kind == "classes" else 2.0

    def flat(weights, biases):
        return [v for w, b in zip(weights, biases) for v in [*w.ravel(), *b]]

    return {
        "features": x.tolist(),
        kind: targets.tolist(),
        "weights": weights.tolist(),
        "parameters": flat(model.coefs_, model.intercepts_),
        "loss": factor * loss,
        "gradients": (factor * np.array(flat(by_weights, by_bias))).tolist(),
    }


print(json.dumps([case("classes", 1), case("values", 2)], indent=1))
