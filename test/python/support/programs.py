"""Modules for the tests of qnative.Program: structures, constants, sizes, control flow."""

import collections
import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch._higher_order_ops.map import map as higher_order_map
from torch._higher_order_ops.scan import scan
from torch.export import Dim
from torch.utils import _pytree as pytree

from . import nets

DYNAMIC = Dim.DYNAMIC


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


pytree._register_namedtuple(Pair, serialized_type_name="qnative.test.Pair")


class Function(nn.Module):
    """A module of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


class Structures(nn.Module):
    def forward(self, x, pair, *rest, scale: float = 2.0, table=None):
        first, (second, third) = pair
        y = x * scale + first - second
        for tensor in rest:
            y = y + tensor
        y = y * table["a"] + table["b"][0]
        return {"y": y, "n": 3, "none": None, "list": [third, (y, 2.5, True)], 7: y.sum()}


class Tuples(nn.Module):
    def forward(self, pair: Pair):
        ordered = collections.OrderedDict(z=pair.first, a=pair.second)
        return Pair(pair.first + 1, pair.second * pair.first), ordered


class Constants(nn.Module):
    """Parameters that share memory, buffers of both kinds, and tensors that are no state."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.tied = self.weight
        self.register_buffer("rows", torch.randn(6, 4)[1:5:2])
        self.register_buffer("transposed", torch.randn(4, 6).t())
        self.register_buffer("temporary", torch.arange(4.0), persistent=False)
        self.register_buffer("halves", torch.randn(4).half())
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("scalar", torch.tensor(3))
        self.plain = torch.randn(4)

    def forward(self, x):
        y = F.linear(x, self.weight) + F.linear(x, self.tied) + x @ self.transposed.t()
        y = y.sum(1, keepdim=True) * self.temporary + self.halves + self.plain * self.scalar
        return torch.cat([y, self.rows, self.empty]), torch.tensor([1.5, 2.5]) * 2, self.rows


