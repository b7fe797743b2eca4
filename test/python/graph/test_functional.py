"""In-place ops, constants created by the model, and aliases of ops: the quantized model computes
what the float model does, and ops that only create or rename values do not count as float."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from qnative.backend_config import get_native_backend_config
from qnative.fx import convert_fx, prepare_fx

# Relative to the largest output: a few roundings to 8 bits in sequence.
TOLERANCE = 0.05


class Net(nn.Module):
    """Calls a function of this module's layers and x."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.linear, self.conv, self.norm = nn.Linear(6, 6), nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)
        self.norm.running_mean.normal_()
        self.weight = nn.Parameter(torch.randn(6, 6))

    def forward(self, x):
        return self.function(self, x)


def batch(size=2):
    return torch.randn(size, 3, 6, generator=torch.Generator().manual_seed(size))


def assert_close(quantized, model, x):
    y, wanted = quantized(x), model(x)
    assert y.shape == wanted.shape
    assert (y - wanted).abs().max() < TOLERANCE * wanted.abs().max()


def quantized(model, **options):
    x = batch()
    data = [x] if options.get("dynamic_shapes", 0) is None else [x, batch(3), batch(4)]
    return qnative.quantize(model, (x,), data, bias_correction=False, **options)


# ---- in-place ops ------------------------------------------------------------------------------


def writes_a_slice(net, x):
    y = net.linear(x) * 1
    y[:, 1:3] = x[:, :2]
    y[:, 0].add_(1.0)
    return torch.relu(net.norm(net.conv(y * 2)))


def writes_an_element(net, x):
    y = net.linear(x)
    y[:, :, 2:4][:, 1:] = 0
    y[:, 1, 5] = 3.0
    return y + x


def reads_an_old_view(net, x):
    y = net.linear(x)
    first = y[:, :1]
    y.mul_(2.0)
    return first + y


def writes_zeros(net, x):
    y = torch.zeros(3, 6)
    y[1:] = net.linear(x)[0, 1:]
    return net.linear(y) + x


def writes_what_others_read(net, x):
    y = x * 2
    z = y.transpose(1, 2)
    z[:, 2:] += 1
    return net.linear(y)


def writes_the_whole(net, x):
    """Already functional."""
    y = net.linear(x)
    y.relu_()
    z = (net.weight * 1)[:3].add_(y[0])
    return torch.zeros(3, 6).add_(z) + x


PARTS = [writes_a_slice, writes_an_element, reads_an_old_view, writes_zeros]
PARTS += [writes_what_others_read]


@pytest.mark.parametrize("dynamic_shapes", ["batch", None])
@pytest.mark.parametrize("function", [*PARTS, writes_the_whole])
def test_in_place_ops(function, dynamic_shapes):
    model = Net(function).eval()
    result = quantized(model, dynamic_shapes=dynamic_shapes)
    for _ in range(2):  # no state from one call to the next
        assert_close(result, model, batch())
    if "batch size: dynamic" in result.report.notes and dynamic_shapes:
        assert_close(result, model, batch(3))
    linear = next(row for row in result.report.rows if row.op == "aten.linear")
    assert linear.verdict == "quantized"


def test_batch_norm_is_folded_all_the_same():
    result = quantized(Net(writes_a_slice).eval())
    ops = {row.op: row.verdict for row in result.report.rows}
    assert (ops["aten.conv1d"], ops["aten.batch_norm"], ops["aten.relu"]) == (
        "quantized",
        "fused",
        "fused",
    )


@pytest.mark.parametrize("function", PARTS)
def test_pt2e_rejects_writes_that_it_would_lose(function):
    model, x = Net(function).eval(), batch()
    program = torch.export.export(model, (x,))
    with pytest.raises(ValueError, match=r"writes to \w+, whose memory is read by another name"):
        prepare_pt2e(program.module(), qnative.Quantizer())
    prepared = prepare_pt2e(program.run_decompositions({}).module(), qnative.Quantizer())
    prepared(x)
    assert_close(qnative.lower(convert_pt2e(prepared)), model, x)


class AddsInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = self.linear(x)
        first = y[:, 0]
        first.add_(1.0)
        return y


def test_fx_rejects_writes_that_upstream_drops():
    model, x = AddsInPlace().eval(), batch()
    with pytest.raises(ValueError, match="prepare_fx: FX leaves out add_, which writes in place"):
        prepare_fx(model, None, (x,))
    assert_close(qnative.quantize(model, (x,), [x]), model, x)


