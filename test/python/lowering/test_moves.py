"""Pads and shuffles run on 8-bit data and equal those on real numbers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from support.checks import through_trace
from support.nets import kernels_of

SIGNAL, IMAGE, VOLUME = (2, 4, 7), (2, 4, 6, 5), (2, 4, 5, 4, 3)
SIDES = {3: (2, 1), 4: (1, 2, 0, 3), 5: (1, 2, 2, 0, 1, 1)}
MOVES = {
    **{
        f"{mode} pad of {len(shape) - 2} dimensions": (
            lambda x, mode=mode: F.pad(x, SIDES[x.dim()], mode=mode),
            shape,
        )
        for mode in ("constant", "reflect", "replicate", "circular")
        for shape in (SIGNAL, IMAGE, VOLUME)
    },
    "pad that crops": (lambda x: F.pad(x, (-1, 2, 1, -2)), IMAGE),
    "ConstantPad": (nn.ConstantPad2d((1, 0, 2, 1), 0.0), IMAGE),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), IMAGE),
}


class Between(nn.Module):
    """A move between two ops, on 8-bit data."""

    def __init__(self, move):
        super().__init__()
        self.move = move

    def forward(self, x):
        return F.relu(self.move(F.hardswish(x)))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def quantize(model, x):
    return qnative.quantize(model, (x,), [x])


@pytest.mark.parametrize("name", MOVES)
def test_moves_are_exact(name):
    torch.manual_seed(0)
    move, shape = MOVES[name]
    x = torch.randn(shape)
    quantized = quantize(Between(move), x)
    assert not quantized.report.float_rows, str(quantized.report)
    assert kernels_of(quantized) == ["lookup", "lookup"]
    calls = Calls(quantized)
    got = calls.run(x)
    assert {codes.dtype for codes in calls.moved} == {torch.uint8}
    # All three have one scale.
    before = torch.ops.qnative.dequantize_per_tensor(calls.looked_up[0], *calls.scale)
    assert torch.equal(got, F.relu(move(before)))
    loaded, other = through_trace(quantized, x), torch.randn(5, *shape[1:])
    assert torch.equal(loaded(other), quantized(other))


class Calls(torch.fx.Interpreter):
    """Records outputs of torch ops and lookups, and the last scale and zero point."""

    def __init__(self, module):
        super().__init__(module)
        self.moved, self.looked_up, self.scale = [], [], None

    def run_node(self, n):
        result, name = super().run_node(n), str(n.target)
        if name.startswith("aten."):
            self.moved.append(result)
        elif "lookup" in name:
            self.looked_up.append(result)
        elif "dequantize" in name:
            self.scale = n.args[1:]
        return result


def test_a_pad_that_conv_can_do_is_part_of_it():
    model = nn.Sequential(nn.Hardswish(), nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(4, 4, 3))
    quantized = quantize(model, torch.randn(IMAGE))
    (row,) = [row for row in quantized.report.rows if row.op == "aten.pad"]
    assert (row.verdict, row.reason) == ("fused", "padding of conv2d")


class TwoConvs(nn.Module):
    """One pad for two convolutions."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 3) for _ in range(3))

    def forward(self, x):
        x = F.pad(self.a(x), (1, 1, 2, 2))
        return self.b(x) + self.c(x)


@pytest.mark.parametrize(
    ("model", "kernels"),
    [
        (TwoConvs(), ["conv2d", "conv2d", "conv2d", "add"]),
        (
            nn.Sequential(
                *(nn.Conv2d(4, 4, 3), nn.ReLU()),
                *(nn.Conv2d(4, 4, 3, padding=2, padding_mode="reflect"), nn.ReLU6()),
            ),
            ["conv2d", "conv2d"],
        ),
    ],
)
def test_a_pad_that_conv_cannot_do(model, kernels):
    torch.manual_seed(0)
    x = torch.randn(8, 4, 9, 8)
    quantized = quantize(model, x)
    assert not quantized.report.float_rows, str(quantized.report)
    assert kernels_of(quantized) == kernels
    want = model(x)
    # Three layers, each with three roundings to 1/255 of 6 standard deviations, 0.7 %.
    assert (quantized(x) - want).square().mean().sqrt() < 0.03 * want.square().mean().sqrt()


@pytest.mark.parametrize("value", [0.5, -0.3, 3.0, -20.0])
def test_pads_with_a_number(value):
    """Pad values inside and outside the range of x; the resolution of x is unchanged."""

    def model(x):
        x = F.hardswish(x)
        return F.relu(F.pad(x, (1, 2, 0, 1), value=value)), torch.tanh(x)

    x = torch.rand(IMAGE) * 4 - 2
    quantized = quantize(Function(model), x)
    assert not quantized.report.float_rows, str(quantized.report)
    (row,) = (row for row in quantized.report.rows if row.op == "aten.pad")
    assert row.kernel == "aten.pad" and row.verdict == "free"
    padded, moved = quantized(x)
    want, alone = model(x)
    # Half a step of each range: of x (times 1.5, the slope of hardswish), of hardswish, and after
    # the pad, which includes the pad value; 0.01 for clipped outliers.
    steps = (4 * 1.2, 2.1, max(2.1, value) - min(-0.375, value))
    assert (padded - want).abs().max() <= 0.5 * sum(steps) / 255 + 0.01
    assert (moved - alone).abs().max() <= 0.5 * sum(steps[:2]) / 255 + 0.01
    assert torch.equal(through_trace(quantized, x)(x[:1])[0], quantized(x[:1])[0])


def test_a_pad_with_a_number_between_convolutions():
    """Equals quantizing the result of the float pad."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ConstantPad2d(1, 0.7), nn.Conv2d(4, 4, 3))
    x = torch.randn(8, 4, 9, 8)
    quantized = quantize(model, x)
    assert not quantized.report.float_rows, str(quantized.report)
    want = model(x)
    assert (quantized(x) - want).square().mean().sqrt() < 0.02 * want.square().mean().sqrt()


def test_reasons():
    def reason(function):
        (row,) = quantize(Between(function), torch.rand(IMAGE)).report.float_rows
        return row.reason

    # Calibration accepts finite values only.
    model = Between(lambda x: F.pad(x, (1, 1), value=-math.inf))
    rows = qnative.dry_run(model, (torch.rand(IMAGE),)).rows
    assert [row.reason for row in rows if row.op == "aten.pad"] == [
        "it pads with -inf, which has no code"
    ]
