"""One op at one shape, run by qnative, by every int8 implementation that torch has, and in fp32.

Only speeds are compared, so inputs stay in 0..127, where no engine of torch saturates.
"""

import contextlib
import csv
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import qnative

SHAPES = Path(__file__).parent / "shapes"
ENGINES = ("onednn", "x86", "fbgemm")
SCALE, ZERO_POINT = 0.05, 64
Y_SCALE, Y_ZERO_POINT = 0.1, 32
X, Y = (SCALE, ZERO_POINT), (Y_SCALE, Y_ZERO_POINT, torch.uint8)
ops = torch.ops.qnative


@dataclass(frozen=True)
class Case:
    """functions: "qnative", "torch ..." and "fp32" -> one run of it.

    operations: multiplications and additions, or output elements for ops that have none.
    """

    op: str
    name: str
    operations: int
    functions: dict[str, Callable[[], Tensor]]


def random_input(*shape: int) -> Tensor:
    x = torch.randint(0, 128, shape, dtype=torch.uint8)
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


def quantized(x: Tensor, scale: float = SCALE, zero_point: int = ZERO_POINT) -> Tensor:
    """The same bytes as a tensor of torch's quantized dtype."""
    return torch._make_per_tensor_quantized_tensor(x, scale, zero_point)


def engines() -> Iterator[str]:
    """Each engine of this build of torch, while it is the one that packs."""
    before = torch.backends.quantized.engine
    for engine in ENGINES:
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
            yield engine
    torch.backends.quantized.engine = before


class Weight:
    """One weight in each form the competitors want."""

    def __init__(self, *shape: int):
        self.int8 = torch.randint(-64, 64, shape, dtype=torch.int8)
        self.scale = torch.rand(shape[0]) * 0.01 + 0.001
        self.zero_point = torch.zeros(shape[0], dtype=torch.int64)
        self.bias = torch.randn(shape[0])
        self.shape = list(shape)
        self.float = self.int8 * self.scale.reshape(-1, *[1] * (len(shape) - 1))
        self.quantized = torch._make_per_channel_quantized_tensor(
            self.int8, self.scale.double(), self.zero_point, 0
        )

    def pack(self, prepack: Callable, *args) -> Iterator[tuple[str, object]]:
        """Engine, packed weight, for each engine of this build of torch."""
        for engine in engines():
            yield f"torch {engine}", prepack(self.quantized, self.bias, *args)


def linear(rows: int, in_features: int, out_features: int) -> Case:
    x, weight = random_input(rows, in_features), Weight(out_features, in_features)
    packed, float_x, quantized_x = ops.linear_pack(weight.int8), x.float(), quantized(x)
    functions = {
        "qnative": lambda: ops.linear(
            x, *X, packed, weight.scale, weight.bias, weight.shape, *Y, "relu"
        )
    }
    for name, engine_weight in weight.pack(torch.ops.quantized.linear_prepack):
        functions[name] = lambda w=engine_weight: torch.ops.quantized.linear_relu(
            quantized_x, w, Y_SCALE, Y_ZERO_POINT
        )
    with contextlib.suppress(RuntimeError):  # oneDNN lacks some shapes on some CPUs
        w = torch.ops.onednn.qlinear_prepack(weight.int8.t().contiguous(), [rows, in_features])
        arguments = (x, *X, w, weight.scale, weight.zero_point, weight.bias, *Y, "relu", [], "")
        torch.ops.onednn.qlinear_pointwise(*arguments)
        functions["torch pointwise"] = lambda: torch.ops.onednn.qlinear_pointwise(*arguments)
    functions["fp32"] = lambda: F.relu(F.linear(float_x, weight.float, weight.bias))
    operations = 2 * rows * in_features * out_features
    return Case("linear", f"{rows}x{in_features}x{out_features}", operations, functions)


