#!/usr/bin/env python3
"""Writes stage.json: scaled and embedded numbers as scikit-learn and NumPy compute them.

usage: make_stage.py > stage.json      (pip install numpy scikit-learn)

Each column of the training split is a different kind of distribution. The scaled columns are those
of RealMLP's robust scaling with smooth clipping, and of QuantileTransformer. The encodings are
those of Gorishniy et al. 2022: piecewise linear, and periodic with a bias (PBLD) in the form of
PyTorch, cos(2 pi w x + b) @ W + c.
"""
import json

import numpy as np
from sklearn.preprocessing import QuantileTransformer

ROWS, OTHERS, QUANTILES, BINS, PERIODS, SIZE = 600, 40, 256, 48, 16, 3
rng = np.random.default_rng(5)


def single(values):
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def columns(rows):
    normal = rng.normal(size=rows)
    heavy = rng.standard_t(1.5, size=rows)
    zeros = np.where(rng.random(rows) < 0.8, 0.0, rng.exponential(size=rows))
    steps = rng.integers(0, 5, size=rows) / 2.0
    return single(np.stack([normal, heavy, zeros, steps, np.full(rows, 0.25)], axis=1))


def robust(train, x):
    lower, median, upper = np.quantile(train, [0.25, 0.5, 0.75], axis=0)
    width = upper - lower
    width = np.where(width == 0, 0.5 * (train.max(axis=0) - train.min(axis=0)), width)
    factor = np.where(width == 0, 0.0, 1 / np.where(width == 0, 1, width))
    u = factor * (x - median)
    return u / np.sqrt(1 + (u / 3) ** 2)


def quantile(train, x):
    transformer = QuantileTransformer(
        n_quantiles=QUANTILES, output_distribution="normal", subsample=None
    )
    return transformer.fit(train).transform(x)


def piecewise_linear(train, x):
    encoded = np.zeros((*x.shape, BINS))
    for column in range(x.shape[1]):
        edges = np.unique(single(np.quantile(train[:, column], np.linspace(0, 1, BINS + 1))))
        for bin in range(len(edges) - 1):
            low, high = edges[bin : bin + 2]
            value = (x[:, column] - low) / (high - low)
            if bin > 0:
                value = np.maximum(value, 0)
            if bin < len(edges) - 2:
                value = np.minimum(value, 1)
            encoded[:, column, bin] = value
    return encoded


train, others = columns(ROWS), columns(OTHERS)
others[0], others[1] = 50.0, -50.0
count = train.shape[1]
frequencies, phases = single(rng.normal(size=(2, count, PERIODS)))
phases = single(np.pi * np.tanh(phases))
cosines = np.cos(2 * np.pi * frequencies * others[:, :, None] + phases)
weights = single(rng.uniform(-0.25, 0.25, size=(count, PERIODS, SIZE)))
bias = single(rng.uniform(-0.25, 0.25, size=(count, SIZE)))
bins = single(rng.uniform(-0.25, 0.25, size=(count, BINS, SIZE)))


def linear(values, weights):
    return (np.einsum("ncf,cfs->ncs", values, weights) + bias).reshape(len(values), -1)


def listed(values):
    return [float(f"{value:.9g}") for value in np.asarray(values).flatten()]


print(json.dumps({
    "train": listed(train), "others": listed(others), "columns": count, "size": SIZE,
    "robust": listed(robust(train, others)), "quantile": listed(quantile(train, others)),
    "frequencies": listed(frequencies), "phases": listed(phases), "weights": listed(weights),
    "bias": listed(bias), "bin_weights": listed(bins),
    "periodic": listed(linear(cosines, weights)),
    "piecewise_linear": listed(linear(piecewise_linear(train, others), bins)),
}))