class Arithmetic(nn.Module):
    """Numbers where the schema wants tensors, and Python's arithmetic of sizes."""

    def forward(self, x, y):
        n, m = x.shape[0], y.shape[0]
        z = x * 2 + 0.5 - n
        z = z / (m + 1) + torch.full((n, 3), 1.5 * m)
        z = z.reshape(n * 3).view(-1, 3)
        numbers = (n * m - 1, n / 2, -m, n**2, torch.sym_float(m), n % m, n // 3)
        return z, *numbers, torch.sym_max(n, m), torch.sym_min(n, m)


class Ranges(nn.Module):
    def forward(self, x, y):
        return x.repeat_interleave(2, 0) + y, x.new_zeros(y.shape[0], x.shape[0])


class Guarded(nn.Module):
    """Branches on sizes: other sizes are other programs."""

    def forward(self, x):
        if x.shape[0] % 2 == 0 and x.shape[1] != 7 and int(x.shape[0] / 4) < 3:
            return x.reshape(x.shape[0] // 2, -1)
        return x


class Branches(nn.Module):
    def forward(self, x, flag):
        def inner(a, b):
            return torch.cond(a.mean() > 0, lambda c: c.clone(), lambda c: -c, (a,)) + b

        y = torch.cond(x.sum() > 0, lambda a: a.sin() + 1, lambda a: a.cos() - 1, (x,))
        return y, torch.cond(flag, lambda a, b: a * b, inner, (x, y))


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x, n):
        def body(i, state):
            return i + 1, torch.tanh(self.step(state)) + i

        start = torch.zeros((), dtype=torch.int64)
        return torch.while_loop(lambda i, _: i < n, body, (start, x))


class Scans(nn.Module):
    """Rows one after the other, with and without a state."""

    def forward(self, start, rows, weight):
        def body(state, row):
            state = torch.tanh(state @ weight + row)
            return state, (2 * state, state.sum(-1))

        last, (states, sums) = scan(body, start, rows, dim=0)
        return last, states, sums, higher_order_map(lambda row, w: row.sin() @ w, rows, weight)


class Views(nn.Module):
    """Views that ops of qnative read, and that others read or change."""

    def __init__(self):
        super().__init__()
        weight = torch.randint(-128, 128, (4, 6), dtype=torch.int8)
        self.register_buffer("weight", torch.ops.qnative.linear_pack(weight))
        self.register_buffer("scale", torch.rand(4) / 50 + 0.01)

    def linear(self, x):
        return torch.ops.qnative.linear_dynamic(x, self.weight, self.scale, None, [4, 6])

    def forward(self, x):
        rows = x.transpose(0, 1)[1:].unsqueeze(0).flatten(0, 1)
        others = self.linear(x.permute(1, 0, 2)[1:].reshape(-1, 6))
        y = self.linear(rows) + others.view(-1, x.shape[0], 4)
        z = x.transpose(0, 1).select(0, 0)
        return y, self.linear(z), z, z.t() @ z, self.linear(x.expand(2, -1, -1, -1)[1])


class Modes(nn.Module):
    """Parts without gradients, and with other dtypes."""

    def forward(self, x):
        with torch.no_grad():
            y = x * 2
        with torch.autocast("cpu", enabled=False):
            z = y @ y.t()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            w = y @ y.t()
        return y + 1, z, w, y @ y.t()


class Lists(nn.Module):
    """Operators that take and give lists, and outputs that nobody reads."""

    def forward(self, x):
        a, _, c = torch.split(x, [1, 2, 3], dim=1)
        values, _ = x.max(1)
        var, mean = torch.var_mean(x, 0)
        stacked = torch.stack([a.squeeze(1), values, c[:, 0]])
        grid = torch.meshgrid(values, values, indexing="ij")
        return grid, x[:, [0, 2]], stacked, mean + var, x[None, ..., 1:]


class Types(nn.Module):
    """Arguments of every type: dtypes, layouts, devices, memory formats, strings, infinities."""

    def forward(self, x):
        y = x.to(torch.float64).clamp(max=float("inf"), min=-1.5)
        z = torch.zeros(2, 3, dtype=torch.int32, device=x.device)
        w = F.gelu(x, approximate="tanh").to(memory_format=torch.channels_last)
        mask = torch.ones(3, 3, dtype=torch.bool).tril()
        masked = x[..., :3, :3].masked_fill(~mask, float("-inf"))
        floor = torch.div(x, 2.5, rounding_mode="floor")
        big = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        return y, z, w, masked, floor, big, x.sum((1, 2), dtype=torch.double)


class Complex(nn.Module):
    def forward(self, x):
        y = torch.fft.rfft(x)
        return torch.fft.irfft(y * (1 + 2j), n=x.shape[-1]), y.abs()


class Indexing(nn.Module):
    """In-place operations on copies and views."""

    def forward(self, x, index):
        y = x.clone()
        y[index] = 0
        y[:, 1] += 2
        y.mul_(3)
        return y, x.index_select(0, index), x.scatter(0, index[:, None].expand(-1, 4), 1.0)


class Counter(nn.Module):
    """Buffers that calls change: by an operation in place, by a view, and by assignment."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("history", torch.zeros(4, 3))
        self.register_buffer("last", torch.zeros(3), persistent=False)

    def forward(self, x):
        self.count.add_(1)
        self.history[1:3] += x
        self.last = self.last * 0.5 + x
        return x + self.count, self.history * 1, self.last * 1


class InputChange(nn.Module):
    def forward(self, x, cache):
        cache.add_(x)
        cache[0] = 7
        return cache * 2


@dataclass
class Case:
    model: nn.Module
    args: tuple
    kwargs: dict = field(default_factory=dict)
    dynamic_shapes: Any = None
    calls: list[tuple] = field(default_factory=list)  # further positional arguments


def encoder():
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


def cases() -> dict[str, Case]:
    torch.manual_seed(0)
    x = torch.randn(3, 4)
    batch, wide = {"x": {0: DYNAMIC}}, Dim("wide", max=64)
    image = torch.randn(2, 3, 5, 5)
    structure = (x, (x, [x, x + 1]), x * 2, x * 3)
    open_image = {"x": {0: DYNAMIC, 2: DYNAMIC}}
    return {
        "relu": Case(Function(F.relu), (x,)),
        "structures": Case(Structures(), structure, {"scale": 0.5, "table": {"b": [x], "a": x}}),
        "tuples": Case(Tuples(), (Pair(x, x + 1),)),
        "constants": Case(Constants(), (x,), {}, batch, [(x[:1],), (torch.randn(7, 4),)]),
        "arithmetic": Case(
            *(Arithmetic(), (torch.randn(6, 3), torch.randn(5)), {}),
            {"x": {0: DYNAMIC}, "y": {0: DYNAMIC}},
            [(torch.randn(n, 3), torch.randn(m)) for n, m in [(6, 4), (9, 4), (20, 11)]],
        ),
        "ranges": Case(
            *(Ranges(), (x, torch.randn(6, 4)), {}, {"x": {0: wide}, "y": {0: 2 * wide}}),
            [(torch.randn(n, 4), torch.randn(2 * n, 4)) for n in (2, 5, 64)],
        ),
        "guards": Case(
            *(Guarded(), (torch.randn(4, 6),), {}, {"x": {0: DYNAMIC, 1: DYNAMIC}}),
            [(torch.randn(4, 5),)],
        ),
        "cond": Case(
            *(Branches(), (x, torch.tensor(True)), {}, None),
            [(s * x.abs(), torch.tensor(f)) for s in (-1, 1) for f in (False, True)],
        ),
        "while_loop": Case(
            Loop(), (x, torch.tensor(3)), {}, None, [(x, torch.tensor(n)) for n in (0, 1, 5)]
        ),
        "scan": Case(
            *(Scans(), (torch.randn(2, 3), torch.randn(5, 2, 3), torch.randn(3, 3)), {}, None),
            [(torch.randn(2, 3), torch.randn(5, 2, 3), torch.randn(3, 3))],
        ),
        "views": Case(
            *(Views(), (torch.randn(2, 3, 6),), {}, {"x": {0: DYNAMIC, 1: DYNAMIC}}),
            [(torch.randn(*sizes, 6),) for sizes in ((2, 3), (4, 3), (2, 5), (2, 3))],
        ),
        "modes": Case(Modes(), (x,)),
        "lists": Case(Lists(), (torch.randn(3, 6),), {}, batch, [(torch.randn(5, 6),)]),
        "types": Case(Types(), (image,), {}, batch, [(torch.randn(4, 3, 5, 5),)]),
        "complex": Case(Complex(), (torch.randn(2, 8),)),
        "indexing": Case(
            Indexing(), (x, torch.tensor([0, 2])), {}, None, [(x + 1, torch.tensor([2, 1]))]
        ),
        "counter": Case(Counter(), (torch.randn(3),), {}, None, [(torch.randn(3),)] * 2),
        "input_change": Case(InputChange(), (x, x + 1)),
        "integer": Case(
            *(Function(lambda x, n: (x[:n] * n, n + 1)), (x, 2), {}),
            {"args": ({0: DYNAMIC}, DYNAMIC)},
            [(torch.randn(6, 4), n) for n in (2, 4)],
        ),
        "lstm": Case(nn.LSTM(4, 5, 2, batch_first=True), (torch.randn(2, 3, 4),)),
        "encoder": Case(encoder().eval(), (torch.randn(2, 5, 8),)),
        "training": Case(nn.BatchNorm1d(4).train(), (x,), {}, None, [(x * 2,)]),
        "residual": Case(
            *(nets.Residual().eval(), (torch.randn(2, 3, 8, 8),), {}),
            open_image,
            [(torch.randn(3, 3, 9, 8),)],
        ),
    }


def run_threads(function, count):
    """function(i) on threads, all at once; an error of one is an error."""
    errors = []

    def run(i):
        try:
            function(i)
        except Exception as error:  # of a thread: pytest sees those of the main thread alone
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
