"""Pooling and mean against their formulas over windows taken by torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from support import reference
from support.checks import python
from support.isas import OPS, sweep
from support.strategies import (
    dtypes_8bit,
    generator,
    has_format_of,
    integers,
    layouts,
    qparams,
    seeds,
    strided,
)

F = torch.nn.functional
one_or_two = st.lists(st.integers(1, 4), min_size=1, max_size=2)
sizes = st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 11), st.integers(1, 11))


@st.composite
def windows(draw, dilated):
    kernel = draw(one_or_two)
    stride = draw(st.one_of(one_or_two, st.just([])))
    padding = [draw(st.integers(0, size // 2)) for size in kernel]
    dilation = draw(st.lists(st.integers(1, 2), min_size=1, max_size=2)) if dilated else [1]
    return kernel, stride, padding, dilation, draw(st.booleans())


def fits(f):
    try:
        return f()
    except RuntimeError:
        return None


@sweep("max_pool2d")
@given(sizes, windows(dilated=True), dtypes_8bit, layouts, st.booleans(), seeds)
def test_max_pool2d_equals_torch(size, window, dtype, layout, batched, seed):
    kernel, stride, padding, dilation, ceil_mode = window
    x = strided(integers(size, dtype, generator(seed)), layout)
    x = x if batched or not len(x) else x[0]
    args = (kernel, stride, padding, dilation, ceil_mode)
    expected = fits(lambda: F.max_pool2d(x.float(), kernel, stride or None, *args[2:]))
    assume(expected is not None)
    y = OPS.max_pool2d(x, *args)
    assert torch.equal(y, expected.clamp(*reference.RANGES[dtype]).to(dtype))
    assert has_format_of(y, x, 2)


@sweep("avg_pool2d")
@given(
    sizes,
    windows(dilated=False),
    st.booleans(),
    st.sampled_from([None, None, 1, 7, -3]),
    layouts,
    st.data(),
)
def test_avg_pool2d_equals_formula(size, window, count_include_pad, divisor, layout, data):
    kernel, stride, padding, _, ceil_mode = window
    x_dtype, y_dtype = data.draw(dtypes_8bit), data.draw(dtypes_8bit)
    xq, yq = data.draw(qparams(x_dtype)), data.draw(qparams(y_dtype))
    x = strided(integers(size, x_dtype, generator(data.draw(seeds))), layout)
    x = x if data.draw(st.booleans()) or not len(x) else x[0]
    centred = torch.from_numpy(reference.centred(x, xq[1]).astype(np.float64))

    def pool(values, *more):
        return F.avg_pool2d(values, kernel, stride or None, padding, ceil_mode, *more)

    sums = fits(lambda: pool(centred, True, 1))
    assume(sums is not None)
    if divisor is None:
        # torch's divisor, found with a tensor of ones: 1 / (share of the window inside).
        inside = pool(torch.ones_like(centred), True, 1)
        share = pool(torch.ones_like(centred), count_include_pad, None)
        divisors = (inside / share).round().numpy()
    else:
        divisors = np.float64(divisor)
    y = OPS.avg_pool2d(
        *(x, *xq, kernel, stride, padding, ceil_mode, count_include_pad, divisor, *yq, y_dtype)
    )
    assert torch.equal(y, reference.mean(sums.numpy(), divisors, xq[0], *yq, y_dtype))
    assert has_format_of(y, x, 2)


@sweep("adaptive_avg_pool2d")
@given(sizes, one_or_two, layouts, st.data())
def test_adaptive_avg_pool2d_equals_formula(size, output_size, layout, data):
    x_dtype, y_dtype = data.draw(dtypes_8bit), data.draw(dtypes_8bit)
    xq, yq = data.draw(qparams(x_dtype)), data.draw(qparams(y_dtype))
    x = strided(integers(size, x_dtype, generator(data.draw(seeds))), layout)
    x = x if data.draw(st.booleans()) or not len(x) else x[0]
    centred = reference.centred(x, xq[1])
    oh, ow = output_size[0], output_size[-1]
    h, w = x.shape[-2:]
    sums, counts = np.zeros((*x.shape[:-2], oh, ow)), np.zeros((oh, ow))
    for i in range(oh):
        for j in range(ow):
            rows = slice(i * h // oh, math.ceil((i + 1) * h / oh))
            columns = slice(j * w // ow, math.ceil((j + 1) * w / ow))
            part = centred[..., rows, columns]
            sums[..., i, j], counts[i, j] = part.sum((-1, -2)), part.shape[-1] * part.shape[-2]
    y = OPS.adaptive_avg_pool2d(x, *xq, output_size, *yq, y_dtype)
    assert torch.equal(y, reference.mean(sums, counts, xq[0], *yq, y_dtype))
    assert y.shape == F.adaptive_avg_pool2d(x.float(), (oh, ow)).shape
    assert has_format_of(y, x, 2)


@sweep("mean")
@given(st.lists(st.integers(0, 6), max_size=5), st.booleans(), layouts, st.data())
def test_mean_equals_formula(shape, keepdim, layout, data):
    x_dtype, y_dtype = data.draw(dtypes_8bit), data.draw(dtypes_8bit)
    xq, yq = data.draw(qparams(x_dtype)), data.draw(qparams(y_dtype))
    x = integers(shape, x_dtype, generator(data.draw(seeds)))
    x = strided(x, layout)
    rank = max(len(shape), 1)
    dims = st.lists(st.integers(0, rank - 1), unique=True, max_size=rank)
    dim = data.draw(st.one_of(st.none(), dims))
    if dim and data.draw(st.booleans()):
        dim = [d - rank for d in dim]
    axes = tuple(dim) if dim and shape else None
    sums = reference.centred(x, xq[1]).sum(axes, keepdims=keepdim)
    count = max(x.numel() // max(sums.size, 1), 1)  # the mean of nothing is 0
    y = OPS.mean(x, *xq, dim, keepdim, *yq, y_dtype)
    expected = reference.mean(np.asarray(sums), np.float64(count), xq[0], *yq, y_dtype)
    assert torch.equal(y, expected) and y.is_contiguous()
    assert y.shape == x.float().mean(dim, keepdim).shape


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("dim", [[2, 3], [1], [0, 2], None])
def test_mean_large(layout, dim):
    x = strided(integers((3, 65, 40, 31), torch.int8, generator(1)), layout)
    axes = tuple(dim) if dim else None
    sums = np.asarray(reference.centred(x, -3).sum(axes))
    expected = reference.mean(sums, np.float64(x.numel() // sums.size), 0.1, 0.004, 9, torch.uint8)
    assert torch.equal(OPS.mean(x, 0.1, -3, dim, False, 0.004, 9, torch.uint8), expected)


@pytest.mark.parametrize(
    "op, more",
    [
        ("max_pool2d", ([3], [2], [1])),
        ("avg_pool2d", ([3], [2], [1], False, True, None)),
        ("adaptive_avg_pool2d", ([3],)),
    ],
)
@pytest.mark.parametrize("layout", [0, 1])
def test_pool_large_and_empty(op, more, layout):
    g = generator(2)
    x = strided(integers((2, 67, 56, 57), torch.uint8, g), layout)
    function = getattr(OPS, op)
    output = () if op == "max_pool2d" else (0.1, 3, torch.uint8)
    args = (() if op == "max_pool2d" else (0.1, 3)) + more + output
    y = function(x, *args)
    # One image at a time, and contiguous copies: other partitions over the threads.
    each = [function(image.contiguous(), *args) for image in x]
    assert torch.equal(y, torch.stack(each))
    assert function(x[:0], *args).shape == (0, *y.shape[1:])


def test_empty_batch_of_large_images_needs_no_memory():
    """A process that may have 256 MiB more than torch alone takes."""
    done = python(
        "-c",
        """
import resource, torch, qnative
OPS = torch.ops.qnative
x = torch.empty(0, 3, 2**29, 16, dtype=torch.uint8)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 2**28
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
window, y = ([2], [2], [0], False, True, None), (0.1, 3, torch.uint8)
print([
    list(pooled.shape) for pooled in (
        OPS.max_pool2d(x, [2]),
        OPS.avg_pool2d(x, 0.1, 3, *window, *y),
        OPS.avg_pool2d_fp16(x.half(), *window),
        OPS.adaptive_avg_pool2d(x, 0.1, 3, [2**28, 8], *y),
        OPS.adaptive_avg_pool2d_fp16(x.half(), [2**28, 8]),
    )
])
""",
    )
    assert done.stdout.strip() == str([[0, 3, 2**28, 8]] * 5), done.stderr


def test_mean_of_nothing():
    x = torch.empty(2, 0, dtype=torch.uint8)
    assert OPS.mean(x, 0.1, 3, [1], False, 0.1, 5, torch.uint8).tolist() == [5, 5]
    assert OPS.mean(x, 0.1, 3, [0], True, 0.1, 5, torch.uint8).shape == (1, 0)
