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


def convolution_args(op, x, weight, channels, groups, *geometry, y_dtype=torch.uint8):
    packed = getattr(OPS, f"{op}_pack")(weight, groups)
    return (
        *(x, 0.1, 3, packed, scales(channels), torch.randn(channels), list(weight.shape)),
        *(*geometry, groups, 0.7, 4, y_dtype, "relu"),
    )


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
    "conv1d": [
        convolution_args("conv1d", u8(2, 4, 9), s8(6, 2, 3), 6, 2, [2], [1, 0], [2]),
        convolution_args("conv1d", s8(4, 9), s8(4, 1, 3), 4, 4, [1], [1], [1], y_dtype=torch.int8),
        convolution_args("conv1d", u8(0, 4, 9), s8(6, 4, 3), 6, 1, [1], [1], [1]),
    ],
    "conv1d.padding": [
        convolution_args("conv1d", u8(2, 4, 9), s8(6, 4, 3), 6, 1, [1], "same", [2])
    ],
    "conv3d": [
        convolution_args("conv3d", u8(2, 4, 4, 5, 6), s8(6, 2, 2, 3, 1), 6, 2, [2], [1], [1]),
        convolution_args("conv3d", s8(4, 4, 5, 6), s8(4, 1, 3, 3, 3), 4, 4, [1], [1], [1]),
    ],
    "conv3d.padding": [
        convolution_args("conv3d", u8(2, 4, 4, 5, 6), s8(6, 4, 2, 3, 1), 6, 1, [1], "valid", [1])
    ],
    **{
        f"conv_transpose{d}d": [
            convolution_args(
                *(f"conv_transpose{d}d", u8(2, 4, *[5] * d), s8(4, 3, *[3] * d), 6, 2),
                *([2], [1], [1], [1]),
            ),
            convolution_args(
                *(f"conv_transpose{d}d", s8(4, *[5] * d), s8(4, 1, *[2] * d), 4, 4),
                *([3] * d, [0], [0], [2]),
                y_dtype=torch.float32,
            ),
        ]
        for d in (1, 2, 3)
    },
    **{
        f"{op}_pack": [(s8(6, 4, *[3] * int(op[-2])), 2)]
        for op in ("conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    },
    **{
        f"{op}_unpack": [
            (
                getattr(OPS, f"{op}_pack")(s8(6, 4, *[3] * int(op[-2])), 2),
                *([6, 4, *[3] * int(op[-2])], 2),
            )
        ]
        for op in ("conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    },
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
