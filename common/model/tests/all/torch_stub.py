"""The parts of PyTorch and safetensors that model.py uses, in NumPy with 64-bit floats.

For tests on machines without PyTorch. The weights keep PyTorch's names and layout, and a module
refuses a weight that it lacks, has too much, or has with another shape.
"""

import json
import math
import struct
import sys
import types

import numpy as np


class Tensor(np.ndarray):
    def double(self):
        return self

    def to(self, dtype):
        return self if dtype is None else self.astype(dtype)

    def long(self):
        return self.astype(np.int64)

    device = None


class Module:
    def __init__(self):
        self.names = {}

    def __call__(self, x):
        return self.forward(x)

    def tensors(self, prefix=""):
        for key, value in vars(self).items():
            if isinstance(value, Module):
                yield from value.tensors(prefix + key + ".")
        for key in self.names:
            yield prefix + key, self, key

    def load_state_dict(self, given):
        own = {name: (module, key) for name, module, key in self.tensors()}
        assert sorted(own) == sorted(given), (sorted(own), sorted(given))
        for name, (module, key) in own.items():
            assert module.names[key] == given[name].shape, (name, given[name].shape)
            setattr(module, key, given[name].view(Tensor))

    def register_buffer(self, name, values):
        self.names[name] = values.shape
        setattr(self, name, values.view(Tensor))

    register_parameter = register_buffer

    def eval(self):
        return self


class ModuleList(Module):
    def __init__(self, modules):
        super().__init__()
        self.modules = list(modules)
        for number, module in enumerate(self.modules):
            setattr(self, str(number), module)

    def __iter__(self):
        return iter(self.modules)


class Linear(Module):
    def __init__(self, inputs, outputs, bias=True):
        super().__init__()
        self.names = {"weight": (outputs, inputs)}
        self.bias = 0.0
        if bias:
            self.names["bias"] = (outputs,)

    def forward(self, x):
        return x @ self.weight.T + self.bias


class BatchNorm1d(Module):
    def __init__(self, units, eps):
        super().__init__()
        self.eps = eps
        self.names = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (units,))

    def forward(self, x):
        scaled = (x - self.running_mean) / np.sqrt(self.running_var + self.eps)
        return scaled * self.weight + self.bias


def curve(function):
    class Curve(Module):
        def __init__(self, *arguments):
            super().__init__()
            self.arguments = arguments

        def forward(self, x):
            return function(x, *self.arguments)

    return Curve


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


nn = types.ModuleType("torch.nn")
nn.Module, nn.ModuleList, nn.Linear, nn.BatchNorm1d = Module, ModuleList, Linear, BatchNorm1d
nn.ReLU = curve(lambda x: np.maximum(x, 0))
nn.LeakyReLU = curve(lambda x, slope: np.where(x > 0, x, slope * x))
nn.Tanh = curve(np.tanh)
nn.Sigmoid = curve(sigmoid)
nn.GELU = curve(lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2)
nn.SiLU = curve(lambda x: x * sigmoid(x))
nn.Mish = curve(lambda x: x * np.tanh(np.log1p(np.exp(x))))
nn.SELU = curve(
    lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
)


def softmax(x, dim):
    powers = np.exp(x - x.max(axis=dim, keepdims=True))
    return powers / powers.sum(axis=dim, keepdims=True)


def tensor(values, dtype=np.float32):
    values = np.array(values)
    if values.dtype.kind in "iu":
        return values.view(Tensor)
    return values.astype(dtype).astype(np.float64).view(Tensor)


def load_file(path):
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header, numbers = json.loads(content[8 : 8 + length]), content[8 + length :]
    assert header.pop("__metadata__")["format"] == "pt"
    end, tensors = 0, {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        assert start == end and entry["dtype"] == "F32"
        values = np.frombuffer(numbers[start:stop], dtype="<f4").reshape(entry["shape"])
        tensors[name], end = values.astype(np.float64), stop
    assert end == len(numbers)
    return tensors


torch = types.ModuleType("torch")
torch.nn, torch.softmax, torch.tensor = nn, softmax, tensor
torch.zeros, torch.cat, torch.pi, torch.float64 = np.zeros, np.concatenate, math.pi, np.float64
for function in ("cos", "sqrt", "clip", "minimum", "maximum", "einsum", "round"):
    setattr(torch, function, getattr(np, function))
nn.Parameter = lambda values: values
safetensors = types.ModuleType("safetensors")
safetensors.torch = types.ModuleType("safetensors.torch")
safetensors.torch.load_file = load_file
for module in (torch, nn, safetensors, safetensors.torch):
    sys.modules[module.__name__] = module
