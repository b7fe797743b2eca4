"""Convolutions of float32 images in 8 bits against the formula, bit by bit."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    FUNCTIONS,
    activations,
    generator,
    integers,
    seeds,
    strided,
)

CONVS = [f"conv{kind}{dims}d" for kind in ("", "_transpose") for dims in (1, 2, 3)]
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def arguments(op, w, groups, seed=7):
    """The arguments between x and the window, and the scale and bias among them."""
    g = generator(seed)
    n = w.shape[1] * groups if "transpose" in op else len(w)
    w_scale, bias = torch.rand(n, generator=g) + 0.01, torch.randn(n, generator=g)
    packed = getattr(OPS, f"{op}_pack")(w, groups)
    return (packed, w_scale, bias, list(w.shape)), (w_scale, bias)


def check(op, x, w, groups, window, *activation):
    """The op and the formula. window: stride, padding, (output_padding,) dilation."""
    dims = w.dim() - 2
    given_, (w_scale, bias) = arguments(op, w, groups)
    y = getattr(OPS, f"{op}_dynamic")(x, *given_, *window, groups, *activation)
    each = [list(values) * (dims if len(values) == 1 else 1) for values in window]
    formula = reference.conv_transpose
    if "transpose" not in op:
        formula = reference.conv
        if len(each[1]) == dims:
            each[1] = [side for side in each[1] for _ in range(2)]
    batch = x if x.dim() == dims + 2 else x[None]
    if len(batch):
        args = (w, w_scale, bias, each, groups, formula)
        expected = reference.conv_dynamic(batch, *args, *activation)
        expected = expected if x.dim() == dims + 2 else expected[0]
        torch.testing.assert_close(y, expected, rtol=0, atol=0)
    else:
        assert len(y) == 0
    if y.dim() in FORMATS and x.dim() == dims + 2:
        assert y.is_contiguous(memory_format=FORMATS[y.dim()])
    return y


def numbers(draw, dims, least, most):
    """One value or one per dimension."""
    count = draw(st.sampled_from([1, dims]))
    return draw(st.lists(st.integers(least, most), min_size=count, max_size=count))


def draw_shapes(draw, dims):
    """groups, input and output channels per group, kernel, size."""
    groups = draw(st.sampled_from([1, 1, 2, 3, 18]))
    channels = 1 if groups == 18 else draw(st.sampled_from([1, 2, 3, 4, 8, 17]))
    outputs = draw(st.sampled_from([1, 2] if groups == 18 else [1, 2, 5, 16, 20]))
    kernel = draw(st.lists(st.integers(1, 5 - dims), min_size=dims, max_size=dims))
    size = draw(st.lists(st.integers(1, 14 - 3 * dims), min_size=dims, max_size=dims))
    return groups, channels, outputs, kernel, size


def draw_images(draw, shape, g):
    """float32 of several sizes and shifts, with any strides, with or without a batch."""
    magnitude = draw(st.sampled_from([1e-38, 1e-20, 1e-3, 1.0, 1e4, 1e30]))
    x = torch.randn(draw(st.integers(0, 3)), *shape, generator=g)
    x = (x + draw(st.sampled_from([0.0, 3.0, -3.0]))) * magnitude
    if len(x):
        x[0] *= draw(st.sampled_from([0.0, 1.0, 100.0]))
    x = strided(x, draw(st.integers(0, 5)))
    return x[0] if len(x) and draw(st.integers(0, 7)) == 0 else x


@pytest.mark.parametrize("dims", [1, 2, 3])
@sweep("conv{dims}d_dynamic")
@given(st.data())
def test_conv_equals_formula(dims, data):
    draw = data.draw
    g = generator(draw(seeds))
    groups, channels, outputs, kernel, size = draw_shapes(draw, dims)
    stride, dilation = numbers(draw, dims, 1, 3), numbers(draw, dims, 1, 3)
    padding = numbers(draw, draw(st.sampled_from([dims, 2 * dims])), 0, 3)
    sides = padding * (2 * dims // len(padding)) if len(padding) == 1 else padding
    sides = sides if len(sides) == 2 * dims else [side for side in sides for _ in range(2)]
    spread = dilation * dims if len(dilation) == 1 else dilation
    for i in range(dims):
        assume(size[i] + sum(sides[2 * i : 2 * i + 2]) >= (kernel[i] - 1) * spread[i] + 1)
    x = draw_images(draw, (groups * channels, *size), g)
    w = integers((groups * outputs, channels, *kernel), torch.int8, g)
    check(f"conv{dims}d", x, w, groups, (stride, padding, dilation), *draw(activations))


@pytest.mark.parametrize("dims", [1, 2, 3])
@sweep("conv_transpose{dims}d_dynamic")
@given(st.data())
def test_conv_transpose_equals_formula(dims, data):
    draw = data.draw
    g = generator(draw(seeds))
    groups, channels, outputs, kernel, size = draw_shapes(draw, dims)
    stride, dilation = (
        draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims)) for _ in "sd"
    )
    padding = numbers(draw, dims, 0, 3)
    more = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    pads = padding * dims if len(padding) == 1 else padding
    for i in range(dims):
        extent = (kernel[i] - 1) * dilation[i] + 1
        assume((size[i] - 1) * stride[i] + extent + more[i] - 2 * pads[i] >= 1)
    x = draw_images(draw, (groups * channels, *size), g)
    w = integers((groups * channels, outputs, *kernel), torch.int8, g)
    window = (stride, padding, more, dilation)
    check(f"conv_transpose{dims}d", x, w, groups, window, *draw(activations))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("dims", [1, 2, 3])
@sweep("conv{dims}d_dynamic.padding")
@given(st.data())
def test_padding_by_name_is_padding_by_numbers(dims, data):
    draw = data.draw
    g = generator(draw(seeds))
    groups, channels, outputs, kernel, size = draw_shapes(draw, dims)
    name, dilation = draw(st.sampled_from(["same", "valid"])), numbers(draw, dims, 1, 3)
    stride = [1] if name == "same" else numbers(draw, dims, 1, 3)
    spread = dilation * dims if len(dilation) == 1 else dilation
    extents = [(k - 1) * s + 1 for k, s in zip(kernel, spread, strict=True)]
    if name == "valid":
        size = [max(pair) for pair in zip(size, extents, strict=True)]
    # padding="same" of an even window pads more at the end, as in torch.
    sides = [side for e in extents for side in ((e - 1) // 2, e // 2)]
    sides = sides if name == "same" else [0] * 2 * dims
    x = draw_images(draw, (groups * channels, *size), g)
    w = integers((groups * outputs, channels, *kernel), torch.int8, g)
    given_, _ = arguments(f"conv{dims}d", w, groups)
    op = getattr(OPS, f"conv{dims}d_dynamic")
    y = op.padding(x, *given_, stride, name, dilation, groups)
    assert torch.equal(y, op(x, *given_, stride, sides, dilation, groups))


@pytest.mark.parametrize(
    "op, x_shape, w_shape, groups, window",
    [
        ("conv1d", (2, 1, 3000), (64, 1, 10), 1, ([5], [0], [1])),  # samples of sound
        ("conv1d", (2, 80, 300), (70, 80, 3), 1, ([1], [1], [1])),
        ("conv1d", (1, 96, 50), (96, 6, 128), 16, ([1], [64], [1])),  # positions of wav2vec2
        ("conv1d", (2, 96, 150), (96, 1, 9), 96, ([1], [4], [1])),
        ("conv1d", (1, 12, 300), (16, 12, 7), 1, ([3], [0], [4])),
        ("conv2d", (1, 3, 65, 61), (16, 3, 3, 3), 1, ([2], [1], [1])),
        ("conv2d", (3, 64, 9, 9), (130, 64, 1, 1), 1, ([1], [0], [1])),  # pixels alike
        ("conv2d", (2, 18, 16, 16), (24, 6, 3, 3), 3, ([1], [2], [2])),
        ("conv2d", (2, 40, 20, 20), (80, 1, 3, 3), 40, ([2], [1], [1])),  # channels repeated
        ("conv2d", (2, 300, 2, 2), (40, 300, 3, 3), 1, ([1], [1], [1])),
        ("conv3d", (1, 32, 6, 14, 14), (33, 32, 3, 3, 3), 1, ([1], [1], [1])),
        ("conv3d", (1, 48, 5, 9, 9), (48, 1, 3, 3, 3), 48, ([1, 2, 2], [1], [1])),
        ("conv_transpose1d", (2, 32, 100), (32, 20, 4), 1, ([2], [1], [0], [1])),
        ("conv_transpose2d", (2, 24, 9, 9), (24, 1, 3, 3), 24, ([2], [1], [1], [1])),
        ("conv_transpose2d", (2, 8, 5, 5), (8, 4, 1, 1), 2, ([3], [0], [2], [1])),  # gaps: bias
        ("conv_transpose3d", (1, 16, 4, 5, 6), (16, 9, 3, 3, 3), 1, ([2], [1], [1], [1])),
    ],
)
def test_paths(op, x_shape, w_shape, groups, window):
    g = generator(3)
    x, w = torch.randn(x_shape, generator=g), integers(w_shape, torch.int8, g)
    y = check(op, x, w, groups, window)
    pixels = x.movedim(1, -1).contiguous().movedim(-1, 1)
    assert torch.equal(check(op, pixels, w, groups, window), y)


@pytest.mark.parametrize("op", CONVS)
def test_images_of_a_batch_give_their_own_bits(op):
    dims, g = int(op[-2]), generator(2)
    x = torch.randn(5, 6, *[8] * dims, generator=g) * torch.logspace(-3, 3, 5).view(
        -1, *[1] * (dims + 1)
    )
    w = integers((6, 3 if "transpose" not in op else 4, *[3] * dims), torch.int8, g)
    given_, _ = arguments(op, w, 2)
    window = ([2], [1], *([[1]] if "transpose" in op else []), [1])
    conv = getattr(OPS, f"{op}_dynamic")
    y = conv(x, *given_, *window, 2)
    for i in range(5):
        assert torch.equal(conv(x[i : i + 1], *given_, *window, 2), y[i : i + 1])
        assert torch.equal(conv(x[i], *given_, *window, 2), y[i])


@pytest.mark.parametrize("function", ["none", "relu6", *FUNCTIONS])
def test_window_of_one_pixel_is_a_linear_layer(function):
    """Where no value is an outlier."""
    g = generator(5)
    x = torch.rand(7, 33, generator=g) * 8 - 3
    w = integers((40, 33), torch.int8, g)
    w_scale, bias = torch.rand(40, generator=g) / 100, torch.randn(40, generator=g)
    packed = OPS.linear_pack(w)
    want = OPS.linear_dynamic(x, packed, w_scale, bias, [40, 33], function)
    for dims in (1, 2, 3):
        shape = [40, 33, *[1] * dims]
        packed = getattr(OPS, f"conv{dims}d_pack")(w.view(shape), 1)
        for op in (f"conv{dims}d", f"conv_transpose{dims}d"):
            window = ([1], [0], *([[0]] if "transpose" in op else []), [1])
            weight = w.view(shape)
            if "transpose" in op:
                shape = [33, 40, *[1] * dims]
                weight = weight.transpose(0, 1).contiguous()
                packed = getattr(OPS, f"{op}_pack")(weight, 1)
            y = getattr(OPS, f"{op}_dynamic")(
                x.view(7, 33, *[1] * dims), packed, w_scale, bias, shape, *window, 1, function
            )
            assert torch.equal(y.flatten(1), want)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("op", CONVS)
def test_non_finite_images_give_nan_and_change_no_other_image(op, value):
    dims, g = int(op[-2]), generator(0)
    x, w = torch.randn(4, 5, *[9] * dims, generator=g), integers((5, 5, *[3] * dims), torch.int8, g)
    given_, _ = arguments(op, w, 1)
    window = ([2], [1], *([[1]] if "transpose" in op else []), [1])
    conv = getattr(OPS, f"{op}_dynamic")
    want = conv(x, *given_, *window, 1)
    x[2, 4, -1] = value
    for activation in ("none", "relu", *FUNCTIONS):
        assert conv(x, *given_, *window, 1, activation)[2].isnan().all()
    y = conv(x, *given_, *window, 1)
    others = torch.arange(4) != 2
    assert torch.equal(y[others], want[others])


def test_images_of_zeros_and_of_extremes():
    big, tiny = torch.finfo(torch.float32).max, 1e-44
    rows = [[0.0] * 4, [-0.0] * 4, [big, -big, 0, 0], [tiny, -tiny, 0, 0], [big] * 4, [-tiny] * 4]
    w = torch.tensor([[[1, -128]]], dtype=torch.int8)
    y = check("conv1d", torch.tensor(rows).unsqueeze(1)[:2], w, 1, ([1], [1], [1]))
    assert torch.equal(y, y[:1, :, :1].expand_as(y))
    check("conv1d", torch.tensor(rows).unsqueeze(1)[3:4], w, 1, ([1], [1], [1]))
    small = (OPS.conv1d_pack(w, 1), torch.tensor([1e-5]), None, [1, 1, 2], [1], [0], [1], 1)
    assert OPS.conv1d_dynamic(torch.tensor(rows).unsqueeze(1), *small).isfinite().all()


def test_sums_near_the_limit_of_int32():
    w = torch.full((2, 65793, 1), -128, dtype=torch.int8)
    for value in (1.0, -1.0):
        check("conv1d", torch.full((1, 65793, 3), value), w, 1, ([1], [0], [1]))


@pytest.mark.parametrize("op", CONVS)
@sweep("{op}_dynamic_pack")
@given(st.data())
def test_pack_equals_formula(op, data):
    draw = data.draw
    groups, dims, g = draw(st.integers(1, 4)), int(op[-2]), generator(draw(seeds))
    rest = draw(st.lists(st.integers(1, 5), min_size=dims + 1, max_size=dims + 1))
    shape = (groups * draw(st.integers(1, 20)), *rest)
    w = torch.randn(shape, generator=g) * draw(st.sampled_from([1e-38, 1e-20, 1.0, 1e30]))
    w[draw(st.integers(0, len(w) - 1))] *= draw(st.sampled_from([0.0, 20.0]))
    packed, scale = getattr(OPS, f"{op}_dynamic_pack")(strided(w, draw(st.integers(0, 5))), groups)
    rows = w.flatten(1)
    if "transpose" in op:
        rows = w.view(groups, -1, shape[1], *shape[2:]).transpose(1, 2).flatten(0, 1).flatten(1)
    codes, expected, _ = reference.pack_rows(rows, may_repeat=False)
    assert torch.equal(scale, expected)
    if "transpose" in op:
        codes = codes.view(groups, shape[1], -1, *shape[2:]).transpose(1, 2).reshape(shape)
    unpacked = getattr(OPS, f"{op}_unpack")(packed, list(shape), groups)
    assert torch.equal(unpacked, codes.view(shape))


@pytest.mark.parametrize("op", CONVS)
def test_close_to_float(op):
    dims, g = int(op[-2]), generator(0)
    x, w = torch.randn(3, 32, *[9] * dims, generator=g), torch.randn(32, 32, *[3] * dims)
    packed, scale = getattr(OPS, f"{op}_dynamic_pack")(w, 1)
    window = ([2], [1], *([[1]] if "transpose" in op else []), [1])
    y = getattr(OPS, f"{op}_dynamic")(x, packed, scale, None, list(w.shape), *window, 1)
    more = {"output_padding": 1} if "transpose" in op else {}
    want = getattr(F, op)(x, w, stride=2, padding=1, **more)
    assert F.cosine_similarity(y.flatten(1), want.flatten(1)).min() > 0.999
