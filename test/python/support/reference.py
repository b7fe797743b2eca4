"""The formulas of the ops in numpy, a second implementation, exact in every step."""

import itertools
import math

import numpy as np
import torch

RANGES = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int16: (-32768, 32767)}
NUMPY = {torch.uint8: np.uint8, torch.int8: np.int8, torch.int16: np.int16}
NO_CLAMP = (-np.inf, np.inf)
ACTIVATIONS = {"none": NO_CLAMP, "relu": (0, np.inf), "relu6": (0, 6)}


def clamp_of(activation):
    name, args = activation
    return tuple(args) if name == "clamp" else ACTIVATIONS[name]


def f32(value) -> np.ndarray:
    """Rounds a float64 to float32."""
    return np.asarray(value, dtype=np.float64).astype(np.float32)


def fma(a, b, c) -> np.ndarray:
    """a * b + c of float32 with one rounding.

    The product is exact in float64. The sum is rounded to odd there, so that rounding it again to
    float32 gives the float32 next to the exact sum.
    """
    product, c = np.broadcast_arrays(a.astype(np.float64) * b.astype(np.float64), c)
    c = c.astype(np.float64)
    total = np.asarray(product + c)
    added = total - product
    error = (product - (total - added)) + (c - added)
    bits = total.view(np.int64)
    is_inexact_even = (error != 0) & (bits & 1 == 0)
    odd = bits + np.where(is_inexact_even, np.where((error > 0) == (total > 0), 1, -1), 0)
    return odd.view(np.float64).astype(np.float32)


def requantize(r, zero_point, dtype, clamp=NO_CLAMP, y_scale=1.0) -> torch.Tensor:
    """clamp(rne(clamped r) + zero_point): the activation clamps before rounding.

    r is in units of y_scale, clamp in real numbers.
    """
    low, high = RANGES[dtype]
    bounded = np.clip(r, f32(clamp[0] / y_scale), f32(clamp[1] / y_scale)).astype(np.float64)
    y = np.clip(np.rint(bounded) + zero_point, low, high)
    return torch.from_numpy(np.asarray(y, dtype=NUMPY[dtype]))


def centred(x: torch.Tensor, zero_point) -> np.ndarray:
    return np.asarray(x.numpy().astype(np.int64) - zero_point)


def products_to_output(
    acc, x_scale, w_scale, bias, y_scale, y_zero_point, y_dtype, activation="none", args=()
):
    """From int sums [..., N] to the output of linear and conv."""
    assert np.abs(acc).max(initial=0) < 2**31
    clamp = tuple(args) if activation == "clamp" else ACTIVATIONS[activation]
    if y_dtype == torch.float32:
        y_scale = 1.0
    multiplier = f32(x_scale * w_scale.numpy().astype(np.float64) / y_scale)
    b = np.zeros(len(multiplier)) if bias is None else bias.numpy().astype(np.float64)
    r = fma(acc.astype(np.float32), multiplier, f32(b / y_scale))
    if y_dtype == torch.float32:
        return torch.from_numpy(np.clip(r, f32(clamp[0]), f32(clamp[1])))
    return requantize(r, y_zero_point, y_dtype, clamp, y_scale)


def linear(x, x_scale, x_zero_point, w, w_scale, bias, *output):
    """output: y_scale, y_zero_point, y_dtype, activation="none", activation_args=()."""
    # float64 holds the integers exactly, and its product is fast.
    acc = centred(x, x_zero_point).astype(np.float64) @ w.numpy().astype(np.float64).T
    return products_to_output(acc.astype(np.int64), x_scale, w_scale, bias, *output)


def magnitudes(row):
    """The sum of |row| in 32 lanes, then a tree sum of the lanes."""
    lanes = np.zeros(32, np.float32)
    for i in range(0, len(row), 32):
        part = np.abs(row[i : i + 32])
        lanes[: len(part)] += part
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def outlier_limit(row, repeated):
    """The magnitude above which values of a row are outliers."""
    largest = np.abs(row).max()
    if 255 * (len(row) + repeated) + 32640 * (4 + repeated) >= 2**24:
        return largest
    mean = magnitudes(row) / np.float32(len(row))
    limit = max(np.float32(8) * mean, largest / np.float32(128), np.finfo(np.float32).tiny)
    while limit < largest:
        if (np.abs(row) > limit).sum() <= 4:
            return limit
        limit = limit * np.float32(2)
    return largest


