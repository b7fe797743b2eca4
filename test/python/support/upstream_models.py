"""The kinds of models that torch.ao.quantization and torchao test their quantizers with, written
anew: each is small, and one thing about it is special."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Case:
    """make: the model. shape: of its input. floats: the kinds of ops that stay float and a part of
    the reason for each; fx_floats: more of them in FX. least: dB that the result has against the
    float model. fx_error: what upstream's FX says of a model that it cannot trace. pt2e: whether
    PT2E takes it in reasonable time."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (4, 4, 8, 8)
    floats: tuple[tuple[str, str], ...] = ()
    fx_floats: tuple[tuple[str, str], ...] = ()
    least: float = 25.0
    fx_error: str = ""
    pt2e: bool = True


class Call(nn.Module):
    """forward(x) = function(self, x), with these submodules and parameters."""

    def __init__(self, function, **members):
        super().__init__()
        self.function = function
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, x):
        return self.function(self, x)


def conv(i=4, o=4, k=3, **options):
    return nn.Conv2d(i, o, k, padding=k // 2, **options)


def norm(kind=nn.BatchNorm2d, channels=4):
    """With statistics of its own."""
    made = kind(channels)
    nn.init.uniform_(made.running_mean, -0.5, 0.5)
    nn.init.uniform_(made.running_var, 0.5, 2)
    nn.init.uniform_(made.weight, 0.5, 1.5)
    nn.init.uniform_(made.bias, -0.5, 0.5)
    return made


def after(function, **members):
    """A convolution, then this."""
    return lambda: Call(lambda self, x: function(self, self.conv(x)), conv=conv(), **members)


def between(function, **members):
    """A convolution, this, and a 1x1 convolution."""
    return lambda: Call(
        lambda self, x: self.last(function(self, self.conv(x))),
        conv=conv(),
        last=conv(k=1),
        **members,
    )


def linear_then(function, **members):
    return lambda: Call(lambda self, x: function(self, self.fc(x)), fc=nn.Linear(8, 8), **members)


def layers():
    """Convolutions and linear layers with what is fused into them."""
    found = {}
    for d in (1, 2, 3):
        shape = (2, 4, *(8, 6, 5)[:d])
        kind, transposed = getattr(nn, f"Conv{d}d"), getattr(nn, f"ConvTranspose{d}d")
        bn, function = getattr(nn, f"BatchNorm{d}d"), getattr(F, f"conv{d}d")
        found |= {
            f"conv{d}d": Case(lambda k=kind: k(4, 6, 3), shape),
            f"conv{d}d relu": Case(lambda k=kind: nn.Sequential(k(4, 6, 3), nn.ReLU()), shape),
            f"conv{d}d bn": Case(lambda k=kind, b=bn: nn.Sequential(k(4, 6, 3), norm(b, 6)), shape),
            f"conv{d}d bn relu": Case(
                lambda k=kind, b=bn: nn.Sequential(k(4, 6, 3, bias=False), norm(b, 6), nn.ReLU()),
                shape,
            ),
            f"conv_transpose{d}d bn": Case(
                lambda k=transposed, b=bn: nn.Sequential(k(4, 6, 3), norm(b, 6)), shape
            ),
            f"functional conv{d}d relu": Case(
                lambda f=function, n=d: Call(
                    lambda self, x: F.relu(f(x, self.w, self.b, 1, 1)),
                    w=nn.Parameter(torch.randn(6, 4, *[3] * n) / 6),
                    b=nn.Parameter(torch.randn(6)),
                ),
                shape,
            ),
        }
    plain = (4, 8)
    found |= {
        "linear": Case(lambda: nn.Linear(8, 6), plain),
        "linear without bias": Case(lambda: nn.Linear(8, 6, bias=False), plain),
        "linear relu": Case(lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU()), plain),
        "linear bn": Case(lambda: nn.Sequential(nn.Linear(8, 6), norm(nn.BatchNorm1d, 6)), plain),
        "linear of three dimensions": Case(lambda: nn.Linear(8, 6), (2, 3, 8)),
        "linear, dropout, linear": Case(
            lambda: nn.Sequential(nn.Linear(8, 8), nn.Dropout(), nn.Linear(8, 4)), plain
        ),
        "functional linear relu": Case(
            lambda: Call(
                lambda self, x: F.relu(F.linear(x, self.w)), w=nn.Parameter(torch.randn(6, 8))
            ),
            plain,
        ),
        "linear leaky_relu": Case(linear_then(lambda self, y: F.leaky_relu(y, 0.1)), plain),
        "linear tanh": Case(linear_then(lambda self, y: torch.tanh(y)), plain),
        "conv leaky_relu": Case(after(lambda self, y: F.leaky_relu(y, 0.1))),
        "conv relu in place": Case(after(lambda self, y: F.relu(y, inplace=True))),
        "conv relu6": Case(after(lambda self, y: F.relu6(y))),
        "conv hardtanh": Case(after(lambda self, y: F.hardtanh(y, -0.5, 0.5))),
        "conv padded by reflection": Case(
            lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        ),
        "depthwise conv": Case(lambda: conv(groups=4)),
        "grouped conv with stride": Case(lambda: nn.Conv2d(4, 8, 3, 2, groups=2)),
        "shared layer": Case(lambda: Call(lambda self, x: self.conv(self.conv(x)), conv=conv())),
        "shared weight": Case(
            lambda: Call(
                lambda self, x: F.conv2d(F.conv2d(x, self.w), self.w),
                w=nn.Parameter(torch.randn(4, 4, 1, 1)),
            )
        ),
        "packed weight of a list": Case(
            lambda: Call(
                lambda self, x: F.linear(x, next(iter(self.weights))),
                weights=nn.ParameterList([torch.randn(6, 8)]),
            ),
            plain,
        ),
        "nested modules": Case(
            lambda: nn.Sequential(
                nn.Sequential(conv(), nn.Sequential(norm(), nn.ReLU())), conv(k=1)
            )
        ),
        "module dict": Case(
            lambda: Call(
                lambda self, x: self.parts["b"](self.parts["a"](x)),
                parts=nn.ModuleDict({"a": conv(), "b": conv(k=1)}),
            )
        ),
    }
    return found


