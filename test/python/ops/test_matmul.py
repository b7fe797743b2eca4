"""matmul against the formula, bit by bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    activations,
    dtypes_8bit,
    fitting_scale,
    generator,
    integers,
    layouts,
    qparams,
    seeds,
    strided,
)


def expected(a, aq, b, bq, y_scale, y_zero_point, y_dtype, activation="none", args=()):
    # float64 holds the integers exactly.
    acc = np.asarray(torch.matmul(a.double() - aq[1], b.double() - bq[1]))
    clamp = tuple(args) if activation == "clamp" else reference.ACTIVATIONS[activation]
    if y_dtype == torch.float32:
        real = torch.from_numpy(np.asarray(acc.astype("float32") * reference.f32(aq[0] * bq[0])))
        return real.clamp(*clamp)
    r = acc.astype("float32") * reference.f32(aq[0] * bq[0] / y_scale)
    return reference.requantize(r, y_zero_point, y_dtype, clamp, y_scale)


SHAPES = [
    ((), ()),
    ((2,), (2,)),
    ((3, 1), (2,)),
    ((2, 3), (1, 3)),
    ((), (4,)),
    ((4,), ()),
    ((2, 2), (2, 1)),
    ((0,), (1,)),
    ((), (2, 0)),
]


@sweep("matmul")
@given(
    st.sampled_from(SHAPES),
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(0, 40),
    st.data(),
)
def test_equals_formula(batches, m, n, k, data):
    g = generator(data.draw(seeds))
    a_dtype, b_dtype = data.draw(dtypes_8bit), data.draw(dtypes_8bit)
    y_dtype = data.draw(st.sampled_from([torch.uint8, torch.int8, torch.float32]))
    a_is_vector, b_is_vector = data.draw(st.booleans()), data.draw(st.booleans())
    a_shape = (k,) if a_is_vector else (*batches[0], m, k)
    b_shape = (k,) if b_is_vector else (*batches[1], k, n)
    a = strided(integers(a_shape, a_dtype, g), data.draw(layouts))
    b = strided(integers(b_shape, b_dtype, g), data.draw(layouts))
    aq, bq = data.draw(qparams(a_dtype)), data.draw(qparams(b_dtype))
    y_zero_point = data.draw(qparams(y_dtype))[1] if y_dtype != torch.float32 else 0
    y_scale = fitting_scale(k + 1, aq[0], bq[0])
    args = (a, aq, b, bq, y_scale, y_zero_point, y_dtype, *data.draw(activations))
    y = OPS.matmul(a, *aq, b, *bq, *args[4:])
    want = expected(*args)
    assert y.is_contiguous() and y.shape == torch.matmul(a.float(), b.float()).shape
    assert torch.equal(y, want)


@pytest.mark.parametrize(
    "a_shape, b_shape",
    [
        ((2, 12, 50, 64), (2, 12, 64, 50)),
        ((200, 300), (300, 100)),
        ((3000, 2, 8), (8, 3)),
        ((500, 3, 40), (500, 40, 33)),
        ((40, 1, 6, 2000), (1, 9, 2000, 16)),
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_large(a_shape, b_shape, transposed):
    g = generator(0)
    a, b = integers(a_shape, torch.int8, g), integers(b_shape, torch.uint8, g)
    if transposed:
        b = b.mT.contiguous().mT
    args = (fitting_scale(a_shape[-1], 0.02, 0.03), 7, torch.uint8)
    y = OPS.matmul(a, 0.02, -5, b, 0.03, 77, *args)
    assert torch.equal(y, expected(a, (0.02, -5), b, (0.03, 77), *args))


def test_expanded_operands():
    g = generator(1)
    a = integers((1, 5, 9), torch.uint8, g).expand(4, 5, 9)
    b = integers((4, 1, 9), torch.int8, g).mT.expand(4, 9, 6)
    args = (30.0, 7, torch.uint8)
    y = OPS.matmul(a, 0.2, 3, b, 0.3, 4, *args)
    assert torch.equal(y, expected(a, (0.2, 3), b, (0.3, 4), *args))


@pytest.mark.parametrize("zero_points", [(0, 0), (255, 255), (0, 255), (255, 0)])
def test_largest_sums_are_exact(zero_points):
    k = 33025
    for value in (0, 255):
        a = torch.full((1, k), value, dtype=torch.uint8)
        b = torch.full((k, 1), value, dtype=torch.uint8)
        args = (1.0, 0, torch.float32)
        y = OPS.matmul(a, 1.0, zero_points[0], b, 1.0, zero_points[1], *args)
        assert torch.equal(y, expected(a, (1.0, zero_points[0]), b, (1.0, zero_points[1]), *args))
