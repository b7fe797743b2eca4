"""Eager mode with calibration: from a model with upstream's stubs and observers to qnative ops.

Upstream's ``convert`` needs quantized dtypes: scale and zero point travel with each tensor. Here
the observed model is exported, so that every op finds the scales of its inputs in the graph. The
result is the same as that of ``qnative.quantize``."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.parametrize import register_parametrization, type_before_parametrizations

from ..graph import nodes as ir
from ..graph import qdq
from ..graph.constants import fold_constants
from ..graph.export import DynamicShapes, export
from ..graph.nodes import Unsupported
from ..graph.qdq import DEQUANTIZE, QUANTIZE, STORAGE_DTYPES, QParams
from ..lowering.lower import lower
from ..lowering.module import QuantizedModule
from ..plan.capability import SAME, Capability, check
from ..plan.decide import by_graph
from ..plan.decision import FREE, LOOKUP
from ..sizes import show
from .dynamic import MAPPING, with_hooks_of

_WEIGHTED = {
    torch.nn.Linear: 0,
    **{getattr(torch.nn, f"Conv{d}d"): 0 for d in (1, 2, 3)},
    **{getattr(torch.nn, f"ConvTranspose{d}d"): 1 for d in (1, 2, 3)},
}
_OBSERVER = "activation_post_process"
# Ops without an observer that keep the scale and zero point of their input in upstream's kernels.
_KEEP = ("avg_pool", "adaptive_avg_pool", "upsample", "mean", "relu", "hardtanh", "clamp")


def convert(
    model: torch.nn.Module,
    example_inputs: tuple[Any, ...],
    *,
    strict: bool = False,
    dynamic_shapes: DynamicShapes = "batch",
) -> QuantizedModule:
    """A calibrated model in ``qnative::*`` ops, as ``qnative.quantize`` gives it.

    model: what ``torch.ao.quantization.prepare`` or ``prepare_qat`` returned, after it has seen
    calibration data or training: QuantStub, DeQuantStub, FloatFunctional and fused modules as
    upstream has them. It is not changed.
    example_inputs: positional arguments of its forward, with a batch of any size.
    strict, dynamic_shapes: as those of ``qnative.quantize``.

    Whatever upstream runs on quantized tensors between the modules (relu, pooling, view, ...) runs
    in 8 bits here too. A module without a QuantStub before it stays float, as the report says.

    Raises ValueError for a model without observers and, with the name of the module, for one that
    saw no data; RuntimeError, with the name of the module, for a model that torch.export rejects;
    NotQuantizedError if strict.
    """
    if not isinstance(example_inputs, tuple):
        raise TypeError(
            "qnative.convert: example_inputs must be a tuple of forward's arguments, got "
            f"{type(example_inputs).__name__}"
        )
    if not any(map(_observer, model.modules())):
        raise ValueError(
            "qnative.convert: the model has no observers: call torch.ao.quantization.prepare first"
        )
    model = copy.deepcopy(model).eval()
    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            child_path = f"{path}.{name}" if path else name
            setattr(parent, name, _without_training(_direct(child_path, child)))
    stubs = _mark(model)
    exported, sizes = export(model, example_inputs, dynamic_shapes, "qnative.convert")
    with torch.no_grad():
        fold_constants(exported)
        _quantize_between(exported)
        _remove(exported, stubs)
        lowered = lower(exported)
    show(lowered, sizes, lowered.report, dynamic_shapes)
    lowered.set_report(lowered.report, strict=strict)
    return lowered


# ---- modules -----------------------------------------------------------------------------------


class _QuantDequant(torch.nn.Module):
    """Quantizes and dequantizes in place of an observer."""

    def __init__(self, qparams: QParams):
        super().__init__()
        self.qparams = qparams

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.qparams
        args = (q.scale, q.zero_point, q.quant_min, q.quant_max, q.dtype)
        ops = torch.ops.quantized_decomposed
        return ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *args), *args)


class _Weight(torch.nn.Module):
    """The weight as int8 codes with scales."""

    def __init__(self, codes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, axis: int):
        super().__init__()
        self.axis = axis
        for name, value in (("codes", codes), ("scale", scale), ("zero", zero)):
            self.register_buffer(name, value)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized_decomposed.dequantize_per_channel(
            self.codes, self.scale, self.zero, self.axis, -128, 127, torch.int8
        )


class _DeQuantStub(torch.nn.Module):
    """Marks the graph: the following nodes are float."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


