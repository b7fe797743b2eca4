"""quantize, dequantize and choose_qparams against formulas, numpy and torch's own."""

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed
from hypothesis import given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    dtypes_8bit,
    dtypes_any,
    generator,
    integers,
    layouts,
    qparams,
    seeds,
    strided,
)

DECOMPOSED = torch.ops.quantized_decomposed
REALS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
shapes = st.lists(st.integers(0, 9), max_size=5)


def reals(shape, scale, dtype, g):
    """Values over the quantized range and beyond, ties included."""
    x = torch.randn(shape, generator=g) * 100
    x = torch.where(torch.rand(shape, generator=g) < 0.3, (x.round() + 0.5), x)
    return (x * scale).to(dtype)


@sweep("quantize_per_tensor")
@given(shapes, dtypes_any, st.sampled_from(REALS), layouts, st.data())
def test_quantize_per_tensor(shape, dtype, real, layout, data):
    q = data.draw(qparams(dtype))
    x = reals(shape, q[0], real, generator(data.draw(seeds)))
    x = strided(x, layout)
    y = OPS.quantize_per_tensor(x, *q, dtype)
    assert torch.equal(y, reference.quantize(x, *q, dtype))
    assert y.stride() == torch.neg(x).stride()
    if real == torch.float32:
        low, high = reference.RANGES[dtype]
        assert torch.equal(y, DECOMPOSED.quantize_per_tensor(x, *q, low, high, dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize("low, high", [(None, 100), (3, None), (0, 15)])
def test_quantize_to_a_narrower_range(dtype, low, high):
    x = torch.linspace(-200, 200, 401)
    y = OPS.quantize_per_tensor(x, 0.7, 5, dtype, quant_min=low, quant_max=high)
    assert torch.equal(y, reference.quantize(x, 0.7, 5, dtype, low, high))
    scale, zero_point = torch.tensor([0.7]), torch.tensor([5])
    by_channel = OPS.quantize_per_channel(
        x[None], scale, zero_point, 0, dtype, quant_min=low, quant_max=high
    )
    assert torch.equal(by_channel[0], y)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_quantize_nan_and_infinities(dtype):
    low, high = reference.RANGES[dtype]
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45] * 11)
    y = OPS.quantize_per_tensor(x, 1e-3, 7, dtype)
    assert y.tolist() == [7, high, low, high, low, 7] * 11
    by_channel = OPS.quantize_per_channel(
        x[None], torch.full((66,), 1e-3), torch.full((66,), 7), 1, dtype
    )
    assert torch.equal(by_channel[0], y)


@sweep("dequantize_per_tensor")
@given(shapes, dtypes_any, layouts, st.data())
def test_dequantize_per_tensor(shape, dtype, layout, data):
    q = data.draw(qparams(dtype))
    x = integers(shape, dtype, generator(data.draw(seeds)))
    x = strided(x, layout)
    y = OPS.dequantize_per_tensor(x, *q)
    assert torch.equal(y, reference.dequantize(x, *q))
    assert y.stride() == torch.neg(x).stride()


def test_quantize_int16():
    """Ties, both ends of the range and beyond, not a number."""
    x = torch.arange(-66000, 66001) / 2
    assert torch.equal(
        OPS.quantize_per_tensor(x, 1.0, 0, torch.int16), x.round().clamp(-32768, 32767).short()
    )
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45] * 11)
    y = OPS.quantize_per_tensor(special, 1e-3, 0, torch.int16)
    assert y.tolist() == [0, 32767, -32768, 32767, -32768, 0] * 11
    narrow = OPS.quantize_per_tensor(x, 1.0, 0, torch.int16, quant_min=-32767, quant_max=100)
    assert narrow.aminmax() == (-32767, 100)
    codes = torch.arange(-32768, 32768).short()
    assert torch.equal(OPS.dequantize_per_tensor(codes, 0.5, 0), codes * 0.5)


@sweep("requantize")
@given(shapes, dtypes_any, dtypes_any, layouts, st.data())
def test_requantize(shape, x_dtype, y_dtype, layout, data):
    q, output = data.draw(qparams(x_dtype)), data.draw(qparams(y_dtype))
    x = strided(integers(shape, x_dtype, generator(data.draw(seeds))), layout)
    y = OPS.requantize(x, *q, *output, y_dtype)
    assert torch.equal(y, reference.rescale(x, *q, *output, y_dtype))
    assert y.stride() == torch.neg(x).stride()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_requantize_every_int16(dtype):
    x = torch.arange(-32768, 32768).short()
    for scale in (0.5, 100.0, 256.0, 1e6):
        y = OPS.requantize(x, 1.0, 0, scale, 7, dtype)
        assert torch.equal(y, reference.rescale(x, 1.0, 0, scale, 7, dtype))


