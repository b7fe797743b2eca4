"""Eager mode: upstream's ``quantize_dynamic``, ending in the modules of ``qnative.nn``."""

import copy
import functools
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .. import nn as qnn
from ..graph.export import refuse_script
from ..graph.nodes import Unsupported
from ..plan.modes import check_group_size
from ..report import FLOAT, QUANTIZED, Report, Row

if TYPE_CHECKING:
    from torch.ao.quantization import QConfig

    Layer: TypeAlias = type[torch.nn.Module] | str
    Layers: TypeAlias = set[Layer] | frozenset[Layer]
    QConfigSpec: TypeAlias = Layers | dict[Layer, QConfig | torch.dtype | None] | None

_RECURRENT = ("LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell")
_CONVS = tuple(f"Conv{kind}{dims}d" for kind in ("", "Transpose") for dims in (1, 2, 3))
MAPPING = {
    getattr(torch.nn, name): getattr(qnn, name)
    for name in ("Linear", *_CONVS, *_RECURRENT, "Embedding", "EmbeddingBag")
}
_MULTIPLIED = [torch.nn.Linear, *(getattr(torch.nn, name) for name in _RECURRENT)]
# Types that are quantized if the caller only gives a dtype: upstream's.
_DEFAULTS = {
    torch.qint8: _MULTIPLIED,
    torch.float16: _MULTIPLIED,
    torch.quint8: [torch.nn.Embedding, torch.nn.EmbeddingBag],
    torch.quint4x2: [torch.nn.EmbeddingBag],
}
# Hooks that compute the weight of a module from parameters: those of torch.nn.utils.weight_norm and
# spectral_norm.
_WEIGHT_HOOKS = (WeightNorm, SpectralNorm)


class _Weight(NamedTuple):
    dtype: torch.dtype


class _QConfig(NamedTuple):
    """The fields of upstream's QConfig that are used here."""

    activation: Any
    weight: Any
    group_size: int | None


def quantize_dynamic(
    model: torch.nn.Module,
    qconfig_spec: "QConfigSpec" = None,
    dtype: torch.dtype = torch.qint8,
    mapping: dict[type[torch.nn.Module], type[torch.nn.Module]] | None = None,
    inplace: bool = False,
    *,
    group_size: int | None = 32,
) -> torch.nn.Module:
    """The model with its layers of some types replaced by those of ``qnative.nn``.

    Upstream's function, with its arguments; moving is changing the import. Weights have a scale for
    each output channel in any case: only the weight dtype of a qconfig is used.
    The results of each layer are those of ``qnative.quantize(..., recipe="dynamic")``, for 4-bit
    Linear those of recipe="dynamic_int4", bit by bit, which also folds BatchNorm and fuses
    activations.

    qconfig_spec: what to quantize. None: the types that upstream takes for ``dtype``. A set of
    types of modules and names of submodules, each with all below it, in ``dtype``. A dict from such
    types and names to a QConfig, to a torch.dtype or to None, which leaves them float; ``dtype`` is
    then ignored. A ``qconfig`` attribute of a module outranks the spec.
    dtype: torch.qint8 or torch.float16 for Linear, LSTM, GRU, LSTMCell, GRUCell and RNNCell;
    torch.quint8 or torch.quint4x2 for Embedding and EmbeddingBag; torch.qint8 for convolutions,
    transposed or not, and torch.quint4x2 for Linear, which qconfig_spec must name
    ({torch.nn.Conv2d}, or the name of a module that has them): None leaves them float, as upstream
    does.
    mapping: from types of modules to types with a classmethod ``from_float(module)``; None is
    ``qnative.eager.MAPPING``.
    group_size: weights of a 4-bit Linear that share a scale: a multiple of 4, or None for a whole
    row. A QConfig may have an attribute of this name.
    inplace: change ``model``, not a copy of it. If the model is itself of a type to be quantized,
    use what is returned.

    The result has ``.report``, one row for each module with weights of its own: what took its
    place, or why it stays float.

    Warns when a type or name that was asked for could not be quantized, or nothing was. Raises
    ValueError, with the name of the module, for a weight that cannot be quantized, for an unknown
    dtype and for a name that is no submodule; TypeError for an entry of another kind and for
    TorchScript.
    """
    refuse_script(model, "qnative.quantize_dynamic")
    check_group_size("qnative.quantize_dynamic", group_size)
    spec = _checked_spec(model, qconfig_spec, dtype, group_size)
    mapping = MAPPING if mapping is None else mapping
    if not inplace:
        model = copy.deepcopy(model)
    model.eval()
    requests = _requests(model, spec)
    done: dict[torch.nn.Module, torch.nn.Module] = {}
    asked = _propagate(model, spec)
    layers = [(n, m) for n, m in model.named_modules() if _weights(m)]
    new = _swap(model, "", asked, mapping, done)
    _warn(requests, done)
    new.report = Report([_row(name, layer, asked, done) for name, layer in layers])
    for module in new.modules():
        if "qconfig" in vars(module):
            del module.qconfig
    return new


