"""Embeddings of 8 and 4 bits: bits against the formula, values against torch's float64 ops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from support.isas import OPS, sweep
from support.strategies import generator, layouts, seeds, strided

MODES = ["sum", "mean", "max"]
dims = st.one_of(st.integers(1, 20), st.sampled_from([31, 32, 33, 64, 100, 129]))
index_dtypes = st.sampled_from([torch.int32, torch.int64])


def pack(weight, bits):
    return getattr(OPS, f"embedding_{bits}bit_pack")(weight)


def table_args(packed, bits, dim):
    return (packed,) if bits == 8 else (packed, dim)


def make_table(rows, dim, bits, g):
    """Random rows, each with its scale and bias, and their float32 values."""
    numbers = torch.randint(0, 256, (rows, (dim * bits + 7) // 8), dtype=torch.uint8, generator=g)
    params = torch.randn(rows, 2, generator=g).abs()
    packed = torch.cat([numbers, params.view(torch.uint8)], 1)
    q = numbers
    if bits == 4:
        q = torch.stack([numbers & 15, numbers >> 4], 2).flatten(1)[:, :dim]
    scale, bias = params.double().split(1, 1)
    # Exact in float64: one rounding, as in the fma.
    return packed, (q.double() * scale + bias).float()


def sequential(values, bags, mode):
    """The bags in float32, entry by entry; weights: one per entry, or None."""
    rows = []
    for indices, weights in bags:
        y = np.full(values.shape[1], -np.inf if mode == "max" else 0, np.float32)
        for i, row in enumerate(indices):
            v = values[row].numpy()
            if mode == "max":
                y = np.maximum(y, v)
            elif weights is None:
                y = y + v
            else:
                # The product is exact in float64, the sum nearly.
                y = (v.astype(np.float64) * np.float64(weights[i]) + y).astype(np.float32)
        if mode == "mean" and indices:
            y = y / np.float32(len(indices))
        rows.append(y if indices else np.zeros_like(y))
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, values.shape[1])


@pytest.mark.parametrize("bits", [8, 4])
@sweep("embedding_{bits}bit", "embedding_{bits}bit_unpack")
@given(st.lists(st.integers(0, 4), max_size=3), dims, index_dtypes, st.data())
def test_embedding_is_the_formula(bits, shape, dim, dtype, data):
    g = generator(data.draw(seeds))
    rows = data.draw(st.integers(1, 9))
    packed, values = make_table(rows, dim, bits, g)
    indices = torch.randint(0, rows, shape, generator=g).to(dtype)
    indices = strided(indices, data.draw(layouts))
    packed = strided(packed, data.draw(layouts))
    y = getattr(OPS, f"embedding_{bits}bit")(*table_args(packed, bits, dim), indices)
    assert torch.equal(y, values[indices.long()])
    assert y.is_contiguous()
    unpacked = getattr(OPS, f"embedding_{bits}bit_unpack")(*table_args(packed, bits, dim))
    assert torch.equal(unpacked, values)


@st.composite
def bag_cases(draw):
    mode = draw(st.sampled_from(MODES))
    rows = draw(st.integers(1, 9))
    lengths = draw(st.lists(st.integers(0, 6), max_size=5))
    padding = draw(st.one_of(st.none(), st.integers(-rows, rows - 1)))
    weighted = mode == "sum" and draw(st.booleans())
    return mode, rows, lengths, padding, weighted, draw(st.booleans())


@pytest.mark.parametrize("bits", [8, 4])
@sweep("embedding_bag_{bits}bit")
@given(bag_cases(), dims, index_dtypes, index_dtypes, seeds)
def test_embedding_bag_is_the_formula(bits, case, dim, dtype, offset_dtype, seed):
    mode, rows, lengths, padding, weighted, include_last = case
    g = generator(seed)
    packed, values = make_table(rows, dim, bits, g)
    indices = torch.randint(0, rows, (sum(lengths),), generator=g).to(dtype)
    weights = torch.randn(len(indices), generator=g) if weighted else None
    offsets = torch.tensor(np.cumsum([0, *lengths]), dtype=offset_dtype)
    given_offsets = offsets if include_last else offsets[:-1]
    op = getattr(OPS, f"embedding_bag_{bits}bit")
    y = op(
        *table_args(packed, bits, dim),
        *(indices, given_offsets, MODES.index(mode), weights, include_last, padding),
    )
    bags = []
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        skipped = None if padding is None else padding % rows
        kept = [i for i in range(begin, end) if int(indices[i]) != skipped]
        bags.append(
            ([int(indices[i]) for i in kept], None if weights is None else weights[kept].tolist())
        )
    expected = sequential(values, bags, mode)
    if weighted:  # the formula above rounds twice in rare cases
        torch.testing.assert_close(y, expected, rtol=2e-7, atol=1e-6)
    else:
        assert torch.equal(y, expected)
    if mode == "max" or not len(indices) or not lengths:  # torch crashes on empty bags of max
        return
    theirs = F.embedding_bag(
        *(indices.long(), values.double(), given_offsets.long()),
        mode=mode,
        per_sample_weights=None if weights is None else weights.double(),
        include_last_offset=include_last,
        padding_idx=padding,
    )
    # float32 sums of at most six values
    torch.testing.assert_close(y.double(), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("mode", range(3))
@pytest.mark.parametrize("shape", [(3, 5), (0, 5), (3, 0)])
def test_bags_of_one_size(bits, mode, shape):
    g = generator(1)
    packed, values = make_table(11, 21, bits, g)
    indices = torch.randint(0, 11, shape, generator=g)
    op = getattr(OPS, f"embedding_bag_{bits}bit")
    y = op(*table_args(packed, bits, 21), indices, None, mode)
    bags = [(row, None) for row in indices.tolist()]
    assert torch.equal(y, sequential(values, bags, MODES[mode]))


@pytest.mark.parametrize("bits", [8, 4])
def test_entries_behind_the_last_offset_are_in_no_bag(bits):
    packed, values = make_table(5, 3, bits, generator(2))
    op = getattr(OPS, f"embedding_bag_{bits}bit")
    indices, offsets = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 2, 3])
    y = op(*table_args(packed, bits, 3), indices, offsets, 0, None, True)
    assert torch.equal(y, torch.stack([values[0] + values[1], values[2]]))


@sweep("embedding_8bit_pack")
@given(st.integers(0, 6), dims, st.floats(1e-30, 1e30), st.floats(-3, 3), layouts, seeds)
def test_pack_8bit_is_within_half_a_step(rows, dim, size, offset, layout, seed):
    x = (torch.randn(rows, dim, generator=generator(seed)) + offset) * size
    x = strided(x, layout)
    packed = pack(x, 8)
    y = OPS.embedding_8bit_unpack(packed)
    assert packed.shape == (rows, dim + 8)
    if not rows:
        return
    low, high = x.double().aminmax(dim=1, keepdim=True)
    # Half a step, and float32 roundings of scale, bias and result.
    allowed = (high - low) / 255 * 0.5 + 4e-7 * (high.abs() + low.abs())
    assert ((y.double() - x.double()).abs() <= allowed).all()
    lowest = x.argmin(1, keepdim=True)
    assert torch.equal(y.gather(1, lowest), x.gather(1, lowest))


@sweep("embedding_4bit_pack")
@given(st.integers(1, 6), dims, st.floats(1e-30, 1e30), st.floats(-3, 3), layouts, seeds)
def test_pack_4bit_is_no_worse_than_min_max(rows, dim, size, offset, layout, seed):
    x = (torch.randn(rows, dim, generator=generator(seed)) + offset) * size
    x = strided(x, layout)
    packed = pack(x, 4)
    y = OPS.embedding_4bit_unpack(packed, dim)
    assert packed.shape == (rows, (dim + 1) // 2 + 8)
    real = x.double() / size
    low, high = real.aminmax(dim=1, keepdim=True)
    step = ((high - low) / 15).clamp(min=1e-12)
    plain = ((real - low) / step).round() * step + low
    mine, theirs = ((v - real).square().mean(1) for v in (y.double() / size, plain))
    assert (mine <= theirs * 1.0001 + 1e-12).all()


def test_pack_4bit_finds_better_ranges():
    x = torch.randn(200, 64, generator=generator(3))
    low, high = x.aminmax(dim=1, keepdim=True)
    step = (high - low) / 15
    plain = ((x - low) / step).round() * step + low
    mine = OPS.embedding_4bit_unpack(pack(x, 4), 64)
    assert (mine - x).square().mean() < 0.9 * (plain - x).square().mean()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pack_of_other_dtypes(bits, dtype):
    x = torch.randn(5, 9, generator=generator(4)).to(dtype)
    assert torch.equal(pack(x, bits), pack(x.float(), bits))
    assert torch.equal(pack(x.t().contiguous().t(), bits), pack(x, bits))


@pytest.mark.parametrize("value", [0.0, -0.1, 3e38])
@pytest.mark.parametrize("bits", [8, 4])
def test_rows_of_one_value_are_exact(bits, value):
    x = torch.full((2, 5), value)
    packed = pack(x, bits)
    unpack = getattr(OPS, f"embedding_{bits}bit_unpack")
    assert torch.equal(unpack(*table_args(packed, bits, 5)), x)


@pytest.mark.filterwarnings("ignore")
def test_rows_packed_by_torch_are_read():
    """embedding_bag_byte_prepack writes rows of the same layout."""
    x = torch.randn(20, 24, generator=generator(5))
    packed = torch.ops.quantized.embedding_bag_byte_prepack(x)
    expected = torch.ops.quantized.embedding_bag_byte_unpack(packed)
    # torch multiplies and adds in two roundings
    torch.testing.assert_close(OPS.embedding_8bit_unpack(packed), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 4])
def test_empty(bits):
    empty = pack(torch.empty(3, 0), bits)
    assert empty.shape == (3, 8)
    args = table_args(empty, bits, 0)
    y = getattr(OPS, f"embedding_{bits}bit")(*args, torch.tensor([[0, 2]]))
    assert y.shape == (1, 2, 0)
    no_rows = table_args(pack(torch.empty(0, 4), bits), bits, 4)
    y = getattr(OPS, f"embedding_{bits}bit")(*no_rows, torch.empty(2, 0, dtype=torch.int64))
    assert y.shape == (2, 0, 4)
