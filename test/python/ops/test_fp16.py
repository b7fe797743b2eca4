"""The float16 ops against torch in float32, rounded once."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch._prims_common import suggest_memory_format

from support import reference
from support.isas import OPS, sweep
from support.strategies import (
    FUNCTIONS,
    MODES,
    activations,
    broadcastable,
    generator,
    layouts,
    pools,
    seeds,
    strided,
)

SPECIAL = [0.0, -0.0, 2.0**-24, -(2.0**-24), 6e-5, 65504.0, -65504.0, math.inf, -math.inf, math.nan]


def halves(shape, g: torch.Generator) -> torch.Tensor:
    """Normal numbers; all bit patterns in 1/8 of the tensors, ends of the range in another 1/8."""
    kind = int(torch.randint(8, (1,), generator=g))
    if kind == 0:
        return torch.randint(-(2**15), 2**15, shape, generator=g, dtype=torch.int16).view(
            torch.half
        )
    x = (torch.randn(shape, generator=g) * 4).half()
    if kind == 1:
        ends = torch.tensor(SPECIAL)[torch.randint(len(SPECIAL), shape, generator=g)]
        x = torch.where(torch.rand(shape, generator=g) < 0.1, ends.half(), x)
    return x


def places(x: torch.Tensor) -> torch.Tensor:
    """The rank of each half, so that neighbours differ by 1."""
    bits = x.contiguous().view(torch.int16).int()
    return torch.where(bits < 0, -(bits & 0x7FFF), bits)


def check(y: torch.Tensor, want: torch.Tensor, steps: int = 0) -> None:
    """y is at most ``steps`` halves from ``want`` (float32 or float64); NaN equals NaN."""
    want = want.half()
    assert y.dtype == torch.float16 and y.shape == want.shape
    assert torch.equal(y.isnan(), want.isnan())
    assert (y.contiguous().view(torch.int16)[y.isnan()] == 0x7E00).all()
    off = (places(y) - places(want))[~y.isnan()].abs()
    assert not off.numel() or off.max() <= steps


def drawn(draw, shape) -> torch.Tensor:
    return strided(halves(shape, generator(draw(seeds))), draw(layouts))


def activated(real: torch.Tensor, activation) -> torch.Tensor:
    return real.clamp(*reference.clamp_of(activation))


@sweep("add_fp16", "mul_fp16")
@given(broadcastable(), st.sampled_from([1.0, -1.0, 0.0, 2.5, 1e-3]), activations, st.data())
def test_binary_equals_float32(shapes, alpha, activation, data):
    a, b = (drawn(data.draw, shape) for shape in shapes)
    total = OPS.add_fp16(a, b, *activation, alpha=alpha)
    # A product of 11 and 24 bits is exact in float64; the sum is rounded twice, unlike
    # torch's where it uses an fma.
    real = torch.add(a.float(), b.float(), alpha=alpha)
    check(total, activated(real, activation), 0 if alpha in (1.0, -1.0, 0.0, 2.5) else 1)
    product = OPS.mul_fp16(a, b, *activation)
    check(product, activated(a.float() * b.float(), activation))
    assert total.stride() == product.stride()
    assert not total.numel() or total.stride() == torch.add(a.float(), b.float()).stride()


@pytest.mark.parametrize("n", [1, 31, 1000, 100_003])
@pytest.mark.parametrize("layout", [0, 2])
def test_long_rows(n, layout):
    g = generator(1)
    a, b = (strided(torch.randn(3, n, generator=g).half(), layout) for _ in "ab")
    for other in (b, torch.randn(3, 1, generator=g).half(), b[:1]):
        check(OPS.add_fp16(a, other), a.float() + other.float())
        check(OPS.mul_fp16(a, other), a.float() * other.float())


def check_function(y: torch.Tensor, function, x: torch.Tensor) -> None:
    """``function`` in float64, within one rounding and the documented error of the kernels."""
    want = function(x.double())
    bound = want.abs() * (2.0**-11 + 3e-7) + 1.5e-7 * x.double().abs() + 2.0**-25
    assert y.dtype == torch.float16 and y.shape == want.shape
    assert torch.equal(y.isnan(), want.isnan())
    assert ((y.double() - want).abs() <= bound)[~want.isnan()].all()


numbers = st.one_of(st.floats(-8, 8, width=32), st.sampled_from([0.0, -0.0, 1e-3, 3e38, 1e-40]))
shapes_of_any_rank = st.lists(st.integers(0, 9), max_size=4)


@sweep("pointwise_fp16")
@given(shapes_of_any_rank, numbers, numbers, activations, st.data())
def test_pointwise_equals_float32(shape, a, b, activation, data):
    x = drawn(data.draw, shape)
    name = data.draw(st.sampled_from(["affine", "floor_divide", "activation", *FUNCTIONS]))
    if name == "affine":
        a, b = np.float32([a, b]).tolist()
        y = OPS.pointwise_fp16(x, name, [a, b])
        check(y, (x.double() * a + b).float(), 1)  # which rounds once more
    elif name == "floor_divide":
        a = np.float32(a).item()
        y = OPS.pointwise_fp16(x, name, [a])
        check(y, torch.floor_divide(x.float(), a))
    elif name == "activation":
        y = OPS.pointwise_fp16(x, *activation)
        check(y, activated(x.float(), activation))
    else:
        # torch's functions do not agree on infinities: its gelu of -inf is NaN.
        x = x.clamp(-65504, 65504)
        y = OPS.pointwise_fp16(x, name)
        check_function(y, FUNCTIONS[name], x)
    assert y.stride() == torch.neg(x).stride()


def test_affine_of_minus_zero_changes_no_number():
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.half)
    y = OPS.pointwise_fp16(every, "affine", [1.0, -0.0])
    kept = ~every.isnan()
    assert torch.equal(y.view(torch.int16)[kept], every.view(torch.int16)[kept])
    assert y[~kept].isnan().all()


def exact_matmul(a, b):
    """Products and sums in float64, and the sums of the magnitudes."""
    a, b = a.double(), b.double()
    return torch.matmul(a, b), torch.matmul(a.abs(), b.abs())


@st.composite
def matrices(draw):
    m, n, k = draw(st.integers(0, 9)), draw(st.integers(0, 40)), draw(st.integers(0, 40))
    batch = draw(st.lists(st.integers(0, 3), max_size=2))
    own = [[size if draw(st.booleans()) else 1 for size in batch] for _ in "ab"]
    a = [k] if draw(st.integers(0, 5)) == 0 else [*own[0], m, k]
    b = [k] if draw(st.integers(0, 5)) == 0 else [*own[1], k, n]
    return a, b


@sweep("matmul_fp16")
@given(matrices(), activations, st.data())
def test_matmul_equals_float32(shapes, activation, data):
    g = generator(data.draw(seeds))
    a, b = (strided(torch.randn(shape, generator=g).half(), data.draw(layouts)) for shape in shapes)
    y = OPS.matmul_fp16(a, b, *activation)
    want, size = exact_matmul(a, b)
    assert y.shape == want.shape and y.is_contiguous()
    # Half a unit in the last place, and k roundings of float32.
    bound = want.abs() * 2.0**-11 + size * (a.shape[-1] + 1) * 2.0**-24 + 2.0**-25
    low, high = reference.clamp_of(activation)
    assert ((y.double() - want.clamp(low, high)).abs() <= bound).all()


def test_matmul_sums_in_order():
    g = generator(0)
    a, b = torch.randn(3, 70, generator=g).half(), torch.randn(70, 20, generator=g).half()
    want = reference.linear_fp16(a.float().numpy(), b.t(), torch.zeros(20))
    check(OPS.matmul_fp16(a, b), torch.as_tensor(want))
    for function, f in FUNCTIONS.items():
        check_function(OPS.matmul_fp16(a, b, function), f, torch.as_tensor(want))
    nothing = OPS.matmul_fp16(a[:, :0], b[:0], "sigmoid")
    assert torch.equal(nothing, torch.full((3, 20), 0.5).half())


@pytest.mark.parametrize(
    "shapes",
    [((5, 300, 70), (5, 70, 90)), ((2, 3, 4, 700), (2, 1, 700, 70)), ((2500, 1000), (1000, 3))],
)
def test_large_matmul(shapes):
    g = generator(3)
    a, b = (torch.randn(shape, generator=g).half() for shape in shapes)
    b = b.mT.contiguous().mT
    y, (want, size) = OPS.matmul_fp16(a, b), exact_matmul(a, b)
    bound = want.abs() * 2.0**-11 + size * (a.shape[-1] + 1) * 2.0**-24 + 2.0**-25
    assert ((y.double() - want).abs() <= bound).all()
    columns = a.mT.contiguous().mT
    assert torch.equal(OPS.matmul_fp16(columns, b), y)


@sweep("softmax_fp16")
@given(st.lists(st.integers(0, 20), max_size=3), st.data())
def test_softmax_equals_float32(shape, data):
    x = drawn(data.draw, shape)
    rank = max(len(shape), 1)
    dim = data.draw(st.integers(-rank, rank - 1))
    y = OPS.softmax_fp16(x, dim)
    check(y, torch.softmax(x.double(), dim).float(), 1)
    assert y.stride() == torch.neg(x).stride()


@pytest.mark.parametrize("n", [100, 3001])
def test_softmax_of_long_rows(n):
    x = (torch.randn(30, n, generator=generator(2)) * 5).half()
    check(OPS.softmax_fp16(x, 1), torch.softmax(x.double(), 1).float(), 1)


@pytest.mark.parametrize("dims", [1, 2, 3])
@sweep("max_pool{dims}d", "avg_pool{dims}d_fp16", "adaptive_avg_pool{dims}d_fp16")
@given(st.booleans(), st.booleans(), st.data())
def test_pools_equal_torch(dims, ceil_mode, counts, data):
    draw, rank = data.draw, dims
    shape, window, dilation, output_size = draw(pools(rank))
    x = drawn(draw, shape)
    x = x if draw(st.booleans()) or not len(x) else x[0]
    divisor = () if rank == 1 else (draw(st.sampled_from([None, 5, -3])),)
    most = getattr(OPS, f"max_pool{rank}d")(x, *window, dilation, ceil_mode)
    mean = getattr(OPS, f"avg_pool{rank}d_fp16")(x, *window, ceil_mode, counts, *divisor)
    adaptive = getattr(OPS, f"adaptive_avg_pool{rank}d_fp16")(x, output_size)
    if not x.numel():  # torch refuses some empty batches
        assert not (most.numel() or mean.numel() or adaptive.numel())
        return
    check(most, getattr(F, f"max_pool{rank}d")(x.float(), *window, dilation, ceil_mode))
    # float64 sums are exact; the quotient is rounded to float32, then to float16, as in the op.
    real = x.double()
    want = getattr(F, f"avg_pool{rank}d")(real, *window, ceil_mode, counts, *divisor)
    check(mean, want.float())
    check(adaptive, getattr(F, f"adaptive_avg_pool{rank}d")(real, output_size).float(), 1)
    if rank > 1 and x.dim() == rank + 2:
        layout = suggest_memory_format(x)
        assert all(y.is_contiguous(memory_format=layout) for y in (most, mean, adaptive))


@sweep("mean_fp16")
@given(st.lists(st.integers(0, 20), max_size=4), st.booleans(), st.data())
def test_mean_equals_float64(shape, keepdim, data):
    x = drawn(data.draw, shape)
    rank = max(len(shape), 1)
    dims = data.draw(st.one_of(st.none(), st.sets(st.integers(0, rank - 1)).map(list)))
    y = OPS.mean_fp16(x, dims, keepdim)
    # One step: torch may add in another order, and divides at another point.
    check(y, torch.mean(x.double(), dims, keepdim).float(), 1)
    assert y.is_contiguous()


def test_mean_of_more_elements_than_int32_sums_of_bytes_hold():
    x = torch.full(((1 << 23) + 5,), 0.25).half()
    x = x.expand(2, -1)
    check(OPS.mean_fp16(x, [1], False), torch.full((2,), 0.25))


def test_mean_does_not_depend_on_the_layout():
    x = torch.randn(2, 67, 40, 50, generator=generator(1)).half()
    last = x.to(memory_format=torch.channels_last)
    for dims in ([2, 3], [3], [1], [0, 2], None):
        y = OPS.mean_fp16(x, dims, False)
        assert torch.equal(y, OPS.mean_fp16(last, dims, False))
    assert torch.equal(OPS.mean_fp16(x, [2, 3], True), OPS.adaptive_avg_pool2d_fp16(x, [1]))


@sweep("interpolate_fp16")
@given(st.integers(1, 3), st.booleans(), st.data())
def test_interpolate_equals_torch(rank, sized, data):
    mode = data.draw(st.sampled_from(MODES[rank]))
    dims = st.lists(st.integers(1, 9), min_size=rank, max_size=rank)
    shape = [2, data.draw(st.integers(1, 40)), *data.draw(dims)]
    x = torch.randn(shape, generator=generator(data.draw(seeds))).half()
    x = strided(x, data.draw(layouts))
    size = data.draw(dims) if sized else None
    factors = None if sized else [data.draw(st.sampled_from([1.0, 1.7, 2.0, 3.3]))] * rank
    align = None if "nearest" in mode else data.draw(st.booleans())
    y = OPS.interpolate_fp16(x, size, factors, mode, align)
    want = F.interpolate(x.float(), size, factors, mode, align)
    assert y.shape == want.shape and y.dtype == torch.float16
    # float32 sums of at most 16 products with weights up to 1.3.
    bound = want.abs() * 2.0**-11 + (0.0 if "nearest" in mode else 64 * 2.0**-24) * x.abs().max()
    assert ((y.float() - want).abs() <= bound + 2.0**-25).all()


@pytest.mark.parametrize("mode", MODES[2])
def test_interpolate_keeps_layouts_and_nan(mode):
    x = torch.randn(2, 67, 14, 15, generator=generator(1)).half()
    x[0, 3, 5, 5] = math.nan
    args = (None, [2.3], mode, None if "nearest" in mode else False)
    plain = OPS.interpolate_fp16(x, *args)
    last = OPS.interpolate_fp16(x.to(memory_format=torch.channels_last), *args)
    assert plain.isnan().any() and last.is_contiguous(memory_format=torch.channels_last)
    for other in (last, OPS.interpolate_fp16(x.mT.contiguous().mT, *args)):
        assert torch.equal(plain.nan_to_num(7), other.nan_to_num(7))
    want = F.interpolate(x.float(), scale_factor=[2.3, 2.3], mode=mode, align_corners=args[-1])
    assert torch.equal(plain.isnan(), want.isnan())
