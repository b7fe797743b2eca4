"""``convert_fx``: a prepared model in qnative ops."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization import quantize_fx as upstream
from torch.ao.quantization.fx.custom_config import ConvertCustomConfig
from torch.fx import GraphModule, Node

from ..backend_config.kinds import kinds_of, text_of
from ..backend_config.registry import AnyBackend
from ..graph.constants import fold_constants
from ..graph.export import DynamicShapes, export
from ..graph.nodes import Unsupported
from ..lowering.lower import lower
from ..lowering.module import QuantizedModule
from ..plan.config_index import ConfigIndex
from ..plan.constraints import Constraints, check_run_time
from ..plan.modes import DYNAMIC_FP16, DYNAMIC_INT8, FP16, WEIGHT_ONLY_INT4, WEIGHT_ONLY_INT8
from ..sizes import show
from .annotate import annotate
from .prepare import (
    BACKEND,
    INPUTS,
    called_module,
    first_line,
    is_observer,
    own_backend,
    upstream_config,
)

_OBSERVED = "_observed_graph_module_attrs"


def convert_fx(
    graph_module: GraphModule,
    convert_custom_config: ConvertCustomConfig | dict[str, Any] | None = None,
    _remove_qconfig: bool = True,
    qconfig_mapping: QConfigMapping | dict[str, Any] | None = None,
    backend_config: AnyBackend = None,
    *,
    strict: bool = False,
    dynamic_shapes: DynamicShapes = "batch",
) -> QuantizedModule:
    """A calibrated or trained model in ``qnative::*`` ops, as ``qnative.quantize`` gives it.

    graph_module: what ``prepare_fx`` or ``prepare_qat_fx`` returned; it is not changed.
    convert_custom_config, qconfig_mapping, backend_config: as upstream's; without a backend_config
    it is that of the preparation. strict, dynamic_shapes: as those of ``qnative.quantize``.
    ``_remove_qconfig`` is there for upstream's callers: the result has no qconfigs.

    Raises ValueError for a module that was not prepared by qnative; RuntimeError, with the cause,
    for one that upstream or torch.export rejects; NotQuantizedError if strict.
    """
    if not isinstance(graph_module, GraphModule) or INPUTS not in graph_module.meta:
        raise ValueError(
            "qnative.convert_fx: graph_module must come from qnative.fx.prepare_fx or "
            f"prepare_qat_fx, got {type(graph_module).__name__}"
        )
    module = copy.deepcopy(graph_module).eval()
    backend = graph_module.meta[BACKEND]
    if backend_config is not None:
        backend = own_backend(backend_config, "qnative.convert_fx")
    index = ConfigIndex(backend)
    _end_training(module)
    broken = _mark_broken(module, index)
    marked = _mark_direct(module)
    upstreams = upstream_config(backend)
    try:
        reference = upstream._convert_to_reference_decomposed_fx(
            module, convert_custom_config, qconfig_mapping, upstreams
        )
    except Exception as error:
        raise RuntimeError(
            f"qnative.convert_fx: upstream's convert_fx rejects the model: {first_line(error)}; "
            "qnative.quantize takes what torch.export takes"
        ) from error
    exported, sizes = export(
        reference, graph_module.meta[INPUTS], dynamic_shapes, "qnative.convert_fx"
    )
    with torch.no_grad():
        fold_constants(exported)
        annotate(exported, index, marked, broken)
        lowered = lower(exported)
    show(lowered, sizes, lowered.report, dynamic_shapes)
    lowered.set_report(lowered.report, strict=strict)
    return lowered


def _end_training(module: GraphModule) -> None:
    """F.dropout has the mode in which the model was traced."""
    for node in module.graph.nodes:
        if node.target is F.dropout:
            node.args, node.kwargs = node.args[:2], {**node.kwargs, "training": False}
    module.recompile()


class _Marked(torch.nn.Module):
    """One node of the prepared graph that needs no calibration: its path names it after export."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _mode(post_process: Any) -> str | None:
    """The mode of a placeholder observer, or None."""
    if getattr(post_process, "dtype", None) is torch.float16:
        return DYNAMIC_FP16 if post_process.is_dynamic else FP16
    return DYNAMIC_INT8 if getattr(post_process, "is_dynamic", False) else None


