"""The networks of caviar-nn, in PyTorch."""
import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


def net(features, hidden, outputs, activation="relu", normalization="before", dropout=0.0, momentum=0.9):
    """A network whose weights start as caviar's `auto` does: He for relu's kin, else Xavier; Xavier in the output layer.

    `momentum` is the share that a running average keeps; PyTorch's is the share that it takes.
    """
    modules, fan_in = [], features
    for units in hidden:
        modules.append(nn.Linear(fan_in, units, bias=normalization != "before"))
        initialise = nn.init.kaiming_normal_ if activation in ("relu", "leaky_relu", "gelu") else nn.init.xavier_normal_
        initialise(modules[-1].weight)
        norm = [nn.BatchNorm1d(units, momentum=1 - momentum)]
        curve = [ACTIVATIONS[activation]()]
        modules += {"before": norm + curve, "after": curve + norm, "none": curve}[normalization]
        if dropout > 0:
            modules.append(nn.Dropout(dropout))
        fan_in = units
    modules.append(nn.Linear(fan_in, outputs))
    nn.init.xavier_normal_(modules[-1].weight)
    for module in modules:
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return nn.Sequential(*modules)


def parameter_groups(model, weight_decay):
    """Decays the weights of the linear layers alone, as caviar-nn does."""
    decayed = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    kept = {id(parameter) for parameter in decayed}
    others = [parameter for parameter in model.parameters() if id(parameter) not in kept]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

