"""attention and attention_dynamic: against their formulas, bit by bit, and against torch's float
function."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from support import attention
from support.isas import OPS, sweep
from support.reference import RANGES
from support.strategies import (
    dtypes_8bit,
    generator,
    integers,
    layouts,
    qparams,
    seeds,
    strided,
)

INF, NAN = math.inf, math.nan
FLOAT_MIN = torch.finfo(torch.float32).min

# Leading sizes of q, k and v; whether heads are grouped.
BATCHES = [
    ((), (), (), False),
    ((2,), (2,), (2,), False),
    ((2, 3), (2, 3), (2, 3), False),
    ((2, 3), (1, 3), (3,), False),
    ((2, 1), (2, 4), (1, 4), False),
    ((), (2,), (2, 1), False),
    ((0, 2), (0, 2), (0, 2), False),
    ((1, 4), (1, 2), (1, 2), True),
    ((6,), (2,), (2,), True),
    ((2, 4), (2, 2), (2, 1), True),
    ((2, 2), (2, 2), (2, 2), True),
    ((1, 2, 4), (3, 1, 1), (3, 1, 1), True),
]


def masks(batch, queries, keys, g, kind):
    """None, boolean or float, of the shapes that broadcast to the scores."""
    shapes = [(keys,), (queries, keys), (1, keys), (*batch, queries, keys), (queries, 1), ()]
    shape = shapes[kind % len(shapes)]
    if kind // len(shapes) == 0:
        return torch.rand(shape, generator=g) > 0.4
    mask = torch.randn(shape, generator=g)
    odd = torch.rand(shape, generator=g)
    mask = torch.where(odd < 0.3, -INF, mask)
    return torch.where(odd > 0.85, FLOAT_MIN, mask)


@st.composite
def problems(draw):
    """Shapes of q, k and v, the options of a call, and a generator."""
    q_batch, k_batch, v_batch, gqa = draw(st.sampled_from(BATCHES))
    queries = draw(st.one_of(st.integers(0, 6), st.integers(7, 20)))
    keys = draw(st.one_of(st.integers(0, 20), st.sampled_from([63, 64, 65, 80])))
    size = draw(st.one_of(st.integers(0, 20), st.sampled_from([32, 33, 64])))
    value_size = size if draw(st.booleans()) else draw(st.integers(0, 40))
    g = generator(draw(seeds))
    shapes = (
        (*q_batch, queries, size),
        (*k_batch, keys, size),
        (*v_batch, keys, value_size),
    )
    options = {"is_causal": draw(st.booleans()), "enable_gqa": gqa}
    if draw(st.booleans()):
        options["scale"] = draw(st.sampled_from([0.3, -0.2, 0.0, 5.0]))
    kind = draw(st.integers(0, 23))
    heads = [s[-1:] for s in (q_batch, k_batch, v_batch)]
    batch = torch.broadcast_shapes(
        *(s[:-1] + heads[0] if gqa else s for s in (q_batch, k_batch, v_batch))
    )
    if kind < 12:
        options["attn_mask"] = strided(masks(batch, queries, keys, g, kind), draw(layouts))
    return shapes, options, g


@sweep("attention")
@given(problems(), st.data())
def test_equals_formula(problem, data):
    shapes, options, g = problem
    operands = []
    for shape in shapes:
        x = strided(integers(shape, data.draw(dtypes_8bit), g), data.draw(layouts))
        scale, zero_point = data.draw(qparams(x.dtype))
        operands += [x, (min(max(scale, 1e-3), 0.1), zero_point)]
    y_dtype = data.draw(st.sampled_from([torch.uint8, torch.int8, torch.float32]))
    y_scale = operands[5][0] * data.draw(st.sampled_from([1.0, 0.37]))
    y_zero_point = 0 if y_dtype == torch.float32 else data.draw(qparams(y_dtype))[1]
    output = (y_scale, y_zero_point, y_dtype)
    q, qq, k, kq, v, vq = operands
    y = OPS.attention(q, *qq, k, *kq, v, *vq, *output, **options)
    want = attention.static(*operands, output, **options)
    assert y.shape == want.shape and torch.equal(y, want)


@sweep("attention_dynamic")
@given(problems(), st.data())
def test_dynamic_equals_formula(problem, data):
    shapes, options, g = problem
    spread = data.draw(st.sampled_from([0.01, 1.0, 8.0]))
    q, k, v = (
        strided(torch.randn(shape, generator=g) * spread, data.draw(layouts)) for shape in shapes
    )
    if data.draw(st.booleans()) and k.numel():
        k = k + 20 * torch.randn(k.shape[-1], generator=g)
        v = v * torch.randint(0, 2, v.shape[-1:], generator=g)  # with columns of zeros
    y = OPS.attention_dynamic(q, k, v, **options)
    want = attention.dynamic(q, k, v, **options)
    assert y.shape == want.shape and torch.equal(y, want)


def quantized(x, dtype=torch.uint8):
    """(integers, scale, zero point) that cover x."""
    low, high = RANGES[dtype]
    scale = (x.max() - x.min()).item() / 255
    zero_point = low + round(-x.min().item() / scale)
    zero_point = min(max(zero_point, low), high)
    return (x / scale + zero_point).round().clamp(low, high).to(dtype), scale, zero_point


def real(x, scale, zero_point):
    return (x.double() - zero_point) * scale


# More rows, keys and columns than a block of any step has.
LARGE = [
    ((2, 3, 130, 64), (2, 3, 197, 64), 64, {}),
    ((1, 2, 101, 32), (1, 2, 300, 32), 48, {"is_causal": True}),
    ((1, 8, 5, 80), (1, 2, 700, 80), 80, {"enable_gqa": True}),
    ((60, 16), (5000, 16), 16, {}),
]


@pytest.mark.parametrize("q_shape, k_shape, value_size, options", LARGE)
def test_large(q_shape, k_shape, value_size, options):
    g = generator(0)
    q, k = torch.randn(q_shape, generator=g), torch.randn(k_shape, generator=g)
    v = torch.randn(*k_shape[:-1], value_size, generator=g)
    assert torch.equal(
        OPS.attention_dynamic(q, k, v, **options), attention.dynamic(q, k, v, **options)
    )
    (q, *qq), (k, *kq), (v, *vq) = (quantized(x) for x in (q, k, v))
    output = (vq[0], 128, torch.uint8)
    y = OPS.attention(q, *qq, k, *kq, v, *vq, *output, **options)
    assert torch.equal(y, attention.static(q, qq, k, kq, v, vq, output, **options))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize("value", [0, 255])
def test_largest_sums_are_exact(dtype, value):
    """As many products as there may be, each as large as it can be."""
    low, high = RANGES[dtype]
    x = torch.full((5, 65793), low + value, dtype=dtype)
    keys = torch.tensor([[low], [high]], dtype=dtype).expand(2, 65793)
    for zero_point in (low, high):
        args = (x, (1e-4, zero_point), keys, (1e-4, 0), keys[:, :3], (1.0, 0))
        output = (1.0, 0, torch.float32)
        q, qq, k, kq, v, vq = args
        y = OPS.attention(q, *qq, k, *kq, v, *vq, *output)
        assert torch.equal(y, attention.static(*args, output))
    many = torch.full((65793, 2), low + value, dtype=dtype)
    args = (many[:5], (1.0, 0), many, (1.0, 0), many, (1.0, 0))
    q, qq, k, kq, v, vq = args
    output = (1.0, 0, torch.float32)
    y = OPS.attention(q, *qq, k, *kq, v, *vq, *output)
    assert torch.equal(y, attention.static(*args, output))
    assert torch.allclose(y, torch.full((5, 2), float(low + value)), atol=1e-4)


# ---- Beside torch -----------------------------------------------------------------------------

OPTIONS = [
    {},
    {"is_causal": True},
    {"scale": 0.5},
    {"attn_mask": torch.rand(2, 1, 1, 50, generator=generator(1)) > 0.3},
    {"attn_mask": torch.randn(40, 50, generator=generator(2))},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_static_is_float_attention_of_its_operands(options, dtype):
    """Each probability is rounded to 1/65535 of the largest."""
    g = generator(3)
    q, k, v = (torch.randn(2, 3, n, 64, generator=g) + 0.3 for n in (40, 50, 50))
    operands = [quantized(x, dtype) for x in (q, k, v)]
    y = OPS.attention(*itertools.chain(*operands), 1.0, 0, torch.float32, **options)
    options = {
        name: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in options.items()
    }
    q, k, v = (real(*x) for x in operands)
    want = F.scaled_dot_product_attention(q, k, v, **options)
    assert (y - want).abs().max() < 50 * 0.5 / 65535 * (v.max() - v.min())


def noise(y, want):
    """SQNR in dB."""
    return 10 * math.log10(want.square().sum() / (y - want).square().sum())


def spread(keys, g):
    return torch.randn(32, keys, generator=g) * 0.1


def vision(keys, g):
    """As in a vision transformer: some patches attract a head."""
    return torch.randn(32, keys, generator=g) * 1.5


def sink(keys, g):
    """One key takes 0.9 of the mass."""
    s = torch.randn(32, keys, generator=g) * 0.1
    s[:, 0] = math.log(9 * (keys - 1))
    return s


def peaked(keys, g):
    return torch.randn(32, keys, generator=g) * 8


@pytest.mark.parametrize("keys", [197, 2048])
@pytest.mark.parametrize(
    "scores, least", [(spread, 95), (vision, 75), (sink, 50), (peaked, 75)], ids=lambda x: str(x)
)
def test_probabilities_lose_little(scores, least, keys):
    """The only error is that of the probabilities: scores are a mask, values integers."""
    g = generator(keys)
    s = scores(keys, g)
    zero = torch.zeros(32, 1, dtype=torch.uint8)
    v = torch.randint(0, 256, (keys, 64), dtype=torch.uint8, generator=g)
    args = (zero, 1.0, 0, zero[:1].expand(keys, 1), 1.0, 0, v, 1.0, 128, 1.0, 0, torch.float32)
    y = OPS.attention(*args, attn_mask=s)
    assert noise(y, s.double().softmax(-1) @ (v.double() - 128)) > least


@pytest.mark.parametrize("options", OPTIONS)
def test_dynamic_is_near_float_attention(options):
    g = generator(4)
    q, k, v = (torch.randn(2, 3, n, 64, generator=g) for n in (40, 50, 50))
    y = OPS.attention_dynamic(q, k, v, **options)
    assert noise(y, F.scaled_dot_product_attention(q, k, v, **options)) > 35


def test_offsets_and_outliers_of_channels_cost_nothing():
    """Each channel has its scale, and softmax does not see what all keys have in common."""
    g = generator(5)
    q, k, v = (torch.randn(1, 2, 100, 64, generator=g) for _ in range(3))
    for c in (3, 40):
        k[..., c] += 30
        k[..., c + 1] *= 8
        q[..., c + 1] /= 8
        v[..., c] = v[..., c] * 10 + 100
    y = OPS.attention_dynamic(q, k, v)
    want = F.scaled_dot_product_attention(q, k, v)
    assert noise(y - v.mean(-2, True), want - v.mean(-2, True)) > 36


@pytest.mark.parametrize("queries", [1, 4])
def test_few_rows_are_float(queries):
    g = generator(6)
    q, k, v = (torch.randn(2, 3, n, 64, generator=g) for n in (queries, 300, 300))
    y = OPS.attention_dynamic(q, k, v)
    assert torch.allclose(y, F.scaled_dot_product_attention(q, k, v), rtol=1e-4, atol=1e-6)


def test_strides_of_keys_change_no_bit():
    """Also where the number of queries decides what is computed."""
    g = generator(7)
    q = torch.randn(6, 3, 2, 16, generator=g)
    k, v = (torch.randn(1, 1, 20, 16, generator=g).expand(6, 3, 20, 16) for _ in range(2))
    y = OPS.attention_dynamic(q, k, v)
    assert torch.equal(y, OPS.attention_dynamic(q, k.contiguous(), v.contiguous()))
    assert torch.equal(y, OPS.attention_dynamic(q, k[:1, :1], v[:1, :1]))


@pytest.mark.parametrize("op", ["attention", "attention_dynamic"])
@pytest.mark.parametrize("queries", [3, 9])
def test_masked_rows_are_zero_as_in_torch(op, queries):
    g = generator(8)
    q, k, v = (torch.randn(1, 2, n, 16, generator=g) for n in (queries, 12, 12))
    keep = torch.rand(queries, 12, generator=g) > 0.3
    keep[1] = False
    for mask in (keep, torch.where(keep, 0.0, -INF), torch.where(keep, 0.0, FLOAT_MIN)):
        want = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        if op == "attention_dynamic":
            y = OPS.attention_dynamic(q, k, v, mask)
        else:
            args = (*quantized(q), *quantized(k), *quantized(v))
            y = OPS.attention(*args, 1.0, 0, torch.float32, mask)
        assert torch.allclose(y, want, atol=0.1)
        assert torch.equal(y[..., 1, :] == 0, want[..., 1, :] == 0)


@pytest.mark.parametrize("queries", [3, 9])
def test_what_is_not_a_number(queries):
    g = generator(9)
    q, k, v = (torch.randn(2, n, 16, generator=g) for n in (queries, 12, 12))
    clean = OPS.attention_dynamic(q, k, v)
    for odd in (NAN, INF):
        bad = q.clone()
        bad[0, 1, 3] = odd
        y = OPS.attention_dynamic(bad, k, v)
        assert y[0, 1].isnan().all()
        y[0, 1] = clean[0, 1]
        assert torch.equal(y, clean)
        bad = k.clone()
        bad[0, 5, 3] = NAN
        y = OPS.attention_dynamic(q, bad, v)
        assert y[0].isnan().all() and torch.equal(y[1], clean[1])
        bad = v.clone()
        bad[0, 5, 3] = odd
        y = OPS.attention_dynamic(q, k, bad)
        assert not y[0, :, 3].isfinite().any()
        y[0, :, 3] = clean[0, :, 3]
        assert torch.equal(y, clean)
        mask = torch.zeros(queries, 12)
        mask[1, 2] = odd
        y = OPS.attention_dynamic(q, k, v, mask)
        assert y[:, 1].isnan().all() and torch.equal(y[:, 0], clean[:, 0])
        args = (*quantized(q), *quantized(k), *quantized(v), 0.1, 7, torch.uint8)
        y = OPS.attention(*args, mask)
        assert (y[:, 1] == 255).all() and torch.equal(y[:, 0], OPS.attention(*args)[:, 0])


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 5, 8), (2, 3, 0, 8), (2, 3, 0, 8)),
        ((2, 3, 0, 8), (2, 3, 4, 8), (2, 3, 4, 8)),
        ((2, 3, 5, 0), (2, 3, 4, 0), (2, 3, 4, 8)),
        ((2, 3, 5, 8), (2, 3, 4, 8), (2, 3, 4, 0)),
        ((0, 3, 5, 8), (0, 3, 4, 8), (0, 3, 4, 8)),
    ],
)
def test_empty(shapes):
    g = generator(10)
    q, k, v = (torch.randn(shape, generator=g) for shape in shapes)
    want = F.scaled_dot_product_attention(q, k, v)
    y = OPS.attention_dynamic(q, k, v)
    assert y.shape == want.shape and torch.allclose(y, want, atol=0.05)
    q, k, v = (torch.full(shape, 7, dtype=torch.uint8) for shape in shapes)
    y = OPS.attention(q, 0.1, 7, k, 0.1, 7, v, 0.1, 7, 0.1, 9, torch.uint8)
    assert y.shape == want.shape and (y == 9).all()


def layouts_of(shape):
    x = torch.randn(shape, generator=generator(11))
    yield x
    yield x.transpose(1, 2).contiguous().transpose(1, 2)
    yield x.transpose(-1, -2).contiguous().transpose(-1, -2)
    yield x[:1].expand(shape)
    yield torch.randn(*shape[:-1], 3 * shape[-1])[..., : shape[-1]]


@pytest.mark.parametrize(
    "q_shape, k_shape, v_shape",
    [
        ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8)),
        ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 9)),
        ((2, 3, 5, 8), (1, 3, 7, 8), (1, 3, 7, 8)),
        ((2, 3, 1, 8), (2, 3, 7, 8), (2, 3, 7, 8)),
    ],
)
def test_strides_are_those_of_torch(q_shape, k_shape, v_shape):
    k, v = torch.randn(k_shape), torch.randn(v_shape)
    for q in layouts_of(q_shape):
        y, want = OPS.attention_dynamic(q, k, v), F.scaled_dot_product_attention(q, k, v)
        sizes = zip(y.shape, y.stride(), want.stride(), strict=True)
        assert all(ours == theirs for size, ours, theirs in sizes if size > 1)


def test_is_causal_and_a_mask_both_apply():
    g = generator(12)
    q, k, v = (torch.randn(2, 9, 16, generator=g) for _ in range(3))
    mask = torch.rand(9, 9, generator=g) > 0.5
    mask[:, 0] = True
    y = OPS.attention_dynamic(q, k, v, mask, True)
    assert torch.equal(y, OPS.attention_dynamic(q, k, v, mask.tril()))
