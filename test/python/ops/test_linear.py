"""linear against the formula, bit by bit."""

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


def run_both(x, xq, w, w_scale, bias, yq, y_dtype, activation):
    packed = OPS.linear_pack(w)
    n, k = w.shape
    y = OPS.linear(x, *xq, packed, w_scale, bias, [n, k], *yq, y_dtype, *activation)
    return y, reference.linear(x, *xq, w, w_scale, bias, *yq, y_dtype, *activation)


@sweep("linear")
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(1, 90),
    st.integers(1, 90),
    st.data(),
)
def test_equals_formula(leading, n, k, data):
    g = generator(data.draw(seeds))
    x_dtype = data.draw(dtypes_8bit)
    y_dtype = data.draw(st.sampled_from([torch.uint8, torch.int8, torch.int16, torch.float32]))
    xq = data.draw(qparams(x_dtype))
    x = strided(integers((*leading, k), x_dtype, g), data.draw(layouts))
    w = integers((n, k), torch.int8, g)
    w_scale = torch.rand(n, generator=g) + 0.01
    bias = torch.randn(n, generator=g) * 10 * xq[0] if data.draw(st.booleans()) else None
    y_zero_point = data.draw(qparams(y_dtype))[1] if y_dtype != torch.float32 else 0
    y_scale = fitting_scale(k, xq[0], 0.5)
    yq = (y_scale / 256 if y_dtype == torch.int16 else y_scale, y_zero_point)
    y, expected = run_both(x, xq, w, w_scale, bias, yq, y_dtype, data.draw(activations))
    assert y.is_contiguous()
    torch.testing.assert_close(y, expected, rtol=0, atol=0)


@pytest.mark.parametrize("x_dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize(
    "m, n, k", [(300, 200, 515), (3, 1000, 2048), (1, 70, 65793), (1000, 3, 4)]
)
def test_large(m, n, k, x_dtype):
    g = generator(0)
    x, w = integers((m, k), x_dtype, g), integers((n, k), torch.int8, g)
    yq = (fitting_scale(k, 0.02, 0.5), 7)
    y, expected = run_both(
        x, (0.02, 5), w, torch.rand(n, generator=g) + 0.1, None, yq, torch.uint8, ("none",)
    )
    assert torch.equal(y, expected)


def test_largest_sum_is_exact():
    k = 65793
    x = torch.full((1, k), 255, dtype=torch.uint8)
    w = torch.full((1, k), -128, dtype=torch.int8)
    for activation in ("none", "relu"):
        y, expected = run_both(
            x, (1.0, 0), w, torch.ones(1), None, (1.0, 0), torch.float32, (activation,)
        )
        assert torch.equal(y, expected)


@sweep("linear_pack", "linear_unpack")
@given(st.integers(1, 70), st.integers(1, 70), layouts, seeds)
def test_unpack_is_the_inverse_of_pack(n, k, layout, seed):
    w = integers((n, k), torch.int8, generator(seed))
    packed = OPS.linear_pack(strided(w, layout))
    assert packed.dtype == torch.int8 and packed.dim() == 1
    assert torch.equal(packed, OPS.linear_pack(w))
    assert torch.equal(OPS.linear_unpack(packed, [n, k]), w)


def test_weight_at_any_address():
    g = generator(1)
    x, w = integers((4, 9), torch.uint8, g), integers((5, 9), torch.int8, g)
    packed = OPS.linear_pack(w)
    moved = torch.empty(len(packed) + 1, dtype=torch.int8)[1:].copy_(packed)
    args = (torch.ones(5), None, [5, 9], 40.0, 8, torch.uint8)
    assert torch.equal(OPS.linear(x, 0.1, 3, moved, *args), OPS.linear(x, 0.1, 3, packed, *args))


@pytest.mark.parametrize("shape", [(0, 7), (2, 0, 7)])
def test_empty(shape):
    w = torch.ones(5, 7, dtype=torch.int8)
    x = torch.empty(shape, dtype=torch.uint8)
    y = OPS.linear(x, 0.1, 3, OPS.linear_pack(w), torch.ones(5), None, [5, 7], 1.0, 0, torch.int8)
    assert y.shape == (*shape[:-1], 5) and y.dtype == torch.int8


def test_threads_do_not_change_the_result():
    g = generator(2)
    x, w = integers((97, 530), torch.int8, g), integers((333, 530), torch.int8, g)
    args = (torch.rand(333, generator=g) + 0.1, None, [333, 530], 60.0, 8, torch.uint8)
    packed, results, threads = OPS.linear_pack(w), [], torch.get_num_threads()
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append(OPS.linear(x, 0.1, 3, packed, *args))
            results.append(OPS.linear(x[:1], 0.1, 3, packed, *args))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(y, results[0]) for y in results[::2])
    assert all(torch.equal(y, results[1]) for y in results[1::2])
