"""torch.library.opcheck for every op of the registry, on every kind of input that its Meta kernel
tells apart. A new op without a case fails."""

import pytest
import torch

import qnative  # noqa: F401

OPS = torch.ops.qnative
GENERATOR = torch.Generator().manual_seed(0)


def u8(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=GENERATOR)


def s8(*shape):
    return torch.randint(-128, 128, shape, dtype=torch.int8, generator=GENERATOR)


def channels_last(x):
    return x.to(memory_format=torch.channels_last)


def scales(n):
    return torch.rand(n, generator=GENERATOR) + 0.5


def linear_args(x, y_dtype, *activation, bias=True):
    weight = s8(5, 7)
    packed = OPS.linear_pack(weight)
    b = torch.randn(5, generator=GENERATOR) if bias else None
    return (x, 0.1, 3, packed, scales(5), b, [5, 7], 0.7, 4, y_dtype, *activation)


def conv_args(x, weight, groups, padding, y_dtype=torch.uint8, stride=(1,), dilation=(1,)):
    packed = OPS.conv2d_pack(weight, groups)
    n = len(weight)
    return (
        *(x, 0.1, 3, packed, scales(n), torch.randn(n), list(weight.shape)),
        *(list(stride), padding, list(dilation), groups, 0.7, 4, y_dtype, "relu"),
    )


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR)


OUTPUT = (0.2, 4, torch.int8)


def norm_args(x, *args, affine=True, output=OUTPUT):
    """x, its parameters, args, weight, bias, eps and the output's parameters."""
    weights = (normal(x.shape[1]), normal(x.shape[1])) if affine else (None, None)
    return (x, 0.1, 3, *args, *weights, 1e-5, *output)


def running_args(x, *args, output=OUTPUT):
    c = x.shape[1]
    statistics = (normal(c), scales(c))
    return (x, 0.1, 3, normal(c), None, *statistics, *args, 1e-5, *output)


def binary_args(a, b, y_dtype=torch.uint8):
    return (a, 0.1, 3, b, 0.2, 4, 0.3, 5, y_dtype, "clamp", [0.0, 4.0])