def arithmetic():
    """Sums, products, matmul and cat."""

    def pair(function):
        return lambda: Call(lambda self, x: function(self.a(x), self.b(x)), a=conv(), b=conv(k=1))

    return {
        "add": Case(pair(lambda a, b: a + b)),
        "add relu": Case(pair(lambda a, b: F.relu(a + b))),
        "add relu module": Case(
            lambda: Call(
                lambda self, x: self.relu(self.a(x) + self.b(x)),
                a=conv(),
                b=conv(k=1),
                relu=nn.ReLU(),
            )
        ),
        "add in place": Case(pair(lambda a, b: a.add_(b)), fx_floats=(("add", "used in float"),)),
        "add of one value": Case(after(lambda self, y: y + y)),
        "add with three readers": Case(
            lambda: Call(
                lambda self, x: self.b(self.a(x)) + self.c(self.a(x)) + self.a(x),
                a=conv(),
                b=conv(k=1),
                c=conv(k=1),
            )
        ),
        "add, relu with two readers": Case(
            lambda: Call(
                lambda self, x: (lambda y: F.relu(y) + y)(self.a(x) + self.b(x)),
                a=conv(),
                b=conv(k=1),
            )
        ),
        "add of broadcast": Case(
            lambda: Call(
                lambda self, x: self.a(x) + self.b(x).mean((2, 3), keepdim=True), a=conv(), b=conv()
            )
        ),
        "add scalar": Case(between(lambda self, y: y + 0.5)),
        "add scalar relu": Case(between(lambda self, y: F.relu(y + 0.5))),
        "mul scalar relu": Case(between(lambda self, y: F.relu(y * -2))),
        "scalar first": Case(between(lambda self, y: F.relu(2 * y))),
        "sub scalar": Case(between(lambda self, y: y - 0.5)),
        "sub": Case(pair(lambda a, b: a - b)),
        "mul": Case(pair(lambda a, b: a * b), least=20),
        "mul relu": Case(pair(lambda a, b: F.relu(a * b)), least=20),
        "mul in place": Case(
            pair(lambda a, b: a.mul_(b)), fx_floats=(("mul", "used in float"),), least=20
        ),
        "matmul": Case(pair(lambda a, b: torch.matmul(a, b.transpose(2, 3))), least=20),
        "cat": Case(pair(lambda a, b: torch.cat([a, b], 1))),
        "cat, conv": Case(
            lambda: Call(
                lambda self, x: self.c(torch.cat([self.a(x), self.b(x)], dim=1)),
                a=conv(),
                b=conv(k=1),
                c=conv(8),
            )
        ),
        "cat of one value twice": Case(after(lambda self, y: torch.cat([y, y], 1))),
        "cat of cat": Case(pair(lambda a, b: torch.cat([torch.cat([a, b], 1), a], 1))),
        "stack": Case(pair(lambda a, b: torch.stack([a, b], 1))),
        "residual block": Case(
            lambda: Call(
                lambda self, x: F.relu(self.bn(self.b(F.relu(self.a(x)))) + x),
                a=conv(),
                b=conv(bias=False),
                bn=norm(),
            )
        ),
        "conv add relu, extra inputs": Case(
            lambda: Call(
                lambda self, x: F.relu(self.a(x) + self.b(F.relu(self.a(x)))), a=conv(), b=conv()
            ),
            fx_error="is called with a relu after it and without",
        ),
    }