@np.errstate(over="ignore", invalid="ignore")
def quantize_rows(rows, repeated=0):
    """(codes - zero point, scale) of each row of float32 numpy [M, K].

    repeated: number of columns that are read twice."""
    limits = [[outlier_limit(row, repeated)] for row in rows]
    limits = np.array(limits, np.float32).reshape(-1, 1)
    low = np.maximum(np.minimum(rows.min(1, keepdims=True), np.float32(0)), -limits)
    high = np.minimum(np.maximum(rows.max(1, keepdims=True), np.float32(0)), limits)
    scale = np.maximum(f32((high.astype(np.float64) - low) / 255), np.finfo(np.float32).tiny)
    inverse = np.float32(1) / scale
    zero_point = np.minimum(np.rint(-low * inverse), 255)
    codes = np.rint((rows * inverse).astype(np.float64)) + zero_point
    q = np.where(np.abs(rows) > limits, codes, np.clip(codes, 0, 255)) - zero_point
    return q, scale


def linear_dynamic(rows, w, w_scale, bias, repeated=()):
    """rows: float32 numpy [M, K], each quantized with its own scale. Returns float32 [M, N]."""
    q, scale = quantize_rows(rows, len(repeated))
    q = np.concatenate([q, q[:, list(repeated)]], axis=1)
    # float64 holds the integers exactly, and its product is fast.
    acc = q @ w.numpy().astype(np.float64).T
    b = np.zeros(len(w), np.float32) if bias is None else bias.numpy()
    return fma(acc.astype(np.float32), scale * w_scale.numpy(), b)


def pack_rows(w, may_repeat=True):
    """(codes [N, K + R], scale, repeated) of float32 torch [N, K]."""
    tiny, highest = torch.finfo(torch.float32).tiny, w.abs().amax(1)
    # torch's mean: the order of a float32 sum matters.
    rms = highest * (w / highest.clamp(min=tiny)[:, None]).square().mean(1).sqrt()
    room = min(w.shape[1] // 16, 65793 - w.shape[1])
    for step in itertools.count():
        covered = torch.minimum(highest, 5 * 1.25**step * rms) if may_repeat else highest
        scale = torch.where(highest > 0, covered / 127, 1.0).clamp(min=tiny)
        codes = (w / scale[:, None]).round().double().numpy()
        columns = np.maximum(np.ceil(np.abs(codes).max(0) / 127), 1).astype(int)
        if (columns - 1).sum() <= room:
            break
    repeated = np.repeat(np.arange(len(columns)), columns - 1).tolist()
    parts = [np.clip(codes, -127, 127)]
    codes = codes - parts[0]
    for k in repeated:
        parts.append(np.clip(codes[:, [k]], -127, 127))
        codes[:, [k]] -= parts[-1]
    return torch.from_numpy(np.concatenate(parts, 1)).to(torch.int8), scale, repeated


DIVISORS = (5.5, 6.25, 6.75, 7.25, 7.75, 8.0, 8.25, 8.75)


def bfloat16(x) -> np.ndarray:
    """Float32 rounded to bfloat16."""
    return torch.from_numpy(np.array(x, np.float32)).bfloat16().float().numpy()


def groups_of(k: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, k)) for begin in range(0, k, size)]


def quantize_group(w):
    """(codes, scale) of a group of weights, float32 numpy [K]: the best of 32 scales."""
    tiny, peak = np.finfo(np.float32).tiny, np.abs(w).max()
    if peak == 0:
        return np.zeros(len(w)), np.float32(1)

    def candidates(units):
        scale = units * peak
        small = np.abs(scale) < tiny
        return bfloat16(np.where(small, np.copysign(tiny, units), scale))

    def codes_of(scale):
        inverse = np.float32(1) / (scale / peak)
        return np.rint(np.clip((w / peak)[:, None] * inverse, -8, 7)).astype(np.float32)

    def sums(scale):
        codes, values = codes_of(scale), (w / peak)[:, None]
        error = values - codes * (scale / peak)
        parts = (error * error, codes * values, codes * codes)
        return [np.add.accumulate(part, 0, dtype=np.float32)[-1] for part in parts]

    signs = np.array([1, -1] * len(DIVISORS), np.float32)
    first = candidates(signs / np.repeat(np.float32(DIVISORS), 2))
    errors, products, squares = sums(first)
    again = candidates(np.divide(products, squares, where=squares > 0, out=np.ones_like(squares)))
    again = np.where(squares > 0, again, first)
    scale = np.concatenate([first, again])[[np.concatenate([errors, sums(again)[0]]).argmin()]]
    return codes_of(scale)[:, 0], scale[0]


