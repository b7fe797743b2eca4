"""conv2d against the formula, bit by bit, on every path to the kernels."""

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
    layouts,
    qparams,
    seeds,
    strided,
)


def run_both(x, w, groups, stride, padding, dilation, y_dtype=torch.uint8, **more):
    g = generator(7)
    n, k = len(w), w[0].numel()
    xq = more.get("xq", (0.05, 9))
    w_scale = torch.rand(n, generator=g) + 0.01
    bias = torch.randn(n, generator=g) * 20 * xq[0]
    y_zero_point = more.get("y_zero_point", 11 if y_dtype != torch.float32 else 0)
    output = (fitting_scale(k, xq[0], 0.5), y_zero_point, y_dtype, *more.get("activation", ()))
    packed = OPS.conv2d_pack(w, groups)
    y = OPS.conv2d(
        *(x, *xq, packed, w_scale, bias, list(w.shape)),
        *(stride, padding, dilation, groups, *output),
    )
    sides = (padding[0], padding[0], padding[-1], padding[-1])
    window = ((stride[0], stride[-1]), sides, (dilation[0], dilation[-1]))
    batch = x if x.dim() == 4 else x[None]
    expected = reference.conv(batch, *xq, w, w_scale, bias, window, groups, *output)
    return y, expected if x.dim() == 4 else expected[0]


def check(*args, **more):
    y, expected = run_both(*args, **more)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    batch = y if y.dim() == 4 else y[None]
    assert batch.is_contiguous(memory_format=torch.channels_last)


@sweep("conv2d")
@given(st.data())
def test_equals_formula(data):
    draw = data.draw
    g = generator(draw(seeds))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    group_channels = draw(st.integers(1, 9))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride, dilation = (draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)) for _ in "sd")
    padding = draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))
    size = draw(st.tuples(st.integers(1, 11), st.integers(1, 11)))
    for i in range(2):
        extent = (kernel[i] - 1) * dilation[-1 if i else 0] + 1
        assume(size[i] + 2 * padding[-1 if i else 0] >= extent)
    x_dtype = draw(dtypes_8bit)
    y_dtype = draw(st.sampled_from([torch.uint8, torch.int8, torch.float32]))
    shape = (draw(st.integers(0, 3)), groups * group_channels, *size)
    x = strided(integers(shape, x_dtype, g), draw(layouts))
    x = x[0] if len(x) and draw(st.integers(0, 7)) == 0 else x
    w = integers((groups * draw(st.integers(1, 20)), group_channels, *kernel), torch.int8, g)
    check(
        *(x, w, groups, stride, padding, dilation, y_dtype),
        xq=draw(qparams(x_dtype)),
        activation=draw(activations),
        y_zero_point=0 if y_dtype == torch.float32 else draw(qparams(y_dtype))[1],
    )


