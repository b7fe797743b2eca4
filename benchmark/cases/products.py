"""Cases of linear, matmul, attention and lstm."""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor

import qnative
from benchmark import onnx_ops
from benchmark.cases.case import (
    SCALE,
    Y_RELU,
    Y_SCALE,
    ZERO_POINT,
    Case,
    Weight,
    X,
    engines,
    ops,
    quantized,
    random_input,
)


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
    """float16 in and out, beside torch's own float16."""
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


def attention_operands(heads: int, queries: int, keys: int, size: int) -> list[Tensor]:
    """q, k and v, float32."""
    return [torch.randn(1, heads, rows, size) for rows in (queries, keys, keys)]


def attention(heads: int, queries: int, keys: int, size: int) -> Case:
    """torch has no such op for int8: its products and its softmax, one after the other."""
    floats = attention_operands(heads, queries, keys, size)
    q, k, v = ((x / SCALE + ZERO_POINT).round().clamp(0, 127).byte() for x in floats)
    # The keys have what scores are multiplied by in their scale.
    theirs = quantized(q), quantized(k, SCALE / size**0.5).mT, quantized(v)

    def torch_int8() -> Tensor:
        scores = torch.ops.quantized.matmul(theirs[0], theirs[1], 0.05, 128)
        weights = torch.ops.quantized.softmax(scores, -1, 1 / 256, 0)
        return torch.ops.quantized.matmul(weights, theirs[2], SCALE, ZERO_POINT)

    functions = {
        "qnative": lambda: ops.attention(q, *X, k, *X, v, *X, *X, torch.uint8),
        "torch int8": torch_int8,
        "fp32": lambda: F.scaled_dot_product_attention(*floats),
    }
    operations = 4 * heads * queries * keys * size
    return Case("attention", f"{heads}x{queries}x{keys}x{size}", operations, functions)


def attention_dynamic(heads: int, queries: int, keys: int, size: int) -> Case:
    """float32 in and out; torch's own op of half the width is the only peer."""
    floats = attention_operands(heads, queries, keys, size)
    half = [x.bfloat16() for x in floats]
    functions = {
        "qnative": lambda: ops.attention_dynamic(*floats),
        "torch bfloat16": lambda: F.scaled_dot_product_attention(*half),
        "fp32": lambda: F.scaled_dot_product_attention(*floats),
    }
    operations = 4 * heads * queries * keys * size
    return Case("attention_dynamic", f"{heads}x{queries}x{keys}x{size}", operations, functions)


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
