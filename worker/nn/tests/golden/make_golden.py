#!/usr/bin/env python3
"""Writes golden.json: what PyTorch computes, in f64, for small networks.

usage: make_golden.py > golden.json      (pip install torch numpy)

Parameters, gradients and updated parameters are flat lists, layer by layer: W [inputs][outputs], b, gamma, beta, as far as
the layer has them. Mini-batches are the halves of the examples in turn.
"""
import json

import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
STEPS = 20
ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
# name: normalisation, activation, features, hidden, outputs (1 with classes False: regression), examples a mini-batch
NETS = [
    ("before", "relu", 5, [7, 4], 3, True, 9),
    ("before", "gelu", 3, [17], 1, False, 6),
    ("after", "tanh", 4, [6, 5], 3, True, 8),
    ("after", "leaky_relu", 2, [5], 1, False, 7),
    ("none", "sigmoid", 5, [6], 4, True, 5),
]
OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.05),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
    "nesterov": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, alpha=0.95, eps=1e-3),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
}
DECAY, CLIP, MOMENTUM = 0.1, 0.2, 0.8


class Net(nn.Module):
    def __init__(self, normalization, activation, features, hidden, outputs):
        super().__init__()
        widths = [features, *hidden, outputs]
        self.normalization, self.activation = normalization, ACTIVATIONS[activation]()
        self.linears, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
            is_output = i == len(hidden)
            self.linears.append(nn.Linear(fan_in, fan_out, bias=is_output or normalization != "before"))
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
        """(tensor, is it a weight matrix), in the order of the file."""
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
            {"params": [t for t, is_weight in self.tensors() if is_weight], "weight_decay": decay},
            {"params": [t for t, is_weight in self.tensors() if not is_weight], "weight_decay": 0.0},
        ]


def make(net, seed):
    normalization, activation, features, hidden, outputs, has_classes, batch = net
    torch.manual_seed(seed)
    model = Net(normalization, activation, features, hidden, outputs)
    with torch.no_grad():
        for t, _ in model.tensors():
            # Values that an f32 has, so that both sides start alike.
            t.copy_((t + 0.3 * torch.randn_like(t)).float().double())
    x = torch.randn(2 * batch, features).float().double()
    y = torch.randint(outputs, (2 * batch,)) if has_classes else torch.randn(2 * batch).float().double()
    return model, x, y, (lambda z, t: F.cross_entropy(z, t)) if has_classes else (lambda z, t: F.mse_loss(z[:, 0], t))


def train(net, seed, optimizer, decay, clip):
    model, x, y, loss_of = make(net, seed)
    batch = net[-1]
    update = OPTIMIZERS[optimizer](model.groups(decay))
    for step in range(STEPS):
        half = slice(0, batch) if step % 2 == 0 else slice(batch, 2 * batch)
        update.zero_grad()
        loss_of(model(x[half]), y[half]).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        update.step()
    return model.flat()


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def case(net, seed):
    normalization, activation, features, hidden, outputs, has_classes, batch = net
    model, x, y, loss_of = make(net, seed)
    result = {
        "normalization": normalization, "activation": activation, "hidden": hidden, "outputs": outputs, "batch": batch,
        "batch_norm_momentum": MOMENTUM, "features": x.tolist(), "parameters": model.flat(),
        "classes": y.tolist() if has_classes else None, "values": None if has_classes else y.tolist(),
    }
    loss = loss_of(model(x[:batch]), y[:batch])
    loss.backward()
    result["loss"], result["gradients"] = loss.item(), model.flat(lambda t: t.grad)
    result["running_means"] = [v for norm in model.norms for v in norm.running_mean.tolist()]
    result["running_variances"] = [v for norm in model.norms for v in norm.running_var.tolist()]
    model.eval()
    result["evaluated_loss"] = loss_of(model(x[batch:]), y[batch:]).item()
    result["trained"] = [
        {"optimizer": name, "weight_decay": decay, "gradient_clip": clip, "parameters": train(net, seed, name, decay, clip)}
        for name in OPTIMIZERS for decay, clip in [(0.0, 0.0), (DECAY, CLIP)]
    ]
    return result


print(json.dumps(rounded([case(net, 7 + i) for i, net in enumerate(NETS)])))