def _checked_spec(
    model: torch.nn.Module, spec: Any, dtype: torch.dtype, group_size: int | None
) -> dict[Any, Any]:
    where = "qnative.quantize_dynamic"
    if spec is None or isinstance(spec, (set, frozenset)):
        if dtype not in _DEFAULTS:
            valid = ", ".join(map(str, _DEFAULTS))
            raise ValueError(f"{where}: dtype must be one of {valid}, got {dtype}")
        spec = dict.fromkeys(_DEFAULTS[dtype] if spec is None else spec, dtype)
    if not isinstance(spec, dict):
        raise TypeError(
            f"{where}: qconfig_spec must be None, a set or a dict, got {type(spec).__name__}"
        )
    names = {name for name, _ in model.named_modules(remove_duplicate=False)}
    for key in spec:
        if isinstance(key, str):
            if key not in names:
                raise ValueError(f"{where}: the model has no submodule {key!r}")
        elif not isinstance(key, type):
            raise TypeError(
                f"{where}: qconfig_spec has types of modules and names of submodules, got {key!r}"
            )
    return {key: _qconfig(value, group_size) for key, value in spec.items()}


def _qconfig(value: Any, group_size: int | None) -> Any:
    if isinstance(value, torch.dtype):
        weight = functools.partial(_Weight, value)
        return _QConfig(activation=weight, weight=weight, group_size=group_size)
    if value is not None and not callable(getattr(value, "weight", None)):
        raise TypeError(
            "qnative.quantize_dynamic: a qconfig must be a QConfig, a torch.dtype or None, got "
            f"{value!r}"
        )
    return value


def _propagate(model: torch.nn.Module, spec: dict[Any, Any]) -> dict[torch.nn.Module, Any]:
    """The qconfig of each module: its own, that of its name, of its type or its
    parent's."""
    asked: dict[torch.nn.Module, Any] = {}

    def visit(module: torch.nn.Module, name: str, parent: Any) -> None:
        qconfig = spec.get(name, spec.get(type_before_parametrizations(module), parent))
        qconfig = asked.setdefault(module, getattr(module, "qconfig", qconfig))
        for child_name, child in module.named_children():
            visit(child, f"{name}.{child_name}" if name else child_name, qconfig)

    visit(model, "", None)
    return asked


