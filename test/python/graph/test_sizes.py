"""Traces of quantized models take every batch size, as the models do."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import BackendConfig
from support.checks import relative_error

CREATION = {
    "zeros": lambda x: torch.zeros(x.size(0), 4),
    "ones": lambda x: torch.ones(x.size(0), 4, dtype=torch.float32),
    "full": lambda x: torch.full((x.size(0), 4), 0.5),
    "new_zeros": lambda x: x.new_zeros(x.size(0), 4),
    "new_ones": lambda x: x.new_ones((x.size(0), 4), dtype=torch.float32),
    "new_full": lambda x: x.new_full((x.size(0), 4), 0.25),
    "empty": lambda x: torch.empty(x.size(0), 0),
    "eye": lambda x: torch.eye(x.size(0), 4),
    "arange": lambda x: torch.arange(x.size(0)).float()[:, None],
    "rand": lambda x: torch.rand(x.size(0), 4) * 0.0,
    "randn": lambda x: torch.randn(x.size(0), 4) * 0.0,
}
# Other ops that take sizes.
TAKING = {
    "linspace": lambda x: torch.linspace(0, 1, x.size(0))[:, None],
    "linspace_end": lambda x: torch.linspace(0, x.size(0), 5).expand(x.size(0), 5),
    "logspace": lambda x: torch.logspace(0, 1, x.size(0))[:, None],
    "randint": lambda x: torch.randint(0, x.size(0) + 1, (x.size(0), 4)).float() * 0.0,
    "randperm": lambda x: torch.randperm(x.size(0)).float()[:, None] * 0.0,
    "normal": lambda x: torch.normal(0.0, 1.0, (x.size(0), 2)) * 0.0,
    "bernoulli": lambda x: torch.bernoulli(torch.full((x.size(0), 2), 0.5)) * 0.0,
    "number": lambda x: torch.tensor([x.size(0), 2]).float().expand(x.size(0), 2),
    "mask": lambda x: torch.full((x.size(0),) * 2, -1e4).triu(1).softmax(-1)[:, :1],
    "positions": lambda x: torch.arange(32).float()[: x.size(0)][:, None],
    "from the end": lambda x: torch.arange(32).float()[-x.size(0) :][:, None],
    "columns": lambda x: torch.arange(64).float().view(2, 32)[:, : x.size(0)].t(),
    "repeat_interleave": lambda x: torch.ones(1, 3).repeat_interleave(x.size(0), 0),
    "roll": lambda x: x.roll(x.size(0) // 2, 0),
    "pad": lambda x: F.pad(x[:1], (0, 0, 0, x.size(0) - 1)),
    "unflatten": lambda x: x.unflatten(0, (x.size(0), 1))[:, 0],
    "as_strided": lambda x: x.as_strided((x.size(0), 2), (8, 1)),
    "select": lambda x: x.select(0, x.size(0) - 1).expand(x.size(0), 8),
    "topk": lambda x: x.topk(x.size(0) // 2 + 1, 0)[0].sum(0).expand(x.size(0), 8),
    "interpolate": lambda x: F.interpolate(x[None], size=x.size(0) * 2)[0],
    "clamp": lambda x: x.clamp(max=1 / x.size(0)),
    "where": lambda x: torch.where(x > 0, x, x.size(0)),
    "max": lambda x: x * max(x.size(0), 4),
    "min": lambda x: x[: min(x.size(0), 64)],
    "sqrt": lambda x: x * x.size(0) ** 0.5,
    "pow": lambda x: x.abs() ** (1 / x.size(0)),
    "math": lambda x: x * math.ceil(x.size(0) / 3) + math.floor(x.size(0) / 2),
    "comparison": lambda x: x * (torch.arange(x.size(0)) < x.size(0) - 1)[:, None],
}


class Joined(nn.Module):
    def __init__(self, create):
        super().__init__()
        self.linear, self.create = nn.Linear(8, 8), create

    def forward(self, x):
        return torch.cat([self.linear(x), self.create(x)], 1)


@pytest.mark.parametrize("recipe", ["static", "dynamic"])
@pytest.mark.parametrize("name", CREATION)
def test_created_tensors(name, recipe):
    torch.manual_seed(0)
    net, x = Joined(CREATION[name]).eval(), torch.randn(4, 8)
    quantized = qnative.quantize(net, (x,), [x] if recipe == "static" else None, recipe=recipe)
    traced = torch.jit.trace(quantized, (x,), check_trace=False)
    for batch in (1, 2, 4, 9):
        x = torch.randn(batch, 8)
        assert torch.equal(traced(x), quantized(x))


@pytest.mark.parametrize("name", TAKING)
def test_ops_that_take_sizes(name):
    torch.manual_seed(0)
    net, x = Joined(TAKING[name]).eval(), torch.randn(4, 8)
    quantized = qnative.quantize(net, (x,), recipe="dynamic")
    assert quantized.report.notes == ["batch size: dynamic"]
    traced = torch.jit.trace(quantized, (x,), check_trace=False)
    exported = torch.export.export(quantized, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    for batch in (2, 4, 9):
        x = torch.randn(batch, 8)
        assert relative_error(quantized(x), net(x)) < 0.02
        assert torch.equal(exported.module()(x), quantized(x))
        # Numbers are float32 tensors in a trace.
        assert torch.allclose(traced(x), quantized(x), rtol=1e-6, atol=0)


class Recurrent(nn.Module):
    """state: how its first state is made."""

    def __init__(self, cell, state):
        super().__init__()
        self.layer = cell(8, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.state = state
        self.register_buffer("fixed", torch.zeros(4, 3, 6))

    def forward(self, x):
        first = self.state(self, x)
        if first is None:
            return self.layer(x)[0]
        return self.layer(x, (first, first) if isinstance(self.layer, nn.LSTM) else first)[0]


def zeros(net, x):
    return torch.zeros(4, x.size(0), 6)


def ones(net, x):
    return torch.ones(4, x.size(0), 6)


@pytest.mark.parametrize("recipe", ["dynamic", "float"])
@pytest.mark.parametrize("state", [lambda net, x: None, zeros, ones], ids=["none", "zeros", "ones"])
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(cell, state, recipe):
    """Quantized, and left float by a config without rows."""
    torch.manual_seed(0)
    net, x = Recurrent(cell, state).eval(), torch.randn(3, 5, 8)
    config = BackendConfig("none") if recipe == "float" else "native"
    quantized = qnative.quantize(net, (x,), recipe="dynamic", backend_config=config)
    traced = torch.jit.trace(quantized, (x,), check_trace=False)
    for batch in (1, 2, 3, 7):
        x = torch.randn(batch, 5, 8)
        assert torch.equal(traced(x), quantized(x))


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_a_state_of_another_batch_size_is_an_error(cell):
    """It was read beyond its end."""
    torch.manual_seed(0)
    net = Recurrent(cell, lambda net, x: net.fixed[:, : x.size(0)]).eval()
    config = BackendConfig("none")
    quantized = qnative.quantize(
        net, (torch.randn(3, 5, 8),), recipe="dynamic", backend_config=config
    )
    traced = torch.jit.trace(quantized, (torch.randn(3, 5, 8),), check_trace=False)
    for model in (quantized, traced):
        with pytest.raises((RuntimeError, AssertionError), match=r"shape|Guard failed"):
            model(torch.randn(40, 5, 8))