@sweep("quantize_per_channel", "dequantize_per_channel")
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), dtypes_8bit, layouts, st.data())
def test_per_channel(shape, dtype, layout, data):
    g = generator(data.draw(seeds))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    along = [-1 if i == axis % len(shape) else 1 for i in range(len(shape))]
    scale = torch.rand(shape[axis], generator=g, dtype=torch.float64) + 1e-3
    scale = scale.to(data.draw(st.sampled_from([torch.float32, torch.float64])))
    zero_point = integers((shape[axis],), dtype, g).to(
        data.draw(st.sampled_from([torch.int32, torch.int64]))
    )
    scales, zero_points = (t.reshape(along).numpy() for t in (scale, zero_point))

    x = strided(reals(shape, 0.3, torch.float32, g), layout)
    y = OPS.quantize_per_channel(x, scale, zero_point, axis, dtype)
    assert torch.equal(y, reference.quantize(x, scales, zero_points, dtype))
    assert y.stride() == torch.neg(x).stride()

    back = OPS.dequantize_per_channel(y, scale, zero_point, axis)
    assert torch.equal(back, reference.dequantize(y, scales, zero_points))
    unshifted = OPS.dequantize_per_channel(y, scale, None, axis)
    assert torch.equal(unshifted, reference.dequantize(y, scales, 0))


@sweep("choose_qparams")
@given(
    st.lists(st.integers(1, 9), max_size=3),
    dtypes_8bit,
    st.sampled_from(REALS[:3]),
    st.booleans(),
    st.data(),
)
def test_choose_qparams_equals_torch(shape, dtype, real, symmetric, data):
    g = generator(data.draw(seeds))
    factor, shift = data.draw(st.sampled_from([(1, 0), (1e-9, 0), (30, 100), (30, -100), (0, 0)]))
    x = (torch.randn(shape, generator=g) * factor + shift).to(real)
    low, high = data.draw(st.sampled_from([reference.RANGES[dtype], (0, 127), (0, 15)]))
    eps = data.draw(st.sampled_from([2**-23, 1e-5]))
    choose = DECOMPOSED.choose_qparams_symmetric if symmetric else DECOMPOSED.choose_qparams
    expected = choose.tensor(x, low, high, eps, dtype)
    actual = OPS.choose_qparams(
        x, dtype, quant_min=low, quant_max=high, eps=eps, symmetric=symmetric
    )
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_choose_qparams_of_strided_and_large_input():
    x = torch.randn(1000, 300, generator=generator(1))
    for part in (x, x[:, ::2], x.t(), x.double()):
        scale, zero_point = OPS.choose_qparams(part, torch.uint8)
        expected = DECOMPOSED.choose_qparams.tensor(
            part.float().contiguous(), 0, 255, 2**-23, torch.uint8
        )
        torch.testing.assert_close((scale, zero_point), expected, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_and_scalar(shape):
    x = torch.zeros(shape)
    y = OPS.quantize_per_tensor(x, 0.1, 3, torch.uint8)
    assert y.shape == shape and bool((y == 3).all())
    assert torch.equal(OPS.dequantize_per_tensor(y, 0.1, 3), x)
    if shape:
        channels = shape[-1]
        scale, zero_point = torch.ones(channels), torch.zeros(channels, dtype=torch.int64)
        y = OPS.quantize_per_channel(x, scale, zero_point, -1, torch.int8)
        assert OPS.dequantize_per_channel(y, scale, zero_point, -1).shape == shape


def test_large_tensors_are_split_over_threads():
    x = torch.randn(7, 33, 1021, generator=generator(2)) * 50
    for layout in (x, x.transpose(0, 2)):
        y = OPS.quantize_per_tensor(layout, 0.3, 9, torch.int8)
        assert torch.equal(y, reference.quantize(layout, 0.3, 9, torch.int8))
        assert torch.equal(
            OPS.dequantize_per_tensor(y, 0.3, 9), reference.dequantize(y, np.float64(0.3), 9)
        )
