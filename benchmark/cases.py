"""One op at one shape, run by qnative, by every other int8 implementation, and in fp32.

Only speeds are compared, so inputs stay in 0..127, where no engine of torch saturates.
"""

import contextlib
import csv
import functools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

import qnative
from benchmark import onnx_ops
from benchmark.case import (
    SCALE,
    SHAPES,
    Y_RELU,
    Y_SCALE,
    Y_ZERO_POINT,
    Case,
    Weight,
    X,
    Y,
    engines,
    ops,
    quantized,
    random_input,
)
from benchmark.elementwise import elementwise, embedding_bag, of_rows
from benchmark.halves import half


def linear(rows: int, in_features: int, out_features: int) -> Case:
    x, weight = random_input(rows, in_features), Weight(out_features, in_features)
    packed, float_x, quantized_x = ops.linear_pack(weight.int8), x.float(), quantized(x)
    functions = {
        "qnative": lambda: ops.linear(
            x, *X, packed, weight.scale, weight.bias, weight.shape, *Y_RELU, "relu"
        )
    }
    for name, engine_weight in weight.pack(torch.ops.quantized.linear_prepack):
        functions[name] = lambda w=engine_weight: torch.ops.quantized.linear_relu(
            quantized_x, w, Y_SCALE, 0
        )
    with contextlib.suppress(RuntimeError):  # oneDNN lacks some shapes on some CPUs
        w = torch.ops.onednn.qlinear_prepack(weight.int8.t().contiguous(), [rows, in_features])
        arguments = (
            x,
            *X,
            w,
            weight.scale,
            weight.zero_point,
            weight.bias,
            *Y_RELU,
            "relu",
            [],
            "",
        )
        torch.ops.onednn.qlinear_pointwise(*arguments)
        functions["torch pointwise"] = lambda: torch.ops.onednn.qlinear_pointwise(*arguments)
    functions |= onnx_ops.linear(x, weight)
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
    functions |= onnx_ops.linear_dynamic(x, weight)
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
    return Case("linear_dynamic_fp16", name, operations, functions, limit="none")


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
    name = f"{rows}x{in_features}x{out_features}"
    return Case("linear_fp16", name, operations, functions, limit="none")


def matmul(batch: int, rows: int, inner: int, columns: int) -> Case:
    a, b = random_input(batch, rows, inner), random_input(batch, inner, columns)
    float_a, float_b, quantized_a, quantized_b = a.float(), b.float(), quantized(a), quantized(b)
    y_scale = inner * SCALE**2  # the sums of all rows lie in range
    functions = {
        "qnative": lambda: ops.matmul(a, *X, b, *X, y_scale, 128, torch.uint8),
        "torch int8": lambda: torch.ops.quantized.matmul(quantized_a, quantized_b, y_scale, 128),
        "fp32": lambda: float_a @ float_b,
        **onnx_ops.pure("MatMul", [a, b], (y_scale, 128)),
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
    functions |= onnx_ops.convolution(x, w, torch.full((out_channels,), scale), bias, geometry)
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
    functions |= onnx_ops.lstm(model, x)
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
            x, *X, packed, weight.scale, weight.bias, weight.shape, *geometry, *Y_RELU, "relu"
        )
    }
    for name, engine_weight in weight.pack(torch.ops.quantized.conv2d_prepack, *geometry):
        functions[name] = lambda w=engine_weight: torch.ops.quantized.conv2d_relu(
            quantized_x, w, Y_SCALE, 0
        )
    with contextlib.suppress(RuntimeError):  # oneDNN lacks some shapes on some CPUs
        w = torch.ops.onednn.qconv_prepack(weight.int8, weight.scale, *X, *geometry, x.shape)
        arguments = (x, *X, w, weight.scale, weight.zero_point, weight.bias)
        arguments += (*geometry, *Y_RELU, "relu", [], None)
        torch.ops.onednn.qconv_pointwise(*arguments)
        functions["torch pointwise"] = lambda: torch.ops.onednn.qconv_pointwise(*arguments)
    functions |= onnx_ops.convolution(
        x, weight.int8, weight.scale, weight.bias, geometry, relu=True
    )
    float_weight = weight.float.contiguous(memory_format=torch.channels_last)
    functions["fp32"] = lambda: F.relu(F.conv2d(float_x, float_weight, weight.bias, *geometry))
    output = functions["fp32"]()
    return Case(
        "conv2d",
        f"{batch}x{channels}x{height}x{width} -> {out_channels} k{kernel} s{stride} g{groups}",
        2 * output.numel() * channels // groups * kernel**2,
        functions,
    )


def rows(name: str) -> Iterator[dict[str, str]]:
    """benchmark/shapes/<name>.csv without its column `network`, which is for readers."""
    with open(SHAPES / f"{name}.csv", newline="") as file:
        for row in csv.DictReader(file):
            del row["network"]
            yield row


def shaped(name: str, make: Callable[..., Case]) -> Iterator[Callable[[], Case]]:
    """make(op, sizes) or make(sizes) for every row of a shape file."""
    for row in rows(name):
        op = [row.pop("op")] if "op" in row else []
        sizes = {key: int(value) for key, value in row.items()}
        yield functools.partial(make, *op, **sizes)


SHAPED: dict[str, tuple[Callable[..., Case], ...]] = {
    "linear": (linear, linear_dynamic, linear_dynamic_fp16, linear_fp16),
    "matmul": (matmul,),
    "convolution": (convolution,),
    "lstm": (lstm,),
    "conv2d": (conv2d,),
    "elementwise": (elementwise,),
    "embedding_bag": (embedding_bag,),
    "of_rows": (of_rows,),
    "half": (half,),
}


def cases() -> Iterator[Callable[[], Case]]:
    """Every row of the shape files; a case is made when it is called."""
    for name, makers in SHAPED.items():
        # The forms of a layer follow each other.
        for forms in zip(*(shaped(name, make) for make in makers), strict=True):
            yield from forms