def functions():
    """Functions of one value between layers."""
    named = {
        "sigmoid": torch.sigmoid,
        "hardsigmoid": F.hardsigmoid,
        "tanh": torch.tanh,
        "elu": F.elu,
        "hardswish": F.hardswish,
        "leaky_relu": F.leaky_relu,
        "gelu": F.gelu,
        "silu": F.silu,
        "mish": F.mish,
        "celu": F.celu,
        "selu": F.selu,
        "softmax": lambda y: y.softmax(-1),
        "clamp": lambda y: torch.clamp(y, -1, 1),
        "clamp min": lambda y: y.clamp(min=0.1),
        "relu": F.relu,
        "threshold": lambda y: F.hardtanh(y, 0, 1),
        "abs": torch.abs,
        "neg": torch.neg,
        "dropout": lambda y: F.dropout(y, 0.5, False),
        "sqrt": lambda y: (y.abs() + 0.5).sqrt(),
    }
    found = {n: Case(between(lambda self, y, f=f: f(y)), least=20) for n, f in named.items()}
    modules = {
        "Sigmoid": nn.Sigmoid,
        "Tanh": nn.Tanh,
        "ELU": nn.ELU,
        "Hardswish": nn.Hardswish,
        "PReLU": nn.PReLU,
        "PReLU of channels": lambda: nn.PReLU(4),
        "Softmax": lambda: nn.Softmax(1),
        "LayerNorm": lambda: nn.LayerNorm(8),
        "GroupNorm": lambda: nn.GroupNorm(2, 4),
        "InstanceNorm": lambda: nn.InstanceNorm2d(4, affine=True),
        "BatchNorm first": norm,
        "Identity": nn.Identity,
    }
    for name, make in modules.items():
        found[name] = Case(
            lambda m=make: nn.Sequential(conv(), nn.ReLU(), m(), conv(k=1)),
            least=20,
            # torchao exports and matches 96 training patterns for each batch norm that stays.
            pt2e=name != "BatchNorm first",
        )
    found["in place twice"] = Case(between(lambda self, y: F.hardswish(F.relu_(y), inplace=True)))
    return found