def quantize_4bit(w, size):
    """(codes int8 [N, K], scale bfloat16 [N, groups]) of float32 torch [N, K]."""
    codes, scales = np.zeros(w.shape, np.int8), []
    for i, row in enumerate(w.numpy()):
        for group in groups_of(len(row), size):
            codes[i, group], scale = quantize_group(row[group])
            scales.append(scale)
    scales = torch.from_numpy(np.array(scales, np.float32)).bfloat16()
    return torch.from_numpy(codes), scales.reshape(len(w), -1)


@np.errstate(over="ignore", invalid="ignore")
def linear_4bit(rows, codes, scale, bias, size):
    """rows: float32 numpy [M, K], each group of a row quantized with its own scale."""
    y = np.zeros(len(codes), np.float32) if bias is None else bias.numpy()
    y = np.broadcast_to(y, (len(rows), len(codes)))
    for g, group in enumerate(groups_of(rows.shape[1], size)):
        part = rows[:, group]
        peak = np.abs(part).max(1, keepdims=True)
        x_scale = np.maximum(peak / np.float32(127), np.finfo(np.float32).tiny)
        q = np.rint(part * (np.float32(1) / x_scale)).astype(np.float64)
        acc = q @ codes[:, group].numpy().astype(np.float64).T
        y = fma(acc.astype(np.float32), x_scale * scale[:, g].float().numpy(), y)
    return y


def linear_fp16(rows, w, bias):
    """rows: float32 numpy [M, K]. Sequential fma in the order of k."""
    weight = w.float().numpy()
    acc = np.zeros((len(rows), len(weight)), np.float32)
    for k in range(rows.shape[1]):
        acc = fma(rows[:, k : k + 1], weight[None, :, k], acc)
    return acc if bias is None else acc + bias.numpy()


def _last(y: torch.Tensor) -> torch.Tensor:
    """[N, spatial..., C] as [N, C, spatial...]."""
    return y.movedim(-1, 1)