AVG = (0.1, 3, [3, 2], [2], [1], True, False, None, 0.2, 4, torch.int8)
CASES = {
    "quantize_per_tensor": [
        (torch.randn(2, 3, 4, 5), 0.1, 3, torch.uint8),
        (channels_last(torch.randn(2, 3, 4, 5)), 0.1, 3, torch.int8),
        (torch.randn(4, 6).half()[:, ::2].t(), 0.1, 3, torch.int8),
        (torch.randn(4, requires_grad=True), 0.1, 3, torch.int8),
        (torch.randn(0, 4), 0.1, 3, torch.int8),
    ],
    "dequantize_per_tensor": [(u8(2, 3, 4, 5), 0.1, 3), (channels_last(s8(2, 3, 4, 5)), 0.1, 3)],
    "quantize_per_channel": [
        (torch.randn(2, 3, 4), scales(3), torch.zeros(3, dtype=torch.int64), 1, torch.int8),
        (
            channels_last(torch.randn(2, 3, 4, 5)),
            *(scales(3).double(), torch.ones(3, dtype=torch.int32), -3, torch.uint8),
        ),
    ],
    "dequantize_per_channel": [
        (s8(2, 3, 4), scales(3), torch.zeros(3, dtype=torch.int64), 1),
        (s8(2, 3, 4), scales(4), None, -1),
    ],
    "choose_qparams": [(torch.randn(3, 4), torch.uint8), (torch.randn(5).half(), torch.int8)],
    "linear": [
        linear_args(u8(4, 7), torch.uint8),
        linear_args(s8(2, 3, 7), torch.int8, "relu6"),
        linear_args(u8(7), torch.float32, "clamp", [-1.0, 1.0], bias=False),
        linear_args(u8(0, 7), torch.uint8),
        linear_args(u8(7, 4).t(), torch.uint8),
    ],
    "linear_pack": [(s8(5, 7),), (s8(7, 40).t(),)],
    "linear_unpack": [(OPS.linear_pack(s8(5, 7)), [5, 7])],
    "conv2d": [
        conv_args(u8(2, 4, 6, 7), s8(3, 4, 3, 3), 1, [1]),
        conv_args(
            channels_last(s8(2, 4, 6, 7)), s8(4, 2, 3, 2), 2, [1, 0], torch.int8, (2, 1), (1, 2)
        ),
        conv_args(u8(8, 6, 7), s8(8, 1, 3, 3), 8, [1], torch.float32),
        conv_args(u8(0, 4, 6, 7), s8(3, 4, 3, 3), 1, [1]),
    ],
    "conv2d.padding": [
        conv_args(u8(2, 4, 6, 7), s8(3, 4, 2, 3), 1, "same", dilation=(1, 2)),
        conv_args(u8(4, 6, 7), s8(3, 4, 3, 3), 1, "valid", stride=(2,)),
    ],
    "conv2d_pack": [(s8(6, 4, 3, 2), 1), (s8(6, 1, 3, 3), 6), (channels_last(s8(6, 4, 3, 3)), 2)],
    "conv2d_unpack": [(OPS.conv2d_pack(s8(6, 4, 3, 2), 3), [6, 4, 3, 2], 3)],
    "add": [
        binary_args(u8(2, 3, 4, 5), u8(2, 3, 4, 5)),
        binary_args(channels_last(u8(2, 3, 4, 5)), channels_last(s8(2, 3, 4, 5)), torch.int8),
        binary_args(channels_last(u8(2, 3, 4, 5)), u8(2, 3, 4, 5)),
        binary_args(channels_last(u8(2, 3, 4, 5)), u8(3, 1, 1)),
        binary_args(u8(3, 4).t(), u8(1, 3)),
        binary_args(u8(3, 1), u8(4)),
        binary_args(u8(), u8(0, 3)),
    ],
    "mul": [binary_args(u8(2, 3), s8(2, 1)), binary_args(u8(2, 6)[:, ::2], s8(2, 6)[:, 1::2])],
    "cat": [
        ([u8(2, 3), s8(2, 4)], [0.1, 0.2], [3, 4], 1, 0.3, 5, torch.uint8),
        (
            [channels_last(u8(2, 3, 4, 5)), channels_last(u8(2, 1, 4, 5))],
            *([0.1, 0.1], [3, 3], -3, 0.1, 3, torch.uint8),
        ),
        ([u8(0), u8(2, 3)], [0.1, 0.2], [3, 4], -2, 0.3, 5, torch.int8),
    ],
    "lookup": [
        (u8(2, 3, 4, 5), s8(256)),
        (channels_last(s8(2, 3, 4, 5)), u8(256)),
        (s8(5, 6)[:, 1:4], u8(256)),
    ],
    "max_pool2d": [
        (u8(2, 3, 6, 7), [3]),
        (channels_last(s8(2, 3, 6, 7)), [3, 2], [2], [1], [1, 2], True),
        (u8(3, 6, 7), [2]),
    ],
    "avg_pool2d": [(u8(2, 3, 6, 7), *AVG), (channels_last(s8(2, 3, 6, 7)), *AVG)],
    "adaptive_avg_pool2d": [
        (u8(2, 3, 6, 7), 0.1, 3, [1], 0.2, 4, torch.uint8),
        (channels_last(u8(2, 3, 6, 7)), 0.1, 3, [4, 3], 0.2, 4, torch.int8),
    ],
    "mean": [
        (u8(2, 3, 6, 7), 0.1, 3, [2, 3], False, 0.2, 4, torch.uint8),
        (s8(2, 3, 6), 0.1, 3, [-1], True, 0.2, 4, torch.int8),
        (s8(2, 3, 6), 0.1, 3, None, False, 0.2, 4, torch.int8),
    ],
    "layer_norm": [
        (u8(2, 3, 4), 0.1, 3, [4], normal(4), normal(4), 1e-5, *OUTPUT),
        (s8(4, 3, 2).transpose(0, 2), 0.1, 3, [3, 4], None, None, 1e-5, 1.0, 0, torch.float32),
        (u8(0, 4), 0.1, 3, [4], None, normal(4), 1e-5, *OUTPUT),
    ],
    "group_norm": [
        norm_args(u8(2, 6, 5), 3),
        norm_args(channels_last(s8(2, 4, 5, 6)), 2, affine=False),
        norm_args(u8(2, 4, 2, 3, 3).to(memory_format=torch.channels_last_3d), 1),
        norm_args(u8(3, 4), 2),
        norm_args(u8(0, 4, 3), 2),
    ],
    "instance_norm": [
        (u8(2, 3, 5), 0.1, 3, None, None, None, None, True, 1e-5, *OUTPUT),
        running_args(channels_last(s8(2, 4, 5, 6)), False),
        running_args(u8(2, 3, 4, 5), True),
    ],
    "batch_norm": [
        running_args(u8(2, 3, 5)),
        running_args(channels_last(s8(2, 4, 5, 6)), output=(*OUTPUT, "relu")),
        running_args(u8(3, 4), output=(*OUTPUT, "clamp", [0.0, 4.0])),
    ],
    "softmax": [
        (u8(2, 3, 5), 0.1, 3, -1, 1 / 256, 0, torch.uint8),
        (channels_last(s8(2, 3, 4, 5)), 0.1, 3, 1, 1 / 256, -128, torch.int8),
        (u8(3, 4).t(), 0.1, 3, 0, 1.0, 0, torch.float32),
        (u8(), 0.1, 3, 0, 1 / 256, 0, torch.uint8),
        (u8(2, 0), 0.1, 3, 1, 1 / 256, 0, torch.uint8),
    ],
    "prelu": [
        (u8(2, 3, 4), 0.1, 3, normal(3), *OUTPUT),
        (channels_last(s8(2, 3, 4, 5)), 0.1, 3, normal(3), *OUTPUT),
        (u8(5), 0.1, 3, normal(1), *OUTPUT),
    ],
}


def registered() -> set[str]:
    return {
        schema.name.removeprefix("qnative::") + ("." + schema.overload_name).rstrip(".")
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("qnative::")
    }


def test_every_op_has_a_case():
    assert registered() == set(CASES)


@pytest.mark.parametrize(
    "name, args",
    [
        pytest.param(name, args, id=f"{name}-{i}")
        for name in CASES
        for i, args in enumerate(CASES[name])
    ],
)
def test_opcheck(name, args):
    packet, _, overload = name.partition(".")
    torch.library.opcheck(getattr(getattr(OPS, packet), overload or "default"), args)
