"""The networks of caviar-nn, in PyTorch."""
import torch
from torch import nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
}
HE = ("relu", "leaky_relu", "gelu", "silu", "mish")
LECUN = ("selu",)


def net(features, hidden, outputs, activation="relu", normalization="before", dropout=0.0,
        momentum=0.9):
    """Returns a network whose initial weights have the distribution of Caviar's `init = "auto"`.

    That is He for the activations in HE, LeCun for those in LECUN, Xavier for the others and for
    the output layer.
    `momentum` is the weight of the old value in a running average; PyTorch's is that of the new.
    """
    modules, fan_in = [], features
    for units in hidden:
        modules.append(nn.Linear(fan_in, units, bias=normalization != "before"))
        if activation in LECUN:
            nn.init.kaiming_normal_(modules[-1].weight, nonlinearity="linear")
        else:
            is_he = activation in HE
            (nn.init.kaiming_normal_ if is_he else nn.init.xavier_normal_)(modules[-1].weight)
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
    """Groups in which only the weights of the linear layers decay, as in caviar-nn."""
    decayed = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    decayed_ids = {id(parameter) for parameter in decayed}
    others = [parameter for parameter in model.parameters() if id(parameter) not in decayed_ids]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