def conv(x, x_scale, x_zero_point, w, w_scale, bias, window, groups, *output):
    """Any number of dimensions; for two: x [N, C, H, W]; window: stride (h, w), padding (top,
    bottom, left, right), dilation (h, w); output as in linear."""
    stride, padding, dilation = window
    sides = list(zip(padding[::2], padding[1::2], strict=True))
    values = np.pad(centred(x, x_zero_point), ((0, 0), (0, 0), *sides)).astype(np.float64)
    weight = w.numpy().astype(np.float64)
    (n, _, *sizes), (o, cg, *kernel) = values.shape, weight.shape
    out = [
        (size - (k - 1) * d - 1) // s + 1
        for size, k, d, s in zip(sizes, kernel, dilation, stride, strict=True)
    ]
    acc = np.zeros((n, math.prod(out), groups, o // groups))
    for at in np.ndindex(*kernel):
        steps = zip(at, dilation, out, stride, strict=True)
        taps = tuple(slice(i * d, i * d + (size - 1) * s + 1, s) for i, d, size, s in steps)
        tap = values[(..., *taps)].reshape(n, groups, cg, math.prod(out))
        acc += np.einsum("ngcp,goc->npgo", tap, weight[(..., *at)].reshape(groups, -1, cg))
    acc = acc.reshape(n, *out, o).astype(np.int64)
    return _last(products_to_output(acc, x_scale, w_scale, bias, *output))


def conv_transpose(x, x_scale, x_zero_point, w, w_scale, bias, window, groups, *output):
    """window: stride, padding, output_padding, dilation, each with one value per dimension; w
    [C, O / groups, ...]."""
    stride, padding, output_padding, dilation = window
    values = centred(x, x_zero_point).astype(np.float64)
    weight = w.numpy().astype(np.float64)
    (n, c, *sizes), (_, og, *kernel) = values.shape, weight.shape
    whole = [
        (size - 1) * s + (k - 1) * d + 1 + more
        for size, s, k, d, more in zip(sizes, stride, kernel, dilation, output_padding, strict=True)
    ]
    acc = np.zeros((n, *whole, groups, og))
    grouped = values.reshape(n, groups, c // groups, math.prod(sizes))
    for at in np.ndindex(*kernel):
        steps = zip(at, dilation, sizes, stride, strict=True)
        taps = tuple(slice(i * d, i * d + (size - 1) * s + 1, s) for i, d, size, s in steps)
        tap = weight[(..., *at)].reshape(groups, c // groups, og)
        product = np.einsum("ngcp,gco->npgo", grouped, tap)
        acc[(slice(None), *taps)] += product.reshape(n, *sizes, groups, og)
    inside = tuple(slice(p, size - p) for p, size in zip(padding, whole, strict=True))
    acc = acc[(slice(None), *inside)].astype(np.int64)
    acc = acc.reshape(*acc.shape[:-2], groups * og)
    return _last(products_to_output(acc, x_scale, w_scale, bias, *output))


@np.errstate(over="ignore")
def quantize_image(x):
    """(codes, scale, zero point) of a float32 torch tensor that is quantized as a whole."""
    values = x.numpy()
    low, high = min(values.min(), np.float32(0)), max(values.max(), np.float32(0))
    scale = max(f32((np.float64(high) - low) / 255), np.finfo(np.float32).tiny)
    inverse = np.float32(1) / scale
    zero_point = min(np.rint(-low * inverse), 255)
    codes = np.rint((values * inverse).astype(np.float64)) + zero_point
    return torch.from_numpy(np.clip(codes, 0, 255)).to(torch.uint8), float(scale), int(zero_point)


def conv_dynamic(x, w, w_scale, bias, window, groups, formula, *activation):
    """x: float32 [N, ...], each image quantized by itself; formula: conv or conv_transpose, window
    as there."""
    images = []
    for image in x:
        q, scale, zero_point = quantize_image(image)
        output = (1.0, 0, torch.float32, *activation)
        images.append(
            formula(q[None], scale, zero_point, w, w_scale, bias, window, groups, *output)
        )
    return torch.cat(images)


def add(a, aq, b, bq, y_scale, y_zero_point, y_dtype, clamp=NO_CLAMP, alpha=1.0):
    """aq, bq: (scale, zero_point)."""
    left = centred(a, aq[1]).astype(np.float32)
    right = centred(b, bq[1]).astype(np.float32) * f32(alpha * bq[0] / y_scale)
    r = fma(left, f32(aq[0] / y_scale), right)
    return requantize(r, y_zero_point, y_dtype, clamp, y_scale)


def mul(a, aq, b, bq, y_scale, y_zero_point, y_dtype, clamp=NO_CLAMP):
    product = centred(a, aq[1]).astype(np.float32) * centred(b, bq[1]).astype(np.float32)
    r = product * f32(aq[0] * bq[0] / y_scale)
    return requantize(r, y_zero_point, y_dtype, clamp, y_scale)


def rescale(x, scale, zero_point, y_scale, y_zero_point, y_dtype):
    r = centred(x, zero_point).astype(np.float32) * f32(scale / y_scale)
    return requantize(r, y_zero_point, y_dtype)


def mean(sums, divisors, x_scale, y_scale, y_zero_point, y_dtype):
    """sums of x - x_zero_point."""
    r = sums.astype(np.float32) * f32(x_scale / (divisors * y_scale))
    return requantize(r, y_zero_point, y_dtype)


def quantize(x, scale, zero_point, dtype, low=None, high=None):
    """scale and zero_point broadcast against x."""
    lowest, highest = RANGES[dtype]
    low, high = lowest if low is None else low, highest if high is None else high
    with np.errstate(over="ignore"):
        r = x.to(torch.float32).numpy() * f32(1.0 / np.asarray(scale, dtype=np.float64))
    r = np.where(np.isnan(r), 0, r).astype(np.float64)
    y = np.clip(np.rint(r) + np.asarray(zero_point), low, high)
    return torch.from_numpy(np.asarray(y, dtype=NUMPY[dtype]))


def dequantize(x, scale, zero_point):
    real = centred(x, zero_point).astype(np.float32) * f32(scale)
    return torch.from_numpy(np.asarray(real))


def statistics(values, x_scale, eps):
    """(scale, shift) over the last axis, float64: values * scale + shift has mean 0 and variance 1,
    or is 0 where all values are equal. values: x - x_zero_point, integers."""
    n = max(values.shape[-1], 1)
    floor = values.sum(-1) // n
    rest = values - floor[..., None]
    mean = rest.sum(-1) / n
    variance = (rest**2).sum(-1) / n - mean * mean
    deviation = np.sqrt(x_scale * x_scale * variance + eps)
    with np.errstate(divide="ignore"):
        scale = np.where(variance > 0, x_scale / deviation, 0)
    return scale, -(floor + mean) * scale


def to_output(r, y_scale, y_zero_point, y_dtype, clamp=NO_CLAMP):
    """r is in units of y_scale, which is 1 for float32."""
    if y_dtype == torch.float32:
        return torch.from_numpy(np.asarray(r))
    return requantize(r, y_zero_point, y_dtype, clamp, y_scale)


def rms_norm(x, x_scale, x_zero_point, shape, weight, eps, y_scale, *output):
    """output: y_zero_point, y_dtype."""
    y_scale = 1.0 if output[1] == torch.float32 else y_scale
    values = centred(x, x_zero_point).reshape(*x.shape[: x.dim() - len(shape)], math.prod(shape))
    squares = (values**2).sum(-1)
    mean = squares / max(values.shape[-1], 1)
    with np.errstate(divide="ignore"):
        scale = x_scale / np.sqrt(x_scale * x_scale * mean + (2.0**-23 if eps is None else eps))
    scale = f32(np.where(squares == 0, 0, scale))[..., None]
    factor = f32(1 / y_scale)
    w = factor if weight is None else weight.numpy().ravel() * factor
    r = fma(fma(values.astype(np.float32), scale, f32(0)), w, f32(0))
    return to_output(r.reshape(x.shape), y_scale, *output)


def layer_norm(x, x_scale, x_zero_point, shape, weight, bias, eps, y_scale, *output):
    """output: y_zero_point, y_dtype."""
    y_scale = 1.0 if output[1] == torch.float32 else y_scale
    values = centred(x, x_zero_point).reshape(*x.shape[: x.dim() - len(shape)], math.prod(shape))
    scale, shift = (f32(value)[..., None] for value in statistics(values, x_scale, eps))
    factor = f32(1 / y_scale)
    w = factor if weight is None else weight.numpy().ravel() * factor
    b = f32(0) if bias is None else bias.numpy().ravel() * factor
    r = fma(fma(values.astype(np.float32), scale, shift), w, b)
    return to_output(r.reshape(x.shape), y_scale, *output)


def channel_norm(x, x_zero_point, scale, shift, weight, bias, y_scale, *output):
    """scale, shift: float64, broadcast against [N, C]. output: y_zero_point, y_dtype, clamp."""
    w = 1.0 if weight is None else weight.numpy().astype(np.float64)
    b = 0.0 if bias is None else bias.numpy().astype(np.float64)
    per_channel = x.shape[:2] + (1,) * (x.dim() - 2)
    multiplier, addend = (
        f32(np.broadcast_to(value / y_scale, x.shape[:2])).reshape(per_channel)
        for value in (scale * w, shift * w + b)
    )
    r = fma(centred(x, x_zero_point).astype(np.float32), multiplier, addend)
    return to_output(r, y_scale, *output)


def group_norm(x, x_scale, x_zero_point, groups, weight, bias, eps, *output):
    values = centred(x, x_zero_point).reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    each = x.shape[1] // groups
    scale, shift = (value.repeat(each, axis=1) for value in statistics(values, x_scale, eps))
    return channel_norm(x, x_zero_point, scale, shift, weight, bias, *output)


def batch_norm(x, x_scale, x_zero_point, weight, bias, mean, var, eps, y_scale, *output):
    w = 1.0 if weight is None else weight.numpy().astype(np.float64)
    b = 0.0 if bias is None else bias.numpy().astype(np.float64)
    factor = w / np.sqrt(var.numpy().astype(np.float64) + eps)
    scale, shift = x_scale * factor, b - mean.numpy().astype(np.float64) * factor
    return channel_norm(x, x_zero_point, scale, shift, None, None, y_scale, *output)


def prelu(x, x_scale, x_zero_point, weight, y_scale, *output):
    values = centred(x, x_zero_point).astype(np.float32)
    shape = (-1,) + (1,) * (x.dim() - 2) if weight.numel() > 1 else ()
    w = weight.numpy().astype(np.float64).reshape(shape)
    r = values * np.where(values < 0, f32(x_scale * w / y_scale), f32(x_scale / y_scale))
    return to_output(r, y_scale, *output)
