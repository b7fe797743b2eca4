"""linear_4bit against its formula, bit by bit."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from support import reference
from support.isas import OPS, sweep
from support.strategies import FUNCTIONS, activations, generator, layouts, seeds, strided

group_sizes = st.sampled_from([4, 8, 12, 32, 36, 128, 1000])


def scales(shape, g):
    values = torch.exp2(torch.randint(-7, 2, shape, generator=g) + torch.rand(shape, generator=g))
    return (values * (torch.randint(0, 2, shape, generator=g) * 2 - 1)).bfloat16()


def weights(n, k, size, g):
    """(codes, scale) of any values."""
    codes = torch.randint(-8, 8, (n, k), generator=g).to(torch.int8)
    return codes, scales((n, math.ceil(k / size)), g)


def expected(x, codes, scale, bias, size, name="none", args=()):
    y = reference.linear_4bit(x.reshape(-1, x.shape[-1]).numpy(), codes, scale, bias, size)
    low, high = tuple(args) if name == "clamp" else reference.ACTIVATIONS[name]
    return torch.from_numpy(y.copy()).clamp(low, high).reshape(*x.shape[:-1], len(codes))


@sweep("linear_4bit", "linear_4bit_pack.codes", "linear_4bit_unpack")
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(1, 70),
    st.integers(1, 150),
    st.sampled_from([1e-38, 1e-3, 1.0, 1e30]),
    st.data(),
)
def test_equals_formula(leading, n, k, magnitude, data):
    g = generator(data.draw(seeds))
    size = data.draw(st.one_of(group_sizes, st.just(k)))
    codes, scale = weights(n, k, size, g)
    x = strided(torch.randn(*leading, k, generator=g) * magnitude, data.draw(layouts))
    bias = torch.randn(n, generator=g) if data.draw(st.booleans()) else None
    activation = data.draw(activations)
    packed = OPS.linear_4bit_pack.codes(codes, strided(scale, data.draw(layouts)), size)
    unpacked = OPS.linear_4bit_unpack(packed, [n, k], size)
    assert torch.equal(unpacked[0], codes) and torch.equal(unpacked[1], scale)
    y = OPS.linear_4bit(x, packed, bias, [n, k], size, *activation)
    assert y.dtype == torch.float32 and y.is_contiguous()
    assert torch.equal(y, expected(x, codes, scale, bias, size, *activation))


@sweep("linear_4bit_pack")
@given(
    st.integers(1, 20),
    st.integers(1, 70),
    group_sizes,
    st.sampled_from([1e-40, 1e-38, 1.0, 1e37]),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    layouts,
    seeds,
)
def test_pack_equals_formula(n, k, size, magnitude, dtype, layout, seed):
    g = generator(seed)
    w = torch.randn(n, k, generator=g) * (1.0 if dtype == torch.float16 else magnitude)
    w[torch.randint(n, (n // 3,), generator=g)] = 0
    w[:, torch.randint(k, (k // 20,), generator=g)] *= 10
    w = w.to(dtype)
    packed = OPS.linear_4bit_pack(strided(w, layout), size)
    codes, scale = OPS.linear_4bit_unpack(packed, [n, k], size)
    want_codes, want_scale = reference.quantize_4bit(w.float(), size)
    assert torch.equal(scale, want_scale)
    assert torch.equal(codes, want_codes)


@pytest.mark.parametrize(
    "m, n, k, size", [(300, 200, 520, 32), (1, 700, 4100, 128), (3, 17, 70000, 70000)]
)
def test_large(m, n, k, size):
    g = generator(0)
    codes, scale = weights(n, k, size, g)
    x = torch.randn(m, k, generator=g)
    y = OPS.linear_4bit(x, OPS.linear_4bit_pack.codes(codes, scale, size), None, [n, k], size)
    assert torch.equal(y, expected(x, codes, scale, None, size))


@pytest.mark.parametrize("size, least", [(16, 21.5), (32, 20.5), (128, 19.0), (512, 17.5)])
def test_is_close_to_float(size, least):
    """The signal to noise ratio in dB: a smaller group costs memory and loses less."""
    g = generator(0)
    x, w = torch.randn(64, 512, generator=g), torch.randn(100, 512, generator=g)
    y = OPS.linear_4bit(x, OPS.linear_4bit_pack(w, size), None, [100, 512], size)
    want = F.linear(x, w)
    sqnr = 10 * torch.log10(want.square().sum() / (y - want).square().sum())
    assert least < sqnr < least + 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_rows_give_nan_and_change_no_other_row(value):
    g = generator(0)
    x, codes_scale = torch.randn(9, 33, generator=g), weights(40, 33, 8, g)
    packed = OPS.linear_4bit_pack.codes(*codes_scale, 8)
    want = OPS.linear_4bit(x, packed, None, [40, 33], 8)
    x[4, 32] = value
    for activation in ("none", "relu", *FUNCTIONS):
        assert OPS.linear_4bit(x, packed, None, [40, 33], 8, activation)[4].isnan().all()
    y = OPS.linear_4bit(x, packed, None, [40, 33], 8)
    others = torch.arange(9) != 4
    assert torch.equal(y[others], want[others])


def test_rows_of_zeros_and_of_extremes():
    codes = torch.tensor([[1, -8, 7, 3]], dtype=torch.int8)
    scale = torch.tensor([[1e-3]]).bfloat16()
    big, tiny = torch.finfo(torch.float32).max, 1e-44
    x = torch.tensor([[0.0] * 4, [-0.0] * 4, [big, -big, 0, 0], [tiny, -tiny, 0, 0]])
    bias = torch.tensor([0.25])
    y = OPS.linear_4bit(x, OPS.linear_4bit_pack.codes(codes, scale, 4), bias, [1, 4], 4)
    assert torch.equal(y, expected(x, codes, scale, bias, 4))
    assert torch.equal(y[:2], torch.full((2, 1), 0.25))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_as_activations(name):
    bias = torch.linspace(-12, 12, 4001)
    n = len(bias)
    packed = OPS.linear_4bit_pack(torch.ones(n, 4), 4)
    y = OPS.linear_4bit(torch.zeros(1, 4), packed, bias, [n, 4], 4, name)[0]
    torch.testing.assert_close(y, FUNCTIONS[name](bias), rtol=1e-6, atol=1e-6)
