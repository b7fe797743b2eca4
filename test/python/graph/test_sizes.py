"""Traces of quantized models take every batch size, as the models do."""

import pytest
import torch
from torch import nn

import qnative
from qnative.backend_config import BackendConfig

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
