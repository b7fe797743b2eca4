"""conv1d, conv3d and transposed convolutions against the formula, bit by bit."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    activations,
    dtypes_8bit,
    fitting_scale,
    generator,
    integers,
    qparams,
    seeds,
    strided,
)

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def run_both(op, x, w, groups, window, xq=(0.05, 9), y_dtype=torch.uint8, y_zero_point=0, act=()):
    """The op and the formula. window: stride, padding, (output_padding,) dilation."""
    g, dims = generator(7), w.dim() - 2
    transposed = "transpose" in op
    n = w.shape[1] * groups if transposed else w.shape[0]
    k = w[:, 0].numel() // groups if transposed else w[0].numel()
    w_scale = torch.rand(n, generator=g) + 0.01
    bias = torch.randn(n, generator=g) * 20 * xq[0]
    output = (fitting_scale(k, xq[0], 0.5), y_zero_point, y_dtype, *act)
    packed = getattr(OPS, f"{op}_pack")(w, groups)
    args = (x, *xq, packed, w_scale, bias, list(w.shape), *window, groups, *output)
    y = getattr(OPS, op)(*args)
    each = [list(values) * (dims if len(values) == 1 else 1) for values in window]
    if not transposed and len(each[1]) == dims:
        each[1] = [side for side in each[1] for _ in range(2)]
    batch = x if x.dim() == dims + 2 else x[None]
    formula = reference.conv_transpose if transposed else reference.conv
    expected = formula(batch, *xq, w, w_scale, bias, each, groups, *output)
    return y, expected if x.dim() == dims + 2 else expected[0]


def check(*args, **more):
    y, expected = run_both(*args, **more)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    if y.dim() in FORMATS and args[2].dim() == y.dim():
        assert y.is_contiguous(memory_format=FORMATS[y.dim()])


def layout(x, draw):
    """x with drawn strides, channels_last included."""
    if draw(st.booleans()):
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return strided(x, draw(st.sampled_from([0, 2, 3, 4, 5])))


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


def draw_rest(draw):
    x_dtype = draw(dtypes_8bit)
    y_dtype = draw(st.sampled_from([torch.uint8, torch.int8, torch.float32]))
    zero_point = 0 if y_dtype == torch.float32 else draw(qparams(y_dtype))[1]
    return x_dtype, {
        **{"xq": draw(qparams(x_dtype)), "act": draw(activations)},
        **{"y_dtype": y_dtype, "y_zero_point": zero_point},
    }


@pytest.mark.parametrize("dims", [1, 3])
@sweep("conv{dims}d")
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
    x_dtype, rest = draw_rest(draw)
    x = layout(integers((draw(st.integers(0, 2)), groups * channels, *size), x_dtype, g), draw)
    w = integers((groups * outputs, channels, *kernel), torch.int8, g)
    x = x[0] if len(x) and draw(st.integers(0, 7)) == 0 else x
    check(f"conv{dims}d", x, w, groups, (stride, padding, dilation), **rest)


@pytest.mark.parametrize("dims", [1, 2, 3])
@sweep("conv_transpose{dims}d")
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
    x_dtype, rest = draw_rest(draw)
    x = layout(integers((draw(st.integers(0, 2)), groups * channels, *size), x_dtype, g), draw)
    w = integers((groups * channels, outputs, *kernel), torch.int8, g)
    x = x[0] if len(x) and draw(st.integers(0, 7)) == 0 else x
    check(f"conv_transpose{dims}d", x, w, groups, (stride, padding, more, dilation), **rest)


@pytest.mark.parametrize("x_dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize(
    "op, x_shape, w_shape, groups, window",
    [
        ("conv1d", (2, 64, 200), (70, 64, 5), 1, ([1], [2], [1])),
        ("conv1d", (1, 12, 300), (16, 12, 7), 1, ([3], [0], [4])),
        ("conv1d", (2, 96, 150), (96, 1, 9), 96, ([1], [4], [1])),
        ("conv1d", (2, 2, 5000), (3, 2, 4), 1, ([2], [1, 2], [1])),  # rows larger than a strip
        ("conv3d", (1, 32, 6, 14, 14), (33, 32, 3, 3, 3), 1, ([1], [1], [1])),
        ("conv3d", (2, 3, 8, 20, 20), (16, 3, 3, 7, 7), 1, ([1, 2, 2], [1, 3, 3], [1])),
        ("conv3d", (1, 48, 5, 9, 9), (48, 1, 3, 3, 3), 48, ([1, 2, 2], [1], [1])),
        ("conv3d", (1, 16, 5, 9, 9), (40, 16, 1, 1, 1), 1, ([1], [0], [1])),  # pixels alike
        ("conv_transpose1d", (2, 32, 100), (32, 20, 4), 1, ([2], [1], [0], [1])),
        ("conv_transpose2d", (1, 64, 14, 14), (64, 32, 4, 4), 1, ([2], [1], [0], [1])),
        ("conv_transpose2d", (1, 24, 9, 9), (24, 1, 3, 3), 24, ([2], [1], [1], [1])),
        ("conv_transpose2d", (1, 8, 7, 7), (8, 16, 2, 2), 1, ([2], [0], [0], [1])),
        ("conv_transpose2d", (1, 8, 5, 5), (8, 4, 1, 1), 2, ([3], [0], [2], [1])),  # gaps: bias
        ("conv_transpose3d", (1, 16, 4, 5, 6), (16, 9, 3, 3, 3), 1, ([2], [1], [1], [1])),
    ],
)
def test_paths(op, x_shape, w_shape, groups, window, x_dtype):
    g = generator(3)
    x, w = integers(x_shape, x_dtype, g), integers(w_shape, torch.int8, g)
    check(op, x, w, groups, window)
    check(op, x.movedim(1, -1).contiguous().movedim(-1, 1), w, groups, window)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name_equals_torch(dims, padding):
    g, op = generator(4), f"conv{dims}d"
    x = integers((2, 6, 9, 8, 7)[: dims + 2], torch.uint8, g)
    w = integers((6, 3, 4, 3, 2)[: dims + 2], torch.int8, g)
    scale, output = torch.full((6,), 0.5), (1.0, 0, torch.float32)
    packed = getattr(OPS, f"{op}_pack")(w, 2)
    args = (x, 0.5, 9, packed, scale, None, list(w.shape), [1], padding, [2], 2, *output)
    exact = getattr(torch.nn.functional, op)(
        x.double() - 9, w.double(), padding=padding, dilation=2, groups=2
    )
    # Powers of two: every number on the way is exact.
    assert torch.equal(getattr(OPS, op).padding(*args).double(), exact / 4)


@pytest.mark.parametrize("dims", [1, 2, 3])
@sweep("conv{dims}d.padding")
@given(st.data())
def test_padding_by_name_is_padding_by_numbers(dims, data):
    draw = data.draw
    g = generator(draw(seeds))
    groups, channels, outputs, kernel, size = draw_shapes(draw, dims)
    name = draw(st.sampled_from(["same", "valid"]))
    dilation = numbers(draw, dims, 1, 3)
    stride = [1] if name == "same" else numbers(draw, dims, 1, 3)
    spread = dilation * dims if len(dilation) == 1 else dilation
    extents = [(k - 1) * s + 1 for k, s in zip(kernel, spread, strict=True)]
    if name == "valid":
        size = [max(pair) for pair in zip(size, extents, strict=True)]
    x_dtype, rest = draw_rest(draw)
    x = layout(integers((draw(st.integers(0, 2)), groups * channels, *size), x_dtype, g), draw)
    w = integers((groups * outputs, channels, *kernel), torch.int8, g)
    # padding="same" of an even window pads more at the end, as in torch.
    sides = [side for e in extents for side in ((e - 1) // 2, e // 2)]
    sides = sides if name == "same" else [0] * 2 * dims
    packed, scale = getattr(OPS, f"conv{dims}d_pack")(w, groups), torch.rand(len(w), generator=g)
    y_zero_point, y_dtype = rest["y_zero_point"], rest["y_dtype"]
    output = (fitting_scale(w[0].numel(), rest["xq"][0], 0.5), y_zero_point, y_dtype, *rest["act"])
    args = (x, *rest["xq"], packed, scale + 0.01, None, list(w.shape), stride)
    y = getattr(OPS, f"conv{dims}d").padding(*args, name, dilation, groups, *output)
    assert torch.equal(y, getattr(OPS, f"conv{dims}d")(*args, sides, dilation, groups, *output))


@pytest.mark.parametrize(
    "op", [f"conv{d}d" for d in (1, 3)] + [f"conv_transpose{d}d" for d in (1, 2, 3)]
)
def test_empty_batch(op):
    dims = int(op[-2])
    w = torch.ones(4, 4, *[3] * dims, dtype=torch.int8)
    x = torch.empty(0, 4, *[6] * dims, dtype=torch.uint8)
    more = [[0]] if "transpose" in op else []
    packed = getattr(OPS, f"{op}_pack")(w, 1)
    window = ([1], [1], *more, [1])
    y = getattr(OPS, op)(
        x, 0.1, 3, packed, torch.ones(4), None, list(w.shape), *window, 1, 1.0, 0, torch.uint8
    )
    assert y.shape == (0, 4, *[6] * dims)


@pytest.mark.parametrize(
    "op", [f"conv{d}d" for d in (1, 3)] + [f"conv_transpose{d}d" for d in (1, 2, 3)]
)
@sweep("{op}_pack", "{op}_unpack")
@given(st.data())
def test_unpack_is_the_inverse_of_pack(op, data):
    groups = data.draw(st.integers(1, 4))
    dims = int(op[-2])
    rest = data.draw(st.lists(st.integers(1, 5), min_size=dims + 1, max_size=dims + 1))
    shape = (groups * data.draw(st.integers(1, 20)), *rest)
    w = integers(shape, torch.int8, generator(data.draw(seeds)))
    pack = getattr(OPS, f"{op}_pack")
    packed = pack(layout(w, data.draw), groups)
    assert torch.equal(packed, pack(w, groups))
    assert torch.equal(getattr(OPS, f"{op}_unpack")(packed, list(shape), groups), w)
