"""Shared by the error tests of the ops: valid arguments, tables of errors, checks."""

import pytest
import torch

import qnative  # noqa: F401

OPS = torch.ops.qnative
INF, NAN = float("inf"), float("nan")


def u8(*shape):
    return torch.zeros(shape, dtype=torch.uint8)


def s8(*shape):
    return torch.zeros(shape, dtype=torch.int8)


def s16(*shape):
    return torch.zeros(shape, dtype=torch.int16)


def floats(*shape):
    return torch.zeros(shape)


def halves(*shape):
    return floats(*shape).half()


LINEAR = {
    **{"x": u8(2, 7), "x_scale": 0.1, "x_zero_point": 3, "weight": OPS.linear_pack(s8(5, 7))},
    **{"weight_scale": torch.ones(5), "bias": None, "weight_shape": [5, 7]},
    **{"y_scale": 0.1, "y_zero_point": 3, "y_dtype": torch.uint8},
    **{"activation": "none", "activation_args": []},
}
BINARY = {
    **{"a": u8(2, 3), "a_scale": 0.1, "a_zero_point": 3},
    **{"b": s8(2, 3), "b_scale": 0.1, "b_zero_point": 3},
    **{"y_scale": 0.1, "y_zero_point": 3, "y_dtype": torch.uint8},
    **{"activation": "none", "activation_args": []},
}
OUTPUT = {"y_scale": 0.1, "y_zero_point": 3, "y_dtype": torch.uint8}
INPUT = {"x": u8(2, 3, 6, 6), "x_scale": 0.1, "x_zero_point": 3}
PER_CHANNEL = {
    **{"scale": torch.ones(3), "zero_point": torch.zeros(3, dtype=torch.int64), "axis": 1},
}

REAL = "x must be Float, Half, BFloat16 or Double, got "
NO_SCALE = " must be a positive normal float32, got "
IN_U8 = r"must be in \[0, 255\] for Byte, got "
IN_S8 = r"must be in \[-128, 127\] for Char, got "


def scale_errors(name):
    return [({name: value}, f"{name}{NO_SCALE}{value:g}") for value in (0.0, -1.0, INF, NAN, 1e-50)]


def input_errors(name, scale, zero_point, dtypes="Byte or Char"):
    return [
        ({name: floats(2, 3)}, f"{name} must be {dtypes}, got Float"),
        *scale_errors(scale),
        ({name: u8(2, 3), zero_point: -1}, f"{zero_point} {IN_U8}-1"),
        ({name: s8(2, 3), zero_point: 128}, f"{zero_point} {IN_S8}128"),
    ]


def word_errors(name, scale, zero_point):
    """Those of an input that may be int16."""
    return [
        *input_errors(name, scale, zero_point, "Byte, Char or Short"),
        ({name: s16(2, 3), zero_point: 1}, f"{zero_point} must be 0 for Short, got 1"),
    ]


def half_errors(name):
    return [
        ({name: floats(2, 3)}, f"{name} must be Half, got Float"),
        ({name: u8(2, 3)}, f"{name} must be Half, got Byte"),
        ({name: floats(2, 3).bfloat16()}, f"{name} must be Half, got BFloat16"),
    ]


def output_errors(dtypes="Byte or Char"):
    return [
        *scale_errors("y_scale"),
        ({"y_zero_point": 256}, f"y_zero_point {IN_U8}256"),
        ({"y_zero_point": -129, "y_dtype": torch.int8}, f"y_zero_point {IN_S8}-129"),
        ({"y_dtype": torch.int32}, f"y_dtype must be {dtypes}, got Int"),
        (
            {"y_dtype": torch.int16},
            "y_zero_point must be 0 for Short, got 3"
            if "Short" in dtypes
            else f"y_dtype must be {dtypes}, got Short",
        ),
    ]


def pair_errors(name, least, rank_error=True, counts="1 or 2"):
    bounds = rf"{name} must be in \[{least}, 2\^31\), got "
    return [
        ({name: [1, 2, 3]}, rf"{name} must have {counts} values, got \[1, 2, 3\]"),
        *([({name: []}, rf"{name} must have {counts} values, got \[\]")] if rank_error else []),
        ({name: [least - 1]}, rf"{bounds}\[{least - 1}\]"),
        ({name: [1, 2**31]}, rf"{bounds}\[1, 2147483648\]"),
        ({name: [2**62, 1]}, rf"{bounds}\[4611686018427387904, 1\]"),
    ]