def _observer(module: torch.nn.Module) -> Any:
    observer = getattr(module, _OBSERVER, None)
    return observer if hasattr(observer, "calculate_qparams") else None


def _direct(path: str, module: torch.nn.Module) -> torch.nn.Module:
    """The module of ``qnative.nn`` for a dynamic or weight-only qconfig."""
    target, qconfig = MAPPING.get(type(module)), getattr(module, "qconfig", None)
    if target is None or qconfig is None:
        return module
    is_table = isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag))
    if not is_table and not getattr(qconfig.activation(), "is_dynamic", False):
        return module
    try:
        with torch.no_grad():
            new = target.from_float(module)
    except Unsupported as error:
        raise ValueError(f"qnative.convert: module {path!r}: {error}") from error
    _drop_observer(module)
    return with_hooks_of(module, new)


def _drop_observer(module: torch.nn.Module) -> None:
    """Takes away the observer and its hooks."""
    if hasattr(module, _OBSERVER):
        delattr(module, _OBSERVER)
    for kind in ("_forward_hooks", "_forward_pre_hooks"):
        hooks = getattr(module, kind)
        for key, hook in list(hooks.items()):
            if getattr(hook, "__name__", "").startswith("_observer_forward"):
                del hooks[key]


def _without_training(module: torch.nn.Module) -> torch.nn.Module:
    """The float module, BatchNorm folded into it, of one with fake quantization of its weight."""
    if not hasattr(module, "weight_fake_quant") or not hasattr(module, "to_float"):
        return module
    new, observer = module.to_float().eval(), getattr(module, _OBSERVER, None)
    new.qconfig = module.qconfig
    new.add_module(_OBSERVER, observer)
    new.register_forward_hook(lambda self, args, y: getattr(self, _OBSERVER)(y))
    return new


def _mark(model: torch.nn.Module) -> set[str]:
    """Observers become quantization, weights int8. Gives the paths of the DeQuantStubs."""
    from torch.ao.quantization import DeQuantStub
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  (it registers the ops)

    qconfigs = dict(_qconfigs(model))
    stubs = set()
    for path, module in list(model.named_modules()):
        observer = _observer(module)
        if observer is not None:
            setattr(module, _OBSERVER, _quantization(path, observer))
        if type_before_parametrizations(module) in _WEIGHTED and qconfigs[path] is not None:
            _quantize_weight(path, module, qconfigs[path])
        if isinstance(module, DeQuantStub):
            stubs.add(path)
    for path in stubs:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, _DeQuantStub())
    return stubs


