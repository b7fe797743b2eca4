"""``prepare_fx`` and ``prepare_qat_fx``: upstream's, with backend configs of qnative."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization import quantize_fx as upstream
from torch.ao.quantization.backend_config import (
    BackendPatternConfig,
    DTypeConfig,
    ObservationType,
)
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from ..backend_config import BackendConfig, resolve
from ..backend_config.registry import AnyBackend
from ..graph.export import refuse_script
from .qconfig import default_qat_qconfig_mapping, default_qconfig_mapping, widened
from .rows import fx_rows

INPUTS = "qnative_example_inputs"
BACKEND = "qnative_backend"


def prepare_fx(
    model: torch.nn.Module,
    qconfig_mapping: QConfigMapping | dict[str, Any] | None,
    example_inputs: tuple[Any, ...],
    prepare_custom_config: PrepareCustomConfig | dict[str, Any] | None = None,
    _equalization_config: QConfigMapping | dict[str, Any] | None = None,
    backend_config: AnyBackend = None,
) -> GraphModule:
    """The model with observers, to be fed with calibration data and then given to ``convert_fx``.

    model: a float module that torch.fx can trace. It is not changed; a model in training mode is
    copied and put into evaluation mode.
    qconfig_mapping: upstream's; None is ``default_qconfig_mapping()``. Activations with
    ``reduce_range=True``, as upstream's defaults for x86 and fbgemm have it, get all 8 bits.
    example_inputs: positional arguments of its forward.
    prepare_custom_config: upstream's.
    backend_config: of ``qnative.backend_config`` or upstream's, or the name of one. None is the
    "qnative" without the fixed scales of sigmoid, tanh and softmax: upstream applies them to the
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
    qconfig_mapping: QConfigMapping | dict[str, Any] | None,
    example_inputs: tuple[Any, ...],
    prepare_custom_config: PrepareCustomConfig | dict[str, Any] | None = None,
    backend_config: AnyBackend = None,
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


def _prepare(
    function: Callable[..., GraphModule],
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
    backend = own_backend(backend_config, f"qnative.{function.__name__}")
    upstreams = upstream_config(backend)
    _split_padding(model)
    if isinstance(qconfig_mapping, dict):
        qconfig_mapping = QConfigMapping.from_dict(qconfig_mapping)
    if isinstance(qconfig_mapping, QConfigMapping):  # else upstream says what is wrong
        qconfig_mapping = widened(qconfig_mapping)
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
            f"qnative.{function.__name__}: upstream rejects {name}: {first_line(error)}; "
            "qnative.quantize takes what torch.export takes"
        ) from error
    _check_writes(prepared, f"qnative.{function.__name__}")
    _check_shared(prepared, model, example_inputs, f"qnative.{function.__name__}")
    prepared.meta[INPUTS], prepared.meta[BACKEND] = example_inputs, backend
    return prepared


def _check_writes(module: GraphModule, caller: str) -> None:
    """ValueError for an in-place op without a reader of its result: upstream's FX would leave the
    op out."""
    for node in module.graph.nodes:
        name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
        writes = (name.endswith("_") and not name.endswith("__")) or (
            node.kwargs.get("inplace") or getattr(called_module(module, node), "inplace", False)
        )
        is_read = any(user.users or not is_observer(module, user) for user in node.users)
        if node.op.startswith("call_") and writes and not is_read:
            raise ValueError(
                f"{caller}: FX leaves out {node.name}, which writes in place and whose result "
                "nothing reads: use the result, or qnative.quantize"
            )


def _check_shared(
    prepared: GraphModule, model: torch.nn.Module, inputs: tuple[Any, ...], caller: str
) -> None:
    """RuntimeError for a layer that the model calls once with a relu after it and once without:
    upstream fuses the relu into the layer, and both calls then have it."""
    calls = Counter(node.target for node in prepared.graph.nodes if node.op == "call_module")
    fused = [name for name, count in calls.items() if count > 1 and _has_relu(prepared, name)]
    if not fused or model.training:
        return
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        want = pytree.tree_leaves(model(*copy.deepcopy(inputs)))
        torch.manual_seed(0)
        got = pytree.tree_leaves(upstream.fuse_fx(model)(*copy.deepcopy(inputs)))
    pairs = [pair for pair in zip(got, want, strict=True) if isinstance(pair[0], torch.Tensor)]
    if not all(torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in pairs):
        raise RuntimeError(
            f"{caller}: {', '.join(fused)} is called with a relu after it and without: upstream "
            "would put the relu into both calls. Call a copy of the module in one place, or use "
            "qnative.quantize"
        )


def _has_relu(module: GraphModule, name: str) -> bool:
    kind = type(module.get_submodule(name))
    return "intrinsic" in kind.__module__ and "ReLU" in kind.__name__


def called_module(module: GraphModule, node: Node) -> torch.nn.Module | None:
    return module.get_submodule(node.target) if node.op == "call_module" else None


def is_observer(module: GraphModule, node: Node) -> bool:
    return hasattr(called_module(module, node), "calculate_qparams")


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def own_backend(config: AnyBackend, caller: str) -> Any:
    """The config that an argument backend_config stands for."""
    if config is not None:
        return resolve(config, caller)
    backend = resolve(None)
    for row in backend.configs:
        for dtypes in row.dtype_configs:
            for limits in (
                dtypes.input_dtype_with_constraints,
                dtypes.output_dtype_with_constraints,
            ):
                if limits.scale_exact_match is not None:  # a copy of this row's own
                    limits.scale_exact_match = limits.zero_point_exact_match = None
    return backend


def upstream_config(config: Any) -> Any:
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


def _replace_modules(
    model: torch.nn.Module, replacement: Callable[[torch.nn.Module], torch.nn.Module | None]
) -> None:
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
    """Fuses nni.ConvBn1d to 3d, ConvBnReLU1d to 3d and LinearBn1d; upstream does so in training
    only."""
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
    """A convolution with padding other than zeros: upstream's reference modules only have zeros."""

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
