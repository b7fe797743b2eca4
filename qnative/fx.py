"""FX graph mode: upstream's ``prepare_fx``, ``prepare_qat_fx`` and ``convert_fx``, ending in
qnative ops.

Moving is changing ``from torch.ao.quantization.quantize_fx import ...`` into
``from qnative.fx import ...``: models, qconfig mappings and custom configs are the same. What comes
out has plain tensors only, where upstream's has quantized dtypes, and carries a report.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.ao.quantization import quantize_fx as upstream
from torch.ao.quantization.backend_config import (
    BackendPatternConfig,
    DTypeConfig,
    ObservationType,
)
from torch.fx import GraphModule, Node

from .backend_config import BackendConfig, resolve
from .fx_annotate import annotate
from .fx_qconfig import default_qat_qconfig_mapping, default_qconfig_mapping
from .lowering import constraints, direct
from .lowering.constants import fold_constants
from .lowering.graph import Unsupported
from .lowering.lower import attach_report, lower
from .patterns import ConfigIndex, fx_rows, kinds_of, text_of
from .recipes import export, refuse_script

__all__ = [
    "convert_fx",
    "default_qat_qconfig_mapping",
    "default_qconfig_mapping",
    "prepare_fx",
    "prepare_qat_fx",
]

_INPUTS = "qnative_example_inputs"
_BACKEND = "qnative_backend"
_OBSERVED = "_observed_graph_module_attrs"


def prepare_fx(
    model: torch.nn.Module,
    qconfig_mapping: Any,
    example_inputs: tuple[Any, ...],
    prepare_custom_config: Any = None,
    _equalization_config: Any = None,
    backend_config: Any = None,
) -> GraphModule:
    """The model with observers, to be fed with calibration data and then given to ``convert_fx``.

    model: a float module that torch.fx can trace. It is not changed; a model in training mode is
    copied and put into evaluation mode.
    qconfig_mapping: upstream's; None is ``default_qconfig_mapping()``.
    example_inputs: positional arguments of its forward.
    prepare_custom_config: upstream's.
    backend_config: of ``qnative.backend_config`` or upstream's, or the name of one. None is the
    native one without the fixed scales of sigmoid, tanh and softmax: upstream applies them to the
    inputs as well, which clips what enters a sigmoid to [0, 1).

    Raises RuntimeError, with the cause, for a model that upstream rejects.
    """
    refuse_script(model, "qnative.prepare_fx")
    model = copy.deepcopy(model).eval()
    _fuse_intrinsic(model)
    if qconfig_mapping is None:
        qconfig_mapping = default_qconfig_mapping()
    custom = (prepare_custom_config, _equalization_config)
    return _prepare(
        upstream.prepare_fx, model, qconfig_mapping, example_inputs, *custom, backend_config
    )


def prepare_qat_fx(
    model: torch.nn.Module,
    qconfig_mapping: Any,
    example_inputs: tuple[Any, ...],
    prepare_custom_config: Any = None,
    backend_config: Any = None,
) -> GraphModule:
    """The model with fake quantization, to be trained and then given to ``convert_fx``.

    As ``prepare_fx``; the result is in training mode, and its parameters are copies. None as
    qconfig_mapping is ``default_qat_qconfig_mapping()``.
    """
    refuse_script(model, "qnative.prepare_qat_fx")
    model = copy.deepcopy(model).train()
    if qconfig_mapping is None:
        qconfig_mapping = default_qat_qconfig_mapping()
    return _prepare(
        upstream.prepare_qat_fx,
        model,
        qconfig_mapping,
        example_inputs,
        prepare_custom_config,
        backend_config,
    )


def convert_fx(
    graph_module: GraphModule,
    convert_custom_config: Any = None,
    _remove_qconfig: bool = True,
    qconfig_mapping: Any = None,
    backend_config: Any = None,
    *,
    strict: bool = False,
    dynamic_shapes: Any = "batch",
) -> GraphModule:
    """A calibrated or trained model in ``qnative::*`` ops, as ``qnative.quantize`` gives it.

    graph_module: what ``prepare_fx`` or ``prepare_qat_fx`` returned; it is not changed.
    convert_custom_config, qconfig_mapping, backend_config: as upstream's; without a backend_config
    it is that of the preparation. strict, dynamic_shapes: as those of ``qnative.quantize``.
    ``_remove_qconfig`` is there for upstream's callers: the result has no qconfigs.

    Raises ValueError for a module that was not prepared by qnative; RuntimeError, with the cause,
    for one that upstream or torch.export rejects; NotQuantizedError if strict.
    """
    if not isinstance(graph_module, GraphModule) or _INPUTS not in graph_module.meta:
        raise ValueError(
            "qnative.convert_fx: graph_module must come from qnative.fx.prepare_fx or "
            f"prepare_qat_fx, got {type(graph_module).__name__}"
        )
    module = copy.deepcopy(graph_module).eval()
    backend = graph_module.meta[_BACKEND]
    if backend_config is not None:
        backend = _own_backend(backend_config, "qnative.convert_fx")
    index = ConfigIndex(backend)
    _end_training(module)
    broken = _mark_broken(module, index)
    marked = _mark_direct(module)
    upstreams = _upstream(backend)
    try:
        reference = upstream._convert_to_reference_decomposed_fx(
            module, convert_custom_config, qconfig_mapping, upstreams
        )
    except Exception as error:
        raise RuntimeError(
            f"qnative.convert_fx: upstream's convert_fx rejects the model: {_line(error)}; "
            "qnative.quantize takes what torch.export takes"
        ) from error
    exported, notes = export(
        reference, graph_module.meta[_INPUTS], dynamic_shapes, "qnative.convert_fx"
    )
    with torch.no_grad():
        fold_constants(exported)
        annotate(exported, index, marked, broken)
        lowered = lower(exported)
    report = lowered.report
    report.notes += notes
    attach_report(lowered, report, strict)
    return lowered


# ---- prepare ---------------------------------------------------------------------------------


def _prepare(
    function: Any,
    model: torch.nn.Module,
    qconfig_mapping: Any,
    example_inputs: tuple[Any, ...],
    *custom: Any,
) -> GraphModule:
    *custom_configs, backend_config = custom
    if not isinstance(example_inputs, tuple):
        raise TypeError(
            f"qnative.{function.__name__}: example_inputs must be a tuple of forward's arguments, "
            f"got {type(example_inputs).__name__}"
        )
    name = type(model).__name__
    backend = _own_backend(backend_config, f"qnative.{function.__name__}")
    upstreams = _upstream(backend)
    _split_padding(model)
    try:
        prepared = function(
            model,
            qconfig_mapping,
            example_inputs,
            *custom_configs,
            backend_config=upstreams,
        )
    except Exception as error:
        raise RuntimeError(
            f"qnative.{function.__name__}: upstream rejects {name}: {_line(error)}; "
            "qnative.quantize takes what torch.export takes"
        ) from error
    _check_writes(prepared, f"qnative.{function.__name__}")
    prepared.meta[_INPUTS], prepared.meta[_BACKEND] = example_inputs, backend
    return prepared


def _check_writes(module: GraphModule, caller: str) -> None:
    """ValueError for an in-place op of which nothing reads the result: upstream's FX, which knows
    of no other way to see what it wrote, leaves it out."""
    for node in module.graph.nodes:
        name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
        writes = (name.endswith("_") and not name.endswith("__")) or (
            node.kwargs.get("inplace") or getattr(_called(module, node), "inplace", False)
        )
        is_read = any(user.users or not _is_observer(module, user) for user in node.users)
        if node.op.startswith("call_") and writes and not is_read:
            raise ValueError(
                f"{caller}: FX leaves out {node.name}, which writes in place and whose result "
                "nothing reads: use the result, or qnative.quantize"
            )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _own_backend(config: Any, caller: str) -> Any:
    """The config that an argument backend_config stands for."""
    if config is not None:
        return resolve(config, caller)
    native = resolve(None)
    for row in native.configs:
        for dtypes in row.dtype_configs:
            for limits in (
                dtypes.input_dtype_with_constraints,
                dtypes.output_dtype_with_constraints,
            ):
                if limits.scale_exact_match is not None:  # a copy of this row's own
                    limits.scale_exact_match = limits.zero_point_exact_match = None
    return native


def _upstream(config: Any) -> Any:
    """Upstream's form of a backend config, with a row for pads that share their input's observer:
    they only move values."""
    if isinstance(config, BackendConfig):
        expanded = BackendConfig(config.name)
        for row in config.configs:
            expanded.set_backend_pattern_configs(fx_rows(row))
        upstreams = expanded.to_torch()
    else:
        upstreams = copy.deepcopy(config)
    if all(row.pattern is not F.pad for row in upstreams.configs):
        dtypes = DTypeConfig(input_dtype=torch.quint8, output_dtype=torch.quint8)
        row = BackendPatternConfig(F.pad).add_dtype_config(dtypes)
        row.set_observation_type(ObservationType.OUTPUT_SHARE_OBSERVER_WITH_INPUT)
        upstreams.set_backend_pattern_config(row)
    return upstreams


def _replace_modules(model: torch.nn.Module, replacement: Any) -> None:
    """Every submodule m by replacement(m), unless that is None; one that is shared stays shared."""
    new: dict[int, torch.nn.Module | None] = {}
    for parent in list(model.modules()):
        # named_children would give a shared one under its first name only.
        for name, child in parent._modules.items():
            if child is None:
                continue
            if id(child) not in new:
                new[id(child)] = replacement(child)
            if new[id(child)] is not None:
                parent._modules[name] = new[id(child)]


def _fuse_intrinsic(model: torch.nn.Module) -> None:
    """nni.ConvBn and its like, which upstream fuses in training only, as one op."""
    from torch.ao.nn import intrinsic as nni
    from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

    relu = {}
    for d in "123":
        relu[getattr(nni, f"ConvBnReLU{d}d")] = getattr(nni, f"ConvReLU{d}d")
    plain = (nni.ConvBn1d, nni.ConvBn2d, nni.ConvBn3d)

    def fused(module: torch.nn.Module) -> torch.nn.Module | None:
        if type(module) in plain:
            return fuse_conv_bn_eval(module[0], module[1])
        if type(module) is nni.LinearBn1d:
            return fuse_linear_bn_eval(module[0], module[1])
        if type(module) in relu:
            return relu[type(module)](fuse_conv_bn_eval(module[0], module[1]), module[2]).eval()
        return None

    _replace_modules(model, fused)


class _Padded(torch.nn.Module):
    """A convolution whose padding is not zeros: upstream's reference modules know zeros only."""

    def __init__(self, conv: torch.nn.Module):
        super().__init__()
        self.pad, self.mode = conv._reversed_padding_repeated_twice, conv.padding_mode
        self.conv = copy.copy(conv)
        self.conv.padding_mode, self.conv.padding = "zeros", (0,) * len(conv.kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, self.pad, mode=self.mode))


