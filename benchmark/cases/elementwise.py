"""Cases of memory-bound ops; their limit is the speed of copying."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark import onnx_ops
from benchmark.cases.case import (
    SCALE,
    Y_SCALE,
    Y_ZERO_POINT,
    ZERO_POINT,
    Case,
    X,
    Y,
    ops,
    quantized,
    random_input,
)


def elementwise(op: str, batch: int, channels: int, height: int, width: int) -> Case:
    x = random_input(batch, channels, height, width)
    functions = ELEMENTWISE[op](x)
    shape = f"{batch}x{channels}x{height}x{width}"
    moved = INPUT_BYTES.get(op, 1) * x.numel() + functions["qnative"]().nbytes
    return Case(op, shape, functions["fp32"]().numel(), functions, "copy", moved)


def binary(op: str) -> Callable[[Tensor], dict[str, Callable]]:
    def functions(a: Tensor) -> dict[str, Callable]:
        b = random_input(*a.shape)
        float_a, float_b, quantized_a, quantized_b = (
            a.float(),
            b.float(),
            quantized(a),
            quantized(b),
        )
        mine, theirs = getattr(ops, op), getattr(torch.ops.quantized, op)
        return {
            "qnative": lambda: mine(a, *X, b, *X, *Y),
            "torch int8": lambda: theirs(quantized_a, quantized_b, Y_SCALE, Y_ZERO_POINT),
            "fp32": lambda: getattr(torch, op)(float_a, float_b),
            **onnx_ops.pure(op.capitalize(), [a, b]),
        }

    return functions


def cat(x: Tensor) -> dict[str, Callable]:
    other = random_input(*x.shape)
    scales, zero_points = [SCALE, 2 * SCALE], [ZERO_POINT, 0]
    quantized_pair = [quantized(x), quantized(other, 2 * SCALE, 0)]
    float_pair = [x.float(), other.float()]
    return {
        "qnative": lambda: ops.cat([x, other], scales, zero_points, 1, *Y),
        "torch int8": lambda: torch.ops.quantized.cat(quantized_pair, 1, Y_SCALE, Y_ZERO_POINT),
        "fp32": lambda: torch.cat(float_pair, 1),
    }


def lookup(x: Tensor) -> dict[str, Callable]:
    """Sigmoid for torch, which has a kernel for each function of one 8-bit tensor."""
    values = (torch.arange(256) - ZERO_POINT) * SCALE
    table = (torch.sigmoid(values) * 256).round().clamp(0, 255).to(torch.uint8)
    quantized_x, float_x = quantized(x), x.float()
    return {
        "qnative": lambda: ops.lookup(x, table),
        "torch int8": lambda: torch.sigmoid(quantized_x),
        "fp32": lambda: torch.sigmoid(float_x),
        **onnx_ops.pure("Sigmoid", [x], (1 / 256, 0)),
    }


def quantize_per_tensor(x: Tensor) -> dict[str, Callable]:
    """fp32 copies the input: the limit that memory sets."""
    float_x = x.float() * SCALE
    return {
        "qnative": lambda: ops.quantize_per_tensor(float_x, *X, torch.uint8),
        "torch int8": lambda: torch.quantize_per_tensor(float_x, *X, torch.quint8),
        "fp32": lambda: float_x.clone(),
    }


def dequantize_per_tensor(x: Tensor) -> dict[str, Callable]:
    quantized_x, float_x = quantized(x), x.float()
    return {
        "qnative": lambda: ops.dequantize_per_tensor(x, *X),
        "torch int8": lambda: quantized_x.dequantize(),
        "fp32": lambda: float_x.clone(),
    }


def pool(
    mine: Callable, theirs: Callable, onnx: str = "", **attributes
) -> Callable[[Tensor], dict[str, Callable]]:
    """onnx: name of the equivalent ONNX op, if there is one."""

    def functions(x: Tensor) -> dict[str, Callable]:
        quantized_x, float_x = quantized(x), x.float()
        return {
            "qnative": lambda: mine(x),
            "torch int8": lambda: theirs(quantized_x),
            "fp32": lambda: theirs(float_x),
            **(onnx_ops.pure(onnx, [x], X, **attributes) if onnx else {}),
        }

    return functions


# Input bytes per element of x where it is not 1: two tensors, or floats.
INPUT_BYTES = {"add": 2, "mul": 2, "cat": 2, "quantize_per_tensor": 4}

ELEMENTWISE = {
    "add": binary("add"),
    "mul": binary("mul"),
    "cat": cat,
    "lookup": lookup,
    "quantize_per_tensor": quantize_per_tensor,
    "dequantize_per_tensor": dequantize_per_tensor,
    "max_pool2d": pool(
        lambda x: ops.max_pool2d(x, [3, 3], [2, 2], [1, 1]),
        lambda x: F.max_pool2d(x, 3, 2, 1),
        "MaxPool",
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1] * 4,
    ),
    "avg_pool2d": pool(
        lambda x: ops.avg_pool2d(x, *X, [2, 2], [2, 2], [0, 0], False, True, None, *X, torch.uint8),
        lambda x: F.avg_pool2d(x, 2, 2),
        "AveragePool",
        kernel_shape=[2, 2],
        strides=[2, 2],
    ),
    "adaptive_avg_pool2d": pool(
        lambda x: ops.adaptive_avg_pool2d(x, *X, [1, 1], *X, torch.uint8),
        lambda x: F.adaptive_avg_pool2d(x, 1),
        "GlobalAveragePool",
    ),
    # 1d: the first rows of the images. 3d: the batch as depth.
    "max_pool1d": pool(
        lambda x: ops.max_pool1d(x[:, :, 0], [3], [2], [1]),
        lambda x: F.max_pool1d(x[:, :, 0], 3, 2, 1),
    ),
    "max_pool3d": pool(
        lambda x: ops.max_pool3d(x.unsqueeze(0), [2], [2]),
        lambda x: F.max_pool3d(x.unsqueeze(0), 2, 2),
    ),
    "avg_pool3d": pool(
        lambda x: ops.avg_pool3d(
            x.unsqueeze(0), *X, [2], [2], [0], False, True, None, *X, torch.uint8
        ),
        lambda x: F.avg_pool3d(x.unsqueeze(0), 2, 2),
    ),
    "interpolate": pool(
        lambda x: ops.interpolate(x, *X, None, [2.0], "bilinear", False, *X, torch.uint8),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    ),
    "mean": pool(
        lambda x: ops.mean(x, *X, [2, 3], False, *X, torch.uint8),
        lambda x: x.mean([2, 3]),
        "ReduceMean",
        axes=[2, 3],
        keepdims=0,
    ),
}


def row_wise(op: str, rows: int, columns: int) -> Case:
    """An op on each row; torch's int8 op gives 8 bits, as qnative's does."""
    x = random_input(rows, columns)
    functions = ROW_WISE[op](x, quantized(x), x.float())
    return Case(op, f"{rows}x{columns}", x.numel(), functions, "copy", 2 * x.numel())


def layer_norm(x: Tensor, quantized_x: Tensor, float_x: Tensor) -> dict[str, Callable]:
    shape = list(x.shape[-1:])
    weight, bias = torch.rand(shape) + 0.5, torch.randn(shape)
    return {
        "qnative": lambda: ops.layer_norm(x, *X, shape, weight, bias, 1e-5, *Y),
        "torch int8": lambda: torch.ops.quantized.layer_norm(
            quantized_x, shape, weight, bias, 1e-5, Y_SCALE, Y_ZERO_POINT
        ),
        "fp32": lambda: F.layer_norm(float_x, shape, weight, bias),
    }


def softmax(x: Tensor, quantized_x: Tensor, float_x: Tensor) -> dict[str, Callable]:
    scale = 1 / 256
    return {
        "qnative": lambda: ops.softmax(x, *X, -1, scale, 0, torch.uint8),
        "torch int8": lambda: torch.ops.quantized.softmax(quantized_x, -1, scale, 0),
        "fp32": lambda: torch.softmax(float_x, -1),
        **onnx_ops.pure("Softmax", [x], (scale, 0), axis=-1),
    }


ROW_WISE = {"layer_norm": layer_norm, "softmax": softmax}


def embedding_bag(bits: int, num_embeddings: int, dim: int, bags: int, entries: int) -> Case:
    """Sums of rows of a table, other rows in each call: tables do not stay in the caches."""
    table = torch.randn(num_embeddings, dim)
    packed = (ops.embedding_8bit_pack(table),)
    if bits == 4:
        packed = (ops.embedding_4bit_pack(table), dim)
    name = "byte" if bits == 8 else "4bit"
    their_rows = getattr(torch.ops.quantized, f"embedding_bag_{name}_prepack")(table)
    mine = getattr(ops, f"embedding_bag_{bits}bit")
    theirs = getattr(torch.ops.quantized, f"embedding_bag_{name}_rowwise_offsets")
    offsets = torch.arange(0, bags * entries, entries)
    batches = torch.randint(num_embeddings, (16, bags * entries)).unbind()

    def on_batches(function: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        batch = itertools.cycle(batches)
        return lambda: function(next(batch))

    functions = {
        "qnative": on_batches(lambda x: mine(*packed, x, offsets)),
        "torch int8": on_batches(lambda x: theirs(their_rows, x, offsets)),
        "fp32": on_batches(lambda x: F.embedding_bag(x, table, offsets, mode="sum")),
    }
    shape = f"{num_embeddings}x{dim}, {bags} bags of {entries}"
    moved = bags * entries * packed[0][0].nbytes + bags * dim * 4
    return Case(f"embedding_bag_{bits}bit", shape, bags * entries * dim, functions, "copy", moved)
