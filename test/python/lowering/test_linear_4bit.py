"""Recipe "dynamic_int4": linear layers with 4-bit weights in lowered graphs and eager modules."""

import copy
import io

import pytest
import torch
from torch import nn

import qnative
from support.checks import relative_error, through_trace
from support.nets import kernels_of

OPS = torch.ops.qnative


class Net(nn.Module):
    """Linear layers with and without bias and activation, addmm, a table and an LSTM."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 48)
        self.a, self.b = nn.Linear(48, 96), nn.Linear(96, 50, bias=False)
        self.weight, self.bias = nn.Parameter(torch.randn(50, 40) / 7), nn.Parameter(torch.ones(40))
        self.lstm = nn.LSTM(40, 24, batch_first=True)

    def forward(self, tokens):
        x = self.table(tokens)
        x = self.b(nn.functional.gelu(self.a(x)))
        y = torch.addmm(self.bias, x.flatten(0, 1), self.weight).relu()
        return self.lstm(y.unflatten(0, x.shape[:2]))[0]


def net():
    torch.manual_seed(0)
    return Net().eval(), torch.randint(20, (3, 7))


def linear(k=100, n=30, bias=True):
    torch.manual_seed(1)
    return nn.Linear(k, n, bias=bias).eval(), torch.randn(5, k)


def test_each_layer_has_its_op():
    model, tokens = net()
    quantized = qnative.quantize(model, (tokens,), recipe="dynamic_int4", strict=True)
    assert sorted(kernels_of(quantized)) == sorted(
        ["embedding_8bit", "linear_4bit", "linear_4bit", "linear_4bit", "lstm"]
    )
    calls = [node for node in quantized.graph.nodes if "linear_4bit" in str(node.target)]
    assert [call.args[3] for call in calls] == [[96, 48], [50, 96], [40, 50]]
    assert [call.args[4] for call in calls] == [32] * 3
    assert [call.args[5:6] for call in calls] == [("gelu",), (), ("relu",)]
    assert relative_error(quantized(tokens), model(tokens).detach()) < 0.2


@pytest.mark.parametrize("group_size", [4, 32, 128, None])
def test_result_is_that_of_the_op(group_size):
    model, x = linear()
    quantized = qnative.quantize(model, (x,), recipe="dynamic_int4", group_size=group_size)
    size = group_size or 100
    packed = OPS.linear_4bit_pack(model.weight.detach(), size)
    want = OPS.linear_4bit(x, packed, model.bias.detach(), [30, 100], size)
    assert torch.equal(quantized(x), want)
    eager = qnative.quantize_dynamic(model, {nn.Linear}, torch.quint4x2, group_size=group_size)
    assert isinstance(eager, qnative.nn.Linear4bit)
    assert torch.equal(eager(x), want)


def test_smaller_groups_are_closer():
    model, x = linear(512)
    want = model(x).detach()
    errors = [
        relative_error(
            qnative.quantize(model, (x,), recipe="dynamic_int4", group_size=size)(x), want
        )
        for size in (16, 64, None)
    ]
    assert errors == sorted(errors) and errors[0] > 0.05 and errors[-1] < 0.2


def test_deployments_give_the_same_bits():
    model, tokens = net()
    quantized = qnative.quantize(model, (tokens,), recipe="dynamic_int4")
    want = quantized(tokens)
    assert torch.equal(through_trace(quantized, tokens)(tokens), want)
    file = io.BytesIO()
    torch.export.save(torch.export.export(quantized, (tokens,)), file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(tokens), want)


def test_program(tmp_path):
    model, x = linear()
    quantized = qnative.quantize(model, (x,), recipe="dynamic_int4")
    path = tmp_path / "net.pt2"
    qnative.save(quantized, path, (x,))
    assert torch.equal(qnative.Program.load(path)(x), quantized(x))


def test_memory_and_shared_weights():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(128, 128, bias=False)

        def forward(self, x):
            return self.fc(self.fc(x))

    torch.manual_seed(0)
    model, x = Shared(), torch.randn(3, 128)
    quantized = qnative.quantize(model, (x,), recipe="dynamic_int4", strict=True)
    (packed,) = quantized.state_dict().values()
    assert packed.nbytes == 128 * 128 * 4.5 / 8


@pytest.mark.parametrize("group_size", [0, -32, 3, 30])
def test_wrong_group_size(group_size):
    model, x = linear()
    message = f"group_size must be a multiple of 4, or None .*, got {group_size}"
    with pytest.raises(ValueError, match=message):
        qnative.quantize(model, (x,), recipe="dynamic_int4", group_size=group_size)
    with pytest.raises(ValueError, match=message):
        qnative.quantize_dynamic(model, {nn.Linear}, torch.quint4x2, group_size=group_size)


def test_weights_that_are_not_finite_stay_float():
    model, x = linear()
    model.weight.data[2, 3] = float("inf")
    quantized = qnative.quantize(model, (x,), recipe="dynamic_int4")
    (row,) = quantized.report.float_rows
    assert row.reason == "its weight is not finite"
    with pytest.raises(ValueError, match="its weight is not finite"):
        qnative.quantize_dynamic(model, {nn.Linear}, torch.quint4x2)


# ---- eager ------------------------------------------------------------------------------------


def test_eager_model():
    model, x = linear()
    model = nn.Sequential(model, nn.ReLU(), nn.Linear(30, 8, bias=False))
    quantized = qnative.quantize_dynamic(model, {nn.Linear}, torch.quint4x2)
    assert [type(m) for m in quantized] == [qnative.nn.Linear4bit, nn.ReLU, qnative.nn.Linear4bit]
    assert "group_size=32" in repr(quantized)
    assert quantized.report.summary()
    want = quantized(x)
    assert relative_error(want, model(x).detach()) < 0.2
    assert torch.equal(torch.jit.script(quantized)(x), want)
    assert torch.equal(copy.deepcopy(quantized)(x), want)
    fresh = nn.Sequential(
        qnative.nn.Linear4bit(100, 30), nn.ReLU(), qnative.nn.Linear4bit(30, 8, bias=False)
    )
    assert not fresh(x).any()
    fresh.load_state_dict(quantized.state_dict())
    assert torch.equal(fresh(x), want)


def test_eager_group_size_of_a_qconfig():
    model, _ = linear()
    weight = type("Weight", (), {"dtype": torch.quint4x2})
    qconfig = type("QConfig", (), {"weight": staticmethod(weight), "group_size": 8})
    quantized = qnative.quantize_dynamic(model, {nn.Linear: qconfig})
    assert quantized.group_size == 8


# ---- calibration ------------------------------------------------------------------------------


def correlated(g, rows=400):
    """Inputs that follow eight of 96 directions."""
    mixing = torch.randn(8, 96, generator=torch.Generator().manual_seed(5))
    return torch.randn(rows, 8, generator=g) @ mixing + torch.randn(rows, 96, generator=g) / 4 + 1


@pytest.mark.parametrize("group_size", [32, None])
def test_calibration_reduces_the_error_on_other_data(group_size):
    g = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 40)).eval()
    data, other = [correlated(g, 50) for _ in range(16)], correlated(g)
    errors = []
    for options in ({}, {"calibration": data, "weight_rounding": "nearest"}, {"calibration": data}):
        quantized = qnative.quantize(
            model, (other,), recipe="dynamic_int4", group_size=group_size, **options
        )
        errors.append(relative_error(quantized(other), model(other).detach()))
    assert errors[2] < 0.7 * errors[1] and errors[1] <= errors[0]


def test_empty_calibration_is_an_error():
    model, x = linear()
    with pytest.raises(ValueError, match="calibration is empty"):
        qnative.quantize(model, (x,), [], recipe="dynamic_int4")