def _split_padding(model: torch.nn.Module) -> None:
    convs = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)

    def padded(module: torch.nn.Module) -> torch.nn.Module | None:
        return _Padded(module) if type(module) in convs and module.padding_mode != "zeros" else None

    _replace_modules(model, padded)


# ---- convert ---------------------------------------------------------------------------------


def _end_training(module: GraphModule) -> None:
    """F.dropout has the mode in which the model was traced."""
    for node in module.graph.nodes:
        if node.target is F.dropout:
            node.args, node.kwargs = node.args[:2], {**node.kwargs, "training": False}
    module.recompile()


class _Marked(torch.nn.Module):
    """One node of the prepared graph that needs no calibration: its path names it after export."""

    def __init__(self, function: Any):
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _mode(post_process: Any) -> str | None:
    """What an observer that observes nothing asks for."""
    if getattr(post_process, "dtype", None) is torch.float16:
        return direct.DYNAMIC_FP16 if post_process.is_dynamic else direct.FP16
    return direct.DYNAMIC_INT8 if getattr(post_process, "is_dynamic", False) else None


def _mark_direct(module: GraphModule) -> dict[str, str]:
    """Takes the nodes with dynamic, float16 and weight-only qconfigs away from upstream's convert.

    Gives the path of the module of each such node, and its mode.
    """
    observed = module.meta[_OBSERVED]
    modes: dict[Node, str] = {}
    for node in list(module.graph.nodes):
        post_process = _called(module, node)
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


