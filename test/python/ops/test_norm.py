"""layer_norm, group_norm, instance_norm, batch_norm, softmax and prelu against their formulas;
shapes and strides against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    activations,
    dtypes_8bit,
    dtypes_any,
    generator,
    integers,
    layouts,
    qparams,
    seeds,
    significant_strides,
    strided,
)

EPS = st.sampled_from([1e-5, 0.0, 0.1])


@st.composite
def images(draw, least=2, dtypes=dtypes_8bit):
    """x [N, C, ...], its scale and zero point, and a generator."""
    g = generator(draw(seeds))
    shape = draw(st.lists(st.integers(1, 6), min_size=least, max_size=5))
    if shape and draw(st.integers(0, 9)) == 0:
        shape[0] = 0
    if shape and draw(st.booleans()):
        shape[1 % len(shape)] = draw(st.sampled_from([1, 4, 12, 33, 70]))
    dtype = draw(dtypes)
    x = strided(integers(shape, dtype, g), draw(layouts))
    if draw(st.booleans()) and x.dim() == 5:
        x = x.to(memory_format=torch.channels_last_3d)
    return x, draw(qparams(dtype)), g


@st.composite
def outputs(draw, allow_all=False):
    """y_scale, y_zero_point, y_dtype; scales fit normalized values. allow_all: float32 and int16
    too."""
    dtypes = [torch.uint8, torch.int8] + ([torch.float32, torch.int16] if allow_all else [])
    dtype = draw(st.sampled_from(dtypes))
    if dtype == torch.float32:
        return 1.0, 0, dtype
    if dtype == torch.int16:
        return draw(st.floats(1e-5, 1e-3)), 0, dtype
    return draw(st.floats(1e-3, 0.5)), draw(qparams(dtype))[1], dtype


def vector(c, g, there=True):
    return torch.randn(c, generator=g) if there else None


def check(y, expected, x):
    assert torch.equal(y, expected)
    format = torch.contiguous_format
    if not x.is_contiguous():
        for other in (torch.channels_last, torch.channels_last_3d):
            if x.dim() == (4 if other == torch.channels_last else 5):
                format = other if x.is_contiguous(memory_format=other) else format
    assert y.is_contiguous(memory_format=format)


@sweep("layer_norm")
@given(images(least=1, dtypes=dtypes_any), outputs(allow_all=True), EPS, st.data())
def test_layer_norm(image, output, eps, data):
    (x, q, g), draw = image, data.draw
    shape = list(x.shape[-draw(st.integers(1, x.dim())) :])
    weight, bias = (vector(shape, g, draw(st.booleans())) for _ in "wb")
    y = OPS.layer_norm(x, *q, shape, weight, bias, eps, *output)
    assert torch.equal(y, reference.layer_norm(x, *q, shape, weight, bias, eps, *output))
    assert y.is_contiguous()


@sweep("rms_norm")
@given(
    *(images(least=1, dtypes=dtypes_any), outputs(allow_all=True)),
    *(st.sampled_from([1e-5, 0.0, 0.1, None]), st.data()),
)
def test_rms_norm(image, output, eps, data):
    (x, q, g), draw = image, data.draw
    shape = list(x.shape[-draw(st.integers(1, x.dim())) :])
    weight = vector(shape, g, draw(st.booleans()))
    y = OPS.rms_norm(x, *q, shape, weight, eps, *output)
    assert torch.equal(y, reference.rms_norm(x, *q, shape, weight, eps, *output))
    assert y.is_contiguous()


@pytest.mark.parametrize("fill", [-32768, 32767])
def test_norm_of_long_extreme_rows(fill):
    """Sums and squares at which int32 overflows."""
    x = torch.full((2, 300_000), fill, dtype=torch.int16)
    x[1, ::2] = 0
    output = (1e-4, 0, torch.int16)
    shape = [300_000]
    y = OPS.layer_norm(x, 0.01, 0, shape, None, None, 1e-5, *output)
    assert torch.equal(y, reference.layer_norm(x, 0.01, 0, shape, None, None, 1e-5, *output))
    y = OPS.rms_norm(x, 0.01, 0, shape, None, 1e-5, *output)
    assert torch.equal(y, reference.rms_norm(x, 0.01, 0, shape, None, 1e-5, *output))


@sweep("group_norm")
@given(images(), outputs(), EPS, st.data())
def test_group_norm(image, output, eps, data):
    (x, q, g), draw, c = image, data.draw, image[0].shape[1]
    groups = draw(st.sampled_from([n for n in range(1, c + 1) if c % n == 0]))
    weight, bias = (vector(c, g, draw(st.booleans())) for _ in "wb")
    y = OPS.group_norm(x, *q, groups, weight, bias, eps, *output)
    check(y, reference.group_norm(x, *q, groups, weight, bias, eps, *output), x)


@sweep("instance_norm")
@given(images(), outputs(), EPS, st.booleans(), st.data())
def test_instance_norm(image, output, eps, use_input_stats, data):
    (x, q, g), draw, c = image, data.draw, image[0].shape[1]
    weight, bias = (vector(c, g, draw(st.booleans())) for _ in "wb")
    mean, var = vector(c, g), vector(c, g).abs() + 0.1
    y = OPS.instance_norm(x, *q, weight, bias, mean, var, use_input_stats, eps, *output)
    if use_input_stats:
        expected = reference.group_norm(x, *q, c, weight, bias, eps, *output)
        without = OPS.instance_norm(x, *q, weight, bias, None, None, True, eps, *output)
        assert torch.equal(y, without)
    else:
        expected = reference.batch_norm(x, *q, weight, bias, mean, var, eps, *output)
    check(y, expected, x)


@sweep("batch_norm")
@given(images(), outputs(), EPS, activations, st.data())
def test_batch_norm(image, output, eps, activation, data):
    (x, q, g), draw, c = image, data.draw, image[0].shape[1]
    weight, bias = (vector(c, g, draw(st.booleans())) for _ in "wb")
    mean, var = vector(c, g), vector(c, g).abs() + 0.1
    args = (x, *q, weight, bias, mean, var, eps, *output)
    y = OPS.batch_norm(*args, *activation)
    check(y, reference.batch_norm(*args, reference.clamp_of(activation)), x)


@sweep("prelu")
@given(images(), outputs(), st.booleans())
def test_prelu(image, output, one):
    x, q, g = image
    weight = vector(1 if one else x.shape[1], g)
    y = OPS.prelu(x, *q, weight, *output)
    check(y, reference.prelu(x, *q, weight, *output), x)


def exact_softmax(x, scale, dim):
    real = x.double() * scale
    return torch.softmax(real, dim)


@sweep("softmax")
@given(images(least=0), st.data())
def test_softmax(image, data):
    (x, (scale, zero_point), _), draw = image, data.draw
    dim = draw(st.integers(-max(x.dim(), 1), max(x.dim(), 1) - 1))
    dtype = draw(dtypes_8bit)
    y_scale, y_zero_point = draw(st.sampled_from([1 / 256, 0.003, 0.1])), draw(qparams(dtype))[1]
    y = OPS.softmax(x, scale, zero_point, dim, y_scale, y_zero_point, dtype)
    codes = exact_softmax(x, scale, dim) / y_scale + y_zero_point
    # Rounded to the nearest code; float32 loses less than 1e-3 of a code.
    low, high = reference.RANGES[dtype]
    assert ((y - codes.clamp(low, high)).abs() <= 0.501).all()
    assert significant_strides(y) == significant_strides(torch.neg(x))
    # float32 output: e, the sum and the product are rounded once each.
    real = OPS.softmax(x, scale, zero_point, dim, 1.0, 0, torch.float32)
    torch.testing.assert_close(
        real.double(), exact_softmax(x, scale, dim), rtol=1e-6, atol=1e-37, check_dtype=False
    )
    assert real.stride() == y.stride()


@pytest.mark.parametrize("op", ["batch_norm", "instance_norm", "group_norm", "prelu"])
@pytest.mark.parametrize("shape", [(2, 5, 41, 43), (1, 300, 5, 7), (3, 16, 70, 70)])
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_long_runs(op, shape, format):
    """Runs long enough for a lookup table, and blocks of pixels."""
    g = generator(1)
    x = integers(shape, torch.uint8, g).to(memory_format=format)
    c = shape[1]
    q, output = (0.1, 100), (0.02, 110, torch.uint8)
    weight, bias, mean, var = vector(c, g), vector(c, g), vector(c, g), vector(c, g).abs() + 0.1
    if op == "batch_norm":
        args = (x, *q, weight, bias, mean, var, 1e-5, *output)
    elif op == "instance_norm":
        args = (x, *q, weight, bias, None, None, True, 1e-5, *output)
    elif op == "group_norm":
        args = (x, *q, 1, weight, bias, 1e-5, *output)
    else:
        args = (x, *q, weight, *output)
    y = getattr(OPS, op)(*args)
    if op == "instance_norm":
        expected = reference.group_norm(x, *q, c, weight, bias, 1e-5, *output)
    else:
        expected = getattr(reference, op)(*args)
    check(y, expected, x)


@pytest.mark.parametrize("fill", [0, 7, 255])
def test_statistics_of_constants(fill):
    """A variance of 0 is exactly 0, not a rounding error."""
    x = torch.full((2, 6, 1001), fill, dtype=torch.uint8)
    bias = torch.arange(6.0)
    expected = bias.view(1, 6, 1).expand(x.shape) * 10
    for eps in (0.0, 1e-30):
        y = OPS.group_norm(x, 0.3, 50, 3, None, bias, eps, 0.1, 0, torch.uint8)
        assert torch.equal(y.float(), expected)
        y = OPS.layer_norm(x.mT, 0.3, 50, [6], None, bias, eps, 0.1, 0, torch.uint8)
        assert torch.equal(y.mT.float(), expected)


def test_against_torch():
    """Torch's functions, not only our formulas."""
    g = generator(2)
    x = integers((4, 6, 11, 13), torch.uint8, g)
    weight, bias, mean, var = vector(6, g), vector(6, g), vector(6, g), vector(6, g).abs() + 0.1
    scale, zero_point, y_scale = 0.05, 99, 0.04
    real = (x.double() - zero_point) * scale
    w, b, m, v = (value.double() for value in (weight, bias, mean, var))
    q, output = (scale, zero_point), (y_scale, 120, torch.uint8)
    shape = [11, 13]
    lw, lb = vector(shape, g), vector(shape, g)
    pairs = [
        (
            OPS.layer_norm(x, *q, shape, lw, lb, 1e-5, *output),
            F.layer_norm(real, shape, lw.double(), lb.double(), 1e-5),
        ),
        (
            OPS.rms_norm(x, *q, shape, lw, 1e-5, *output),
            F.rms_norm(real, shape, lw.double(), 1e-5),
        ),
        (OPS.group_norm(x, *q, 2, weight, bias, 1e-5, *output), F.group_norm(real, 2, w, b, 1e-5)),
        (
            OPS.instance_norm(x, *q, weight, bias, None, None, True, 1e-3, *output),
            F.instance_norm(real, None, None, w, b, True, eps=1e-3),
        ),
        (
            OPS.instance_norm(x, *q, weight, bias, mean, var, False, 1e-3, *output),
            F.instance_norm(real, m, v, w, b, False, eps=1e-3),
        ),
        (
            OPS.batch_norm(x, *q, weight, bias, mean, var, 1e-5, *output),
            F.batch_norm(real, m, v, w, b, False, eps=1e-5),
        ),
        (OPS.prelu(x, *q, weight, *output), F.prelu(real, w)),
    ]
    for y, expected in pairs:
        codes = (expected / y_scale + 120).clamp(0, 255)
        assert (y.double() - codes).abs().max() <= 0.501


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_empty(format):
    output = (0.1, 0, torch.uint8)
    for shape in [(0, 3, 4, 5), (2, 3, 0, 5), (2, 0, 4, 5)]:
        x = torch.empty(shape, dtype=torch.uint8).to(memory_format=format)
        v = torch.ones(shape[1])
        results = [
            OPS.batch_norm(x, 0.1, 0, v, v, v, v, 1e-5, *output),
            OPS.group_norm(x, 0.1, 0, 1, v, v, 1e-5, *output),
            OPS.instance_norm(x, 0.1, 0, v, v, None, None, True, 1e-5, *output),
            OPS.layer_norm(x, 0.1, 0, list(shape), None, None, 1e-5, *output),
            OPS.softmax(x, 0.1, 0, 2, *output),
            OPS.prelu(x, 0.1, 0, v, *output),
        ]
        assert all(y.shape == shape for y in results)


def test_not_a_number_is_the_largest_value():
    x, nan = torch.arange(6, dtype=torch.uint8).view(1, 2, 3), torch.tensor([1.0, np.nan])
    y = OPS.group_norm(x, 0.1, 0, 1, nan, None, 1e-5, 0.1, 9, torch.int8)
    assert (y[0, 1] == 127).all() and (y[0, 0] < 127).all()
    weight = torch.tensor([1.0, np.nan, np.inf])
    y = OPS.layer_norm(x, 0.1, 0, [3], weight, None, 1e-5, 0.1, 9, torch.int8)
    assert (y[..., 1] == 127).all() and (y[..., 2] == 127).all() and (y[..., 0] < 127).all()
