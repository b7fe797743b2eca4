"""linear_dynamic, linear_dynamic_fp16 and linear_fp16 against their formulas, bit by bit where each
step of the formula is exact."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import FUNCTIONS, activations, generator, integers, layouts, seeds, strided


def dynamic(x, w, w_scale, bias, *activation, **options):
    shape = list(w.shape)
    return OPS.linear_dynamic(x, OPS.linear_pack(w), w_scale, bias, shape, *activation, **options)


def expected_dynamic(x, w, w_scale, bias, name="none", args=(), repeated=()):
    """Row by row: scale, zero point, integers, one fma."""
    y = reference.linear_dynamic(x.reshape(-1, x.shape[-1]).numpy(), w, w_scale, bias, repeated)
    low, high = tuple(args) if name == "clamp" else reference.ACTIVATIONS[name]
    y = np.clip(y, np.float32(low), np.float32(high))
    return torch.from_numpy(y).reshape(*x.shape[:-1], len(w))


@sweep("linear_dynamic")
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(1, 70),
    st.integers(1, 90),
    st.sampled_from([1e-38, 1e-20, 1e-3, 1.0, 1e4, 1e30]),
    st.data(),
)
def test_dynamic_equals_formula(leading, n, k, magnitude, data):
    g = generator(data.draw(seeds))
    shift = data.draw(st.sampled_from([0.0, 3.0, -3.0]))
    x = (torch.randn(*leading, k, generator=g) + shift) * magnitude
    peaks = torch.randint(k, (data.draw(st.integers(0, 6)),), generator=g)
    x[..., peaks] *= data.draw(st.sampled_from([10.0, 1e2, 1e5]))
    x = strided(x, data.draw(layouts))
    repeated = torch.randint(k, (data.draw(st.integers(0, 5)),), generator=g).tolist()
    repeated += peaks[:2].tolist()
    w = integers((n, k + len(repeated)), torch.int8, g)
    w_scale = torch.rand(n, generator=g) + 0.01
    bias = torch.randn(n, generator=g) if data.draw(st.booleans()) else None
    activation = data.draw(activations)
    y = dynamic(x, w, w_scale, bias, *activation, repeated=repeated)
    assert y.is_contiguous()
    expected = expected_dynamic(x, w, w_scale, bias, *activation, repeated=repeated)
    assert torch.equal(y, expected)


@sweep("linear_dynamic_pack")
@given(
    st.integers(1, 40),
    st.integers(1, 200),
    st.sampled_from([1e-38, 1e-20, 1.0, 1e30]),
    st.integers(0, 6),
    st.booleans(),
    layouts,
    seeds,
)
def test_dynamic_pack_equals_formula(n, k, magnitude, large, may_repeat, layout, seed):
    g = generator(seed)
    w = torch.randn(n, k, generator=g) * magnitude
    w[torch.randint(n, (large,), generator=g), torch.randint(k, (large,), generator=g)] *= 20
    w[torch.randint(n, (large // 3,), generator=g)] = 0
    packed, scale, repeated = OPS.linear_dynamic_pack(strided(w, layout), may_repeat)
    codes, expected_scale, expected_repeated = reference.pack_rows(w, may_repeat)
    assert torch.equal(scale, expected_scale)
    assert repeated == expected_repeated
    assert torch.equal(OPS.linear_unpack(packed, list(codes.shape)), codes)


def test_meta_knows_the_size_of_a_weight_without_repeated_columns_only():
    w = torch.randn(40, 96, device="meta")
    with pytest.raises(NotImplementedError, match="the values of weight give the size of its"):
        torch.ops.qnative.linear_dynamic_pack(w)
    packed, scale, repeated = torch.ops.qnative.linear_dynamic_pack(w, may_repeat=False)
    assert packed.shape == OPS.linear_pack(torch.zeros(40, 96, dtype=torch.int8)).shape
    assert scale.shape == (40,) and repeated == []


@pytest.mark.parametrize("count", range(5))
def test_up_to_four_outliers_cost_the_other_values_no_precision(count):
    g = generator(1)
    x, w = torch.randn(50, 384, generator=g), integers((40, 384), torch.int8, g)
    x[:, torch.randperm(384, generator=g)[:count]] *= 100
    w_scale = torch.ones(40)
    want = F.linear(x.double(), w.double())
    error = (dynamic(x, w, w_scale, None) - want).square().mean().sqrt()
    step = 255 * error / (w.double().square().mean().sqrt() * 384**0.5) * 12**0.5
    low, high = torch.aminmax(x, dim=1)
    assert 5 < step < min(1.1 * float((high - low).mean()), 2 * 8 * 1.1 * float(x.abs().mean()))
    assert count == 0 or step < float((high - low).mean()) / 4


def test_sums_near_the_limit_of_int32():
    """Where int32 has no room for outliers, no column is an outlier."""
    for k in (65280, 65284, 65793):
        x = torch.ones(1, k)
        x[0, 7] = 1e6
        w = torch.full((1, k), -128, dtype=torch.int8)
        y = dynamic(x, w, torch.ones(1), None)
        assert torch.equal(y, expected_dynamic(x, w, torch.ones(1), None))


def test_dynamic_is_close_to_float():
    g = generator(0)
    x, w = torch.randn(64, 384, generator=g), torch.randn(100, 384, generator=g)
    w_scale = w.abs().amax(1) / 127
    y = dynamic(x, (w / w_scale[:, None]).round().to(torch.int8), w_scale, None)
    want = F.linear(x, w)
    assert F.cosine_similarity(y, want).min() > 0.999


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_rows_give_nan_and_change_no_other_row(value):
    g = generator(0)
    x, w = torch.randn(9, 33, generator=g), integers((40, 33), torch.int8, g)
    w_scale = torch.rand(40, generator=g) + 0.01
    want = dynamic(x, w, w_scale, None)
    x[4, 32] = value
    for activation in ("none", "relu", *FUNCTIONS):
        assert dynamic(x, w, w_scale, None, activation)[4].isnan().all()
    y = dynamic(x, w, w_scale, None)
    others = torch.arange(9) != 4
    assert torch.equal(y[others], want[others])


def test_dynamic_rows_of_zeros_and_of_extremes():
    w = torch.tensor([[1, -128, 127, 3]], dtype=torch.int8)
    big, tiny = torch.finfo(torch.float32).max, 1e-44
    x = torch.tensor([[0.0] * 4, [-0.0] * 4, [big, -big, 0, 0], [tiny, -tiny, 0, 0]])
    y = dynamic(x, w, torch.tensor([1e-3]), torch.tensor([0.25]))
    assert torch.equal(y, expected_dynamic(x, w, torch.tensor([1e-3]), torch.tensor([0.25])))
    assert torch.equal(y[:2], torch.full((2, 1), 0.25))


@pytest.mark.parametrize("m, n, k", [(300, 200, 515), (1, 70, 65793), (2000, 17, 2400)])
def test_dynamic_large(m, n, k):
    g = generator(0)
    x, w = torch.randn(m, k, generator=g), integers((n, k), torch.int8, g)
    w_scale = torch.rand(n, generator=g) + 0.1
    assert torch.equal(dynamic(x, w, w_scale, None), expected_dynamic(x, w, w_scale, None))


def as_half(w):
    return w.clamp(-65504, 65504).half()


def expected_fp16(x, w, bias):
    """One fma after the other, in the order of k."""
    y = reference.linear_fp16(x.reshape(-1, x.shape[-1]).float().numpy(), as_half(w), bias)
    return torch.from_numpy(y).reshape(*x.shape[:-1], len(w)).to(x.dtype)


@pytest.mark.parametrize("op", ["linear_fp16", "linear_dynamic_fp16"])
@sweep("{op}")
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(1, 140),
    st.integers(1, 40),
    st.data(),
)
def test_fp16_equals_formula(op, leading, n, k, data):
    g = generator(data.draw(seeds))
    dtype = torch.float16 if op == "linear_fp16" else torch.float32
    x = strided(torch.randn(*leading, k, generator=g).to(dtype), data.draw(layouts))
    w = torch.randn(n, k, generator=g) * data.draw(st.sampled_from([1e-6, 1.0]))
    bias = torch.randn(n, generator=g) if data.draw(st.booleans()) else None
    activation = data.draw(activations)
    y = getattr(OPS, op)(x, OPS.linear_fp16_pack(w), bias, [n, k], *activation)
    assert y.dtype == dtype and y.is_contiguous()
    want = expected_fp16(x, w, bias)
    name, args = activation
    if name != "none":
        want = want.clamp(*(args if name == "clamp" else reference.ACTIVATIONS[name]))
    assert torch.equal(y, want)


def test_fp16_weights_saturate():
    w = torch.tensor([[1e6, -1e6], [65504.0, 65520.0]])
    packed = OPS.linear_fp16_pack(w)
    want = torch.tensor([[65504.0, -65504.0], [65504.0, 65504.0]]).half()
    assert torch.equal(OPS.linear_fp16_unpack(packed, [2, 2]), want)


@sweep("linear_fp16_pack", "linear_fp16_unpack")
@given(st.integers(1, 70), st.integers(1, 70), layouts, seeds)
def test_fp16_unpack_is_the_inverse_of_pack(n, k, layout, seed):
    w = torch.randn(n, k, generator=generator(seed)).half()
    packed = OPS.linear_fp16_pack(strided(w, layout))
    assert packed.dtype == torch.float16 and packed.dim() == 1
    assert torch.equal(OPS.linear_fp16_unpack(packed, [n, k]), w)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_as_activations(name):
    """The bias carries the values; torch's functions differ in the last bits."""
    bias = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([math.nan])])
    n = len(bias)
    want = FUNCTIONS[name](bias)
    zeros = torch.zeros(1, 4)
    packed = OPS.linear_pack(torch.ones(n, 4, dtype=torch.int8))
    y = OPS.linear_dynamic(zeros, packed, torch.ones(n), bias, [n, 4], name)[0]
    torch.testing.assert_close(y, want, rtol=1e-6, atol=1e-6, equal_nan=True)
    half = OPS.linear_fp16_pack(torch.ones(n, 4))
    assert y.nan_to_num().equal(
        OPS.linear_dynamic_fp16(zeros, half, bias, [n, 4], name)[0].nan_to_num()
    )