def linear_dynamic(rows: int, in_features: int, out_features: int) -> Case:
    """int8 weights, x quantized in the op."""
    x, weight = torch.randn(rows, in_features), Weight(out_features, in_features)
    packed = ops.linear_pack(weight.int8)
    functions = {
        "qnative": lambda: ops.linear_dynamic(x, packed, weight.scale, weight.bias, weight.shape)
    }
    for name, engine_weight in weight.pack(torch.ops.quantized.linear_prepack):
        functions[name] = lambda w=engine_weight: torch.ops.quantized.linear_dynamic(x, w)
    functions["fp32"] = lambda: F.linear(x, weight.float, weight.bias)
    operations = 2 * rows * in_features * out_features
    name = f"{rows}x{in_features}x{out_features}"
    return Case("linear_dynamic", name, operations, functions)


def linear_dynamic_fp16(rows: int, in_features: int, out_features: int) -> Case:
    """float16 weights; torch's own op needs FBGEMM."""
    x, weight = torch.randn(rows, in_features), Weight(out_features, in_features)
    packed = ops.linear_fp16_pack(weight.float)
    theirs = torch.ops.quantized.linear_prepack_fp16(weight.float, weight.bias)
    functions = {
        "qnative": lambda: ops.linear_dynamic_fp16(x, packed, weight.bias, weight.shape),
        "torch fbgemm": lambda: torch.ops.quantized.linear_dynamic_fp16(x, theirs),
        "fp32": lambda: F.linear(x, weight.float, weight.bias),
    }
    operations = 2 * rows * in_features * out_features
    name = f"{rows}x{in_features}x{out_features}"
    return Case("linear_dynamic_fp16", name, operations, functions)


def linear_fp16(rows: int, in_features: int, out_features: int) -> Case:
    """float16 in and out; torch has no float16 weights for float16 input but its own float16."""
    x, weight = torch.randn(rows, in_features), Weight(out_features, in_features)
    packed = ops.linear_fp16_pack(weight.float)
    half = [tensor.half() for tensor in (x, weight.float, weight.bias)]
    functions = {
        "qnative": lambda: ops.linear_fp16(half[0], packed, weight.bias, weight.shape),
        "torch half": lambda: F.linear(*half),
        "fp32": lambda: F.linear(x, weight.float, weight.bias),
    }
    operations = 2 * rows * in_features * out_features
    return Case("linear_fp16", f"{rows}x{in_features}x{out_features}", operations, functions)


def matmul(batch: int, rows: int, inner: int, columns: int) -> Case:
    a, b = random_input(batch, rows, inner), random_input(batch, inner, columns)
    float_a, float_b, quantized_a, quantized_b = a.float(), b.float(), quantized(a), quantized(b)
    y_scale = inner * SCALE**2  # the sums of all rows lie in range
    functions = {
        "qnative": lambda: ops.matmul(a, *X, b, *X, y_scale, 128, torch.uint8),
        "torch int8": lambda: torch.ops.quantized.matmul(quantized_a, quantized_b, y_scale, 128),
        "fp32": lambda: float_a @ float_b,
    }
    operations = 2 * batch * rows * inner * columns
    return Case("matmul", f"{batch}x{rows}x{inner}x{columns}", operations, functions)


def convolution(
    op: str,
    batch: int,
    channels: int,
    size: int,
    out_channels: int,
    kernel: int,
    stride: int,
    padding: int,
) -> Case:
    """conv1d, conv3d and conv_transpose<d>d of a cube of pixels, with a cube as the window."""
    dims, transposed = int(op[-2]), "transpose" in op
    x = random_input(batch, channels, *[size] * dims)
    sides = (channels, out_channels) if transposed else (out_channels, channels)
    # One scale: torch packs transposed convolutions with no more.
    w = torch.randint(-64, 64, (*sides, *[kernel] * dims), dtype=torch.int8)
    scale, bias = 0.005, torch.randn(out_channels)
    geometry = [[stride] * dims, [padding] * dims, [1] * dims, 1]
    if transposed:
        geometry.insert(2, [0] * dims)
    packed, scales = getattr(ops, f"{op}_pack")(w, 1), torch.full((out_channels,), scale)
    float_x, float_w, quantized_x = x.float(), w * scale, quantized(x)
    mine, real = getattr(ops, op), getattr(F, op)
    functions = {"qnative": lambda: mine(x, *X, packed, scales, bias, list(w.shape), *geometry, *Y)}
    theirs = getattr(torch.ops.quantized, op)
    quantized_w = torch._make_per_tensor_quantized_tensor(w, scale, 0)
    for engine in engines():
        with contextlib.suppress(RuntimeError):  # FBGEMM lacks some transposed convolutions
            prepacked = getattr(torch.ops.quantized, f"{op}_prepack")(quantized_w, bias, *geometry)
            theirs(quantized_x, prepacked, Y_SCALE, Y_ZERO_POINT)
            functions[f"torch {engine}"] = lambda w=prepacked: theirs(
                quantized_x, w, Y_SCALE, Y_ZERO_POINT
            )
    strides, pads = geometry[:2]
    functions["fp32"] = lambda: real(float_x, float_w, bias, strides, pads)
    pixels = (x if transposed else functions["fp32"]()).numel()
    pairs = out_channels if transposed else channels
    name = f"{batch}x{channels}x{size}^{dims} -> {out_channels} k{kernel} s{stride}"
    return Case(op, name, 2 * pixels * pairs * kernel**dims, functions)