def _qconfigs(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """The qconfig of each module that is observed: its own, or that of the fused one it is in."""
    for path, module in model.named_modules():
        observed = _observer(module) is not None
        parent = model.get_submodule(path.rpartition(".")[0])
        if not observed and isinstance(parent, torch.nn.Sequential):
            module = parent
            observed = _observer(parent) is not None
        yield path, getattr(module, "qconfig", None) if observed else None


def _quantization(path: str, observer: Any) -> torch.nn.Module:
    if observer.dtype not in STORAGE_DTYPES or getattr(observer, "is_dynamic", False):
        return torch.nn.Identity()
    inner = getattr(observer, _OBSERVER, observer)
    least, most = (getattr(inner, name, torch.zeros(1)) for name in ("min_val", "max_val"))
    if least.numel() == 0 or not bool((least <= most).all()):
        raise ValueError(
            f"qnative.convert: module {path!r} has seen no data: run the prepared model on "
            "calibration data first"
        )
    scale, zero_point = observer.calculate_qparams()
    if scale.numel() != 1:
        raise ValueError(f"qnative.convert: module {path!r} observes each channel by itself")
    dtype = STORAGE_DTYPES[observer.dtype]
    info = torch.iinfo(dtype)
    # The observer may have used fewer bits than the data can.
    return _QuantDequant(QParams(float(scale), int(zero_point), dtype, info.min, info.max))


def _quantize_weight(path: str, module: torch.nn.Module, qconfig: Any) -> None:
    observer = qconfig.weight()
    if STORAGE_DTYPES.get(observer.dtype) is not torch.int8:
        raise ValueError(
            f"qnative.convert: module {path!r}: its weight must be qint8, got {observer.dtype}"
        )
    inner = getattr(observer, _OBSERVER, observer)
    axis = _WEIGHTED[type_before_parametrizations(module)]
    if hasattr(inner, "ch_axis"):
        inner.ch_axis = axis
        if hasattr(observer, "ch_axis"):
            observer.ch_axis = axis
    weight = module.weight.detach()
    observer(weight)
    scale, zero = observer.calculate_qparams()
    channels = weight.shape[axis]
    scale = scale.to(torch.float32).expand(channels).contiguous()
    zero = zero.to(torch.int64).expand(channels).contiguous()
    codes = torch.ops.quantized_decomposed.quantize_per_channel(
        weight, scale, zero, axis, -128, 127, torch.int8
    )
    register_parametrization(module, "weight", _Weight(codes, scale, zero, axis), unsafe=True)


# ---- graph -------------------------------------------------------------------------------------


def _quantize_between(module: GraphModule) -> None:
    """Quantizes the outputs of ops without observers whose input is quantized, as upstream's
    kernels do."""
    known: dict[Node, QParams] = {}
    for node in list(module.graph.nodes):
        if ir.is_call(node, DEQUANTIZE):
            known[node] = qdq.qparams(module, node)
            continue
        source = node.all_input_nodes[0] if len(node.all_input_nodes) == 1 else None
        if source not in known or node.op != "call_function":
            continue
        if ir.target_name(node) == "getitem":
            known[node] = known[source]
            continue
        try:
            found = check(node, by_graph(node))
        except Unsupported:
            continue
        if found.role in (FREE, SAME):
            if ir.kind(node) != "clone":
                known[node] = known[source]
        elif not any(ir.is_call(user, QUANTIZE) for user in node.users):
            qparams = _qparams_after(found, node, known[source])
            if qparams is not None:
                known[_insert(module.graph, node, qparams)] = qparams
    module.recompile()


def _qparams_after(found: Capability, node: Node, x: QParams) -> QParams | None:
    if ir.kind(node).removeprefix("_").startswith(_KEEP):
        return x
    if found.role != LOOKUP:
        return None
    codes = torch.arange(x.quant_min, x.quant_max + 1, dtype=torch.float32)
    values = (codes - x.zero_point) * x.scale
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda _: values)
    y = node.target(*args, **kwargs)
    if not bool(y.isfinite().all()):
        return None
    # The range includes 0, as with upstream's observers.
    least, most = min(0.0, float(y.min())), max(0.0, float(y.max()))
    levels = x.quant_max - x.quant_min
    scale = max((most - least) / levels, torch.finfo(torch.float32).eps)
    zero_point = min(max(round(x.quant_min - least / scale), x.quant_min), x.quant_max)
    return QParams(scale, zero_point, x.dtype, x.quant_min, x.quant_max)


def _insert(graph: torch.fx.Graph, node: Node, q: QParams) -> Node:
    """quantize and dequantize after a node; gives the latter."""
    ops = torch.ops.quantized_decomposed
    args = (q.scale, q.zero_point, q.quant_min, q.quant_max, q.dtype)
    with graph.inserting_after(node):
        quantize = graph.call_function(ops.quantize_per_tensor.default, (node, *args))
    with graph.inserting_after(quantize):
        dequantize = graph.call_function(ops.dequantize_per_tensor.default, (quantize, *args))
    quantize.meta["val"], dequantize.meta["val"] = node.meta["val"].to(q.dtype), node.meta["val"]
    node.replace_all_uses_with(dequantize, lambda user: user is not quantize)
    return dequantize


def _remove(module: GraphModule, stubs: set[str]) -> None:
    for node in list(module.graph.nodes):
        if ir.kind(node) == "clone" and ir.module_path(node) in stubs:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()