IMAGE_ERRORS = [
    ({"x": u8(6, 6)}, r"x must be \[N, C, H, W\] or \[C, H, W\], got \[6, 6\]"),
    ({"x": u8(1, 1, 1, 6, 6)}, r"x must be \[N, C, H, W\] or \[C, H, W\], got \[1, 1, 1, 6, 6\]"),
    ({"x": u8(2, 4, 0, 6)}, r"must be in \[1, 2\^31\), got \[2, 4, 0, 6\]"),
]
ACTIVATION_ERRORS = [
    ({"activation": "gelu"}, "activation must be one of none, relu, relu6, clamp, got 'gelu'"),
    ({"activation": "clamp"}, "activation 'clamp' takes 2 activation_args, got 0"),
    ({"activation_args": [1.0]}, "activation 'none' takes 0 activation_args, got 1"),
    (
        {"activation": "clamp", "activation_args": [1.0, 0.0]},
        r"activation_args of clamp must be \[min, max\] with min <= max, got \[1, 0\]",
    ),
    (
        {"activation": "clamp", "activation_args": [NAN, 0.0]},
        r"activation_args of clamp must be \[min, max\] with min <= max, got \[nan, 0\]",
    ),
]
FUNCTION_NAMES = (
    "one of none, relu, relu6, clamp, gelu, gelu_tanh, silu, sigmoid, tanh, hardswish, "
    "hardsigmoid, got "
)
RANGE_ERRORS = [
    ({"dtype": torch.int32}, "dtype must be Byte or Char, got Int"),
    (
        {"dtype": torch.uint8, "quant_min": -1},
        r"quant_min < quant_max must lie in \[0, 255\] for Byte, got -1 and 255",
    ),
    (
        {"dtype": torch.int8, "quant_min": 5, "quant_max": 5},
        r"quant_min < quant_max must lie in \[-128, 127\] for Char, got 5 and 5",
    ),
]
AXIS_ERRORS = [
    ({"axis": 2}, r"axis must be in \[-2, 1\], got 2"),
    ({"axis": -3}, r"axis must be in \[-2, 1\], got -3"),
    ({"scale": torch.ones(2)}, r"scale must have shape \[3\], got \[2\]"),
    ({"scale": torch.ones(3, 1)}, r"scale must have shape \[3\], got \[3, 1\]"),
    ({"scale": torch.ones(3).half()}, "scale must be Float or Double, got Half"),
    ({"zero_point": torch.zeros(3)}, "zero_point must be Int or Long, got Float"),
    ({"zero_point": torch.zeros(2).long()}, r"zero_point must have shape \[3\], got \[2\]"),
]
AXIS_VALUE_ERRORS = [
    ({"scale": torch.tensor([1, 0, 1.0])}, f"scale{NO_SCALE}0"),
    ({"scale": torch.tensor([1, 1, NAN])}, f"scale{NO_SCALE}nan"),
    ({"zero_point": torch.tensor([0, 0, 300])}, f"zero_point {IN_S8}300"),
]
PACKED = "weight must be a packed weight of "
WEIGHT_ERRORS = [
    ({"weight": u8(64)}, "weight must be Char, got Byte"),
    ({"weight": s8(64)}, rf"{PACKED}\d+ contiguous bytes to fit weight_shape, got shape \[64\]"),
    ({"weight": s8(8, 8)}, rf"{PACKED}.*got shape \[8, 8\]"),
    ({"weight_shape": [5]}, r"weight_shape must be \[.*\], each in \[1, 2\^31\), got \[5\]"),
]
CHANNEL_ERRORS = [
    ({"weight_scale": torch.ones(4)}, r"weight_scale must have shape \[\d\] .*, got \[4\]"),
    ({"weight_scale": torch.ones(5, 1)}, r"weight_scale must have shape .*, got \[5, 1\]"),
    ({"weight_scale": torch.ones(5).half()}, "weight_scale must be Float, got Half"),
    ({"bias": torch.ones(4)}, r"bias must have shape \[\d\] .*, got \[4\]"),
    ({"bias": torch.ones(5).double()}, "bias must be Float, got Double"),
    ({"bias": torch.ones(5).int()}, "bias must be Float, got Int"),
]


