"""A module and inputs for every element of the patterns of the configs."""

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

CHANNELS = 4
SHAPES = {"1": (2, CHANNELS, 8), "2": (2, CHANNELS, 6, 6), "3": (2, CHANNELS, 4, 6, 4)}
FLAT = (4, 8)


class Call(nn.Module):
    """A function as a module, with parameters if it takes any."""

    def __init__(self, function: Callable, **parameters: torch.Tensor):
        super().__init__()
        self.function, self.names = function, tuple(parameters)
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, *inputs):
        return self.function(*inputs, *(getattr(self, name) for name in self.names))


class Chain(nn.Module):
    """Steps in sequence."""

    def __init__(self, *steps: nn.Module):
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


class Chain2(Chain):
    """Chain whose first step has two inputs."""

    def forward(self, x, y):
        x = self.steps[0](x, y)
        for step in self.steps[1:]:
            x = step(x)
        return x


@dataclass
class Element:
    """One element of a pattern: its module and input shapes. number: makes the inputs, by default
    from the normal distribution."""

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
    """Elements with one class or function per number of spatial dimensions. Means take positive
    values: they share the scale of the input and must not be close to 0."""
    shapes = (SHAPES[d],)

    def of(module: Callable[[], nn.Module]) -> Element:
        return Element(module, shapes)

    def mean(module: Callable[[], nn.Module]) -> Element:
        return Element(module, shapes, torch.rand)

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
                partial(getattr(F, f"conv{d}d"), padding=1),
                weight=weight(6, CHANNELS, *kernel),
                bias=weight(6),
            )
        ),
        getattr(F, f"conv_transpose{d}d"): of(
            lambda: Call(
                partial(getattr(F, f"conv_transpose{d}d"), stride=2, padding=1),
                weight=weight(CHANNELS, 6, *kernel),
                bias=weight(6),
            )
        ),
        getattr(nn, f"InstanceNorm{d}d"): of(
            lambda: getattr(nn, f"InstanceNorm{d}d")(CHANNELS, affine=True)
        ),
        getattr(nn, f"AdaptiveAvgPool{d}d"): mean(lambda: getattr(nn, f"AdaptiveAvgPool{d}d")(3)),
        getattr(nn, f"AvgPool{d}d"): mean(lambda: getattr(nn, f"AvgPool{d}d")(2)),
        getattr(nn, f"MaxPool{d}d"): of(lambda: getattr(nn, f"MaxPool{d}d")(2)),
        getattr(F, f"adaptive_avg_pool{d}d"): mean(
            lambda: Call(lambda x: getattr(F, f"adaptive_avg_pool{d}d")(x, 2))
        ),
        getattr(F, f"avg_pool{d}d"): mean(
            lambda: Call(lambda x: getattr(F, f"avg_pool{d}d")(x, 2))
        ),
        getattr(F, f"max_pool{d}d"): of(
            lambda: Call(lambda x: getattr(F, f"max_pool{d}d")(x, 3, 2))
        ),
    }
    if d != "1":
        fused = getattr(nni, f"BNReLU{d}d")
        found[fused] = of(lambda: fused(bn(d, CHANNELS), nn.ReLU()))
    return found


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
    torch.addmm: Element(
        lambda: Call(lambda x, b, w: torch.addmm(b, x, w), b=weight(6), w=weight(8, 6))
    ),
    torch.bmm: _call(torch.bmm, (2, 4, 8), (2, 8, 6)),
    F.scaled_dot_product_attention: _call(
        lambda q, k: F.scaled_dot_product_attention(q, k, k, is_causal=True),
        (2, 3, 6, 8),
        (2, 3, 6, 8),
    ),
    torch.matmul: _call(torch.matmul, (2, 4, 8), (2, 8, 6)),
    torch.cat: _call(lambda x, y: torch.cat([x, y], 1), FLAT, FLAT),
    torch.stack: _call(lambda x, y: torch.stack([x, y], 1), FLAT, FLAT),
    operator.sub: _call(operator.sub, FLAT, FLAT),
    torch.sub: _call(lambda x, y: torch.sub(x, y, alpha=2), FLAT, FLAT),
    torch.div: _call(lambda x: torch.div(x, 3)),
    operator.truediv: _call(lambda x: x / 2.5),
    operator.pow: _call(lambda x: x**2),
    torch.pow: Element(lambda: Call(lambda x: torch.pow(x, 1.5)), number=torch.rand),
    "pow": _call(lambda x: x.pow(3)),
    nn.Threshold: Element(lambda: nn.Threshold(-0.5, 0.25)),
    F.threshold: _call(lambda x: F.threshold(x, 0.5, -1.0)),
    **{f: Element(lambda f=f: Call(f), number=torch.rand) for f in (torch.acos, torch.asin)},
    **{f: Element(lambda f=f: Call(f), number=torch.rand) for f in (torch.log1p, torch.sqrt)},
    **{
        name: Element(lambda name=name: Call(lambda x: getattr(x, name)()), number=torch.rand)
        for name in ("acos", "asin", "log1p", "sqrt")
    },
    nn.PReLU: Element(lambda: nn.PReLU(CHANNELS), (_IMAGE,)),
    nn.LayerNorm: Element(lambda: nn.LayerNorm(8)),
    F.layer_norm: Element(
        lambda: Call(lambda x, w, b: F.layer_norm(x, [8], w, b), w=weight(8), b=weight(8))
    ),
    F.rms_norm: Element(lambda: Call(lambda x, w: F.rms_norm(x, [8], w), w=weight(8))),
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
    F.hardtanh: _call(lambda x: F.hardtanh(x, -0.5, 0.6)),
    F.hardtanh_: _call(lambda x: F.hardtanh_(x, -0.5, 0.6)),
    torch.clamp: _call(lambda x: torch.clamp(x, -0.5, 1.0)),
    "clamp": _call(lambda x: x.clamp(-0.5, 1.0)),
    torch.flatten: _call(lambda x: torch.flatten(x, 1), _IMAGE),
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
    "contiguous": Element(
        lambda: Call(lambda x: x.contiguous()), number=lambda shape: torch.randn(shape[::-1]).t()
    ),
    nn.ChannelShuffle: Element(lambda: nn.ChannelShuffle(2), (_IMAGE,)),
    torch.permute: _call(lambda x: torch.permute(x, (0, 2, 3, 1)), _IMAGE),
    torch.reshape: _call(lambda x: torch.reshape(x, (-1, 4))),
    torch.roll: _call(lambda x: torch.roll(x, (1, -2), (2, 3)), _IMAGE),
    "roll": _call(lambda x: x.roll(3, 1)),
    torch.flip: _call(lambda x: torch.flip(x, (1,))),
    "flip": _call(lambda x: x.flip(0, 1)),
    torch.tile: _call(lambda x: torch.tile(x, (1, 2))),
    "tile": _call(lambda x: x.tile((2, 1, 1))),
    "expand": _call(lambda x: x.unsqueeze(1).expand(-1, 3, -1)),
    "expand_as": _call(lambda x: x[:1].expand_as(x)),
    "flatten": _call(lambda x: x.flatten(1), _IMAGE),
    "narrow": _call(lambda x: x.narrow(1, 2, 3)),
    "reshape_as": _call(lambda x: x.t().reshape_as(x)),
    "view_as": _call(lambda x: x.view_as(x.t())),
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
_ATEN = torch.ops.aten
ELEMENTS |= {
    _ATEN.linear.default: ELEMENTS[F.linear],
    **{getattr(_ATEN, f"conv{d}d").default: ELEMENTS[getattr(F, f"conv{d}d")] for d in "123"},
    _ATEN.add.Tensor: ELEMENTS[torch.add],
    _ATEN.mul.Tensor: ELEMENTS[torch.mul],
    _ATEN.cat.default: ELEMENTS[torch.cat],
    _ATEN.layer_norm.default: ELEMENTS[F.layer_norm],
    _ATEN.rms_norm.default: ELEMENTS[F.rms_norm],
}


def element(pattern: Any) -> Element:
    if pattern in ELEMENTS:
        return ELEMENTS[pattern]
    if isinstance(pattern, str):
        return _call(lambda x: getattr(x, pattern)())
    return Element(pattern) if isinstance(pattern, type) else _call(pattern)


class One(Call):
    def forward(self, x):
        return self.function(x)


class Two(Call):
    def forward(self, x, y):
        return self.function(x, y)
