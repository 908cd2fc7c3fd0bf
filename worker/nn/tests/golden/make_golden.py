#!/usr/bin/env python3
"""Writes golden.json: what PyTorch computes, in f64 and in f32, for small networks.

usage: make_golden.py > golden.json      (pip install torch numpy)

Parameters, gradients and updated parameters are flat lists, layer by layer: W [inputs][outputs],
then those of b, gamma and beta that the layer has. Steps use the two halves of the examples in
turn.
"""
import json

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
STEPS = 20
ACTIVATIONS = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "selu": nn.SELU,
}
NORMALIZATIONS = ["before", "after", "none"]
# Features, hidden units, outputs, True for classes (else regression), examples per mini-batch.
SHAPES = [
    (5, [6, 4], 3, True, 9), (3, [17], 1, False, 6), (4, [5, 3], 4, True, 8), (2, [7], 1, False, 7),
]
# Each normalisation with each activation; the shapes take turns. The last number is the label
# smoothing in training.
NETS = [
    (normalization, activation, *SHAPES[(3 * i + j) % len(SHAPES)], 0.0)
    for i, activation in enumerate(ACTIVATIONS)
    for j, normalization in enumerate(NORMALIZATIONS)
] + [("before", "silu", *SHAPES[0], 0.1), ("after", "mish", *SHAPES[2], 0.4)]
OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.05),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
    "nesterov": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, alpha=0.95, eps=1e-3),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
}
DECAY, CLIP, MOMENTUM, AVERAGE = 0.1, 0.2, 0.8, 0.9


class Net(nn.Module):
    def __init__(self, normalization, activation, features, hidden, outputs):
        super().__init__()
        widths = [features, *hidden, outputs]
        self.normalization, self.activation = normalization, ACTIVATIONS[activation]()
        self.linears, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
            is_output = i == len(hidden)
            has_bias = is_output or normalization != "before"
            self.linears.append(nn.Linear(fan_in, fan_out, bias=has_bias))
            if not is_output and normalization != "none":
                # PyTorch's momentum is the weight of the new value.
                self.norms.append(nn.BatchNorm1d(fan_out, eps=1e-5, momentum=1 - MOMENTUM))

    def forward(self, x):
        for i, linear in enumerate(self.linears):
            x = linear(x)
            if i == len(self.linears) - 1:
                return x
            if self.normalization == "before":
                x = self.activation(self.norms[i](x))
            elif self.normalization == "after":
                x = self.norms[i](self.activation(x))
            else:
                x = self.activation(x)

    def tensors(self):
        """Pairs of a tensor and True for a weight matrix, in the order of the file."""
        for i, linear in enumerate(self.linears):
            yield linear.weight, True
            if linear.bias is not None:
                yield linear.bias, False
            if i < len(self.norms):
                yield self.norms[i].weight, False
                yield self.norms[i].bias, False

    def flat(self, pick=lambda tensor: tensor):
        return [v for t, _ in self.tensors() for v in pick(t).detach().t().flatten().tolist()]

    def groups(self, decay):
        return [
            {"params": [t for t, is_weight in self.tensors() if is_weight],
             "weight_decay": decay},
            {"params": [t for t, is_weight in self.tensors() if not is_weight],
             "weight_decay": 0.0},
        ]


def make(net, seed, dtype):
    normalization, activation, features, hidden, outputs, has_classes, batch, smoothing = net
    torch.manual_seed(seed)
    model = Net(normalization, activation, features, hidden, outputs)
    with torch.no_grad():
        for t, _ in model.tensors():
            # Only values of an f32, so that both programs start alike.
            t.copy_((t + 0.3 * torch.randn_like(t)).float().double())
    x = torch.randn(2 * batch, features).float().double()
    if has_classes:
        loss_of = lambda z, t: F.cross_entropy(
            z, t, label_smoothing=smoothing if model.training else 0.0)
        return model.to(dtype), x.to(dtype), torch.randint(outputs, (2 * batch,)), loss_of
    y = torch.randn(2 * batch).float().double()
    return model.to(dtype), x.to(dtype), y.to(dtype), lambda z, t: F.mse_loss(z[:, 0], t)


def corrected_average(average, value, steps_before):
    """The exponential moving average with the bias correction of Adam."""
    return average + (1 - AVERAGE) / (1 - AVERAGE ** (steps_before + 1)) * (value - average)


def train(net, seed, dtype, training):
    """Returns the trained parameters, and what the averaged network has and computes."""
    model, x, y, loss_of = make(net, seed, dtype)
    batch = net[-2]
    average = AveragedModel(model, avg_fn=corrected_average, use_buffers=True)
    update = OPTIMIZERS[training["optimizer"]](model.groups(training["weight_decay"]))
    for step in range(STEPS):
        half = slice(0, batch) if step % 2 == 0 else slice(batch, 2 * batch)
        update.zero_grad()
        loss_of(model(x[half]), y[half]).backward()
        if training["gradient_clip"]:
            nn.utils.clip_grad_norm_(model.parameters(), training["gradient_clip"])
        update.step()
        average.update_parameters(model)
    model.eval()
    averaged = average.module.eval()
    averages = {"parameters": averaged.flat(), "running": running(averaged),
                "evaluated_loss": loss_of(averaged(x[batch:]), y[batch:]).item()}
    return model.flat(), averages


def running(model):
    return [v.tolist() for norm in model.norms for v in (norm.running_mean, norm.running_var)]


def computed(net, seed, dtype, trainings):
    model, x, y, loss_of = make(net, seed, dtype)
    batch = net[-2]
    loss = loss_of(model(x[:batch]), y[:batch])
    loss.backward()
    result = {"loss": loss.item(), "gradients": model.flat(lambda t: t.grad)}
    result["running"] = running(model)
    model.eval()
    result["evaluated_loss"] = loss_of(model(x[batch:]), y[batch:]).item()
    result["trained"] = [train(net, seed, dtype, training)[0] for training in trainings]
    # The average with Adam, the fifth optimiser.
    result["averaged"] = train(net, seed, dtype, trainings[4])[1]
    return rounded(result, 12 if dtype == torch.float64 else 9)


def rounded(value, digits):
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, list):
        return [rounded(v, digits) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    return value


def case(net, seed):
    normalization, activation, features, hidden, outputs, has_classes, batch, smoothing = net
    model, x, y, _ = make(net, seed, torch.float64)
    # Half of the nets use an optimiser without weight decay and clipping, the others with both.
    trainings = []
    for i, name in enumerate(OPTIMIZERS):
        has_extras = (seed + i) % 2
        trainings.append({"optimizer": name, "weight_decay": DECAY * has_extras,
                          "gradient_clip": CLIP * has_extras})
    return {
        "normalization": normalization,
        "activation": activation,
        "label_smoothing": smoothing,
        "hidden": hidden,
        "outputs": outputs,
        "batch": batch,
        "batch_norm_momentum": MOMENTUM,
        "features": rounded(x.tolist(), 9),
        "parameters": rounded(model.flat(), 9),
        "classes": y.tolist() if has_classes else None,
        "values": None if has_classes else rounded(y.tolist(), 9),
        "trainings": trainings,
        "f64": computed(net, seed, torch.float64, trainings),
        "f32": computed(net, seed, torch.float32, trainings),
    }


print("[" + ",\n".join(json.dumps(case(net, i)) for i, net in enumerate(NETS)) + "]")
