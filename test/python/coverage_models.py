"""A model out of every entry of the native configs, quantized and checked."""

import copy
import io
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.nn import intrinsic as nni
from torch.ao.nn import qat as nnqat
from torch.ao.nn.intrinsic import qat as nniqat

import qnative
from qnative import fx
from qnative.backend_config import BackendConfig, BackendPatternConfig, native
from qnative.lowering import direct

OK = "ok"
NEVER = "cannot occur"
MISSING = "missing"

# ---- models ------------------------------------------------------------------------------------

CHANNELS = 4
SHAPES = {"1": (2, CHANNELS, 8), "2": (2, CHANNELS, 6, 6), "3": (2, CHANNELS, 4, 6, 4)}
FLAT = (4, 8)


class Call(nn.Module):
    """A function as a module, with parameters of its own where it takes some."""

    def __init__(self, function: Callable, **parameters: torch.Tensor):
        super().__init__()
        self.function, self.names = function, tuple(parameters)
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, *inputs):
        return self.function(*inputs, *(getattr(self, name) for name in self.names))


class Chain(nn.Module):
    """Steps one after the other."""

    def __init__(self, *steps: nn.Module):
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


class Chain2(Chain):
    """The same, with a first step of two inputs."""

    def forward(self, x, y):
        x = self.steps[0](x, y)
        for step in self.steps[1:]:
            x = step(x)
        return x


@dataclass
class Element:
    """One element of a pattern: its module, and the shapes of what it is fed with. number: makes
    these, if not of the normal distribution."""

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...] = (FLAT,)
    number: Callable[[tuple[int, ...]], torch.Tensor] = torch.randn
    dynamic_shapes: str | None = "batch"


def conv(d: str, transposed: bool = False) -> nn.Module:
    if transposed:
        kind = getattr(nn, f"ConvTranspose{d}d")
        return kind(CHANNELS, 6, 3, stride=2, padding=1, output_padding=1)
    return getattr(nn, f"Conv{d}d")(CHANNELS, 6, 3, padding=1)


def bn(d: str, channels: int = 6) -> nn.Module:
    return getattr(nn, f"BatchNorm{d}d")(channels)


def weight(*shape: int) -> torch.Tensor:
    return torch.randn(shape) * 0.3


def elements_of(d: str) -> dict[Any, Element]:
    """What has a class or function for each number of spatial dimensions."""
    shapes = (SHAPES[d],)

    def of(module: Callable[[], nn.Module]) -> Element:
        return Element(module, shapes)

    kernel = (3,) * int(d)
    found = {
        getattr(nn, f"Conv{d}d"): of(lambda: conv(d)),
        getattr(nn, f"ConvTranspose{d}d"): of(lambda: conv(d, transposed=True)),
        getattr(nn, f"BatchNorm{d}d"): of(lambda: bn(d, CHANNELS)),
        getattr(nni, f"ConvReLU{d}d"): of(
            lambda: getattr(nni, f"ConvReLU{d}d")(conv(d), nn.ReLU())
        ),
        getattr(nni, f"ConvBn{d}d"): of(lambda: getattr(nni, f"ConvBn{d}d")(conv(d), bn(d))),
        getattr(nni, f"ConvBnReLU{d}d"): of(
            lambda: getattr(nni, f"ConvBnReLU{d}d")(conv(d), bn(d), nn.ReLU())
        ),
        getattr(nnqat, f"Conv{d}d"): of(lambda: conv(d)),
        getattr(nniqat, f"ConvReLU{d}d"): of(lambda: nn.Sequential(conv(d), nn.ReLU())),
        getattr(nniqat, f"ConvBn{d}d"): of(lambda: nn.Sequential(conv(d), bn(d))),
        getattr(nniqat, f"ConvBnReLU{d}d"): of(lambda: nn.Sequential(conv(d), bn(d), nn.ReLU())),
        getattr(F, f"conv{d}d"): of(
            lambda: Call(
                partial(_reordered, getattr(F, f"conv{d}d"), padding=1),
                weight=weight(6, CHANNELS, *kernel),
                bias=weight(6),
            )
        ),
        getattr(F, f"conv_transpose{d}d"): of(
            lambda: Call(
                partial(_reordered, getattr(F, f"conv_transpose{d}d"), stride=2, padding=1),
                weight=weight(CHANNELS, 6, *kernel),
                bias=weight(6),
            )
        ),
        getattr(nn, f"InstanceNorm{d}d"): of(
            lambda: getattr(nn, f"InstanceNorm{d}d")(CHANNELS, affine=True)
        ),
        getattr(nn, f"AdaptiveAvgPool{d}d"): of(lambda: getattr(nn, f"AdaptiveAvgPool{d}d")(3)),
        getattr(nn, f"AvgPool{d}d"): of(lambda: getattr(nn, f"AvgPool{d}d")(2)),
        getattr(nn, f"MaxPool{d}d"): of(lambda: getattr(nn, f"MaxPool{d}d")(2)),
        getattr(F, f"adaptive_avg_pool{d}d"): of(
            lambda: Call(lambda x: getattr(F, f"adaptive_avg_pool{d}d")(x, 2))
        ),
        getattr(F, f"avg_pool{d}d"): of(lambda: Call(lambda x: getattr(F, f"avg_pool{d}d")(x, 2))),
        getattr(F, f"max_pool{d}d"): of(
            lambda: Call(lambda x: getattr(F, f"max_pool{d}d")(x, 3, 2))
        ),
    }
    if d != "1":
        fused = getattr(nni, f"BNReLU{d}d")
        found[fused] = of(lambda: fused(bn(d, CHANNELS), nn.ReLU()))
    return found


