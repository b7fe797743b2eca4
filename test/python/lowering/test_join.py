"""Linear layers that read the same rows become one op with the bits of several."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.lowering.join import can_have_outliers
from support import reference
from support.checks import through_trace
from support.nets import kernels_of

AUTO = torch.export.Dim.AUTO


class Attention(nn.Module):
    """Sizes that are no multiples of a panel; one layer has no bias; two have outlier weights, both
    in one input, one of them in two."""

    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(160, 40), nn.Linear(160, 40, bias=False)
        self.v, self.out = nn.Linear(160, 24), nn.Linear(24, 160)
        with torch.no_grad():
            self.q.weight[5, 3] = self.q.weight[6, 50] = 0.5
            self.v.weight[5, 7], self.v.weight[6, 50] = 0.5, 100.0

    def parts(self, x):
        return self.q(x), self.k(x), self.v(x)

    def forward(self, x):
        q, k, v = (part.view(*x.shape[:2], 4, -1).transpose(1, 2) for part in self.parts(x))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Parts(Attention):
    def forward(self, x):
        return tuple(part + 0 for part in self.parts(x))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tokens(batch=2, length=9):
    x = torch.randn(batch, length, 160)
    x[0, 0, [3, 7, 50]] = 100.0  # outlier weights, whose columns are repeated
    return x


def quantize(model, x, **options):
    return qnative.quantize(model.eval(), (x,), recipe="dynamic", strict=False, **options)


def alone(layer, x):
    """The result of a layer that shares its input with no other."""
    return quantize(layer, x)(x)


def sizes(module):
    return [n.args[4] for n in module.graph.nodes if "linear_dynamic" in str(n.target)]


def test_queries_keys_and_values_are_one_op():
    model, x = Attention(), tokens()
    quantized = quantize(model, x)
    assert [n for n, _ in sizes(quantized)] == [104, 160]
    y = quantized(x)
    assert (y - model(x)).norm() / y.norm() < 0.03
    rows = [row for row in quantized.report.rows if row.kernel == "qnative.linear_dynamic"]
    assert [row.reason for row in rows] == ["", *2 * ["one op with linear"], ""]
    tensors = quantized.state_dict().values()
    stored = sum(t.numel() * t.element_size() for t in tensors)
    assert sum(row.packed_bytes for row in rows) == stored
    assert not any(name.endswith((".weight", ".bias")) for name in dict(quantized.named_buffers()))


@pytest.mark.parametrize("batch, length", [(1, 1), (2, 9), (40, 40), (0, 3)])
def test_every_part_has_the_bits_of_its_own_op(batch, length):
    model, x = Parts(), torch.randn(batch, length, 160)
    quantized = quantize(model, tokens(), dynamic_shapes=({0: AUTO, 1: AUTO},))
    (joined,) = (n for n in quantized.graph.nodes if "linear_dynamic" in str(n.target))
    assert joined.args[4] == [104, 160 + len(joined.args[7])]
    assert joined.args[7] == [3, 7, 50, 50]
    own = [sizes(quantize(layer, tokens())) for layer in (model.q, model.k, model.v)]
    assert own == [[[40, 162]], [[40, 160]], [[24, 163]]]
    for got, layer in zip(quantized(x), (model.q, model.k, model.v), strict=True):
        assert torch.equal(got, alone(layer, x) if batch else got.new_zeros(got.shape))


def test_deployments_have_the_same_bits():
    x, other = tokens(), tokens(3, 5)
    quantized = quantize(Attention(), x, dynamic_shapes=({0: AUTO, 1: AUTO},))
    assert torch.equal(through_trace(quantized, x)(other), quantized(other))
    file = io.BytesIO()
    exported = torch.export.export(quantized, (x,), dynamic_shapes=({0: AUTO, 1: AUTO},))
    torch.export.save(exported, file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(other), quantized(other))


class TwoInputs(nn.Module):
    """`shared` reads another input too."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.shared = (nn.Linear(16, 8) for _ in range(3))

    def forward(self, x):
        return self.a(x).neg(), self.b(x).neg(), self.shared(x) + self.shared(x + 1)


def test_a_weight_that_is_used_elsewhere_is_stored_once():
    model, x = TwoInputs(), torch.randn(3, 16)
    quantized = quantize(model, x)
    assert [n for n, _ in sizes(quantized)] == [16, 8, 8]
    assert sum(t.numel() for t in quantized.state_dict().values() if t.dtype is torch.int8) == (
        torch.ops.qnative.linear_pack(torch.zeros(16, 16, dtype=torch.int8)).numel()
        + torch.ops.qnative.linear_pack(torch.zeros(8, 16, dtype=torch.int8)).numel()
    )
    a, b, shared = quantized(x)
    assert torch.equal(a, -alone(model.a, x)) and torch.equal(b, -alone(model.b, x))
    assert torch.equal(shared, alone(model.shared, x) + alone(model.shared, x + 1))


class Two(nn.Module):
    def __init__(self, function, k=16):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(k, 16), nn.Linear(k, 16), function

    def forward(self, x):
        return self.function(self.a(x), self.b(x))


@pytest.mark.parametrize(
    "function, count",
    [
        (lambda a, b: a * b, 1),
        (lambda a, b: F.relu(a) * F.relu(b), 1),
        (lambda a, b: F.silu(a) * b, 2),
        (lambda a, b: F.hardtanh(a) * F.hardtanh(b, -1, 0.5), 2),
        (lambda a, b: (a, b * 2), 2),
        (lambda a, b: a.as_strided((4,), (2,)) * b.sum(), 2),
        (lambda a, b: a.view_as(b.view(6, 8)) * b.view(6, 8), 1),
    ],
)
def test_which_layers_become_one_op(function, count):
    model, x = Two(function), torch.randn(3, 16)
    quantized = quantize(model, x)
    assert kernels_of(quantized) == ["linear_dynamic"] * count
    wanted = function(alone(model.a, x), alone(model.b, x))
    torch.testing.assert_close(quantized(x), wanted)
    assert torch.equal(torch.jit.trace(quantized, x)(x)[0], quantized(x)[0])


def test_rows_that_another_op_copies_stay_dense():
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x):
            return self.c(self.a(x)) + self.b(x)

    assert len(sizes(quantize(Chain(), torch.randn(3, 16)))) == 3


def test_columns_of_each_other_are_few():
    """Each layer repeats two of 32 inputs, the maximum; joined they would repeat four."""
    model, x = Two(torch.mul, 32), torch.randn(3, 32)
    with torch.no_grad():
        for layer, inputs in ((model.a, (2, 3)), (model.b, (9, 10))):
            layer.weight[[0, 1], list(inputs)] = 100.0
    assert sizes(quantize(model, x)) == [[16, 34], [16, 34]]


@pytest.mark.parametrize(
    "k, repeated", [(384, 0), (7000, 437), (7500, 468), (65281, 0), (65282, 0)]
)
def test_whether_rows_have_outliers(k, repeated):
    row = np.ones(k, np.float32)
    row[5] = 100
    looks = reference.outlier_limit(row, repeated) < 100
    assert can_have_outliers(k, repeated) == looks == (k not in (7500, 65282))