def _called(module: GraphModule, node: Node) -> Any:
    return module.get_submodule(node.target) if node.op == "call_module" else None


def _neighbours(module: GraphModule, post_process: Node) -> Iterator[Node]:
    for node in (*post_process.users, *post_process.all_input_nodes):
        is_op = node.op in ("call_function", "call_method", "call_module")
        if is_op and not _is_observer(module, node):
            yield node


def _weight_only(module: Any) -> str | None:
    qconfig = getattr(module, "qconfig", None)
    if not isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) or qconfig is None:
        return None
    modes = {
        torch.quint8: direct.WEIGHT_ONLY_INT8,
        torch.quint4x2: direct.WEIGHT_ONLY_INT4,
    }
    return modes.get(qconfig.weight().dtype)


def _isolate(module: GraphModule, node: Node) -> str:
    """Makes a node the call of a _Marked module of its own, and gives its path."""
    function = _called(module, node)
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
    # What torch.export gives to the nodes that come from this one.
    stack = node.meta.get("nn_module_stack") or {}
    node.meta["nn_module_stack"] = {**stack, path: (path, _Marked)}
    return path


def _method(name: str) -> Any:
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
        if any(_is_observer(module, n) for n in (node, *node.users)):
            continue
        kinds = _kinds(module, node)
        if any(index.find(*kinds, *_kinds(module, user)) for user in node.users):
            continue  # within a sequence, whose end is observed
        if why := _why_not(qconfig, index.find(*kinds)):
            observed.node_name_to_qconfig[node.name] = None
            broken[_isolate(module, node)] = why
    module.recompile()
    return broken


def _is_observer(module: GraphModule, node: Node) -> bool:
    return hasattr(_called(module, node), "calculate_qparams")


def _kinds(module: GraphModule, node: Node) -> tuple[str, ...]:
    called = _called(module, node)
    return kinds_of(node.target if called is None else type(called))


def _why_not(qconfig: Any, rows: list[Any]) -> str:
    """What a qconfig breaks of every DTypeConfig of ``rows`` that has its dtypes; "" if it keeps
    those of one, or none has its dtypes."""
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
                constraints.check_run_time(dtypes, text_of(row.pattern))
                return ""
            except Unsupported as error:
                reasons.append(str(error))
                continue
        limits = {
            role: constraints.Constraints.of(getattr(dtypes, f"{role}_dtype_with_constraints"))
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