def moves():
    """Pools and ops that move values."""
    named = {
        "max_pool2d": lambda y: F.max_pool2d(y, 2),
        "avg_pool2d": lambda y: F.avg_pool2d(y, 3, 1, 1),
        "max_pool2d ceil": lambda y: F.max_pool2d(y, 3, 2, ceil_mode=True),
        "adaptive_avg_pool2d": lambda y: F.adaptive_avg_pool2d(y, 2),
        "interpolate": lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"),
        "interpolate nearest": lambda y: F.interpolate(y, 12),
        "mean": lambda y: y.mean((2, 3), True),
        "permute": lambda y: y.permute(0, 1, 3, 2),
        "transpose": lambda y: y.transpose(2, 3),
        "contiguous": lambda y: y.contiguous(),
        "reshape": lambda y: y.reshape(4, 4, 16, 4),
        "view by size": lambda y: y.view(y.size(0), y.size(1), -1, 4),
        "view by shape": lambda y: y.view(*y.shape[:2], 16, -1),
        "squeeze": lambda y: y.unsqueeze(2).squeeze(2),
        "repeat": lambda y: y.repeat(1, 1, 2, 1),
        "chunk": lambda y: torch.chunk(y, 2, 3)[0],
        "narrow": lambda y: torch.narrow(y, 2, 1, 4),
        "slice": lambda y: y[:, :, 1:, ::2],
        "flip": lambda y: y.flip(2),
        "pad": lambda y: F.pad(y, (1, 1)),
        "pixel_shuffle": lambda y: F.pixel_unshuffle(F.pixel_shuffle(y, 2), 2),
        "channel_shuffle": lambda y: F.channel_shuffle(y, 2),
        "detach": lambda y: y.detach(),
        "clone": lambda y: y.clone(),
        "masked_fill": lambda y: y.masked_fill(y > 9, 0.0),
        "expand": lambda y: y[:, :, :1].expand(-1, -1, 5, -1),
        "roll": lambda y: y.roll(1, 2),
    }
    # A comparison needs real numbers.
    floats = {"masked_fill": (("gt", ""), ("masked_fill", ""))}
    errors = {"view by shape": "cannot be iterated"}
    found = {
        n: Case(
            between(lambda self, y, f=f: f(y)),
            floats=floats.get(n, ()),
            fx_error=errors.get(n, ""),
        )
        for n, f in named.items()
    }
    found |= {
        "flatten, linear": Case(
            lambda: nn.Sequential(conv(), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))
        ),
        "pool, flatten, linear": Case(
            lambda: nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        ),
        "split, add": Case(
            after(lambda self, y: (lambda a, b: a + b)(*y.split(2, 1))),
            fx_error="cannot be iterated",
        ),
        "two outputs": Case(
            lambda: Call(lambda self, x: (self.a(x), self.b(self.a(x))), a=conv(), b=conv(k=1))
        ),
        "a dictionary": Case(
            lambda: Call(lambda self, x: {"a": self.a(x), "b": [self.b(x)]}, a=conv(), b=conv(k=1))
        ),
        "an input that is an output": Case(
            lambda: Call(lambda self, x: (self.a(x), x), a=conv()), least=25
        ),
        "numbers among the outputs": Case(after(lambda self, y: (y, y.size(1)))),
        "pool of the input": Case(lambda: nn.Sequential(nn.MaxPool2d(2), conv())),
        "sum of the input": Case(lambda: Call(lambda self, x: self.a(x + x), a=conv())),
    }
    return found


def sequences():
    """Recurrent layers, embeddings, attention."""
    return {
        "LSTM": Case(lambda: Call(lambda self, x: self.l(x)[0], l=nn.LSTM(8, 6, 2)), (5, 3, 8)),
        "GRU": Case(
            lambda: Call(lambda self, x: self.l(x)[0], l=nn.GRU(8, 6, bidirectional=True)),
            (5, 3, 8),
        ),
        "LSTM, linear": Case(
            lambda: Call(
                lambda self, x: self.fc(self.l(x)[0]), l=nn.LSTM(8, 6), fc=nn.Linear(6, 4)
            ),
            (5, 3, 8),
        ),
        "self attention": Case(
            lambda: Call(
                lambda self, x: F.scaled_dot_product_attention(
                    *(f(x).unflatten(-1, (2, 8)).transpose(1, 2) for f in (self.q, self.k, self.v))
                ),
                q=nn.Linear(16, 16),
                k=nn.Linear(16, 16),
                v=nn.Linear(16, 16),
            ),
            (3, 9, 16),
            least=20,
        ),
        "attention with masked_fill": Case(
            lambda: Call(
                lambda self, x: (
                    (self.q(x) @ self.k(x).transpose(1, 2) / 4)
                    .masked_fill(torch.ones(9, 9).triu(1) > 0, -1e9)
                    .softmax(-1)
                    @ self.v(x)
                ),
                q=nn.Linear(16, 16),
                k=nn.Linear(16, 16),
                v=nn.Linear(16, 16),
            ),
            (3, 9, 16),
            least=20,
            fx_floats=(
                ("masked_fill", "no op for aten.masked_fill"),
                ("softmax", "it has no qconfig"),
                ("matmul", "its input softmax is not quantized"),
            ),
        ),
        "encoder layer": Case(
            lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
            (2, 7, 16),
            least=20,
            fx_error="must be None or torch.Tensor",
        ),
    }


CASES = {**layers(), **arithmetic(), **functions(), **moves(), **sequences()}
