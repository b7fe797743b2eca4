"""add, mul, cat and lookup against their formulas; shapes and strides against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    activations,
    broadcastable,
    dtypes_8bit,
    dtypes_any,
    generator,
    integers,
    layouts,
    qparams,
    seeds,
    strided,
)


@sweep("add", "mul")
@given(broadcastable(), st.data())
def test_binary_equals_formula(shapes, data):
    draw = data.draw
    g = generator(draw(seeds))
    dtypes = [draw(dtypes_any) for _ in range(3)]
    a, b = (
        strided(integers(shape, dtype, g), draw(layouts))
        for shape, dtype in zip(shapes, dtypes[:2], strict=True)
    )
    (aq, bq, yq), activation = [draw(qparams(dtype)) for dtype in dtypes], draw(activations)
    args, formula = (a, *aq, b, *bq, *yq, dtypes[2]), (a, aq, b, bq, *yq, dtypes[2])
    alpha = draw(st.sampled_from([1.0, -1.0, 0.0, 2.5]))
    total = OPS.add(*args, *activation, alpha=alpha)
    assert torch.equal(total, reference.add(*formula, reference.clamp_of(activation), alpha))
    product = OPS.mul(*args, *activation)
    assert torch.equal(product, reference.mul(*formula, reference.clamp_of(activation)))
    assert total.stride() == product.stride()
    assert not total.numel() or total.stride() == torch.add(a.float(), b.float()).stride()


@pytest.mark.parametrize("n", [1, 31, 1000, 100_003])
@pytest.mark.parametrize("kind", [0, 2])
def test_long_rows(n, kind):
    g = generator(1)
    a, b = (strided(integers((3, n), torch.uint8, g), kind) for _ in "ab")
    column = integers((3, 1), torch.int8, g)
    q = (0.1, 7)
    for other in (b, column, b[:1]):
        args, formula = (a, *q, other, *q), (a, q, other, q)
        output = (0.3, 9, torch.uint8)
        assert torch.equal(OPS.add(*args, *output), reference.add(*formula, *output))
        assert torch.equal(OPS.mul(*args, *output), reference.mul(*formula, *output))


@pytest.mark.parametrize("n", [1, 31, 1000, 100_003])
def test_long_rows_of_int16(n):
    g = generator(5)
    a, b = integers((3, n), torch.int16, g), integers((3, n), torch.uint8, g)
    others = [(b, (0.1, 7)), (b[:1], (0.1, 7)), (a[:, :1], (0.02, 0)), (strided(a, 2), (1.0, 0))]
    for other, q in others:
        args, formula = (a, 0.01, 0, other, *q), (a, (0.01, 0), other, q)
        for output in ((0.03, 0, torch.int16), (2.0, 9, torch.uint8)):
            assert torch.equal(OPS.add(*args, *output), reference.add(*formula, *output))


@pytest.mark.parametrize("op", [OPS.add, OPS.mul])
@pytest.mark.parametrize(
    "shapes", [((0, 3), (0, 3)), ((0, 3), (3,)), ((0,), (1,)), ((0, 1), (1, 5))]
)
def test_binary_empty(op, shapes):
    a, b = (torch.empty(shape, dtype=torch.uint8) for shape in shapes)
    y = op(a, 0.1, 3, b, 0.1, 3, 0.1, 3, torch.int8)
    assert y.shape == torch.broadcast_shapes(*shapes) and y.dtype == torch.int8


@sweep("cat")
@given(st.data())
def test_cat_equals_formula(data):
    draw = data.draw
    g = generator(draw(seeds))
    rank = draw(st.integers(1, 4))
    shape, dim = [draw(st.integers(0, 6)) for _ in range(rank)], draw(st.integers(-rank, rank - 1))
    y_dtype = draw(dtypes_any)
    yq = draw(qparams(y_dtype))
    layout = draw(layouts)
    tensors, scales, zero_points, expected = [], [], [], []
    for _ in range(draw(st.integers(1, 4))):
        dtype = draw(dtypes_any)
        q = yq if dtype == y_dtype and draw(st.booleans()) else draw(qparams(dtype))
        own = list(shape)
        own[dim] = draw(st.integers(0, 5))
        tensors.append(strided(integers(own, dtype, g), layout))
        scales.append(q[0])
        zero_points.append(q[1])
        expected.append(reference.rescale(tensors[-1], *q, *yq, y_dtype))
    y = OPS.cat(tensors, scales, zero_points, dim, *yq, y_dtype)
    assert torch.equal(y, torch.cat(expected, dim))
    if y.numel():
        plain = torch.cat([t.float() for t in tensors], dim)
        assert y.stride() == plain.stride()


def test_cat_skips_what_torch_skips():
    x = integers((2, 3), torch.uint8, generator(2))
    nothing = torch.empty(0, dtype=torch.int8)
    y = OPS.cat([nothing, x, nothing], [0.1, 0.2, 0.3], [0, 1, 2], 1, 0.2, 1, torch.uint8)
    assert torch.equal(y, x)
    assert OPS.cat([nothing], [0.1], [0], 0, 0.2, 1, torch.uint8).shape == (0,)


@pytest.mark.parametrize(
    "shapes, dim", [([(3, 200_000), (2, 200_000)], 0), ([(700, 300), (700, 5)], 1)]
)
def test_cat_large(shapes, dim):
    g = generator(3)
    tensors = [integers(shape, torch.uint8, g) for shape in shapes]
    y = OPS.cat(tensors, [0.1, 0.2], [3, 4], dim, 0.1, 3, torch.uint8)
    second = reference.rescale(tensors[1], 0.2, 4, 0.1, 3, torch.uint8)
    assert torch.equal(y, torch.cat([tensors[0], second], dim))


@sweep("lookup")
@given(st.lists(st.integers(0, 9), max_size=5), dtypes_8bit, dtypes_8bit, layouts, seeds)
def test_lookup(shape, x_dtype, y_dtype, layout, seed):
    g = generator(seed)
    x, table = integers(shape, x_dtype, g), integers((256,), y_dtype, g)
    x = strided(x, layout)
    y = OPS.lookup(x, table)
    index = x.numpy().astype(np.int64) - reference.RANGES[x_dtype][0]
    assert y.dtype == y_dtype
    assert torch.equal(y, torch.from_numpy(np.asarray(table.numpy()[index])))
    assert y.stride() == torch.neg(x).stride()


def test_lookup_reads_a_strided_table():
    table = integers((512,), torch.uint8, generator(4))[::2]
    x = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(OPS.lookup(x, table), table)
    assert torch.equal(OPS.lookup((x.int() - 128).to(torch.int8), table), table)
    assert torch.equal(OPS.lookup(x.repeat(2000), table), table.repeat(2000))
