"""Calls of every op: one per kind of input that its Meta kernel distinguishes."""

import torch

import qnative  # noqa: F401
from support.rnn import Net

OPS = torch.ops.qnative
GENERATOR = torch.Generator().manual_seed(0)


def u8(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=GENERATOR)


def s8(*shape):
    return torch.randint(-128, 128, shape, dtype=torch.int8, generator=GENERATOR)


def s16(*shape):
    return torch.randint(-32768, 32768, shape, dtype=torch.int16, generator=GENERATOR)


def f16(*shape):
    return torch.randn(shape, generator=GENERATOR).half()


def f32(*shape):
    return torch.randn(shape, generator=GENERATOR)


mask = f32


def attention_args(q, k, v, *options, dtype=torch.uint8):
    return (q, 0.1, 3, k, 0.1, 4, v, 0.1, 5, 0.1, 0, dtype, *options)


def channels_last(x):
    return x.to(memory_format=torch.channels_last)


def scales(n):
    return torch.rand(n, generator=GENERATOR) + 0.5


def linear_args(x, y_dtype, *activation, bias=True):
    weight = s8(5, 7)
    packed = OPS.linear_pack(weight)
    b = torch.randn(5, generator=GENERATOR) if bias else None
    return (x, 0.1, 3, packed, scales(5), b, [5, 7], 0.7, 4, y_dtype, *activation)


def float_linear_args(x, *activation, dynamic=False, bias=True):
    b = torch.randn(5, generator=GENERATOR) if bias else None
    if dynamic:
        return (x, OPS.linear_pack(s8(5, 7)), scales(5), b, [5, 7], *activation)
    weight = torch.randn(5, 7, generator=GENERATOR)
    return (x, OPS.linear_fp16_pack(weight), b, [5, 7], *activation)


def linear_4bit_args(x, group_size, *activation, bias=True):
    b = torch.randn(5, generator=GENERATOR) if bias else None
    weight = OPS.linear_4bit_pack(torch.randn(5, 7, generator=GENERATOR), group_size)
    return (x, weight, b, [5, 7], group_size, *activation)


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


