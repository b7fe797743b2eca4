"""Embedding and EmbeddingBag become tables of 8 or 4 bits, or say why they stay float."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.report import FLOAT
from support.checks import through_trace

RECIPES = {"dynamic": 8, "weight_only": 8, "weight_only_int4": 4}


class Embedding(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.table = nn.Embedding(50, 13, **options)

    def forward(self, x):
        return self.table(x)


class Bag(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.table = nn.EmbeddingBag(50, 13, **options)

    def forward(self, x, *more):
        return self.table(x, *more)


class Weighted(Bag):
    def forward(self, x, offsets, weights):
        return self.table(x, offsets, per_sample_weights=weights)


def indices(*shape):
    return torch.randint(0, 50, shape, generator=torch.Generator().manual_seed(0))


OFFSETS = torch.tensor([0, 2, 2, 6])
NETS = {
    "embedding": (Embedding, {}, (indices(4, 6),)),
    "padding": (Embedding, {"padding_idx": 3}, (indices(4, 6),)),
    "bag": (Bag, {"mode": "sum"}, (indices(4, 6),)),
    "mean": (Bag, {"mode": "mean", "padding_idx": 2}, (indices(11), OFFSETS)),
    "max": (Bag, {"mode": "max"}, (indices(4, 6),)),
    "last offset": (Bag, {"mode": "sum", "include_last_offset": True}, (indices(6), OFFSETS)),
    "weights": (Weighted, {"mode": "sum"}, (indices(11), OFFSETS, torch.rand(11))),
}


def ops_of(module):
    return [str(n.target) for n in module.graph.nodes if n.op == "call_function"]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", NETS)
def test_tables_are_lowered(name, recipe):
    make, options, inputs = NETS[name]
    torch.manual_seed(0)
    net, bits = make(**options).eval(), RECIPES[recipe]
    shapes = None if len(inputs) > 1 else "batch"  # offsets and indices differ in batch size
    quantized = qnative.quantize(net, inputs, recipe=recipe, dynamic_shapes=shapes)
    op = "embedding" if make is Embedding else "embedding_bag"
    assert f"qnative.{op}_{bits}bit.default" in ops_of(quantized)
    assert not any(f"aten.{op}" in target for target in ops_of(quantized))
    assert not any(row.verdict == FLOAT and "embedding" in row.op for row in quantized.report.rows)
    # The model with the dequantized table; float32 sums of up to six values differ.
    table = getattr(torch.ops.qnative, f"embedding_{bits}bit_pack")(net.table.weight.detach())
    values = getattr(torch.ops.qnative, f"embedding_{bits}bit_unpack")(
        *((table,) if bits == 8 else (table, 13))
    )
    net.table.weight.data = values
    torch.testing.assert_close(quantized(*inputs), net(*inputs), rtol=1e-5, atol=1e-6)
    assert torch.equal(through_trace(quantized, inputs)(*inputs), quantized(*inputs))


def test_any_batch():
    net = Embedding().eval()
    quantized = qnative.quantize(net, (indices(4, 6),), recipe="dynamic")
    assert quantized(indices(9, 6)).shape == (9, 6, 13)


@pytest.mark.parametrize("make", [Embedding, Bag])
def test_a_traced_file_takes_any_batch(make):
    quantized = qnative.quantize(make().eval(), (indices(4, 6),), recipe="dynamic")
    script = torch.jit.trace(quantized, (indices(4, 6),))
    for batch in (1, 4, 9):
        assert torch.equal(script(indices(batch, 6)), quantized(indices(batch, 6)))


def test_bags_of_two_dimensions_with_weights():
    class Rows(Bag):
        def forward(self, x, weights):
            return self.table(x, per_sample_weights=weights)

    net, inputs = Rows(mode="sum").eval(), (indices(4, 6), torch.rand(4, 6))
    quantized = qnative.quantize(net, inputs, recipe="dynamic")
    assert [op for op in ops_of(quantized) if "reshape" in op or "arange" in op] == []
    x = (indices(7, 6), torch.rand(7, 6))
    step = float((net.table.weight.amax(1) - net.table.weight.amin(1)).max()) / 255
    torch.testing.assert_close(quantized(*x), net(*x), rtol=0, atol=6 * step)


def test_positions_of_any_length():
    class Positions(Embedding):
        def forward(self, x):
            return self.table(torch.arange(x.shape[1])) + x

    open_sizes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    x = torch.randn(4, 6, 13)
    quantized = qnative.quantize(
        Positions().eval(), (x,), recipe="dynamic", dynamic_shapes=(open_sizes,)
    )
    script = torch.jit.trace(quantized, (x,))
    y = torch.randn(2, 9, 13)
    assert torch.equal(script(y), quantized(y))


def test_a_table_used_twice_is_packed_once():
    class Twice(Embedding):
        def forward(self, x):
            return self.table(x) + self.table(x + 1)

    quantized = qnative.quantize(Twice().eval(), (indices(4, 6).clamp(max=48),), recipe="dynamic")
    tables = [b for b in quantized.buffers() if b.dtype is torch.uint8]
    assert len(tables) == 1
    assert sum(row.float_bytes for row in quantized.report.rows) == 50 * 13 * 4


def reason(net, *inputs):
    quantized = qnative.quantize(net.eval(), inputs, recipe="dynamic", dynamic_shapes=None)
    rows = [row for row in quantized.report.float_rows if row.op.startswith("aten.embedding")]
    return " ".join(row.reason for row in rows)


def test_max_norm_writes_to_the_table_and_stays_float():
    torch.manual_seed(0)
    net, x = Embedding(max_norm=0.5), indices(4, 6)
    assert "its weight is written to" in reason(net, x)
    quantized = qnative.quantize(net.eval(), (x,), recipe="dynamic", dynamic_shapes=None)
    assert torch.equal(quantized(x), net(x))


def test_a_computed_table_stays_float():
    class Computed(nn.Module):
        def forward(self, table, x):
            return F.embedding(x, table)

    assert "its weight is not a parameter" in reason(Computed(), torch.randn(50, 3), indices(4))


def test_a_bag_whose_other_outputs_are_used_stays_float():
    class Counts(Bag):
        def forward(self, x, offsets):
            y = torch.embedding_bag(self.table.weight, x, offsets, False, 1)
            return y[0], y[2]

    assert "uses more than its first output" in reason(Counts(), indices(11), OFFSETS)
