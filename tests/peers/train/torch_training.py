"""The training of caviar-nn, in PyTorch: every hyperparameter as docs/sweep-file.md defines it."""
import json
import math
import subprocess

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch_net import net, parameter_groups

DEFAULTS = {
    "learning_rate": 0.01, "momentum": 0.9, "units": 64, "batch_size": 64, "layers": 2,
    "schedule": "inverse_time", "optimizer": "momentum", "activation": "relu",
    "normalization": "before", "epochs": 30, "dropout": 0.0, "weight_decay": 0.0,
    "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "batch_norm_momentum": 0.9,
    "gradient_clip": 0.0, "label_smoothing": 0.0,
}
DECAYS = {"constant": 0.0, "inverse_time": 0.0, "exponential": 0.05, "step": 0.1, "cosine": 1.0,
          "one_cycle": 0.0, "cosine_cycles": 0.0}


def complete(assignment):
    """Returns the assignment with the defaults of the hyperparameters that it does not name."""
    h = DEFAULTS | assignment
    return {"learning_rate_decay": DECAYS[h["schedule"]]} | h


def examples(train_program, data, seed):
    """The splits that Caviar's trainer sees: by "train" and "validation", (features, classes)."""
    command = [train_program, json.dumps(data), str(seed), "--examples"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {
        name: (torch.tensor(split["features"]), torch.tensor(split["classes"]))
        for name, split in json.loads(output).items()
    }


def model_of(h, data):
    rows, classes = data["train"]
    hidden = [h.get(f"units_{layer}", h["units"]) for layer in range(1, h["layers"] + 1)]
    return net(rows.shape[1], hidden, int(classes.max()) + 1, h["activation"],
               h["normalization"], h["dropout"], h["batch_norm_momentum"])


def optimizer_of(h, model, **options):
    groups, name = parameter_groups(model, h["weight_decay"]), h["optimizer"]
    options = {"lr": h["learning_rate"]} | options
    if name in ("sgd", "momentum", "nesterov"):
        momentum = 0.0 if name == "sgd" else h["momentum"]
        return torch.optim.SGD(groups, momentum=momentum, nesterov=name == "nesterov", **options)
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, alpha=h["beta2"], eps=h["epsilon"], **options)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind(groups, betas=(h["beta1"], h["beta2"]), eps=h["epsilon"], **options)


def one_cycle(p):
    if p < 0.3:
        return 1 / 25 + (1 - 1 / 25) * p / 0.3
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (p - 0.3) / 0.7)) / 2


def rate_of(h, t, p):
    """The learning rate of epoch t = 0, 1, ... after the share p of all steps."""
    rate, d = h["learning_rate"], h["learning_rate_decay"]
    return {
        "constant": lambda: rate,
        "inverse_time": lambda: rate / (1 + d * t),
        "exponential": lambda: rate * math.exp(-d * t),
        "step": lambda: rate * 0.5 ** math.floor(d * t),
        "cosine": lambda: rate * (1 - d * (1 - math.cos(math.pi * t / h["epochs"])) / 2),
        "one_cycle": lambda: rate * one_cycle(p),
        "cosine_cycles": lambda: rate * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * p))) / 2,
    }[h["schedule"]]()


def batches(rows, size):
    """The (first, end) rows of the mini-batches; a last one of a single row is merged into the one
    before it."""
    count = rows // size if rows % size == 1 and rows > 1 else math.ceil(rows / size)
    return [(i * size, rows if i + 1 == count else (i + 1) * size) for i in range(count)]


def train_epoch(h, t, model, optimizer, loss_of, data):
    """Trains epoch t and returns the mean loss of its mini-batches.

    `loss_of(x, y)` is the model's loss, compiled or not.
    """
    order = torch.randperm(len(data["train"][0]))
    features, classes = (part[order] for part in data["train"])
    total = torch.zeros(())
    model.train()
    steps = batches(len(order), h["batch_size"])
    for number, (first, end) in enumerate(steps):
        if number == 0 or h["schedule"] in ("one_cycle", "cosine_cycles"):
            for group in optimizer.param_groups:
                group["lr"] = rate_of(h, t, (t + number / len(steps)) / h["epochs"])
        optimizer.zero_grad()
        loss = loss_of(features[first:end], classes[first:end])
        loss.backward()
        if h["gradient_clip"] > 0:
            nn.utils.clip_grad_norm_(model.parameters(), h["gradient_clip"])
        optimizer.step()
        total += loss.detach() * (end - first)
    return total.item() / len(order)


@torch.no_grad()
def validate(model, data):
    """Loss and accuracy on the validation split."""
    model.eval()
    features, classes = data["validation"]
    outputs = model(features)
    accuracy = (outputs.argmax(1) == classes).double().mean().item()
    return cross_entropy(outputs, classes).item(), accuracy


def train_all(h, model, optimizer, loss_of, data):
    """Trains and validates every epoch, and returns the last validation loss and accuracy.

    Stops after the first epoch with a loss that is not finite; the returned loss is then NaN.
    """
    for t in range(h["epochs"]):
        train_loss = train_epoch(h, t, model, optimizer, loss_of, data)
        loss, accuracy = validate(model, data)
        if not math.isfinite(train_loss) or not math.isfinite(loss):
            return math.nan, accuracy
    return loss, accuracy


def train(assignment, data, seed):
    """Trains an assignment in eager PyTorch; returns its final validation loss and accuracy."""
    torch.manual_seed(seed)
    h = complete(assignment)
    model = model_of(h, data)
    smoothing = h["label_smoothing"]
    loss_of = lambda x, y: cross_entropy(model(x), y, label_smoothing=smoothing)
    return train_all(h, model, optimizer_of(h, model), loss_of, data)
