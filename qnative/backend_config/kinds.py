"""Which aten ops the patterns of a BackendConfig stand for.

After torch.export nobody can tell nn.Conv2d from F.conv2d or x.relu() from torch.relu(x): all names
of one computation stand for one kind of aten op, and a sequence is a tuple of kinds.
"""

import operator
import re
from typing import Any

import torch
import torch.nn.functional as F

from ._names import name_of

Kinds = tuple[str, ...]

# Module classes whose kind is not their name in snake case, by class name: this also covers the
# QAT and intrinsic modules of torch.ao, which are going away.
_MODULES: dict[str, Kinds] = {
    "ReLU": ("relu",),
    "ReLU6": ("relu6",),
    "LeakyReLU": ("leaky_relu",),
    "PReLU": ("prelu",),
    "ELU": ("elu",),
    "CELU": ("celu",),
    "SELU": ("selu",),
    "GELU": ("gelu",),
    "SiLU": ("silu",),
    "LogSigmoid": ("log_sigmoid",),
    "LinearReLU": ("linear", "relu"),
    "LinearBn1d": ("linear", "batch_norm"),
    "LSTM": ("lstm",),
    "GRU": ("gru",),
    "RNNCell": ("rnn_tanh_cell",),
    "LSTMCell": ("lstm_cell",),
    "GRUCell": ("gru_cell",),
}
for _d in "123":
    _MODULES |= {
        f"BatchNorm{_d}d": ("batch_norm",),
        f"InstanceNorm{_d}d": ("instance_norm",),
        f"BNReLU{_d}d": ("batch_norm", "relu"),
        f"ConvReLU{_d}d": (f"conv{_d}d", "relu"),
        f"ConvBn{_d}d": (f"conv{_d}d", "batch_norm"),
        f"ConvBnReLU{_d}d": (f"conv{_d}d", "batch_norm", "relu"),
    }
# functions whose names are not those of their kinds; boolean_dispatch calls all it makes "fn".
_FUNCTIONS = {
    F.max_pool1d: "max_pool1d",
    F.max_pool2d: "max_pool2d",
    F.max_pool3d: "max_pool3d",
    F.threshold: "threshold",
    operator.floordiv: "floor_divide",
    operator.truediv: "div",
}


def all_kinds_of(pattern: Any) -> Kinds:
    """("conv2d", "batch_norm") for nni.ConvBn2d and for ("conv2d", "batch_norm2d")."""
    if isinstance(pattern, tuple):
        kinds = sum(map(all_kinds_of, pattern), ())
    elif isinstance(pattern, str):
        kinds = (re.sub(r"^(batch|instance)_norm[123]d$", r"\1_norm", pattern.rstrip("_")),)
    elif isinstance(pattern, torch._ops.OpOverload):
        kinds = (pattern._schema.name.split("::")[1].rstrip("_"),)
    elif isinstance(pattern, type):
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", pattern.__name__).lower()
        kinds = _MODULES.get(pattern.__name__, (snake,))
    elif pattern in _FUNCTIONS:
        kinds = (_FUNCTIONS[pattern],)
    else:
        kinds = (getattr(pattern, "__name__", "").rstrip("_"),)
    return kinds


def is_op(name: str) -> bool:
    """Whether a name without a dot in a pattern can stand for something: an op or a method."""
    (op,) = all_kinds_of(name)
    owners = (torch.Tensor, torch.ops.aten, F, torch)
    return any(hasattr(owner, n) for owner in owners for n in (name, op))


def kinds_of(pattern: Any) -> Kinds:
    """("conv2d", "relu") for nni.ConvReLU2d and for (nn.Conv2d, F.relu); () for what has none.

    BatchNorm behind a convolution or linear op is left out: it is folded into the weights.
    """
    kinds = all_kinds_of(pattern)
    foldable = kinds and re.match(r"conv|linear", kinds[0])
    return kinds[:1] + tuple(k for k in kinds[1:] if k != "batch_norm") if foldable else kinds


def text_of(pattern: Any) -> str:
    """ "(torch.nn.Linear, torch.nn.ReLU)" """
    if isinstance(pattern, tuple):
        return f"({', '.join(map(text_of, pattern))})"
    return pattern if isinstance(pattern, str) else name_of(pattern)[0]
