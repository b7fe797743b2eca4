"""The arithmetic of attention, once more, in numpy and from its formulas, exact in every step."""

import math

import numpy as np
import torch

from support.reference import centred, f32, fma, requantize

LANES = 16
MAX_ROWS = 4  # of float32


def exp(x: np.ndarray) -> np.ndarray:
    """float32, in the steps of csrc/kernels/simd/activation.h; -infinity is a very small number."""
    x = np.clip(x, np.float32(-87), np.float32(89))
    shift = np.float32(12582912)
    t = fma(x, np.float32(1.44269504), shift)
    n = t - shift
    r = fma(n, np.float32(2.12194440e-4), fma(n, np.float32(-0.693359375), x))
    total = np.float32(0.0013950723)
    for coefficient in (0.008369025, 0.041666202, 0.16666518, 0.5):
        total = fma(np.asarray(total), r, np.float32(coefficient))
    e = fma(r * r, total, r)
    return np.ldexp(e + np.float32(1), n.astype(np.int64)).astype(np.float32)


def halved(lanes: np.ndarray) -> np.ndarray:
    """The sum of the last axis, the upper half added to the lower one until one is left."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def in_lanes(x: np.ndarray) -> np.ndarray:
    """[..., n] as [..., ceil(n / LANES), LANES], with zeros at the end."""
    rest = -x.shape[-1] % LANES
    x = np.concatenate([x, np.zeros((*x.shape[:-1], rest), np.float32)], -1)
    return x.reshape(*x.shape[:-1], x.shape[-1] // LANES, LANES)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = in_lanes(a), in_lanes(b)
    total = np.zeros((*np.broadcast_shapes(a.shape, b.shape)[:-2], LANES), np.float32)
    for i in range(a.shape[-2]):
        total = fma(a[..., i, :], b[..., i, :], total)
    return halved(total)


def largest(s: np.ndarray) -> np.float32:
    """The largest score of a row; NaN where the result is not a number."""
    most = s.max(initial=np.float32(-np.inf))
    return most if most < np.inf else np.float32(np.nan)


def attend(scores, v, scale, bias):
    """A row of the result, float32 [Ev]. scores: float32, the mask added, of as many of the first
    keys as the query sees; v: integers [S, Ev]; scale, bias: float32 [Ev] or numbers."""
    most = largest(scores)
    if not np.isfinite(most):
        return np.full(v.shape[1], 0 if most == -np.inf else most, np.float32)
    p = fma(exp(scores - most), np.float32(65535), np.float32(2**23)) - np.float32(2**23)
    p = p.astype(np.int64)
    acc = p @ v[: len(p)].astype(np.int64)
    multiplier = f32(1 / p.sum())
    return fma(acc.astype(np.float32), multiplier * scale, np.broadcast_to(bias, acc.shape))


def int8(x: torch.Tensor) -> np.ndarray:
    """The bytes of x as int8 has them: uint8 less 128."""
    return centred(x, 128 if x.dtype == torch.uint8 else 0)


def static_head(q, q_zero_point, k, v, score_scale, value):
    """Scores without mask, and attend() of a row of them. value: scale and bias."""
    acc = centred(q, q_zero_point).astype(np.float64) @ int8(k).astype(np.float64).T
    assert np.abs(acc).max(initial=0) < 2**31
    values = int8(v)
    return acc.astype(np.float32) * score_scale, lambda s: attend(s, values, *value)


def quantize_columns(x):
    """Integers less 128, scale and smallest value of each column."""
    half = x.max(0) * np.float32(0.5) - x.min(0) * np.float32(0.5)
    scale = np.where(
        half > 0, np.maximum(half / np.float32(127.5), np.finfo(np.float32).tiny), half
    )
    with np.errstate(divide="ignore"):
        inverse = np.where(half > 0, np.float32(1) / scale, np.float32(0))
    low = x.min(0) + np.float32(0)
    codes = np.clip(np.rint(fma(x, inverse, -low * inverse)), 0, 255)
    return codes.astype(np.int64) - 128, scale, low


def quantize_rows(x):
    """Integers less the zero point, and the scale of each row."""
    low, high = (np.float32(0) + f(x, axis=1, initial=0, keepdims=True) for f in (np.min, np.max))
    scale = np.maximum(f32((high.astype(np.float64) - low) / 255), np.finfo(np.float32).tiny)
    inverse = np.float32(1) / scale
    zero_point = np.minimum(np.rint(-low * inverse), 255)
    return np.clip(np.rint(x * inverse) + zero_point, 0, 255) - zero_point, scale


def dynamic_head(q, k, v, scale):
    q, k, v = (x.numpy() for x in (q, k, v))
    codes, k_scale, _ = quantize_columns(k)
    rows, q_scale = quantize_rows(q * k_scale)
    values, v_scale, low = quantize_columns(v)
    acc = rows.astype(np.float64) @ codes.astype(np.float64).T
    scores = acc.astype(np.float32) * (q_scale * f32(scale))
    return scores, lambda s: attend(s, values, v_scale, low + np.float32(128) * v_scale)


def float_head(q, k, v, scale):
    q, k, v = (x.numpy() for x in (q, k, v))
    scores = dot(q[:, None], k[None]) * f32(scale)

    def row(s):
        most = largest(s)
        if not np.isfinite(most):
            return np.full(v.shape[1], 0 if most == -np.inf else most, np.float32)
        # Keys that the row does not see are 0, and add nothing.
        e = exp(s - most)
        a = np.zeros(v.shape[1], np.float32)
        for t in range(len(s)):
            a = fma(np.broadcast_to(e[t], a.shape), v[t], a)
        total = np.zeros(LANES, np.float32)
        for part in in_lanes(e):
            total = total + part
        return a * (np.float32(1) / halved(total))

    return scores, row


def attention(q, k, v, make_head, finish, attn_mask=None, is_causal=False, enable_gqa=False):
    """Shapes as in torch. make_head(q, k, v) is of matrices, finish(r) of a float32 row."""
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    batch = torch.broadcast_shapes(*(x.shape[:-2] for x in (q, k, v)))
    queries, keys = q.shape[-2], k.shape[-2]
    count = math.prod(batch)
    q, k, v = (x.expand(*batch, *x.shape[-2:]).reshape(count, *x.shape[-2:]) for x in (q, k, v))
    mask = None
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.where(attn_mask, 0.0, -math.inf)
        mask = attn_mask.expand(*batch, queries, keys).reshape(count, queries, keys).numpy()
    y = []
    for i in range(count):
        scores, row = make_head(q[i], k[i], v[i])
        for query in range(queries):
            seen = min(query + 1, keys) if is_causal else keys
            s = scores[query, :seen]
            y.append(finish(row(s if mask is None else s + mask[i, query, :seen])))
    size = v.shape[-1]
    return torch.stack(y).view(*batch, queries, size) if y else torch.empty(*batch, queries, size)


def default_scale(size: int, scale: float | None) -> float:
    return scale if scale is not None else 1 / math.sqrt(size) if size else 1.0


def static(q, qq, k, kq, v, vq, output, scale=None, **options):
    """qq, kq, vq: (scale, zero point); output: y_scale, y_zero_point, y_dtype."""
    y_scale, y_zero_point, y_dtype = output
    is_float = y_dtype == torch.float32
    ratio = vq[0] / (1.0 if is_float else y_scale)
    zero_point = vq[1] - (128 if v.dtype == torch.uint8 else 0)
    score_scale = f32(qq[0] * kq[0] * default_scale(q.shape[-1], scale))

    def head(q, k, v):
        return static_head(q, qq[1], k, v, score_scale, (f32(ratio), f32(-zero_point * ratio)))

    def finish(r):
        if is_float:
            return torch.from_numpy(r)
        return requantize(np.where(np.isnan(r), np.float32(np.inf), r), y_zero_point, y_dtype)

    return attention(q, k, v, head, finish, **options).to(y_dtype)


def dynamic(q, k, v, scale=None, **options):
    factor = default_scale(q.shape[-1], scale)
    rows = q.shape[-2]
    if options.get("enable_gqa") and k.shape[-3] == v.shape[-3]:
        rows *= q.shape[-3] // k.shape[-3]
    # Without keys every row is 0, and there is nothing to quantize.
    head = float_head if rows <= MAX_ROWS or k.shape[-2] == 0 else dynamic_head
    return attention(q, k, v, lambda *x: head(*x, factor), lambda r: torch.from_numpy(r), **options)
