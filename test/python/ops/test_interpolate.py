"""interpolate and the 1d and 3d pools against torch on real numbers."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from support.isas import OPS, sweep
from support.strategies import (
    MODES,
    dtypes_8bit,
    generator,
    has_format_of,
    integers,
    layouts,
    pools,
    qparams,
    seeds,
    strided,
)


def check(y, real, scale, zero_point, x):
    """y is ``real`` quantized; at a tie, either code."""
    info, exact = torch.iinfo(y.dtype), real / scale
    want = (exact.round() + zero_point).clamp(info.min, info.max)
    # Float32 sums of dequantized products are off by a few 1e-7 of the largest term.
    size = x.abs().max() / scale + 1
    half_way = (exact - exact.floor() - 0.5).abs() < 1e-5 * size
    assert y.shape == real.shape
    assert (((y.double() - want) == 0) | (half_way & ((y.double() - want).abs() <= 1))).all()


@sweep("interpolate")
@given(st.integers(1, 3), dtypes_8bit, st.booleans(), layouts, seeds, st.data())
def test_interpolate_equals_torch(rank, dtype, sized, layout, seed, data):
    mode = data.draw(st.sampled_from(MODES[rank]))
    (scale, zero_point), y_dtype = data.draw(qparams(dtype)), data.draw(dtypes_8bit)
    y_scale, y_zero_point = data.draw(qparams(y_dtype))
    dims = st.lists(st.integers(1, 9), min_size=rank, max_size=rank)
    x = integers([2, data.draw(st.integers(1, 20)), *data.draw(dims)], dtype, generator(seed))
    x = strided(x, layout)
    size = data.draw(dims) if sized else None
    factors = None if sized else [data.draw(st.sampled_from([1.0, 1.7, 2.0, 3.3]))] * rank
    align = None if "nearest" in mode else data.draw(st.booleans())
    real = (x.double() - zero_point) * scale
    want = F.interpolate(real.float(), size, factors, mode, align).double()
    output = (y_scale, y_zero_point, y_dtype)
    y = OPS.interpolate(x, scale, zero_point, size, factors, mode, align, *output)
    check(y, want, y_scale, y_zero_point, real)
    assert has_format_of(y, x, rank)
    if "nearest" in mode:
        same = OPS.interpolate(x, scale, zero_point, size, factors, mode, None, 0.5, 0, dtype)
        assert same.dtype == dtype
        copied = OPS.interpolate(x, 0.5, 0, size, factors, mode, None, 0.5, 0, dtype)
        assert torch.equal(copied, F.interpolate(x.float(), size, factors, mode).to(dtype))


@pytest.mark.parametrize("dims", [1, 3])
@sweep("max_pool{dims}d", "avg_pool{dims}d", "adaptive_avg_pool{dims}d")
@given(dtypes_8bit, st.booleans(), st.booleans(), seeds, st.data())
def test_pools_equal_torch(dims, dtype, ceil_mode, counts, seed, data):
    draw, rank = data.draw, dims
    scale, zero_point = draw(qparams(dtype))
    shape, window, dilation, output_size = draw(pools(rank))
    x = strided(integers(shape, dtype, generator(seed)), draw(layouts))
    x = x if draw(st.booleans()) or not len(x) else x[0]
    real = (x.double() - zero_point) * scale
    if x.numel():  # torch refuses some empty batches
        most = getattr(F, f"max_pool{rank}d")(x.float(), *window, dilation, ceil_mode)
        want = most.to(dtype)
    y = getattr(OPS, f"max_pool{rank}d")(x, *window, dilation, ceil_mode)
    assert torch.equal(y, want) if x.numel() else not y.numel()
    assert has_format_of(y, x, rank)
    divisor = () if rank == 1 else (draw(st.sampled_from([None, 5, -3])),)
    y_dtype = draw(dtypes_8bit)
    q, output = (scale, zero_point), (*draw(qparams(y_dtype)), y_dtype)
    y = getattr(OPS, f"avg_pool{rank}d")(x, *q, *window, ceil_mode, counts, *divisor, *output)
    if x.numel():
        mean = getattr(F, f"avg_pool{rank}d")(real, *window, ceil_mode, counts, *divisor)
        check(y, mean, *output[:2], real)
    y = getattr(OPS, f"adaptive_avg_pool{rank}d")(x, *q, output_size, *output)
    if x.numel():
        mean = getattr(F, f"adaptive_avg_pool{rank}d")(real, output_size)
        check(y, mean, *output[:2], real)


@pytest.mark.parametrize("mode", MODES[2])
def test_layouts_give_the_same_bits(mode):
    x = integers((2, 67, 14, 15), torch.uint8, generator(1))
    align = None if "nearest" in mode else False
    args = (0.1, 3, None, [2.3], mode, align, 0.07, 9, torch.int8)
    plain = OPS.interpolate(x, *args)
    assert torch.equal(
        plain, OPS.interpolate(x.contiguous(memory_format=torch.channels_last), *args)
    )
    assert torch.equal(plain, OPS.interpolate(x.mT.contiguous().mT, *args))