def conv_dynamic_args(op, x, weight, channels, groups, *geometry, activation="relu"):
    packed = getattr(OPS, f"{op}_pack")(weight, groups)
    return (
        *(x, packed, scales(channels), torch.randn(channels), list(weight.shape)),
        *(*geometry, groups, activation),
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
    bias = normal(c) if x.dim() == 4 else None
    return (x, 0.1, 3, normal(c), bias, *statistics, *args, 1e-5, *output)


def binary_args(a, b, y_dtype=torch.uint8):
    return (a, 0.1, 3, b, 0.2, 4, 0.3, 5, y_dtype, "clamp", [0.0, 4.0])


def rnn_args(cell, proj=0, layers=1, bias=True, half=False):
    net = Net(cell, 4, 6, proj, layers, directions=2).fill(GENERATOR, half, bias)
    return (*net.packed(), *net.sizes())


def cell_args(cell, half=False):
    return (*Net(cell, 4, 6).fill(GENERATOR, half, bias=True).packed(), 4, 6)


STEPS = torch.tensor([3, 3, 1])


def table(bits):
    weight = torch.randn(9, 5, generator=GENERATOR)
    packed = getattr(OPS, f"embedding_{bits}bit_pack")(weight)
    return (packed,) if bits == 8 else (packed, 5)


def bag_args(*first):
    indices, offsets = torch.tensor([8, 0, 3, 3]), torch.tensor([0, 1, 1])
    return [
        (*first, indices.view(2, 2)),
        (*first, indices.int(), offsets, 1),
        (*first, indices, offsets, 0, torch.rand(4), True, 3),
        (*first, indices[:0].view(2, 0), None, 2),
    ]


AVG = (0.1, 3, [3, 2], [2], [1], True, False, None, 0.2, 4, torch.int8)
CASES = {
    "embedding_8bit": [(*table(8), torch.tensor([[0, 8], [1, 1]])), (*table(8), torch.tensor(2))],
    "embedding_4bit": [(*table(4), torch.tensor([0, 8]).int())],
    "embedding_bag_8bit": bag_args(*table(8)),
    "embedding_bag_4bit": bag_args(*table(4)),
    "embedding_8bit_pack": [(torch.randn(4, 5),), (torch.randn(5, 4).half().t(),)],
    "embedding_4bit_pack": [(torch.randn(4, 5),), (torch.randn(5, 4).t(),)],
    "embedding_8bit_unpack": [table(8)],
    "embedding_4bit_unpack": [table(4)],
    "quantize_per_tensor": [
        (torch.randn(2, 3, 4, 5), 0.1, 3, torch.uint8),
        (channels_last(torch.randn(2, 3, 4, 5)), 0.1, 3, torch.int8),
        (torch.randn(4, 6).half()[:, ::2].t(), 0.1, 3, torch.int8),
        (torch.randn(4, requires_grad=True), 0.1, 3, torch.int8),
        (torch.randn(0, 4), 0.1, 3, torch.int8),
        (torch.randn(4, 6).t(), 0.1, 0, torch.int16),
    ],
    "dequantize_per_tensor": [
        (u8(2, 3, 4, 5), 0.1, 3),
        (channels_last(s8(2, 3, 4, 5)), 0.1, 3),
        (s16(2, 3), 0.1, 0),
    ],
    "requantize": [
        (s16(2, 3, 4), 0.1, 0, 0.2, 4, torch.int8),
        (channels_last(u8(2, 3, 4, 5)), 0.1, 3, 0.2, 0, torch.int16),
        (s8(0, 4), 0.1, 3, 0.2, 4, torch.uint8),
    ],
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
        (*linear_args(u8(2, 7), None)[:7], 0.001, 0, torch.int16),
        linear_args(u8(0, 7), torch.uint8),
        linear_args(u8(7, 4).t(), torch.uint8),
    ],
    "linear_dynamic": [
        float_linear_args(torch.randn(4, 7), dynamic=True),
        float_linear_args(torch.randn(2, 3, 7), "gelu", dynamic=True, bias=False),
        float_linear_args(torch.randn(7, 4).t(), "clamp", [-1.0, 1.0], dynamic=True),
        float_linear_args(torch.randn(0, 7), dynamic=True),
        float_linear_args(torch.randn(4, 6), "none", [], [2], dynamic=True),
    ],
    "linear_dynamic_pack": [(f32(5, 7),), (f32(40, 33).t(),), (f32(5, 7), False)],
    "linear_dynamic_fp16": [
        float_linear_args(torch.randn(4, 7)),
        float_linear_args(torch.randn(7), "relu", bias=False),
        float_linear_args(torch.randn(2, 0, 7), "tanh"),
    ],
    "linear_fp16": [
        float_linear_args(torch.randn(4, 7).half()),
        float_linear_args(torch.randn(7, 4).half().t(), "silu", bias=False),
    ],
    "linear_fp16_pack": [(torch.randn(5, 7),), (torch.randn(7, 40).half().t(),)],
    "linear_fp16_unpack": [(OPS.linear_fp16_pack(torch.randn(5, 7)), [5, 7])],
    "linear_4bit": [
        linear_4bit_args(torch.randn(4, 7), 4),
        linear_4bit_args(torch.randn(2, 3, 7), 8, "gelu", bias=False),
        linear_4bit_args(torch.randn(7, 4).t(), 7, "clamp", [-1.0, 1.0]),
        linear_4bit_args(torch.randn(0, 7), 4),
    ],
    "linear_4bit_pack": [(torch.randn(5, 7), 4), (torch.randn(7, 40).half().t(), 1000)],
    "linear_4bit_pack.codes": [(s8(5, 7) // 16, torch.randn(5, 2).bfloat16(), 4)],
    "linear_4bit_unpack": [(OPS.linear_4bit_pack(torch.randn(5, 7), 4), [5, 7], 4)],
    "matmul": [
        binary_args(u8(4, 7), u8(7, 5)),
        binary_args(s8(2, 3, 4, 7), u8(2, 1, 5, 7).transpose(-1, -2), torch.int8),
        binary_args(u8(7), s8(7), torch.float32),
        binary_args(u8(2, 4, 7), s8(7)),
        binary_args(u8(7), s8(3, 7, 2)),
        binary_args(u8(0, 4, 7), s8(7, 2)),
        binary_args(u8(4, 0), s8(0, 2)),
    ],
    "attention": [
        attention_args(u8(2, 3, 5, 8), s8(2, 3, 7, 8), u8(2, 3, 7, 8), mask(5, 7)),
        attention_args(*(u8(2, n, 3, 8).transpose(1, 2) for n in (5, 7, 7)), None, True),
        attention_args(s8(5, 8), u8(7, 8), s8(7, 9), dtype=torch.float32),
        attention_args(u8(4, 1, 5, 8), u8(3, 0, 8), u8(3, 0, 8), dtype=torch.int8),
        attention_args(u8(2, 3, 0, 8), u8(2, 3, 7, 8), u8(2, 3, 7, 8)),
    ],
    "attention_dynamic": [
        (f32(2, 3, 5, 8), f32(2, 3, 7, 8), f32(2, 3, 7, 8), mask(2, 1, 1, 7) > 0),
        (f32(2, 5, 3, 8).transpose(1, 2), f32(2, 3, 7, 8), f32(2, 3, 7, 8), None, True),
        (f32(2, 3, 8, 5).mT, f32(2, 3, 7, 8), f32(2, 3, 7, 8)),
        (f32(2, 8), f32(7, 8), f32(7, 9), mask(2, 7)),
        (f32(4, 1, 5, 8), f32(3, 0, 8), f32(3, 0, 8)),
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
    **{
        f"conv{d}d_dynamic": [
            conv_dynamic_args(
                *(f"conv{d}d", f32(2, 4, *[6] * d), s8(6, 2, *[3] * d), 6, 2),
                *([2], [1], [1]),
                activation="gelu",
            ),
            conv_dynamic_args(
                f"conv{d}d", f32(4, *[6] * d), s8(4, 1, *[3] * d), 4, 4, [1], [1], [1]
            ),
            conv_dynamic_args(
                f"conv{d}d", f32(0, 4, *[6] * d), s8(6, 4, *[3] * d), 6, 1, [1], [0], [1]
            ),
        ]
        for d in (1, 2, 3)
    },
    **{
        f"conv{d}d_dynamic.padding": [
            conv_dynamic_args(
                f"conv{d}d", f32(2, 4, *[6] * d), s8(6, 4, *[3] * d), 6, 1, [1], "same", [2]
            )
        ]
        for d in (1, 2, 3)
    },
    **{
        f"conv_transpose{d}d_dynamic": [
            conv_dynamic_args(
                *(f"conv_transpose{d}d", f32(2, 4, *[5] * d), s8(4, 3, *[3] * d), 6, 2),
                *([2], [1], [1], [1]),
            ),
            conv_dynamic_args(
                *(f"conv_transpose{d}d", f32(4, *[5] * d), s8(4, 1, *[2] * d), 4, 4),
                *([3] * d, [0], [0], [2]),
            ),
        ]
        for d in (1, 2, 3)
    },
    **{
        f"{op}{d}d_dynamic_pack": [(f32(6, 4, *[3] * d), 2), (f32(6, 1, *[2] * d), 6)]
        for op in ("conv", "conv_transpose")
        for d in (1, 2, 3)
    },
    "add": [
        binary_args(u8(2, 3, 4, 5), u8(2, 3, 4, 5)),
        binary_args(channels_last(u8(2, 3, 4, 5)), channels_last(s8(2, 3, 4, 5)), torch.int8),
        binary_args(channels_last(u8(2, 3, 4, 5)), u8(2, 3, 4, 5)),
        binary_args(channels_last(u8(2, 3, 4, 5)), u8(3, 1, 1)),
        binary_args(u8(3, 4).t(), u8(1, 3)),
        binary_args(u8(3, 1), u8(4)),
        (s16(2, 3).t(), 0.1, 0, u8(3, 1), 0.2, 4, 0.3, 0, torch.int16),
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
    "lstm": [
        (torch.randn(5, 3, 4), None, None, *rnn_args("lstm"), False),
        (
            *(torch.randn(3, 5, 4), torch.zeros(4, 3, 2), torch.zeros(4, 3, 6)),
            *(*rnn_args("lstm", 2, 2, bias=False, half=True), True),
        ),
        (torch.randn(5, 4), None, None, *rnn_args("lstm"), False),
        (torch.randn(5, 0, 4), None, None, *rnn_args("lstm"), False),
    ],
    "lstm.data": [
        (
            *(torch.randn(7, 4), STEPS, torch.zeros(2, 3, 6), torch.zeros(2, 3, 6)),
            *rnn_args("lstm"),
        ),
    ],
    "gru": [
        (torch.randn(5, 3, 4), None, *rnn_args("gru"), False),
        (torch.randn(3, 5, 4), torch.zeros(4, 3, 6), *rnn_args("gru", 0, 2, half=True), True),
    ],
    "gru.data": [(torch.randn(7, 4), STEPS, torch.zeros(2, 3, 6), *rnn_args("gru"))],
    "lstm_cell": [
        (torch.randn(3, 4), torch.zeros(3, 6), torch.zeros(3, 6), *cell_args("lstm")),
        (torch.randn(4), None, None, *cell_args("lstm", half=True)),
    ],
    "gru_cell": [(torch.randn(3, 4), torch.zeros(3, 6), *cell_args("gru"))],
    "rnn_tanh_cell": [(torch.randn(3, 4), torch.zeros(3, 6), *cell_args("rnn_tanh"))],
    "rnn_relu_cell": [
        (torch.randn(3, 4), None, *cell_args("rnn_relu")),
        (torch.randn(4), torch.zeros(6), *cell_args("rnn_relu", half=True)),
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
        (channels_last(f16(2, 3, 6, 7)), [3], [2], [1]),
    ],
    "avg_pool2d": [(u8(2, 3, 6, 7), *AVG), (channels_last(s8(2, 3, 6, 7)), *AVG)],
    "adaptive_avg_pool2d": [
        (u8(2, 3, 6, 7), 0.1, 3, [1], 0.2, 4, torch.uint8),
        (channels_last(u8(2, 3, 6, 7)), 0.1, 3, [4, 3], 0.2, 4, torch.int8),
    ],
    "max_pool1d": [(u8(2, 3, 7), [3], [2], [1], [2], True), (s8(3, 7), [2])],
    "max_pool3d": [
        (u8(2, 3, 4, 6, 7), [2, 3, 2]),
        (u8(2, 3, 4, 6, 7).to(memory_format=torch.channels_last_3d), [3], [2], [1], [1], True),
        (s8(3, 4, 6, 7), [2]),
    ],
    "avg_pool1d": [(u8(2, 3, 7), 0.1, 3, [3], [2], [1], True, False, 0.2, 4, torch.int8)],
    "avg_pool3d": [(u8(2, 3, 4, 6, 7), 0.1, 3, [3], *AVG[3:])],
    "adaptive_avg_pool1d": [(s8(2, 3, 7), 0.1, 3, [4], 0.2, 4, torch.uint8)],
    "adaptive_avg_pool3d": [(s8(2, 3, 4, 6, 7), 0.1, 3, [2, 3, 9], 0.2, 4, torch.uint8)],
    "interpolate": [
        (u8(2, 3, 6, 7), 0.1, 3, None, [2.0, 1.5], "nearest", None, 0.1, 3, torch.uint8),
        (channels_last(u8(2, 3, 6, 7)), 0.1, 3, [9, 4], None, "bilinear", True, *AVG[-3:]),
        (s8(2, 3, 6), 0.1, 3, None, [0.7], "linear", False, *AVG[-3:]),
        (u8(2, 3, 4, 6, 7), 0.1, 3, [5], None, "trilinear", None, *AVG[-3:]),
        (u8(0, 3, 6, 7), 0.1, 3, None, [2.0], "bicubic", None, *AVG[-3:]),
    ],
    "add_fp16": [
        (f16(2, 3, 4, 5), channels_last(f16(2, 3, 4, 5)), "clamp", [0.0, 4.0]),
        (f16(3, 4).t(), f16(1, 3)),
        (f16(), f16(0, 3)),
    ],
    "mul_fp16": [(f16(2, 6)[:, ::2], f16(2, 1), "relu")],
    "pointwise_fp16": [
        (f16(2, 3), "affine", [2.0, 0.5]),
        (channels_last(f16(2, 3, 4, 5)), "floor_divide", [0.3]),
        (f16(5, 6)[:, 1:4], "sigmoid"),
    ],
    "matmul_fp16": [
        (f16(4, 7), f16(7, 5)),
        (f16(2, 3, 4, 7), f16(2, 1, 5, 7).mT, "gelu"),
        (f16(7), f16(3, 7, 2)),
        (f16(2, 4, 7), f16(7), "relu6"),
        (f16(4, 0), f16(0, 2)),
    ],
    "softmax_fp16": [(channels_last(f16(2, 3, 4, 5)), 1), (f16(3, 4).t(), -1), (f16(), 0)],
    "avg_pool1d_fp16": [(f16(2, 3, 7), [3], [2], [1], True, False)],
    "avg_pool2d_fp16": [
        (channels_last(f16(2, 3, 6, 7)), [3, 2], [2], [1], True, False, None),
        (f16(3, 6, 7), [3], [], [1], False, True, 5),
    ],
    "avg_pool3d_fp16": [(f16(2, 3, 4, 6, 7), [3], [2], [1], True, False, None)],
    "adaptive_avg_pool1d_fp16": [(f16(2, 3, 7), [4])],
    "adaptive_avg_pool2d_fp16": [(channels_last(f16(2, 3, 6, 7)), [4, 3]), (f16(3, 6, 7), [1])],
    "adaptive_avg_pool3d_fp16": [(f16(2, 3, 4, 6, 7), [2, 3, 9])],
    "mean_fp16": [(f16(2, 3, 6, 7), [2, 3], False), (f16(2, 3, 6), None, True)],
    "interpolate_fp16": [
        (f16(2, 3, 6, 7), None, [2.0, 1.5], "nearest", None),
        (channels_last(f16(2, 3, 6, 7)), [9, 4], None, "bilinear", True),
        (f16(2, 3, 6), None, [0.7], "linear", False),
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
        (s16(2, 4), 0.1, 0, [4], None, normal(4), 1e-5, 0.1, 0, torch.int16),
    ],
    "rms_norm": [
        (u8(2, 3, 4), 0.1, 3, [4], normal(4), 1e-5, *OUTPUT),
        (s16(4, 3, 2).transpose(0, 2), 0.1, 0, [3, 4], None, None, 1.0, 0, torch.float32),
        (u8(0, 4), 0.1, 3, [4], None, 1e-5, 0.1, 0, torch.int16),
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