def lstm(steps: int, batch: int, size: int) -> Case:
    """int8 weights, the input and the hidden state quantized in the op."""
    x, model = torch.randn(steps, batch, size), torch.nn.LSTM(size, size).eval()
    mine = qnative.quantize(model, (x,), recipe="dynamic")
    functions = {"qnative": lambda: mine(x)[0]}
    for engine in engines():
        theirs = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(model))
        functions[f"torch {engine}"] = lambda m=theirs: m(x)[0]
    functions["fp32"] = lambda: model(x)[0]
    return Case("lstm", f"{steps}x{batch}x{size}", 16 * steps * batch * size**2, functions)


def conv2d(
    batch: int,
    channels: int,
    height: int,
    width: int,
    out_channels: int,
    kernel: int,
    stride: int,
    padding: int,
    groups: int,
) -> Case:
    x = random_input(batch, channels, height, width)
    weight = Weight(out_channels, channels // groups, kernel, kernel)
    geometry = ([stride] * 2, [padding] * 2, [1] * 2, groups)
    packed, float_x, quantized_x = ops.conv2d_pack(weight.int8, groups), x.float(), quantized(x)
    functions = {
        "qnative": lambda: ops.conv2d(
            x, *X, packed, weight.scale, weight.bias, weight.shape, *geometry, *Y, "relu"
        )
    }
    for name, engine_weight in weight.pack(torch.ops.quantized.conv2d_prepack, *geometry):
        functions[name] = lambda w=engine_weight: torch.ops.quantized.conv2d_relu(
            quantized_x, w, Y_SCALE, Y_ZERO_POINT
        )
    with contextlib.suppress(RuntimeError):  # oneDNN lacks some shapes on some CPUs
        w = torch.ops.onednn.qconv_prepack(weight.int8, weight.scale, *X, *geometry, x.shape)
        arguments = (x, *X, w, weight.scale, weight.zero_point, weight.bias)
        arguments += (*geometry, *Y, "relu", [], None)
        torch.ops.onednn.qconv_pointwise(*arguments)
        functions["torch pointwise"] = lambda: torch.ops.onednn.qconv_pointwise(*arguments)
    float_weight = weight.float.contiguous(memory_format=torch.channels_last)
    functions["fp32"] = lambda: F.relu(F.conv2d(float_x, float_weight, weight.bias, *geometry))
    output = functions["fp32"]()
    return Case(
        "conv2d",
        f"{batch}x{channels}x{height}x{width} -> {out_channels} k{kernel} s{stride} g{groups}",
        2 * output.numel() * channels // groups * kernel**2,
        functions,
    )


def elementwise(op: str, batch: int, channels: int, height: int, width: int) -> Case:
    x = random_input(batch, channels, height, width)
    functions = ELEMENTWISE[op](x)
    shape = f"{batch}x{channels}x{height}x{width}"
    return Case(op, shape, functions["fp32"]().numel(), functions)


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
    """As sigmoid: torch has a kernel for each function of one 8-bit tensor."""
    values = (torch.arange(256) - ZERO_POINT) * SCALE
    table = (torch.sigmoid(values) * 256).round().clamp(0, 255).to(torch.uint8)
    quantized_x, float_x = quantized(x), x.float()
    return {
        "qnative": lambda: ops.lookup(x, table),
        "torch int8": lambda: torch.sigmoid(quantized_x),
        "fp32": lambda: torch.sigmoid(float_x),
    }


def quantize_per_tensor(x: Tensor) -> dict[str, Callable]:
    """fp32 stands for what memory allows: it copies the input."""
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


def pool(mine: Callable, theirs: Callable) -> Callable[[Tensor], dict[str, Callable]]:
    def functions(x: Tensor) -> dict[str, Callable]:
        quantized_x, float_x = quantized(x), x.float()
        return {
            "qnative": lambda: mine(x),
            "torch int8": lambda: theirs(quantized_x),
            "fp32": lambda: theirs(float_x),
        }

    return functions


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
    ),
    "avg_pool2d": pool(
        lambda x: ops.avg_pool2d(x, *X, [2, 2], [2, 2], [0, 0], False, True, None, *X, torch.uint8),
        lambda x: F.avg_pool2d(x, 2, 2),
    ),
    "adaptive_avg_pool2d": pool(
        lambda x: ops.adaptive_avg_pool2d(x, *X, [1, 1], *X, torch.uint8),
        lambda x: F.adaptive_avg_pool2d(x, 1),
    ),
    # Rows one after the other, and images as depths.
    "max_pool1d": pool(
        lambda x: ops.max_pool1d(x.flatten(2), [3], [2], [1]),
        lambda x: F.max_pool1d(x.flatten(2), 3, 2, 1),
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
    ),
}


