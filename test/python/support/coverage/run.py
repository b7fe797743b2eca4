"""Quantizes the model of an entry and checks what comes out."""

import copy
import io
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn

import qnative
from qnative import fx
from qnative.backend_config import get_qnative_backend_config, native, unite
from qnative.graph import nodes as ir
from qnative.graph.sequence import canonical
from qnative.lowering.lower import lower
from qnative.plan import modes
from support.coverage.entries import Entry, build, config_of
from support.coverage.models import element

OK = "ok"
NEVER = "cannot occur"
MISSING = "missing"


@dataclass
class Result:
    """status: OK, NEVER, MISSING, or what went wrong. front: "PT2E" or "FX"."""

    status: str
    front: str = ""
    detail: str = ""


@dataclass
class Made:
    """quantized: the result of the front end. simulated: the graph before lowering (quantize, float
    op, dequantize). trained: the model with fake quantization, or None.
    """

    model: nn.Module
    quantized: nn.Module
    simulated: nn.Module
    trained: nn.Module | None = None


def run(entry: Entry) -> Result:
    """Builds, quantizes and checks the model of one entry; raises AssertionError."""
    if entry.missing:
        reason = entry.missing.removeprefix(f"it {NEVER}: ")
        return Result(MISSING if reason == entry.missing else NEVER, "", reason)
    torch.manual_seed(0)
    model, inputs = build(entry)
    made = (quantize_qat if entry.is_qat else quantize)(entry, model, inputs)
    check_graph(entry, made.quantized, inputs)
    check_error(entry, made, inputs)
    if entry.mode == modes.STATIC:
        check_quanta(entry, made, inputs)
    check_trace(made.quantized, inputs)
    return Result(OK, "FX" if entry.is_qat else "PT2E")


# ---- quantize ----------------------------------------------------------------------------------

RECIPES = {
    modes.STATIC: "static",
    modes.DYNAMIC_INT8: "dynamic",
    modes.DYNAMIC_INT4: "dynamic_int4",
    modes.DYNAMIC_FP16: "dynamic_fp16",
    modes.FP16: "fp16",
    modes.WEIGHT_ONLY_INT8: "weight_only",
    modes.WEIGHT_ONLY_INT4: "weight_only_int4",
}


def _simulated(patched: Any) -> nn.Module:
    """The graph that the front end passed to ``lower``."""
    ((module,), _) = patched.call_args
    return module


def quantize(entry: Entry, model: nn.Module, inputs: tuple) -> Made:
    with mock.patch("qnative.quantization.lower", side_effect=lower) as patched:
        quantized = qnative.quantize(
            model,
            inputs,
            [inputs],
            recipe=RECIPES[entry.mode],
            backend_config=config_of(entry),
            dynamic_shapes=element(entry.steps[0]).dynamic_shapes,
        )
    return Made(model, quantized, _simulated(patched))


class _QatPlaceholder(torch.ao.quantization.PlaceholderObserver):
    """Upstream's class rejects the arguments of its own QAT modules."""

    def __init__(self, *args, factory_kwargs=None, **kwargs):
        super().__init__(*args, **kwargs)


def qat_mapping(entry: Entry) -> torch.ao.quantization.QConfigMapping:
    ao = torch.ao.quantization
    mapping = fx.default_qat_qconfig_mapping()
    weights = mapping.global_qconfig.weight
    half = _QatPlaceholder.with_args(dtype=torch.float16)
    qconfigs = {
        modes.DYNAMIC_INT8: ao.QConfig(
            _QatPlaceholder.with_args(dtype=torch.quint8, is_dynamic=True), weights
        ),
        modes.DYNAMIC_FP16: ao.QConfig(half.with_args(is_dynamic=True), half),
        modes.FP16: ao.QConfig(half, half),
        modes.WEIGHT_ONLY_INT8: ao.default_embedding_qat_qconfig,
        modes.WEIGHT_ONLY_INT4: ao.default_embedding_qat_qconfig_4bit,
    }
    if entry.mode in qconfigs:
        mapping = ao.QConfigMapping().set_global(qconfigs[entry.mode])
    return mapping


def train(prepared: nn.Module, inputs: tuple) -> None:
    """Steps that change weights and BatchNorm statistics, then steps without changes until the
    moving averages have settled."""
    optimizer = torch.optim.SGD([p for p in prepared.parameters() if p.requires_grad], lr=0.05)
    before = copy.deepcopy(prepared.state_dict())
    for _ in range(3):
        optimizer.zero_grad()
        prepared(*inputs).square().mean().backward()
        optimizer.step()
    for name, parameter in prepared.named_parameters():
        if not name.endswith("bias"):  # BatchNorm undoes it
            assert not torch.equal(parameter, before[name]), f"training left {name} as it was"
    for _ in range(50):
        prepared(*inputs)


def quantize_qat(entry: Entry, model: nn.Module, inputs: tuple) -> Made:
    config = unite(
        get_qnative_backend_config(), native.get_test_only_legacy_native_backend_config()
    )
    prepared = fx.prepare_qat_fx(model, qat_mapping(entry), inputs, backend_config=config)
    kinds = {type(module) for module in prepared.modules()}
    assert entry.pattern in kinds, f"prepare_qat_fx made {kinds}"
    train(prepared, inputs)
    with mock.patch("qnative.fx.convert.lower", side_effect=lower) as patched:
        quantized = fx.convert_fx(prepared, backend_config=config)
    trained = copy.deepcopy(prepared).eval().apply(torch.ao.quantization.disable_observer)
    model = copy.deepcopy(trained).apply(torch.ao.quantization.disable_fake_quant)
    return Made(model, quantized, _simulated(patched), trained)