class ReadsWhatWasWritten(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.other = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        y = self.linear(x)
        z = y.add_(1.0)
        return self.other(z) + y


def test_fx_takes_writes_whose_result_is_used():
    model, x = ReadsWhatWasWritten().eval(), batch()
    prepared = prepare_fx(model, None, (x,))
    prepared(x)
    assert_close(convert_fx(prepared), model, x)
    assert_close(qnative.quantize(model, (x,), [x]), model, x)


# ---- constants ---------------------------------------------------------------------------------

CONSTANTS = {
    "ones": lambda net, x: x + torch.ones(6),
    "zeros": lambda net, x: torch.cat([x, torch.zeros(3, 6)[None].expand(x.shape[0], 3, 6)], 1),
    "full": lambda net, x: x * torch.full((3, 1), 2.5),
    "arange": lambda net, x: x + torch.arange(0, 6, dtype=torch.float),
    "linspace": lambda net, x: x + torch.linspace(0, 1, 6),
    "eye": lambda net, x: torch.matmul(x, torch.eye(6)),
    "ones_like": lambda net, x: x + torch.ones_like(x),
    "new_full": lambda net, x: x * x.new_full((6,), 0.5),
    "open size": lambda net, x: torch.cat([x, torch.ones(x.shape[0], 1, 6)], 1),
}


@pytest.mark.parametrize("dynamic_shapes", ["batch", None])
@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_not_float(name, dynamic_shapes):
    model = Net(lambda net, x: CONSTANTS[name](net, net.linear(x))).eval()
    result = quantized(model, strict=True, dynamic_shapes=dynamic_shapes)
    assert_close(result, model, batch())
    if dynamic_shapes == "batch":
        assert_close(result, model, batch(4))
    is_open = dynamic_shapes == "batch" and name in ("ones_like", "open size")
    # torch.ones records an open size in a trace, aten.ones does not.
    calls = [n.target for n in result.graph.nodes if n.op == "call_function"]
    makers = [each for each in calls if each is torch.ones or "aten.ones" in str(each)]
    assert bool(makers) == is_open


def test_a_large_constant_is_made_when_it_is_needed():
    model = Net(lambda net, x: net.linear(x)[0, 0, 0] + torch.zeros(1 << 11, 1 << 10))
    result = quantized(model.eval(), strict=True, dynamic_shapes=None)
    assert sum(value.nbytes for value in result.state_dict().values()) < 10_000


def test_an_initial_state_of_zeros_is_dropped():
    result = qnative.quantize(nn.LSTM(6, 3), (batch(),), recipe="dynamic", dynamic_shapes=None)
    (lstm,) = result.graph.find_nodes(op="call_function", target=torch.ops.qnative.lstm.default)
    assert lstm.args[1:3] == (None, None)


def test_parts_of_a_weight_are_weights():
    def function(net, x):
        first, second = net.weight.chunk(2)
        return F.linear(x, first) @ F.linear(x, second).transpose(1, 2)

    model = Net(function).eval()
    assert_close(quantized(model, strict=True), model, batch())
    attention, x = nn.MultiheadAttention(6, 2, batch_first=True).eval(), batch()
    report = qnative.quantize(attention, (x, x, x + 1), [(x, x, x + 1)]).report
    assert [row.verdict for row in report.rows if row.op == "aten.linear"] == ["quantized"] * 4


def test_a_join_with_an_empty_tensor_of_one_dimension():
    """torch.cat ignores it: caches of keys begin so."""

    def function(net, x):
        return torch.cat([torch.tensor([]), net.linear(x)], dim=-2)

    model = Net(function).eval()
    result = qnative.quantize(model, (batch(),), recipe="dynamic")
    assert result.report.outputs[0].sqnr > 30


# ---- other names -------------------------------------------------------------------------------

NAMES = {
    "concat": (lambda x: torch.concat([x, 2 * x], 1) * 1, "cat"),
    "concatenate": (lambda x: torch.concatenate([x, 2 * x]) * 1, "cat"),
    "mm": (lambda x: torch.mm(x[0], x[1].t()), "matmul"),
    "mv": (lambda x: torch.mv(x[0], x[1, 0]), "matmul"),
    "clamp_min": (lambda x: (x * 1).clamp_min(-0.1), "lookup"),
    "clamp_max": (lambda x: (x * 1).clamp_max(0.1), "lookup"),
    **{
        function.__name__: (lambda x, function=function: function(x * 1, training=False), None)
        for function in (F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout)
    },
    "tile": (lambda x: x.tile(2), None),
    "unfold": (lambda x: x.unfold(2, 2, 1), None),
    "gather": (lambda x: x.gather(1, torch.zeros(2, 1, 6, dtype=torch.long)), None),
}


@pytest.mark.parametrize("name", NAMES)
def test_other_names_of_an_op(name):
    function, kernel = NAMES[name]
    model = Net(lambda net, x: function(net.linear(x))).eval()
    result = quantized(model, strict=True, dynamic_shapes=None)
    assert_close(result, model, batch())
    kernels = {row.kernel for row in result.report.rows}
    assert kernel is None or f"qnative.{kernel}" in kernels
    assert name not in str(get_native_backend_config())


def test_dropout_in_training_stays_float():
    model = Net(lambda net, x: F.dropout2d(net.linear(x), training=True)).eval()
    (row,) = quantized(model, dynamic_shapes=None).report.float_rows
    assert row.reason == "dropout in training mode: call model.eval() before export"
