"""Cases of convolutions and transposed convolutions."""

import contextlib

import torch
import torch.nn.functional as F

from benchmark import onnx_ops
from benchmark.cases.case import (
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
    """conv1d, conv3d and conv_transpose<d>d; image and kernel are cubes."""
    dims, transposed = int(op[-2]), "transpose" in op
    x = random_input(batch, channels, *[size] * dims)
    sides = (channels, out_channels) if transposed else (out_channels, channels)
    # One scale: torch packs transposed convolutions per tensor only.
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
