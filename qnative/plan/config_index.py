"""Which aten ops the patterns of a BackendConfig stand for.

After torch.export nobody can tell nn.Conv2d from F.conv2d or x.relu() from torch.relu(x): all names
of one computation stand for one kind of aten op, and a sequence is a tuple of kinds.
"""

import copy
import itertools
import operator
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from ..backend_config import BackendPatternConfig, get_native_backend_config
from ..backend_config._names import name_of
from ..graph.nodes import STORAGE_DTYPES, NoDtypes, Unsupported, kind
from ..graph.sequence import canonical, follow, is_kind
from . import constraints, custom, direct

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


class Match(NamedTuple):
    """A sequence of a config in a graph. rows: those for it, with their positions in the config;
    [] if it is there in part only, with what is missing."""

    nodes: tuple[Any, ...]
    rows: list[tuple[int, Any]]
    missing: str

    def near_miss(self, missing: str) -> str:
        return f"matched {' and '.join(node.name for node in self.nodes)}, but {missing}"


class ConfigIndex:
    """The rows of a BackendConfig by the kinds of their patterns.

    Rows that name another library's kernels stand apart: no op of qnative runs them.
    """

    def __init__(self, config: Any):
        self.name = config.name or "unnamed"
        self.rows = [row for row in config.configs if row.pattern is not None]
        self._rows: dict[Kinds, list[Any]] = {}
        self._kernels: dict[str, list[tuple[Kinds, Any]]] = {}
        for row in self.rows:
            kinds = kinds_of(row.pattern)
            if any(map(custom.is_custom, getattr(row, "ops", ()))):
                self._kernels.setdefault(canonical(kinds[0]), []).append((kinds, row))
            else:
                self._rows.setdefault(kinds, []).append(row)
        for rows in self._kernels.values():
            rows.sort(key=lambda item: -len(item[0]))
        self._sequences: dict[str, dict[Kinds, list[tuple[int, Any]]]] = {}
        for i, row in enumerate(config.configs):
            if row.pattern is not None:
                kinds = all_kinds_of(row.pattern)
                same = self._sequences.setdefault(kinds[0], {})
                same.setdefault(kinds, []).append((i, row))
        # nn.ReLU6 is exported as a hardtanh.
        if relu6 := self.find("relu6"):
            self._rows.setdefault(("hardtanh",), relu6)

    def find(self, *kinds: str) -> list[Any]:
        """The rows for a sequence of kinds; [] if the config has none."""
        return self._rows.get(tuple(map(canonical, kinds)), [])

    def matches(self, node: Any) -> list[Match]:
        """The sequences that begin with a node, whole or in part, the longest first. BatchNorm
        counts as an op of its own."""
        names = {kind(node), canonical(kind(node)), "relu6"}
        starts = [item for name in names for item in self._sequences.get(name, {}).items()]
        found = []
        for kinds, rows in sorted(starts, key=lambda item: (-len(item[0]), item[0])):
            if not is_kind(node, kinds[0]):
                continue
            nodes, why_not = follow(node, kinds)
            if len(nodes) == len(kinds):
                found.append(Match(nodes, rows, ""))
            elif why_not or len(nodes) > 1:
                missing = why_not or f"no {kinds[len(nodes)]} follows {nodes[-1].name}"
                found.append(Match(nodes, [], missing))
        return found

    def kernels(self, node: Any) -> list[tuple[Kinds, Any]]:
        """The rows with kernels of other libraries that may begin with this node, longest first."""
        return self._kernels.get(canonical(kind(node)), [])


def kernel_of(row: Any, kinds: Kinds) -> tuple[custom.Kernel, Any]:
    """The kernel that runs a row, and the DTypeConfig that names it: the first one that static
    8-bit quantization can use. Unsupported if there is none."""
    _, dtypes = static_dtypes([row], weighted=False)
    weighted = STORAGE_DTYPES.get(dtypes.weight_dtype) is not None
    if weighted:
        _, dtypes = static_dtypes([row], weighted=True)
    name = row.op(list(row.dtype_configs).index(dtypes))
    if not custom.is_custom(name):
        raise Unsupported(f"its static 8-bit dtypes name no kernel of another library: {name!r}")
    return custom.Kernel(name, kinds, weighted), dtypes


def text_of(pattern: Any) -> str:
    """ "(torch.nn.Linear, torch.nn.ReLU)" """
    if isinstance(pattern, tuple):
        return f"({', '.join(map(text_of, pattern))})"
    return pattern if isinstance(pattern, str) else name_of(pattern)[0]


def observation(row: Any) -> str:
    """Name of a row's ObservationType."""
    return row.observation_type.name