def of_rows(op: str, rows: int, columns: int) -> Case:
    """An op on each row by itself; torch's int8 form of it gives 8 bits, as ours does."""
    x = random_input(rows, columns)
    functions = OF_ROWS[op](x, quantized(x), x.float())
    return Case(op, f"{rows}x{columns}", x.numel(), functions)


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
    }


OF_ROWS = {"layer_norm": layer_norm, "softmax": softmax}


def rows(name: str) -> Iterator[dict[str, str]]:
    """benchmark/shapes/<name>.csv without its column `network`, which is for readers."""
    with open(SHAPES / f"{name}.csv", newline="") as file:
        for row in csv.DictReader(file):
            del row["network"]
            yield row


def embedding_bag(bits: int, num_embeddings: int, dim: int, bags: int, entries: int) -> Case:
    """Sums of rows of a table, other ones at each call: tables do not stay in the caches."""
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
    return Case(f"embedding_bag_{bits}bit", shape, bags * entries * dim, functions)


def cases() -> Iterator[Callable[[], Case]]:
    """Every row of the shape files; a case is made when it is called."""
    for row in rows("linear"):
        yield lambda row=row: linear(**{key: int(value) for key, value in row.items()})
        yield lambda row=row: linear_dynamic(**{key: int(value) for key, value in row.items()})
        yield lambda row=row: linear_dynamic_fp16(**{key: int(value) for key, value in row.items()})
        yield lambda row=row: linear_fp16(**{key: int(value) for key, value in row.items()})
    for row in rows("matmul"):
        yield lambda row=row: matmul(**{key: int(value) for key, value in row.items()})
    for row in rows("convolution"):
        op = row.pop("op")
        yield lambda op=op, row=row: convolution(op, **{k: int(v) for k, v in row.items()})
    for row in rows("lstm"):
        yield lambda row=row: lstm(**{key: int(value) for key, value in row.items()})
    for row in rows("conv2d"):
        yield lambda row=row: conv2d(**{key: int(value) for key, value in row.items()})
    for row in rows("elementwise"):
        op = row.pop("op")
        yield lambda op=op, row=row: elementwise(op, **{k: int(v) for k, v in row.items()})
    for row in rows("embedding_bag"):
        yield lambda row=row: embedding_bag(**{key: int(value) for key, value in row.items()})
    for row in rows("of_rows"):
        op = row.pop("op")
        yield lambda op=op, row=row: of_rows(op, **{k: int(v) for k, v in row.items()})
