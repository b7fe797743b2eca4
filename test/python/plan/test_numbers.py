"""Arithmetic with numbers that the model computes or takes: it stays float, with a reason, and the
rest of the model is quantized."""

import pytest
import torch
from torch import nn

import qnative
from support.checks import relative_error


class Scaled(nn.Module):
    """function(y, x) of a layer's output and the input."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.function = function

    def forward(self, x):
        return self.function(torch.relu(self.linear(x)), x)


FUNCTIONS = {
    "size": lambda y, x: y * x.shape[0],
    "size added": lambda y, x: y + x.shape[0],
    "sizes": lambda y, x: y * (x.shape[0] * 2 + 1),
    "item": lambda y, x: y * x.abs().sum().item(),
    "item added": lambda y, x: torch.relu(y + x.abs().sum().item()),
    "item subtracted": lambda y, x: y - x.abs().max().item(),
}


@pytest.mark.parametrize("recipe", ["static", "dynamic"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_computed_numbers(name, recipe):
    torch.manual_seed(0)
    net = Scaled(FUNCTIONS[name]).eval()
    batches = [torch.randn(4, 8) for _ in range(4)]
    calibration = batches if recipe == "static" else None
    quantized = qnative.quantize(net, (batches[0],), calibration, recipe=recipe)
    rows = {row.name: row for row in quantized.report.rows}
    assert rows["linear"].verdict == "quantized"
    if recipe == "static":
        (arithmetic,) = [row for row in rows.values() if row.op.endswith(".Tensor")]
        assert arithmetic.verdict == "float"
        assert arithmetic.reason == "its argument other is a number that the model computes"
    for x in (batches[1], torch.randn(3, 8)):
        with torch.no_grad():
            assert relative_error(quantized(x), net(x)) < 0.05


def test_a_number_as_an_input():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x, factor):
            return self.linear(x) * factor

    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(4, 8)
    quantized = qnative.quantize(net, (x, 2.5), [(x, 2.5)])
    with torch.no_grad():
        assert relative_error(quantized(x, 2.5), net(x, 2.5)) < 0.05
