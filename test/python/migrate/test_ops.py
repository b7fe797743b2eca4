"""qnative.migrate, one kind of node at a time, against the quantized kernels of torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from support.quantized_models import old_kinds, quiet

Q = torch.ops.quantized
SCALE, ZERO = 0.05, 120
IMAGE, ROWS, CLIP = (2, 4, 6, 6), (3, 5, 8), (2, 4, 3, 6, 6)
W4 = torch.linspace(-1, 1, 4)


class Packed(nn.Module):
    """A call of an op with packed parameters; a trace needs them in a module."""

    def __init__(self, op, packed, *args):
        super().__init__()
        self.op, self.packed, self.args = op, packed, args

    def forward(self, x):
        return self.op(x, self.packed, *self.args)


def conv(dims, transposed=False, groups=1, relu=False, per_channel=True):
    """A call of quantized::conv with packed parameters."""
    torch.manual_seed(dims)
    shape = (4, 6 // groups if transposed else 4 // groups, *([3] * dims))
    weight = torch.randn(shape if transposed else (6, 4 // groups, *([3] * dims)))
    name = f"conv_transpose{dims}d" if transposed else f"conv{dims}d"
    if per_channel and not transposed:
        scales = torch.linspace(0.01, 0.03, 6)
        weight = quiet(
            torch.quantize_per_channel,
            weight,
            scales,
            torch.zeros(6, dtype=torch.long),
            0,
            torch.qint8,
        )
    else:
        weight = quiet(torch.quantize_per_tensor, weight, 0.02, 0, torch.qint8)
    args = [weight, torch.randn(6), [2] * dims, [1] * dims]
    args += [[1] * dims] if transposed else []
    args += [[1] * dims, groups]
    packed = quiet(getattr(Q, f"{name}_prepack"), *args)
    run = getattr(Q, name + ("_relu" if relu else ""))
    return Packed(run, packed, 0.11, 111)


def linear(name="linear", *extra):
    torch.manual_seed(0)
    scales = torch.linspace(0.01, 0.03, 6)
    weight = quiet(
        torch.quantize_per_channel,
        torch.randn(6, 8),
        scales,
        torch.zeros(6, dtype=torch.long),
        0,
        torch.qint8,
    )
    packed = quiet(Q.linear_prepack, weight, torch.randn(6))
    return Packed(getattr(Q, name), packed, 0.07, 100, *extra)


def quantized_constant(values, scale=0.01, zero_point=3):
    return quiet(torch.quantize_per_tensor, values, scale, zero_point, torch.quint8)


# name: (shape of x, function of a quantized tensor, tolerance in steps of the output)
# Upstream rounds the requantized value differently: one step at a tie.
CASES = {
    "conv1d": (IMAGE[:3], conv(1), 1),
    "conv1d_relu": (IMAGE[:3], conv(1, relu=True), 1),
    "conv2d": (IMAGE, conv(2), 1),
    "conv2d_groups": (IMAGE, conv(2, groups=2), 1),
    "conv2d_per_tensor": (IMAGE, conv(2, per_channel=False), 1),
    "conv2d_relu": (IMAGE, conv(2, relu=True), 1),
    "conv3d": (CLIP, conv(3), 1),
    "conv3d_relu": (CLIP, conv(3, relu=True), 1),
    "conv_transpose1d": (IMAGE[:3], conv(1, transposed=True), 1),
    "conv_transpose2d": (IMAGE, conv(2, transposed=True), 1),
    "conv_transpose2d_groups": (IMAGE, conv(2, transposed=True, groups=2), 1),
    "conv_transpose3d": (CLIP, conv(3, transposed=True), 1),
    "linear": (ROWS, linear(), 1),
    "linear_relu": (ROWS, linear("linear_relu"), 1),
    "add": (ROWS, lambda x: Q.add(x, x.flip(0), 0.09, 110), 1),
    "add_relu": (ROWS, lambda x: Q.add_relu(x, x.flip(0), 0.09, 110), 1),
    "add_scalar": (ROWS, lambda x: Q.add_scalar(x, 0.73), 0),
    "add_scalar_high": (ROWS, lambda x: Q.add_scalar(x, 9.0), 1),
    "add_scalar_low": (ROWS, lambda x: Q.add_scalar(x, -9.0), 1),
    "add_scalar_relu": (ROWS, lambda x: Q.add_scalar_relu(x, -0.7), 1),
    "mul": (ROWS, lambda x: Q.mul(x, x.flip(0), 0.3, 60), 1),
    "mul_relu": (ROWS, lambda x: Q.mul_relu(x, x.flip(0), 0.3, 60), 1),
    "mul_scalar": (ROWS, lambda x: Q.mul_scalar(x, 0.73), 0),
    "mul_scalar_zero": (ROWS, lambda x: Q.mul_scalar(x, 0.0), 0),
    "mul_scalar_negative": (ROWS, lambda x: Q.mul_scalar(x, -0.73), 0),
    "mul_scalar_relu": (ROWS, lambda x: Q.mul_scalar_relu(x, -0.73), 0),
    "matmul": (ROWS, lambda x: Q.matmul(x, x.transpose(1, 2), 0.9, 100), 1),
    "quantized_cat": (ROWS, lambda x: Q.cat([x, x.flip(0)], 1, 0.06, 100), 1),
    "cat_relu": (ROWS, lambda x: Q.cat_relu([x, x.flip(0)], 1, 0.06, 100), 1),
    "cat": (ROWS, lambda x: torch.cat([x, x.flip(0)], 1), 0),
    "stack": (ROWS, lambda x: torch.stack([x, x.flip(0)]), 0),
    "batch_norm": (IMAGE, lambda x: Q.batch_norm(x, W4, W4, W4, W4 + 2, 1e-5, 0.05, 99), 1),
    "batch_norm2d_relu": (
        IMAGE,
        lambda x: Q.batch_norm2d_relu(x, W4, W4, W4, W4 + 2, 1e-5, 0.05, 99),
        1,
    ),
    "layer_norm": (ROWS, lambda x: Q.layer_norm(x, [8], None, None, 1e-5, 0.03, 99), 1),
    "group_norm": (IMAGE, lambda x: Q.group_norm(x, 2, W4, W4, 1e-5, 0.03, 99), 1),
    "instance_norm": (IMAGE, lambda x: Q.instance_norm(x, W4, W4, 1e-5, 0.03, 99), 1),
    "softmax": (ROWS, lambda x: Q.softmax(x, 2, 1 / 256, 0), 1),
    "prelu": (IMAGE, lambda x: Q.prelu(x, quantized_constant(W4.abs()), 0.05, 99), 1),
    "hardswish": (ROWS, lambda x: Q.hardswish(x, 0.04, 20), 1),
    "quantized_sigmoid": (ROWS, lambda x: Q.sigmoid(x, 0.005, 10), 1),
    "elu": (ROWS, lambda x: Q.elu(x, 0.04, 40, 1.5, 1, 1), 1),
    "celu": (ROWS, lambda x: Q.celu(x, 0.04, 40, 1.5), 1),
    "quantized_leaky_relu": (ROWS, lambda x: Q.leaky_relu(x, 0.1, False, 0.04, 40), 1),
    "leaky_relu": (ROWS, lambda x: F.leaky_relu(x, 0.1), 1),
    "threshold": (ROWS, lambda x: F.threshold(x, 0.3, -2.0), 1),
    "gelu": (ROWS, F.gelu, 1),
    "sigmoid": (ROWS, torch.sigmoid, 1),
    "tanh": (ROWS, torch.tanh, 1),
    "hardsigmoid": (ROWS, F.hardsigmoid, 1),
    "relu": (ROWS, F.relu, 0),
    "relu_": (ROWS, lambda x: torch.add(torch.relu_(x).dequantize(), x.dequantize()), 0),
    "quantized_relu6": (ROWS, lambda x: Q.relu6(x, False), 0),
    "hardtanh": (ROWS, lambda x: F.hardtanh(x, -0.5, 2.0), 0),
    "clamp": (ROWS, lambda x: torch.clamp(x, -0.5, 2.0), 0),
    "clamp_min": (ROWS, lambda x: torch.clamp(x, min=-0.5), 0),
    "max_pool1d": (IMAGE[:3], lambda x: F.max_pool1d(x, 3, 2, 1), 0),
    "max_pool2d": (IMAGE, lambda x: F.max_pool2d(x, 3, 2, 1), 0),
    "avg_pool2d": (IMAGE, lambda x: F.avg_pool2d(x, 3, 2, 1), 1),
    "avg_pool3d": (CLIP, lambda x: F.avg_pool3d(x, 2), 1),
    "adaptive_avg_pool2d": (IMAGE, lambda x: F.adaptive_avg_pool2d(x, (2, 3)), 1),
    "adaptive_avg_pool3d": (CLIP, lambda x: F.adaptive_avg_pool3d(x, (1, 2, 3)), 1),
    "mean": (IMAGE, lambda x: x.mean([2, 3]), 1),
    "mean_keepdim": (IMAGE, lambda x: x.mean([2, 3], keepdim=True), 1),
    "nearest": (IMAGE, lambda x: F.interpolate(x, scale_factor=2.0), 0),
    "bilinear": (IMAGE, lambda x: F.interpolate(x, size=[9, 9], mode="bilinear"), 1),
    "pad": (IMAGE, lambda x: F.pad(x, [1, 2, 0, 1]), 0),
    "pad_value": (IMAGE, lambda x: F.pad(x, [1, 2, 0, 1], value=1.0), 0),
    "reflection_pad": (IMAGE, lambda x: F.pad(x, [1, 2, 0, 1], mode="reflect"), 0),
    "pixel_shuffle": (IMAGE, lambda x: F.pixel_shuffle(x, 2), 0),
    "channel_shuffle": (IMAGE, lambda x: F.channel_shuffle(x, 2), 0),
    "chunk": (IMAGE, lambda x: torch.cat(torch.chunk(x, 2, 1)[::-1], 1), 0),
    "view_of_shape": (IMAGE, lambda x: x.view(x.shape[0], -1).unsqueeze(1).permute(1, 0, 2), 0),
    "slice": (IMAGE, lambda x: x[:, 1:3, ::2].contiguous().clone(), 0),
    "repeat": (IMAGE, lambda x: x.repeat(1, 2, 1, 1).squeeze().flatten(1), 0),
    "constant_operand": (
        ROWS,
        lambda x: Q.add(x, quantized_constant(torch.linspace(0, 2, 8)), 0.09, 110),
        1,
    ),
    "int_repr": (ROWS, lambda x: x.int_repr().to(torch.float32) * x.q_scale(), 0),
}


class Quantized(nn.Module):
    """A function between quantize and dequantize."""

    def __init__(self, function, dtype=torch.quint8, zero_point=ZERO):
        super().__init__()
        self.function, self.dtype, self.zero_point = function, dtype, zero_point

    def forward(self, x):
        y = self.function(torch.quantize_per_tensor(x, SCALE, self.zero_point, self.dtype))
        return y.dequantize() if y.is_quantized else y


def check(model, x, scale, steps):
    before = quiet(model, x)
    script = quiet(torch.jit.trace, model, x)
    result = qnative.migrate(script, example_inputs=(x,))
    assert not result.kept and old_kinds(result.module) == set()
    after = result.module(x)
    assert after.shape == before.shape
    assert (after - before).abs().max() <= steps * scale * 1.001


def spread(shape):
    torch.manual_seed(0)
    # Multiples of the scale: both quantize them to the same codes.
    return (torch.randn(shape) * 40).round().clamp(-100, 100) * SCALE


@pytest.mark.parametrize("name", CASES)
def test_op(name):
    shape, function, steps = CASES[name]
    x = spread(shape)
    model = Quantized(function)
    y = quiet(function, quiet(torch.quantize_per_tensor, x, SCALE, ZERO, torch.quint8))
    check(model, x, y.q_scale() if y.is_quantized else 1.0, steps)


SIGNED = ["add_scalar", "sigmoid", "tanh", "hardsigmoid", "relu", "clamp", "cat", "max_pool2d"]


@pytest.mark.parametrize("name", SIGNED)
def test_signed_op(name):
    shape, function, steps = CASES[name]
    x = spread(shape)
    y = quiet(function, quiet(torch.quantize_per_tensor, x, SCALE, -8, torch.qint8))
    check(Quantized(function, torch.qint8, -8), x, y.q_scale(), steps)