@sweep("conv2d")
@given(st.data())
def test_depthwise_equals_formula(data):
    draw = data.draw
    g = generator(draw(seeds))
    channels, repeats = draw(st.integers(2, 70)), draw(st.sampled_from([1, 1, 2, 3]))
    kernel = draw(st.sampled_from([3, 5, 1, 2, 4]))
    stride, dilation = draw(st.integers(1, 2)), draw(st.sampled_from([1, 1, 2]))
    padding = draw(st.sampled_from([kernel // 2, 0, kernel]))
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    assume(min(size) + 2 * padding >= (kernel - 1) * dilation + 1)
    x_dtype = draw(dtypes_8bit)
    x = strided(integers((2, channels, *size), x_dtype, g), draw(layouts))
    w = integers((channels * repeats, 1, kernel, kernel), torch.int8, g)
    y_dtype = draw(st.sampled_from([torch.uint8, torch.int8, torch.float32]))
    check(
        *(x, w, channels, [stride], [padding], [dilation], y_dtype),
        xq=draw(qparams(x_dtype)),
        activation=draw(activations),
    )


@pytest.mark.parametrize("x_dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize(
    "x_shape, w_shape, groups, stride, padding, dilation",
    [
        ((1, 3, 65, 61), (16, 3, 3, 3), 1, 2, 1, 1),  # first layer
        ((2, 3, 60, 60), (8, 3, 7, 7), 1, 2, 3, 1),
        ((2, 64, 20, 20), (70, 64, 3, 3), 1, 1, 1, 1),  # strips of several rows
        ((2, 64, 9, 9), (130, 64, 1, 1), 1, 1, 0, 1),  # pixels alike
        ((2, 64, 9, 9), (130, 64, 1, 1), 1, 2, 0, 1),
        ((1, 7, 9, 9), (20, 7, 1, 1), 1, 1, 0, 1),
        ((1, 24, 16, 16), (24, 8, 3, 3), 3, 1, 1, 1),  # groups of whole words
        ((1, 18, 16, 16), (24, 6, 3, 3), 3, 1, 1, 1),  # groups of odd sizes
        ((1, 8, 16, 16), (24, 8, 3, 3), 1, 1, 2, 2),  # dilation, whole words
        ((1, 6, 16, 16), (24, 6, 3, 3), 1, 1, 2, 2),  # dilation, gathered
        ((1, 18, 16, 16), (24, 6, 3, 3), 3, 1, 2, 2),
        ((1, 4, 40, 2), (5, 4, 1, 2), 1, 7, 0, 1),  # rows between windows
        ((4, 16, 300, 3), (3, 16, 3, 3), 1, 1, 1, 1),
        ((1, 2000, 3, 3), (40, 2000, 3, 3), 1, 1, 1, 1),  # rows larger than a strip
        ((3, 96, 40, 40), (96, 1, 3, 3), 96, 1, 1, 1),
        ((3, 96, 40, 40), (96, 1, 5, 5), 96, 2, 2, 1),
    ],
)
def test_paths(x_shape, w_shape, groups, stride, padding, dilation, x_dtype, layout):
    g = generator(3)
    x = strided(integers(x_shape, x_dtype, g), layout)
    w = integers(w_shape, torch.int8, g)
    check(x, w, groups, [stride], [padding], [dilation])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
@pytest.mark.parametrize("groups", [1, 6])
def test_padding_by_name_equals_torch(padding, kernel, groups):
    g = generator(4)
    x = integers((2, 6, 9, 10), torch.uint8, g)
    w = integers((6, 6 // groups, *kernel), torch.int8, g)
    scale, output = torch.rand(6, generator=g) + 0.1, (fitting_scale(40, 0.1, 0.5), 5, torch.int8)
    y = OPS.conv2d.padding(
        *(x, 0.1, 9, OPS.conv2d_pack(w, groups), scale, None, list(w.shape)),
        *([1], padding, [2, 1], groups, *output),
    )
    acc = torch.nn.functional.conv2d(
        x.double() - 9, w.double(), padding=padding, dilation=(2, 1), groups=groups
    )
    nhwc = acc.permute(0, 2, 3, 1).numpy().astype("int64")
    expected = reference.products_to_output(nhwc, 0.1, scale, None, *output)
    assert torch.equal(y, expected.permute(0, 3, 1, 2))


def test_unbatched():
    g = generator(5)
    x, w = integers((4, 9, 8), torch.int8, g), integers((5, 4, 3, 3), torch.int8, g)
    check(x, w, 1, [1], [1], [1])
    check(x.permute(1, 2, 0).contiguous().permute(2, 0, 1), w, 1, [1], [1], [1])


def test_expanded_and_sliced_input():
    g = generator(6)
    w = integers((5, 8, 3, 3), torch.int8, g)
    check(integers((1, 8, 6, 6), torch.uint8, g).expand(3, -1, -1, -1), w, 1, [1], [0], [1])
    check(integers((1, 8, 1, 1), torch.uint8, g).expand(2, -1, 6, 6), w, 1, [1], [0], [1])
    wide = strided(integers((2, 16, 9, 9), torch.uint8, g), 1)
    check(wide[:, 4:12, 1:8, 2:], w, 1, [1], [0], [1])
    check(wide[:, 4:12], integers((5, 8, 1, 1), torch.int8, g), 1, [2], [0], [1])


@pytest.mark.parametrize("groups", [1, 4])
def test_empty_batch(groups):
    x = torch.empty(0, 4, 6, 6, dtype=torch.uint8)
    w = torch.ones(8, 4 // groups, 3, 3, dtype=torch.int8)
    args = (OPS.conv2d_pack(w, groups), torch.ones(8), None, list(w.shape), [1], [1], [1], groups)
    y = OPS.conv2d(x, 0.1, 3, *args, 1.0, 0, torch.uint8)
    assert y.shape == (0, 8, 6, 6)


@sweep("conv2d_pack", "conv2d_unpack")
@given(st.data())
def test_unpack_is_the_inverse_of_pack(data):
    groups = data.draw(st.integers(1, 4))
    filters = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    shape = (groups * data.draw(st.integers(1, 20)), *filters)
    w = integers(shape, torch.int8, generator(data.draw(seeds)))
    packed = OPS.conv2d_pack(strided(w, data.draw(layouts)), groups)
    assert torch.equal(packed, OPS.conv2d_pack(w, groups))
    assert torch.equal(OPS.conv2d_unpack(packed, list(shape), groups), w)


def test_threads_do_not_change_the_result():
    g = generator(8)
    cases = [
        (integers((2, 32, 17, 15), torch.uint8, g), integers((48, 32, 3, 3), torch.int8, g), 1),
        (integers((1, 64, 7, 7), torch.int8, g), integers((256, 64, 3, 3), torch.int8, g), 1),
        (integers((3, 64, 15, 15), torch.uint8, g), integers((64, 1, 3, 3), torch.int8, g), 64),
        (integers((1, 64, 15, 15), torch.uint8, g), integers((96, 8, 3, 3), torch.int8, g), 8),
    ]
    threads = torch.get_num_threads()
    try:
        for x, w, groups in cases:
            results = []
            for count in (1, 2, 3, 7):
                torch.set_num_threads(count)
                results.append(run_both(x, w, groups, [1], [1], [1])[0])
            assert all(torch.equal(y, results[0]) for y in results)
    finally:
        torch.set_num_threads(threads)