def static_dtypes(rows: Iterable[Any], weighted: bool) -> tuple[Any, Any]:
    """The first row and DTypeConfig that static 8-bit quantization can use. NoDtypes, with what
    there is, if there is none."""
    seen, wrong = {}, ""
    for row in rows:
        for config in row.dtype_configs:
            seen[describe(config)] = None
            if config.is_dynamic or config.input_dtype not in STORAGE_DTYPES:
                continue
            if config.output_dtype not in STORAGE_DTYPES:
                continue
            if weighted and STORAGE_DTYPES.get(config.weight_dtype) is not torch.int8:
                got = str(config.weight_dtype).removeprefix("torch.")
                wrong = f" (it takes an int8 weight with a scale per channel, got {got})"
                continue
            return row, config
    raise NoDtypes(
        f"the config has no static 8-bit dtypes for it, only {', '.join(seen) or 'none'}{wrong}"
    )


def require_dtypes(rows: Iterable[Any], mode: str) -> tuple[Any, Any]:
    """The first row and DTypeConfig that ask for ``mode``. Unsupported, with the dtypes there are,
    if there is none."""
    choices = [(row, config) for row in rows for config in row.dtype_configs]
    for row, config in choices:
        if direct.fits(mode, config):
            return row, config
    seen = ", ".join(dict.fromkeys(describe(config) for _, config in choices))
    raise NoDtypes(f"the config has no {mode} dtypes for it, only {seen}")


def choose_direct(mode: str, node: Any, rows: Iterable[Any]) -> tuple[Any, Any]:
    """The row and DTypeConfig by which a node runs in a mode of direct lowering, whose constraints
    it remembers. Unsupported for constraints that the mode cannot keep."""
    row, dtypes = require_dtypes(rows, mode)
    if mode == direct.DYNAMIC_INT8:
        constraints.check_run_time(dtypes, text_of(row.pattern))
    constraints.remember(node, dtypes, text_of(row.pattern))
    return row, dtypes


def describe(config: Any) -> str:
    """(input output weight) of a DTypeConfig."""
    dtypes = (config.input_dtype, config.output_dtype, config.weight_dtype)
    names = " ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"({names}{' dynamic' if config.is_dynamic else ''})"


# ---- upstream's FX -----------------------------------------------------------------------------


def fx_rows(row: Any) -> list[Any]:
    """The rows that tell upstream's FX what ``row`` says: FX knows modules, functions and methods,
    not the names of ops.

    Names of ops become every pattern of the native config for that computation, or, if it has
    none, the modules and functions of that name. Other rows are given as they are.
    """
    if not _has_op_names(row):
        return [row]
    native, kinds = get_native_backend_config(), kinds_of(row.pattern)
    rows = [copy.copy(other) for other in native.configs if _stands_for(other, kinds)]
    if not rows:
        patterns = itertools.product(*(_objects_of(kind) for kind in kinds))
        rows = [BackendPatternConfig(p if len(p) > 1 else p[0]) for p in patterns]
    root = next((r for r in native.configs if kinds_of(r.pattern) == kinds[:1] and _root(r)), None)
    for other in rows:
        other.set_dtype_configs(row.dtype_configs).set_observation_type(row.observation_type)
        other.set_ops(*row.ops)
        if root is not None and not _root(other):
            other.set_root_module(root.root_module)
            other.set_reference_quantized_module(root.reference_quantized_module)
    return rows


def _has_op_names(row: Any) -> bool:
    if isinstance(row.pattern, tuple):
        return all(isinstance(part, str) and "." not in part for part in row.pattern)
    if not isinstance(row.pattern, str) or "." in row.pattern:
        return False
    return any(map(custom.is_custom, row.ops)) or not hasattr(torch.Tensor, row.pattern)


def _stands_for(row: Any, kinds: Kinds) -> bool:
    return row.pattern is not None and kinds_of(row.pattern) == kinds


def _root(row: Any) -> bool:
    return row.root_module is not None and row.reference_quantized_module is not None


def _objects_of(name: str) -> list[Any]:
    """The modules, functions and methods of torch of this kind."""
    modules = [
        value
        for value in vars(torch.nn).values()
        if isinstance(value, type) and all_kinds_of(value) == (name,)
    ]
    functions = [getattr(owner, name, None) for owner in (F, torch)]
    found = [*modules, *(f for f in functions if f is not None)]
    if hasattr(torch.Tensor, name):
        found.append(name)
    if not found:
        raise ValueError(f"qnative: the pattern names an op {name!r} that torch does not have")
    return list(dict.fromkeys(found))
