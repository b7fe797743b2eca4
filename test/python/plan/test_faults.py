"""An op that spoils an output is found by simulation and stays float; accumulated noise is not
blamed on anyone."""

import torch
import torch.nn.functional as F
from torch import nn

import qnative
from support.checks import sqnr


class Net(nn.Module):
    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.function(self, x)


def batches(count=4):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(32, 16, generator=generator) for _ in range(count)]


def test_a_fault_stays_float():
    """x is lost in the range of the sum, and again where the next op reads that."""
    model, data = Net(lambda net, x: net.b((net.a(x) + 300.0) - 300.0)).eval(), batches()
    result = qnative.quantize(model, (data[0],), data)
    with torch.no_grad():
        assert sqnr(result(data[1]), model(data[1])) > 25
    reasons = [row.reason for row in result.report.float_rows]
    assert len(reasons) == 2
    assert all(reason.startswith("8 bits here would cost") for reason in reasons)


def test_layers_that_read_rows_of_different_size_take_a_scale_for_each():
    """One row is 1000 times the others, as the first token of a language model is."""
    model = Net(lambda net, x: F.layer_norm(net.b(F.relu(net.a(x))), [4])).eval()
    data = batches()
    for x in data:
        x[0] *= 1000
    result = qnative.quantize(model, (data[0],), data)
    kernels = [row.kernel for row in result.report.rows if row.op == "aten.linear"]
    assert kernels == ["qnative.linear_dynamic"] * 2
    with torch.no_grad():
        assert sqnr(result(data[1]), model(data[1])) > 25


def test_noise_that_adds_up_is_not_a_fault():
    class Deep(nn.Module):
        """Each layer has its noise, and what they compute nearly cancels in the end."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(24))

        def forward(self, x):
            x = x.reshape(-1, 8, 2)
            for layer in self.layers:
                x = F.relu(layer(x)) + x * 0.5
            return x

    model, data = Deep().eval(), batches()
    report = qnative.quantize(model, (data[0],), data).report
    assert not report.float_rows
