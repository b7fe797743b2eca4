"""Which aten ops the patterns of a BackendConfig stand for.

After torch.export nobody can tell nn.Conv2d from F.conv2d or x.relu() from torch.relu(x): all names
of one computation stand for one kind of aten op, and a sequence is a tuple of kinds.
"""

import operator
import re
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F

from .lowering import direct
from .lowering.graph import STORAGE_DTYPES, NoDtypes

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
    operator.floordiv: "floor_divide",
}


# Kinds that a row for another one is meant for as well: nn.RNNCell has both nonlinearities.
_KIN = {
    "sub": "add",
    "rsub": "add",
    "div": "mul",
    "bmm": "matmul",
    "rnn_relu_cell": "rnn_tanh_cell",
}


def canonical(kind: str) -> str:
    """The kind that configs know: F.interpolate is exported as upsample_<mode>, and a difference is
    a sum."""
    if kind.startswith(("upsample_", "_upsample_")):
        return "interpolate"
    return _KIN.get(kind, kind)


def kinds_of(pattern: Any) -> Kinds:
    """("conv2d", "relu") for nni.ConvReLU2d and for (nn.Conv2d, F.relu); () for what has none.

    BatchNorm behind a convolution or linear op is left out: it is folded into the weights.
    """
    if isinstance(pattern, tuple):
        kinds = sum(map(kinds_of, pattern), ())
    elif isinstance(pattern, str):
        kinds = (pattern.rstrip("_"),)
    elif isinstance(pattern, torch._ops.OpOverload):
        kinds = (pattern._schema.name.split("::")[1].rstrip("_"),)
    elif isinstance(pattern, type):
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", pattern.__name__).lower()
        kinds = _MODULES.get(pattern.__name__, (snake,))
    elif pattern in _FUNCTIONS:
        kinds = (_FUNCTIONS[pattern],)
    else:
        kinds = (getattr(pattern, "__name__", "").rstrip("_"),)
    foldable = kinds and re.match(r"conv|linear", kinds[0])
    return kinds[:1] + tuple(k for k in kinds[1:] if k != "batch_norm") if foldable else kinds


class ConfigIndex:
    """The rows of a BackendConfig by the kinds of their patterns."""

    def __init__(self, config: Any):
        self.name = config.name or "unnamed"
        self._rows: dict[Kinds, list[Any]] = {}
        for row in config.configs:
            if row.pattern is not None:
                self._rows.setdefault(kinds_of(row.pattern), []).append(row)
        # nn.ReLU6 is exported as a hardtanh.
        if relu6 := self.find("relu6"):
            self._rows.setdefault(("hardtanh",), relu6)

    def find(self, *kinds: str) -> list[Any]:
        """The rows for a sequence of kinds; [] if the config has none."""
        return self._rows.get(tuple(map(canonical, kinds)), [])


def observation(row: Any) -> str:
    """Name of a row's ObservationType."""
    return row.observation_type.name


def static_dtypes(rows: Iterable[Any], weighted: bool) -> Any:
    """The first DTypeConfig of ``rows`` that static 8-bit quantization can use. NoDtypes, with what
    there is, if there is none."""
    seen = []
    for row in rows:
        for config in row.dtype_configs:
            seen.append(_describe(config))
            if config.is_dynamic or config.input_dtype not in STORAGE_DTYPES:
                continue
            if config.output_dtype not in STORAGE_DTYPES:
                continue
            if weighted and STORAGE_DTYPES.get(config.weight_dtype) is not torch.int8:
                continue
            return config
    raise NoDtypes(f"the config has no static 8-bit dtypes for it, only {', '.join(seen)}")


def require_dtypes(rows: Iterable[Any], mode: str) -> None:
    """NoDtypes, with the dtypes there are, if no DTypeConfig of ``rows`` asks for ``mode``."""
    configs = [config for row in rows for config in row.dtype_configs]
    if not any(direct.fits(mode, config) for config in configs):
        seen = ", ".join(map(_describe, configs))
        raise NoDtypes(f"the config has no {mode} dtypes for it, only {seen}")


def _describe(config: Any) -> str:
    dtypes = (config.input_dtype, config.output_dtype, config.weight_dtype)
    names = " ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"({names}{' dynamic' if config.is_dynamic else ''})"
