"""Every kernel family on fixed data, in the process of one QNATIVE_ISA: prints a digest of each
result as JSON, {"family.op": digest}. The data is full-range, and of sizes with tails."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch

import qnative  # noqa: F401

_OPS = torch.ops.qnative
_RANDOM = torch.Generator()


def _u8(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=_RANDOM)


def _s8(*shape: int) -> torch.Tensor:
    return torch.randint(-128, 128, shape, dtype=torch.int8, generator=_RANDOM)


def _real(*shape: int) -> torch.Tensor:
    """Uniform in [-4, 4): made of integers, which are the same everywhere."""
    return torch.randint(-4096, 4096, shape, generator=_RANDOM).to(torch.float32) / 1024


def _scale(n: int) -> torch.Tensor:
    return _real(n).abs() / 64 + 0.01


_Y = (0.5, 3, torch.uint8)


def _products() -> Iterator[tuple[str, Any]]:
    weight, bias = _s8(37, 131), _real(37)
    packed, scale = _OPS.linear_pack(weight), _scale(37)
    args: tuple[Any, ...] = (packed, scale, bias, [37, 131])
    yield "gemm.linear", _OPS.linear(_u8(67, 131), 0.1, 7, *args, 9.0, 3, torch.uint8)
    yield "gemm.linear_dynamic", _OPS.linear_dynamic(_real(67, 131), *args, "gelu")
    yield "channel_params.linear", _OPS.linear(_u8(1, 131), 0.3, 7, *args, 0.7, 3, torch.uint8)
    conv = _OPS.conv2d_pack(_s8(19, 21, 3, 3), 1)
    geometry = ([2], [1], [1], 1, 20.0, 3, torch.int8)
    args = (conv, _scale(19), None, [19, 21, 3, 3], *geometry)
    yield "gemm.conv2d", _OPS.conv2d(_u8(2, 21, 13, 11), 0.1, 7, *args)
    first = _OPS.conv2d_pack(_s8(19, 3, 3, 3), 1)
    args = (first, _scale(19), None, [19, 3, 3, 3], *geometry)
    yield "interleave.conv2d", _OPS.conv2d(_u8(2, 3, 13, 37), 0.1, 7, *args)
    half = _OPS.linear_fp16_pack(_real(37, 131))
    yield "gemm_fp16.linear", _OPS.linear_fp16(_real(67, 131).half(), half, bias, [37, 131])
    yield "gemm_fp16.dynamic", _OPS.linear_dynamic_fp16(_real(3, 131), half, bias, [37, 131])
    four = _OPS.linear_4bit_pack(_real(37, 131), 32)
    yield "gemm_4bit.linear", _OPS.linear_4bit(_real(67, 131), four, bias, [37, 131], 32)
    for stride in (1, 2):
        depthwise = _OPS.conv2d_pack(_s8(37, 1, 3, 3), 37)
        args = (depthwise, _scale(37), _real(37), [37, 1, 3, 3], [stride], [1], [1], 37)
        x = _u8(2, 37, 13, 11)
        yield f"dwconv.stride_{stride}", _OPS.conv2d(x, 0.1, 7, *args, 2.0, 3, torch.uint8)


def _of_elements() -> Iterator[tuple[str, Any]]:
    a, b = _u8(3, 5, 7, 11), _s8(3, 5, 7, 11)
    yield "elementwise.add", _OPS.add(a, 0.1, 7, b, 0.2, -3, *_Y, "relu")
    yield "elementwise.mul", _OPS.mul(a, 0.1, 7, b, 0.2, -3, *_Y)
    yield "lookup.lookup", _OPS.lookup(a, _s8(256))
    x = _real(5, 7, 131)
    yield "quantize.per_tensor", _OPS.quantize_per_tensor(x, 0.02, 100, torch.uint8)
    yield "quantize.dequantize", _OPS.dequantize_per_tensor(a, 0.02, 100)
    channels = (_scale(7), torch.arange(7), 1)
    yield "quantize.per_channel", _OPS.quantize_per_channel(x, *channels, torch.int8)
    yield "quantize.dequantize_per_channel", _OPS.dequantize_per_channel(_s8(5, 7, 131), *channels)
    yield "quantize.choose_qparams", _OPS.choose_qparams(x, torch.uint8)


def _of_halves() -> Iterator[tuple[str, Any]]:
    x, other = _real(2, 37, 13, 11).half(), _real(37, 1, 11).half()
    yield "fp16.add", _OPS.add_fp16(x, other, "relu", alpha=0.7)
    yield "fp16.mul", _OPS.mul_fp16(x, other)
    for function in ("sigmoid", "tanh", "hardsigmoid"):
        yield f"fp16.{function}", _OPS.pointwise_fp16(x, function)
    yield "fp16.floor_divide", _OPS.pointwise_fp16(x, "floor_divide", [0.3])
    yield "fp16.softmax", _OPS.softmax_fp16(x, 1)
    yield "fp16.max_pool2d", _OPS.max_pool2d(x, [3], [2], [1])
    yield "fp16.avg_pool2d", _OPS.avg_pool2d_fp16(x, [3], [2], [1], False, True, None)
    yield "fp16.mean", _OPS.mean_fp16(x, [2, 3], False)
    yield "gemm_fp16.matmul", _OPS.matmul_fp16(x, other.transpose(1, 2))
    args = (None, [1.7, 2.3], "bicubic", False)
    yield "interpolate.bicubic of float16", _OPS.interpolate_fp16(x, *args)


def _of_images() -> Iterator[tuple[str, Any]]:
    x = _u8(2, 37, 13, 11)
    yield "pool.max_pool2d", _OPS.max_pool2d(x, [3], [2], [1])
    pool = ([3], [2], [1], False, True, None)
    yield "pool.avg_pool2d", _OPS.avg_pool2d(x, 0.1, 7, *pool, 0.1, 7, torch.uint8)
    yield "pool.mean", _OPS.mean(x, 0.1, 7, [2, 3], False, 0.05, 7, torch.uint8)
    for mode in ("bilinear", "bicubic"):
        args = (None, [1.7, 2.3], mode, False, 0.1, 7, torch.uint8)
        yield f"interpolate.{mode}", _OPS.interpolate(x, 0.1, 7, *args)
    yield "norm.layer_norm", _OPS.layer_norm(x, 0.1, 7, [11], _real(11), _real(11), 1e-5, *_Y)
    yield "norm.group_norm", _OPS.group_norm(x, 0.1, 7, 1, _real(37), _real(37), 1e-5, *_Y)
    running = (_real(37), _real(37), _real(37), _scale(37), 1e-5)
    yield "norm.batch_norm", _OPS.batch_norm(x, 0.1, 7, *running, *_Y)
    yield "norm.softmax", _OPS.softmax(x, 0.1, 7, -1, 1 / 256, 0, torch.uint8)
    yield "norm.softmax of channels", _OPS.softmax(x, 0.1, 7, 1, 1.0, 0, torch.float32)
    yield "norm.prelu", _OPS.prelu(x, 0.1, 7, _real(37), *_Y)


def _of_attention() -> Iterator[tuple[str, Any]]:
    q, k, v = (0.1, 7), (0.02, 100), (0.05, 128)
    operands = (_u8(2, 19, 37), *q, _u8(2, 70, 37), *k, _u8(2, 70, 41), *v)
    mask = _real(19, 70)
    yield "panels.matmul", _OPS.matmul(_u8(19, 37), *q, _s8(37, 70), 0.1, 3, 20.0, 3, torch.uint8)
    yield "attention.8-bit", _OPS.attention(*operands, 0.05, 120, torch.uint8, mask)
    yield "attention.float output", _OPS.attention(*operands, 1.0, 0, torch.float32, None, True)
    for rows in (3, 19):
        reals = (_real(2, rows, 37), _real(2, 70, 37), _real(2, 70, 41))
        yield f"attention.{rows} rows", _OPS.attention_dynamic(*reals, mask[:rows])


def _of_rows() -> Iterator[tuple[str, Any]]:
    indices = torch.randint(0, 29, (5, 7), generator=_RANDOM)
    for bits in (8, 4):
        table: tuple[Any, ...] = (getattr(_OPS, f"embedding_{bits}bit_pack")(_real(29, 37)),)
        if bits == 4:
            table += (37,)
        yield f"embedding.{bits}bit", getattr(_OPS, f"embedding_{bits}bit")(*table, indices)
        for mode in range(3):
            bag = getattr(_OPS, f"embedding_bag_{bits}bit")(*table, indices, None, mode)
            yield f"embedding.bag_{bits}bit of mode {mode}", bag
    cells = {"lstm_cell": (4, (None, None)), "gru_cell": (3, (None,))}
    cells |= {"rnn_tanh_cell": (1, (None,)), "rnn_relu_cell": (1, (None,))}
    for op, (gates, states) in cells.items():
        n = gates * 37
        weights = [_OPS.linear_pack(_s8(n, k)) for k in (21, 37)]
        scales, biases = [_scale(n) / 64 for _ in weights], [_real(n) for _ in weights]
        args = (*states, weights, scales, biases, 21, 37)
        yield f"rnn_cell.{op}", getattr(_OPS, op)(_real(5, 21), *args)


def main() -> None:
    _RANDOM.manual_seed(0)
    digests = {}
    for part in (_products, _of_elements, _of_halves, _of_images, _of_attention, _of_rows):
        for name, y in part():
            digest = hashlib.sha256()
            for tensor in y if isinstance(y, tuple) else (y,):
                digest.update(bytes(tensor.contiguous().flatten().view(torch.uint8).tolist()))
            digests[name] = digest.hexdigest()
    print(json.dumps(digests))


if __name__ == "__main__":
    main()