def _mark_direct(module: GraphModule) -> dict[str, str]:
    """Takes the nodes with dynamic, float16 and weight-only qconfigs away from upstream's convert.

    Gives the path of the module of each such node, and its mode.
    """
    observed = module.meta[_OBSERVED]
    modes: dict[Node, str] = {}
    for node in list(module.graph.nodes):
        post_process = called_module(module, node)
        mode = _mode(post_process) if hasattr(post_process, "calculate_qparams") else None
        if mode is not None:
            for neighbour in _neighbours(module, node):
                modes.setdefault(neighbour, mode)
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
        elif weight_only := _weight_only(post_process):
            modes[node] = weight_only
    marked = {}
    for node, mode in modes.items():
        observed.node_name_to_qconfig[node.name] = None
        marked[_isolate(module, node)] = mode
    module.recompile()
    return marked


def _neighbours(module: GraphModule, post_process: Node) -> Iterator[Node]:
    for node in (*post_process.users, *post_process.all_input_nodes):
        is_op = node.op in ("call_function", "call_method", "call_module")
        if is_op and not is_observer(module, node):
            yield node


def _weight_only(module: Any) -> str | None:
    qconfig = getattr(module, "qconfig", None)
    if not isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) or qconfig is None:
        return None
    modes = {
        torch.quint8: WEIGHT_ONLY_INT8,
        torch.quint4x2: WEIGHT_ONLY_INT4,
    }
    return modes.get(qconfig.weight().dtype)


def _isolate(module: GraphModule, node: Node) -> str:
    """Makes a node the call of a _Marked module of its own, and gives its path."""
    function = called_module(module, node)
    if function is None:
        function = node.target
        if node.op == "call_method":
            function = _method(node.target)
    else:
        if hasattr(function, "to_float") and hasattr(function, "weight_fake_quant"):
            function = function.to_float()
        function.qconfig = None
    path = f"_qnative_marked_{node.name}"
    module.add_module(path, _Marked(function))
    node.op, node.target = "call_module", path
    # torch.export hands it on to the nodes that come from this one.
    stack = node.meta.get("nn_module_stack") or {}
    node.meta["nn_module_stack"] = {**stack, path: (path, _Marked)}
    return path


def _method(name: str) -> Callable[..., Any]:
    def call(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, name)(*args, **kwargs)

    return call


def _mark_broken(module: GraphModule, index: ConfigIndex) -> dict[str, str]:
    """Gives the path of the module of each node that upstream left float because its qconfig breaks
    the constraints of the backend config, and how it does."""
    observed = module.meta[_OBSERVED]
    broken = {}
    for node in list(module.graph.nodes):
        qconfig = observed.node_name_to_qconfig.get(node.name)
        if qconfig is None or node.op not in ("call_function", "call_method", "call_module"):
            continue
        if any(is_observer(module, n) for n in (node, *node.users)):
            continue
        kinds = _kinds(module, node)
        if any(index.find(*kinds, *_kinds(module, user)) for user in node.users):
            continue  # within a sequence, whose end is observed
        if why := _why_not(qconfig, index.find(*kinds)):
            observed.node_name_to_qconfig[node.name] = None
            broken[_isolate(module, node)] = why
    module.recompile()
    return broken


def _kinds(module: GraphModule, node: Node) -> tuple[str, ...]:
    called = called_module(module, node)
    return kinds_of(node.target if called is None else type(called))


def _why_not(qconfig: Any, rows: list[Any]) -> str:
    """Says which constraints a qconfig breaks in every DTypeConfig of ``rows`` with its dtypes; ""
    if it keeps those of one, or none has its dtypes."""
    activation, weight = qconfig.activation(), qconfig.weight()
    is_dynamic = getattr(activation, "is_dynamic", False)
    reasons = []
    for row, dtypes in ((r, dtypes) for r in rows for dtypes in r.dtype_configs):
        if dtypes.input_dtype != getattr(activation, "dtype", None):
            continue
        if is_dynamic != bool(dtypes.is_dynamic):
            continue
        if is_dynamic:
            try:
                check_run_time(dtypes, text_of(row.pattern))
                return ""
            except Unsupported as error:
                reasons.append(str(error))
                continue
        limits = {
            role: Constraints.of(getattr(dtypes, f"{role}_dtype_with_constraints"))
            for role in ("input", "output", "weight")
        }
        observers = {"input": activation, "output": activation, "weight": weight}
        found = [
            f"its qconfig's {role} {why} (row {text_of(row.pattern)})"
            for role, limit in limits.items()
            if (why := limit.broken_by_observer(observers[role]))
        ]
        if not found:
            return ""
        reasons += found[:1]
    return "; ".join(dict.fromkeys(reasons))