def channel_value_errors(n):
    last = n - 1
    bad = {value: torch.tensor([1.0] * last + [value]) for value in (0.0, -1.0, INF, NAN, 3e38)}
    overflow = r"x_scale \* weight_scale / y_scale overflows float32"
    refused = "weight_scale must be positive and finite, got "
    return [
        *(
            ({"weight_scale": bad[value]}, f"{refused}{value:g} for output channel {last}")
            for value in (0.0, -1.0, INF, NAN)
        ),
        (
            {"weight_scale": bad[3e38], "x_scale": 10.0},
            f"{overflow} for output channel {last}",
        ),
    ]


LINEAR_ERRORS = [
    *input_errors("x", "x_scale", "x_zero_point"),
    *WEIGHT_ERRORS,
    *CHANNEL_ERRORS,
    *output_errors("Byte, Char, Short or Float"),
    *ACTIVATION_ERRORS,
]
BINARY_ERRORS = [
    *word_errors("a", "a_scale", "a_zero_point"),
    *word_errors("b", "b_scale", "b_zero_point"),
    ({"b": u8(2, 4)}, r"shapes do not broadcast: \[2, 3\] and \[2, 4\]"),
    *output_errors("Byte, Char or Short"),
    *ACTIVATION_ERRORS,
]
POOL_ERRORS = [
    *IMAGE_ERRORS,
    *pair_errors("kernel_size", 1),
    *pair_errors("stride", 1, rank_error=False),
    *pair_errors("padding", 0),
    ({"padding": [2]}, r"padding must be at most half of kernel_size, got \[2\] and \[3\]"),
    ({"kernel_size": [7], "padding": [0]}, "the window spans 7 rows or columns, .* has only 6"),
]
OVERFLOW = "the ratio of the scales overflows float32"
RATIO_ERRORS = [({"x_scale": 1e38, "y_scale": 1e-37}, OVERFLOW)]
AVERAGE_ERRORS = [
    *input_errors("x", "x_scale", "x_zero_point"),
    *output_errors(),
    *RATIO_ERRORS,
]


def call(name, args):
    packet, _, overload = name.partition(".")
    return getattr(getattr(OPS, packet), overload or "default")(**args)


def to_meta(value):
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    if isinstance(value, list):
        return [to_meta(item) for item in value]
    return value


def cases(errors: dict) -> list:
    return [
        pytest.param(name, changes, message, id=f"{name}-{i}")
        for name, table in errors.items()
        for i, (changes, message) in enumerate(table)
    ]


def check_valid(name, args):
    """CPU and Meta agree on arguments without errors."""
    cpu = call(name, args)
    meta = call(name, {key: to_meta(value) for key, value in args.items()})
    for y, z in zip(cpu, meta, strict=True) if isinstance(cpu, tuple) else [(cpu, meta)]:
        if not isinstance(y, torch.Tensor):
            assert y == z
        else:
            assert (y.shape, y.dtype, y.stride()) == (z.shape, z.dtype, z.stride())


def check_value_error(name, args, message):
    """Checks an error in values, which Meta tensors do not have."""
    op = name.partition(".")[0]
    with pytest.raises(RuntimeError, match=f"qnative::{op}: .*{message}"):
        call(name, args)


def check_error(name, args, message):
    check_value_error(name, args, message)
    op = name.partition(".")[0]
    with pytest.raises(RuntimeError, match=f"qnative::{op}: .*{message}"):
        call(name, {key: to_meta(value) for key, value in args.items()})


def error_tests(valid: dict, errors: dict, value_errors: dict | None = None) -> list:
    """The tests of an error file, on CPU and Meta: the arguments of each op are valid; with some
    of them changed, the op raises the message. ``value_errors``, which Meta tensors do not have,
    are tested on CPU only."""

    @pytest.mark.parametrize("name", valid)
    def test_valid(name):
        check_valid(name, valid[name])

    @pytest.mark.parametrize("name, changes, message", cases(errors))
    def test_error(name, changes, message):
        check_error(name, {**valid[name], **changes}, message)

    if value_errors is None:
        return [test_valid, test_error]

    @pytest.mark.parametrize("name, changes, message", cases(value_errors))
    def test_error_in_values(name, changes, message):
        check_value_error(name, {**valid[name], **changes}, message)

    return [test_valid, test_error, test_error_in_values]