def _swap(
    module: torch.nn.Module,
    name: str,
    asked: dict[torch.nn.Module, Any],
    mapping: dict[type, type],
    done: dict[torch.nn.Module, torch.nn.Module],
) -> torch.nn.Module:
    """The module, or the one that takes its place; one that is shared stays shared."""
    if module in done:
        return done[module]
    qconfig = asked.get(module)
    target = mapping.get(type_before_parametrizations(module))
    if qconfig is not None and target is not None and not _stays_float(target, qconfig):
        done[module] = _replacement(module, name, qconfig, target)
        return done[module]
    for child_name, child in list(module._modules.items()):
        if child is not None:
            path = f"{name}.{child_name}" if name else child_name
            module._modules[child_name] = _swap(child, path, asked, mapping, done)
    if isinstance(module, torch.nn.TransformerEncoderLayer) and _changed(module):
        # Its fast path would read the float weights of linear1 and linear2.
        module.activation_relu_or_gelu = 0
    return module


def _stays_float(target: type, qconfig: Any) -> bool:
    """Whether a module has no op with weights of the dtype that is asked for a part of the model:
    convolutions in float16."""
    is_conv = target.__module__ == qnn.conv.__name__
    return is_conv and qconfig.weight().dtype is torch.float16


def _changed(module: torch.nn.Module) -> bool:
    return any(type(child).__module__.startswith(qnn.__name__) for child in module.children())


def _replacement(module: torch.nn.Module, name: str, qconfig: Any, target: Any) -> Any:
    module.qconfig = qconfig
    try:
        with torch.no_grad():
            for hook in module._forward_pre_hooks.values():
                if isinstance(hook, _WEIGHT_HOOKS):
                    hook(module, None)
            new = target.from_float(module)
    except Unsupported as error:
        raise ValueError(f"qnative.quantize_dynamic: module {name!r}: {error}") from error
    return with_hooks_of(module, new)


def with_hooks_of(module: torch.nn.Module, new: torch.nn.Module) -> torch.nn.Module:
    """``new``, in evaluation mode, with the hooks of the module that it takes the place of, but for
    those that compute its weight."""
    new.eval()
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, _WEIGHT_HOOKS):
            continue
        new.register_forward_pre_hook(hook)
    for hook in module._forward_hooks.values():
        new.register_forward_hook(hook)
    return new


def _weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [each for each in module._parameters.values() if each is not None]


def _row(
    name: str,
    layer: torch.nn.Module,
    asked: dict[torch.nn.Module, Any],
    done: dict[torch.nn.Module, torch.nn.Module],
) -> Row:
    kind = type_before_parametrizations(layer).__name__
    row = Row(name or kind, name, kind, FLOAT, float_bytes=sum(w.nbytes for w in _weights(layer)))
    if layer in done:
        new = type(done[layer])
        row.verdict, row.kernel = QUANTIZED, f"{new.__module__}.{new.__qualname__}"
        row.packed_bytes = sum(each.nbytes for each in done[layer].buffers())
    elif asked.get(layer) is None:
        row.reason = "qconfig_spec does not ask for it"
    else:
        in_half = " in float16" if kind in _CONVS else ""
        row.reason = f"qnative.nn has nothing for {kind}{in_half}"
    return row


def _requests(
    model: torch.nn.Module, spec: dict[Any, Any]
) -> list[tuple[str, set[torch.nn.Module]]]:
    """Each module that the spec names or whose type it names: a description, and all its
    submodules."""
    requests = []
    for name, module in model.named_modules():
        key = name if name in spec else type_before_parametrizations(module)
        if getattr(module, "qconfig", spec.get(key)) is not None and key in spec:
            shown = f"{name!r} ({type(module).__name__})" if name else type(module).__name__
            requests.append((shown, set(module.modules())))
    return requests


def _warn(
    requests: list[tuple[str, set[torch.nn.Module]]],
    done: dict[torch.nn.Module, torch.nn.Module],
) -> None:
    left = [shown for shown, modules in requests if not modules & done.keys()]
    if left:
        what = f"stays float, qnative.nn has nothing for it: {', '.join(left)}"
    elif not done:
        what = "the model has nothing that qconfig_spec asks for"
    else:
        return
    warnings.warn(f"qnative.quantize_dynamic: {what}; see qnative.quantize", stacklevel=3)
