"""Positions and masks are never quantized: calibration knows the range of neither."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from support.checks import sqnr

AUTO = torch.export.Dim.AUTO
OPEN = {"x": {0: AUTO, 1: AUTO}}
HUGE = torch.finfo(torch.float32).min


class Net(nn.Module):
    """Calls a function of this module's layers and the inputs."""

    def __init__(self, function, width=16):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.table = nn.Embedding(32, 1)
        self.register_buffer("rates", 1e4 ** -torch.linspace(0, 1, width // 2))

    def forward(self, x, *rest):
        return self.function(self, x, *rest)


class WithMask(Net):
    """The same with a mask by name."""

    def forward(self, x, mask):
        return self.function(self, x, mask)


def sequence(length, batch=2, width=16):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(batch, length, width, generator=generator)


def rows(result, verdict):
    return {row.name: row for row in result.report.rows if row.verdict == verdict}


def is_float(result, op):
    """Whether every call of this op is float, with a reason."""
    found = [row for row in result.report.rows if row.op.startswith(f"aten.{op}")]
    return bool(found) and all(row.verdict == "float" and row.reason for row in found)


# ---- positions -----------------------------------------------------------------------------------


def rotary(net, x):
    """Rotary embedding as Llama computes it."""
    positions = torch.arange(x.shape[1], dtype=torch.float32)
    angles = torch.cat([positions[:, None] * net.rates] * 2, -1)
    y = net.q(x)
    first, second = y.chunk(2, -1)
    return net.v(y * angles.cos() + torch.cat([second * -1, first], -1) * angles.sin())


def buckets(net, x):
    """Relative positions in logarithmic buckets, as T5 has them: log(0) is among them."""
    positions = torch.arange(x.shape[1])
    distance = (positions[:, None] - positions).abs()
    large = 8 + (torch.log(distance.float() / 8) / math.log(4) * 8).long()
    bias = net.table(torch.where(distance < 8, distance, large.clamp(max=15))).squeeze(-1)
    return (net.q(x) @ net.k(x).transpose(1, 2) + bias).softmax(-1) @ net.v(x)


def grid(net, x):
    """Anchor points of a detector, as YOLO has them: centres in pixels, plus an offset."""
    centres = (torch.arange(x.shape[1], dtype=torch.float32) + 0.5) * 8
    return net.v(net.q(x).sigmoid() + centres[:, None])


@pytest.mark.parametrize("function", [rotary, buckets, grid])
@pytest.mark.parametrize("shapes", [OPEN, "batch"], ids=["open", "fixed"])
def test_positions_are_folded_or_float(function, shapes):
    model, x = Net(function).eval(), sequence(24)
    result = qnative.quantize(model, (x,), [x, x + 0.1], dynamic_shapes=shapes)
    reason = "it depends on integers, sizes and constants alone"
    arithmetic = [row for row in result.report.rows if row.reason == reason]
    folded = [row for row in result.report.rows if row.reason.startswith("computed once")]
    assert all(row.verdict == "free" for row in arithmetic)
    if shapes == "batch":
        assert folded and not arithmetic
    else:
        assert arithmetic
    if function is not grid or shapes == "batch":
        assert sqnr(result(x), model(x)) > 25


def test_positions_beyond_those_of_calibration_do_not_saturate():
    """At 8 times the length positions are 8 times as large."""
    model, x = Net(grid).eval(), sequence(24)
    result = qnative.quantize(model, (x,), [x], dynamic_shapes=OPEN)
    assert "depends on sizes or integers alone" in rows(result, "float")["add_1"].reason
    model_of_angles = Net(rotary).eval()
    result = qnative.quantize(model_of_angles, (x,), [x], dynamic_shapes=OPEN)
    longer = sequence(192)
    assert sqnr(result(longer), model_of_angles(longer)) > 25


def test_a_model_that_reads_integers_as_data_is_quantized():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 3)

        def forward(self, counts):
            return self.b(F.relu(self.a(counts.float())))

    counts = torch.randint(0, 50, (64, 6), generator=torch.Generator().manual_seed(0))
    result = qnative.quantize(Counts().eval(), (counts,), [counts], strict=True)
    assert result.report.count("quantized") == 2


def test_complex_numbers_are_not_free():
    model = Net(lambda net, x: torch.fft.rfft(net.q(x), dim=1).abs()).eval()
    result = qnative.quantize(model, (sequence(8),), [sequence(8)])
    assert "aten.fft_rfft" in {row.op for row in result.report.float_rows}


# ---- masks ---------------------------------------------------------------------------------------


def attention(scores, net, x):
    return scores.softmax(-1) @ net.v(x)


def scores_of(net, x):
    return net.q(x) @ net.k(x).transpose(1, 2)


def additive(net, x, mask):
    """1 keeps, 0 hides, as transformers computes it."""
    return attention(scores_of(net, x) + (1.0 - mask[:, None].float()) * HUGE, net, x)


def filled(net, x, mask):
    return attention(scores_of(net, x).masked_fill(mask[:, None] == 0, -1e9), net, x)


def chosen(net, x, mask):
    hidden = torch.full((), HUGE)
    return attention(torch.where(mask[:, None] != 0, scores_of(net, x), hidden), net, x)


def given(net, x, mask):
    """The mask is an input in float: 0 keeps, a large negative number hides."""
    return attention(scores_of(net, x) + mask[:, None], net, x)


def padding(length, keep, batch=2):
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[:, keep:] = 0
    return mask


def causal(net, x):
    hidden = torch.full((x.shape[1], x.shape[1]), -100.0).triu(1)
    return attention(scores_of(net, x) + hidden, net, x)


@pytest.mark.parametrize("backend", ["native", "qnative"])
@pytest.mark.parametrize("seen", ["no padding", "padding"])
@pytest.mark.parametrize("function", [additive, filled, chosen, given])
def test_masks_work_whether_or_not_calibration_had_padding(function, seen, backend):
    model, x = WithMask(function).eval(), sequence(12)

    def mask(keep):
        kept = padding(12, keep)
        return (1.0 - kept.float()) * HUGE if function is given else kept

    data = [(x, mask(12)), (x + 0.1, mask(12 if seen == "no padding" else 7))]
    result = qnative.quantize(model, data[0], data, backend_config=backend)
    for keep in (12, 5):
        wanted = model(x, mask(keep))
        assert sqnr(result(x, mask(keep)), wanted) > 25
    # The hidden part has no effect at all.
    other = x.clone()
    other[:, 5:] = 3.0
    change = (result(other, mask(5)) - result(x, mask(5)))[:, :5].abs().max()
    assert change < 0.02 * wanted.abs().max()
    if backend == "qnative" and function is not chosen:  # one op for all of it
        assert any(row.kernel == "qnative.attention" for row in result.report.rows)
        return
    assert is_float(result, "softmax")
    assert any("attention mask" in row.reason for row in result.report.float_rows)


def test_a_constant_mask_is_not_quantized():
    """-100, as in shifted windows: 8 bits from -100 to 3 have no room for scores."""
    model, x = Net(causal).eval(), sequence(12)
    result = qnative.quantize(model, (x,), [x, x + 0.1], backend_config="native")
    assert is_float(result, "add.Tensor") and is_float(result, "softmax")
    assert sqnr(result(x), model(x)) > 25


def test_a_boolean_that_multiplies_is_not_observed():
    """All ones in calibration; the range of a constant has no room for other values."""

    def pooled(net, x, mask):
        return net.v((net.q(x) * mask[..., None].float()).sum(1))

    model, x = WithMask(pooled).eval(), sequence(12)
    hidden = torch.zeros(2, 12, dtype=torch.bool)
    result = qnative.quantize(model, (x, hidden), [(x, hidden)])
    assert is_float(result, "mul.Tensor")
    shown = torch.ones(2, 12, dtype=torch.bool)
    hidden[:, 6:] = True
    assert not torch.equal(result(x, shown), result(x, hidden))


def test_two_inputs_that_are_added_before_a_softmax_are_data():
    model = WithMask(lambda net, x, y: net.v((x + y).softmax(-1))).eval()
    x, y = sequence(12), sequence(12) * 2
    assert qnative.quantize(model, (x, y), [(x, y)], strict=True)