def _reordered(function: Callable, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, **options):
    return function(x, w, b, **options)


def _instance_norm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.instance_norm(x, weight=w, bias=b)


def linear() -> nn.Module:
    return nn.Linear(8, 6)


def _call(function: Callable, *shapes: tuple[int, ...]) -> Element:
    return Element(lambda: Call(function), shapes or (FLAT,))


_IMAGE = SHAPES["2"]
_TOKENS = (3, 5)  # indices into a table of 12 rows
_tokens = partial(torch.randint, 0, 12)
ELEMENTS: dict[Any, Element] = {
    **elements_of("1"),
    **elements_of("2"),
    **elements_of("3"),
    nn.Linear: Element(linear),
    F.linear: Element(lambda: Call(F.linear, weight=weight(6, 8), bias=weight(6))),
    nni.LinearReLU: Element(lambda: nni.LinearReLU(linear(), nn.ReLU())),
    nni.LinearBn1d: Element(lambda: nni.LinearBn1d(linear(), bn("1"))),
    nnqat.Linear: Element(linear),
    nniqat.LinearReLU: Element(lambda: nn.Sequential(linear(), nn.ReLU())),
    nniqat.LinearBn1d: Element(lambda: nn.Sequential(linear(), bn("1"))),
    operator.add: _call(operator.add, FLAT, FLAT),
    operator.mul: _call(operator.mul, FLAT, FLAT),
    torch.add: _call(lambda x, y: torch.add(x, y, alpha=2), FLAT, FLAT),
    torch.mul: _call(torch.mul, FLAT, FLAT),
    torch.matmul: _call(torch.matmul, (2, 4, 8), (2, 8, 6)),
    torch.cat: _call(lambda x, y: torch.cat([x, y], 1), FLAT, FLAT),
    torch.stack: _call(lambda x, y: torch.stack([x, y], 1), FLAT, FLAT),
    nn.PReLU: Element(lambda: nn.PReLU(CHANNELS), (_IMAGE,)),
    nn.LayerNorm: Element(lambda: nn.LayerNorm(8)),
    F.layer_norm: Element(
        lambda: Call(lambda x, w, b: F.layer_norm(x, [8], w, b), w=weight(8), b=weight(8))
    ),
    F.group_norm: Element(
        lambda: Call(lambda x, w, b: F.group_norm(x, 2, w, b), w=weight(4), b=weight(4)), (_IMAGE,)
    ),
    F.instance_norm: Element(
        lambda: Call(
            lambda x, w, b: F.instance_norm(x, weight=w, bias=b), w=weight(4), b=weight(4)
        ),
        (_IMAGE,),
    ),
    nn.Softmax: Element(lambda: nn.Softmax(-1)),
    nn.PixelShuffle: Element(lambda: nn.PixelShuffle(2), (_IMAGE,)),
    nn.PixelUnshuffle: Element(lambda: nn.PixelUnshuffle(2), (_IMAGE,)),
    F.pixel_shuffle: _call(lambda x: F.pixel_shuffle(x, 2), _IMAGE),
    F.pixel_unshuffle: _call(lambda x: F.pixel_unshuffle(x, 3), _IMAGE),
    F.interpolate: _call(lambda x: F.interpolate(x, scale_factor=2), _IMAGE),
    F.dropout: Element(lambda: Call(partial(F.dropout, training=False))),
    F.elu: _call(lambda x: F.elu(x, 0.5)),
    F.hardtanh: _call(lambda x: F.hardtanh(x, -0.5, 1.5)),
    F.hardtanh_: _call(lambda x: F.hardtanh_(x, -0.5, 1.5)),
    torch.clamp: _call(lambda x: torch.clamp(x, -0.5, 1.0)),
    "clamp": _call(lambda x: x.clamp(-0.5, 1.0)),
    torch.flatten: _call(lambda x: torch.flatten(x, 1), _IMAGE),
    # Of positive values: the output has the scale of the input, and must not be close to 0.
    torch.mean: Element(lambda: Call(lambda x: torch.mean(x, (2, 3))), (_IMAGE,), torch.rand),
    "mean": Element(lambda: Call(lambda x: x.mean((2, 3), keepdim=True)), (_IMAGE,), torch.rand),
    torch.narrow: _call(lambda x: torch.narrow(x, 1, 2, 3)),
    torch.repeat_interleave: _call(lambda x: torch.repeat_interleave(x, 2, 1)),
    "repeat_interleave": _call(lambda x: x.repeat_interleave(3, 1)),
    "repeat": _call(lambda x: x.repeat(1, 2)),
    torch.transpose: _call(lambda x: torch.transpose(x, 0, 1)),
    "transpose": _call(lambda x: x.transpose(1, 2), _IMAGE),
    "permute": _call(lambda x: x.permute(0, 2, 3, 1), _IMAGE),
    torch.squeeze: _call(torch.squeeze, (4, 1, 8)),
    "squeeze": _call(lambda x: x.squeeze(1), (4, 1, 8)),
    "squeeze_": _call(lambda x: x.squeeze_(1), (4, 1, 8)),
    torch.unsqueeze: _call(lambda x: torch.unsqueeze(x, 1)),
    "unsqueeze": _call(lambda x: x.unsqueeze(1)),
    "unsqueeze_": _call(lambda x: x.unsqueeze_(1)),
    # Half-way between the steps of the result, so that no rounding of x crosses one.
    operator.floordiv: Element(
        lambda: Call(lambda x: x // 0.5),
        number=lambda shape: (torch.randint(-8, 8, shape) + 0.5) / 2,
    ),
    "contiguous": _call(lambda x: x.contiguous()),
    "reshape": _call(lambda x: x.reshape(-1, 4)),
    "view": _call(lambda x: x.view(-1, 2)),
    # torch.export does not trace it with an open size.
    "resize_": Element(lambda: Call(lambda x: x.resize_(2, 16)), dynamic_shapes=None),
    "shape": _call(lambda x: x.reshape(x.shape[0], -1), _IMAGE),
    "size": _call(lambda x: x.reshape(x.size(0), -1), _IMAGE),
    nn.GRUCell: Element(lambda: nn.GRUCell(8, 6)),
    nn.LSTMCell: Element(lambda: nn.LSTMCell(8, 6)),
    nn.RNNCell: Element(lambda: nn.RNNCell(8, 6)),
    nn.LSTM: Element(lambda: nn.LSTM(8, 6, 2, bidirectional=True), ((3, 2, 8),)),
    nn.GRU: Element(lambda: nn.GRU(8, 6, batch_first=True), ((2, 3, 8),)),
    nn.Embedding: Element(lambda: nn.Embedding(12, 8), (_TOKENS,), _tokens),
    nn.EmbeddingBag: Element(lambda: nn.EmbeddingBag(12, 8, mode="sum"), (_TOKENS,), _tokens),
    nnqat.Embedding: Element(lambda: nn.Embedding(12, 8), (_TOKENS,), _tokens),
    nnqat.EmbeddingBag: Element(lambda: nn.EmbeddingBag(12, 8, mode="sum"), (_TOKENS,), _tokens),
}


def element(pattern: Any) -> Element:
    if pattern in ELEMENTS:
        return ELEMENTS[pattern]
    if isinstance(pattern, str):
        return _call(lambda x: getattr(x, pattern)())
    return Element(pattern) if isinstance(pattern, type) else _call(pattern)


# ---- entries -----------------------------------------------------------------------------------


@dataclass
class Entry:
    """A pattern and one of its DTypeConfigs."""

    row: BackendPatternConfig
    index: int
    missing: str  # why BackendConfig.validate says that it cannot run, or ""

    @property
    def pattern(self) -> Any:
        return self.row.pattern

    @property
    def dtypes(self) -> Any:
        return self.row.dtype_configs[self.index]

    @property
    def op(self) -> str:
        return self.row.op(self.index)

    @property
    def mode(self) -> str:
        return next((m for m in direct.DIRECT if direct.fits(m, self.dtypes)), direct.STATIC)

    @property
    def name(self) -> str:
        """ "(nn.Conv2d, nn.ReLU) static", the same in every process."""
        return f"{_text(self.row.script_object.pattern)} {self.mode}"

    @property
    def is_qat(self) -> bool:
        return isinstance(self.pattern, type) and ".qat." in self.pattern.__module__


def _text(pattern: Any) -> str:
    if isinstance(pattern, tuple):
        return f"({', '.join(map(_text, pattern))})"
    for long, short in {
        "torch.nn.functional.": "F.",
        "torch.ao.nn.intrinsic.qat.": "nniqat.",
        "torch.ao.nn.intrinsic.": "nni.",
        "torch.ao.nn.qat.": "nnqat.",
        "torch.nn.": "nn.",
    }.items():
        pattern = pattern.replace(long, short)
    return pattern if "." in pattern else f'"{pattern}"'


def entries(config: BackendConfig) -> list[Entry]:
    missing = {(m.config, m.dtype_config): m.reason for m in config.validate()}
    # Configs are kept alive, and so the same Python objects, by ``config``.
    missing = {(id(row), i): reason for (row, i), reason in missing.items()}
    return [
        Entry(row, i, missing.get((id(row), i), ""))
        for row in config.configs
        for i in range(len(row.dtype_configs))
    ]


# ---- one entry ---------------------------------------------------------------------------------


@dataclass
class Result:
    """status: OK, NEVER, MISSING, or what went wrong. front: "PT2E" or "FX"."""

    status: str
    front: str = ""
    detail: str = ""


def run(entry: Entry) -> Result:
    """Builds, quantizes and checks the model of one entry; AssertionError if it is not right."""
    if entry.missing:
        return Result(NEVER if "cannot occur" in entry.missing else MISSING, "", entry.missing)
    torch.manual_seed(0)
    model, inputs = build(entry)
    if entry.is_qat:
        quantized, reference = quantize_qat(entry, model, inputs)
    else:
        first = entry.pattern[0] if isinstance(entry.pattern, tuple) else entry.pattern
        quantized = qnative.quantize(
            model,
            inputs,
            [inputs],
            RECIPES[entry.mode],
            config=config_of(entry),
            dynamic_shapes=element(first).dynamic_shapes,
        )
        reference = model
    check_graph(entry, quantized)
    check_error(entry, quantized, reference, inputs)
    check_trace(quantized, inputs)
    return Result(OK, "FX" if entry.is_qat else "PT2E")


# What moves data runs on data that an op before it quantized, what is in place on a temporary.
_PRODUCER = operator.add
_CONSUMER = torch.relu


def needs_producer(entry: Entry) -> bool:
    in_place = isinstance(entry.pattern, str) and entry.pattern.endswith("_")
    return entry.op == "free" or in_place or entry.pattern in (F.hardtanh_, nn.Identity)


def build(entry: Entry) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    pattern = entry.pattern if isinstance(entry.pattern, tuple) else (entry.pattern,)
    parts = [element(name) for name in pattern]
    steps = [_fitting(part, i).make() for i, part in enumerate(parts)]
    first = parts[0]
    inputs = tuple(first.number(shape) for shape in first.shapes)
    if needs_producer(entry):
        steps = [Call(_PRODUCER), *steps, Call(_CONSUMER)]
        inputs = (inputs[0], torch.randn(first.shapes[0]))
    model = (Chain if len(inputs) == 1 else Chain2)(*steps).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model, inputs


def _fitting(part: Element, position: int) -> Element:
    """BatchNorm behind a convolution or linear has its 6 channels."""
    module = part.make()
    if position > 0 and isinstance(module, nn.modules.batchnorm._BatchNorm):
        return Element(lambda: type(module)(6))
    return part


RECIPES = {
    direct.STATIC: "static",
    direct.DYNAMIC_INT8: "dynamic",
    direct.DYNAMIC_FP16: "dynamic_fp16",
    direct.FP16: "fp16",
    direct.WEIGHT_ONLY_INT8: "weight_only",
    direct.WEIGHT_ONLY_INT4: "weight_only_int4",
}


def config_of(entry: Entry) -> BackendConfig:
    """The entry alone, and what the producer and the consumer need."""
    alone = copy.copy(entry.row)
    alone.set_dtype_configs([entry.dtypes]).set_ops(entry.op)
    config = BackendConfig("one entry")
    if needs_producer(entry):
        dtypes = native.default_op_quint8_dtype_config
        if entry.mode == direct.FP16:
            dtypes = native.default_op_fp16_dtype_config
        for pattern in (_PRODUCER, _CONSUMER):
            config.set_backend_pattern_config(
                BackendPatternConfig(pattern).add_dtype_config(dtypes)
            )
    return config.set_backend_pattern_config(alone)


class _QatPlaceholder(torch.ao.quantization.PlaceholderObserver):
    """Upstream's does not accept what its QAT modules give it."""

    def __init__(self, *args, factory_kwargs=None, **kwargs):
        super().__init__(*args, **kwargs)


def qat_mapping(entry: Entry) -> torch.ao.quantization.QConfigMapping:
    ao = torch.ao.quantization
    mapping = fx.default_qat_qconfig_mapping()
    weights = mapping.global_qconfig.weight
    half = _QatPlaceholder.with_args(dtype=torch.float16)
    qconfigs = {
        direct.DYNAMIC_INT8: ao.QConfig(
            _QatPlaceholder.with_args(dtype=torch.quint8, is_dynamic=True), weights
        ),
        direct.DYNAMIC_FP16: ao.QConfig(half.with_args(is_dynamic=True), half),
        direct.FP16: ao.QConfig(half, half),
        direct.WEIGHT_ONLY_INT8: ao.default_embedding_qat_qconfig,
        direct.WEIGHT_ONLY_INT4: ao.default_embedding_qat_qconfig_4bit,
    }
    if entry.mode in qconfigs:
        mapping = ao.QConfigMapping().set_global(qconfigs[entry.mode])
    return mapping


def quantize_qat(entry: Entry, model: nn.Module, inputs: tuple) -> tuple[nn.Module, nn.Module]:
    """The quantized model, and the trained one without fake quantization."""
    config = native.get_test_only_legacy_native_backend_config()
    prepared = fx.prepare_qat_fx(model, qat_mapping(entry), inputs, backend_config=config)
    kinds = {type(module) for module in prepared.modules()}
    assert entry.pattern in kinds, f"prepare_qat_fx made {kinds}"
    # Until the moving averages have come to rest.
    for _ in range(50):
        prepared(*inputs)
    quantized = fx.convert_fx(prepared, backend_config=config)
    reference = copy.deepcopy(prepared).eval()
    return quantized, reference.apply(torch.ao.quantization.disable_fake_quant)


# ---- checks ------------------------------------------------------------------------------------


def check_graph(entry: Entry, quantized: nn.Module) -> None:
    assert not quantized.report.float_rows, str(quantized.report)
    nodes = [node for node in quantized.graph.nodes if node.op == "call_function"]
    names = [str(node.target) for node in nodes]
    assert not any("quantized_decomposed" in name for name in names), names
    if entry.op == "aten":
        halves = [node for node in nodes if "float16" in str(node.args)]
        assert halves, f"nothing becomes float16 in {names}"
    elif entry.op != "free":
        assert any(name.split(".")[:2] == ["qnative", entry.op] for name in names), (
            f"no qnative::{entry.op} in {names}"
        )


# Relative error (root mean square) by mode. 8 bits: rounding to 1/255 of a range of 6 standard
# deviations is an error of 0.7 %, an entry has 3 of them (input, weight, output) at most, and as
# much again where an observer clips. fp16: 2^-11 for each of the same. 4 bits: 1/15 of the range of
# a row.
BOUNDS = {
    direct.STATIC: 0.04,
    direct.DYNAMIC_INT8: 0.04,
    direct.DYNAMIC_FP16: 2e-3,
    direct.FP16: 3e-3,
    direct.WEIGHT_ONLY_INT8: 0.01,
    direct.WEIGHT_ONLY_INT4: 0.12,
}


def tensors(value: Any) -> list[torch.Tensor]:
    return [x for x in torch.utils._pytree.tree_leaves(value) if isinstance(x, torch.Tensor)]


def check_error(entry: Entry, quantized: nn.Module, reference: nn.Module, inputs: tuple) -> None:
    with torch.no_grad():
        got = tensors(quantized(*copy.deepcopy(inputs)))
        want = tensors(reference(*copy.deepcopy(inputs)))
    assert len(got) == len(want) > 0
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype == torch.float32, (a.dtype, b.dtype)
        error = float((a - b).square().mean().sqrt() / b.square().mean().sqrt())
        assert error <= BOUNDS[entry.mode], f"relative error {error}"


def check_trace(quantized: nn.Module, inputs: tuple) -> None:
    traced = torch.jit.trace(quantized, copy.deepcopy(inputs), check_trace=False)
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    with torch.no_grad():
        got = tensors(loaded(*copy.deepcopy(inputs)))
        want = tensors(quantized(*copy.deepcopy(inputs)))
    assert all(map(torch.equal, got, want)) and len(got) == len(want)