# ---- checks ------------------------------------------------------------------------------------


class _Calls(torch.fx.Interpreter):
    """Runs a graph and records every call with its output dtypes."""

    def __init__(self, module: nn.Module):
        super().__init__(module)
        self.calls: list[tuple[torch.fx.Node, set[torch.dtype]]] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if n.op in ("call_function", "call_method"):
            self.calls.append((n, {x.dtype for x in tensors(result)}))
        return result


_CONVERSIONS = ("quantize_per_tensor", "dequantize_per_tensor")
# Ops of the producer and the consumer of an entry.
_ACTIVATION_OPS = {modes.STATIC: "lookup", modes.FP16: "pointwise_fp16"}


def check_graph(entry: Entry, quantized: nn.Module, inputs: tuple) -> None:
    """The op of the entry occurs once, and no torch op computes in float32 or float16."""
    assert not quantized.report.float_rows, str(quantized.report)
    interpreter = _Calls(quantized)
    with torch.no_grad():
        interpreter.run(*copy.deepcopy(inputs))
    ops, halves, floats = [], set(), []
    for node, dtypes in interpreter.calls:
        namespace, _, name = ir.op_name(node).partition(".")
        kind = canonical(ir.kind(node)) or name or namespace
        if namespace == "qnative":
            ops += [] if name in _CONVERSIONS else [name.split(".")[0]]
        elif torch.float32 in dtypes and kind not in ("to", "getitem"):
            floats.append(kind)
        elif dtypes == {torch.float16}:
            halves.add(kind)
    own = [] if entry.op == "free" else [entry.op]
    if entry.needs_producer:
        own = [_ACTIVATION_OPS[entry.mode], *own, _ACTIVATION_OPS[entry.mode]]
    assert ops == own, f"{ops}, not {own}"
    assert not floats, f"in float32: {floats}"
    assert entry.op == "free" or halves <= {"to"}, f"in float16: {halves}"


# Relative error (root mean square) by mode. Rounding to a step is an error of step / sqrt(12). 8
# bits of a range of 6 standard deviations: 0.7 %, for each of input, weight and output. Dynamic:
# less, since a row of 8 has a range of 3; LSTM and GRU feed back what they round. Weight-only: the
# range of a row, once. dynamic_int4: 4 bits of the range of a group. fp16: 2^-11 / sqrt(3), or
# 3e-4, for each of the same three; of the weights alone where dynamic.
BOUNDS = {
    modes.STATIC: 0.015,
    modes.DYNAMIC_INT8: 0.008,
    modes.DYNAMIC_INT4: 0.13,
    modes.DYNAMIC_FP16: 6e-4,
    modes.FP16: 6e-4,
    modes.WEIGHT_ONLY_INT8: 0.0035,
    modes.WEIGHT_ONLY_INT4: 0.055,
}
# Dynamic convolutions: an image has the range of static inputs. Input and weight, 0.7 % each.
BOUND_OF_IMAGES = 0.01


def bound_of(entry: Entry) -> float:
    is_conv = entry.mode == modes.DYNAMIC_INT8 and entry.op.startswith("conv")
    return BOUND_OF_IMAGES if is_conv else BOUNDS[entry.mode]


def tensors(value: Any) -> list[torch.Tensor]:
    return [x for x in torch.utils._pytree.tree_leaves(value) if isinstance(x, torch.Tensor)]


def outputs(module: nn.Module, inputs: tuple) -> list[torch.Tensor]:
    with torch.no_grad():
        return tensors(module(*copy.deepcopy(inputs)))


def check_error(entry: Entry, made: Made, inputs: tuple) -> None:
    """Compares with the float model and with the trained one, which has its own error."""
    got = outputs(made.quantized, inputs)
    for other, bound in ((made.model, 1), (made.trained, 2)):
        if other is None:
            continue
        want = outputs(other, inputs)
        assert len(got) == len(want) > 0
        for a, b in zip(got, want, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype == torch.float32, (a.dtype, b.dtype)
            error = float((a - b).square().mean().sqrt() / b.square().mean().sqrt())
            assert error <= bound * bound_of(entry), f"relative error {error}"


# Rounding of float32 sums of a few products, relative to the largest output. Probabilities of
# attention have 16 bits: half a unit for each of 6 keys.
_ROUNDING = 1e-6
_ROUNDING_OF_ATTENTION = 6 / 2**17


def check_quanta(entry: Entry, made: Made, inputs: tuple) -> None:
    """Compares with the same 8-bit numbers in float arithmetic: at most one quantum apart, where
    that rounds differently."""
    got = outputs(made.quantized, inputs)
    rounding = _ROUNDING_OF_ATTENTION if entry.op == "attention" else _ROUNDING
    for other in (made.simulated, made.trained):
        if other is None:
            continue
        for a, b in zip(got, outputs(other, inputs), strict=True):
            bound = quantum(made.quantized) + rounding * float(b.abs().max())
            error = float((a - b).abs().max())
            assert error <= bound, f"off by {error}, more than {bound}"


def quantum(quantized: nn.Module) -> float:
    """The scale of the output, 0 for float32 output."""
    (value,) = next(iter(reversed(quantized.graph.nodes))).all_input_nodes
    return float(value.args[1]) if "dequantize_per_tensor" in str(value.target) else 0.0


def check_trace(quantized: nn.Module, inputs: tuple) -> None:
    traced = torch.jit.trace(quantized, copy.deepcopy(inputs), check_trace=False)
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    got, want = outputs(loaded, inputs), outputs(quantized, inputs)
    assert all(map(torch.equal, got, want)) and len(got) == len(want)
