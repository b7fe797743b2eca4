"""What every op says about bad input: on CPU and, but for values of tensors, on Meta alike."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import qnative  # noqa: F401

OPS = torch.ops.qnative
INF, NAN = float("inf"), float("nan")


def u8(*shape):
    return torch.zeros(shape, dtype=torch.uint8)


def s8(*shape):
    return torch.zeros(shape, dtype=torch.int8)


def floats(*shape):
    return torch.zeros(shape)


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
VALID = {
    "quantize_per_tensor": {
        **{"x": floats(2, 3), "scale": 0.1, "zero_point": 3, "dtype": torch.uint8},
        **{"quant_min": None, "quant_max": None},
    },
    "dequantize_per_tensor": {"x": u8(2, 3), "scale": 0.1, "zero_point": 3},
    "quantize_per_channel": {"x": floats(2, 3), "dtype": torch.int8, **PER_CHANNEL},
    "dequantize_per_channel": {"x": s8(2, 3), **PER_CHANNEL},
    "choose_qparams": {
        **{"x": floats(2, 3), "dtype": torch.uint8, "quant_min": None, "quant_max": None},
        "eps": 1e-7,
    },
    "linear": LINEAR,
    "linear_pack": {"weight": s8(5, 7)},
    "linear_unpack": {"weight": OPS.linear_pack(s8(5, 7)), "weight_shape": [5, 7]},
    "add": {**BINARY, "alpha": 1.0},
    "mul": BINARY,
    "cat": {
        **{"tensors": [u8(2, 3), s8(2, 3)], "scales": [0.1, 0.2], "zero_points": [3, 4], "dim": 0},
        **OUTPUT,
    },
    "lookup": {"x": u8(2, 3), "table": u8(256)},
    "max_pool2d": {
        **{"x": u8(2, 3, 6, 6), "kernel_size": [3], "stride": [2], "padding": [1]},
        **{"dilation": [1], "ceil_mode": False},
    },
    "avg_pool2d": {
        **INPUT,
        **{"kernel_size": [3], "stride": [2], "padding": [1], "ceil_mode": False},
        **{"count_include_pad": True, "divisor_override": None},
        **OUTPUT,
    },
    "adaptive_avg_pool2d": {**INPUT, "output_size": [2], **OUTPUT},
    **{
        f"max_pool{d}d": {
            **{"x": u8(2, 3, *[6] * d), "kernel_size": [3], "stride": [2], "padding": [1]},
            **{"dilation": [1], "ceil_mode": False},
        }
        for d in (1, 3)
    },
    **{
        f"avg_pool{d}d": {
            **{**INPUT, "x": u8(2, 3, *[6] * d), "kernel_size": [3], "stride": [2]},
            **{"padding": [1], "ceil_mode": False, "count_include_pad": True},
            **({} if d == 1 else {"divisor_override": None}),
            **OUTPUT,
        }
        for d in (1, 3)
    },
    **{
        f"adaptive_avg_pool{d}d": {**INPUT, "x": u8(2, 3, *[6] * d), "output_size": [2], **OUTPUT}
        for d in (1, 3)
    },
    "interpolate": {
        **{**INPUT, "size": [3], "scale_factors": None, "mode": "bilinear"},
        **{"align_corners": None, **OUTPUT},
    },
    "mean": {**INPUT, "dim": [2, 3], "keepdim": False, **OUTPUT},
}


REAL = "x must be Float, Half, BFloat16 or Double, got "
NO_SCALE = " must be a positive normal float32, got "
IN_U8 = r"must be in \[0, 255\] for Byte, got "
IN_S8 = r"must be in \[-128, 127\] for Char, got "


def scale_errors(name):
    return [({name: value}, f"{name}{NO_SCALE}{value:g}") for value in (0.0, -1.0, INF, NAN, 1e-50)]


def input_errors(name, scale, zero_point):
    return [
        ({name: floats(2, 3)}, f"{name} must be Byte or Char, got Float"),
        *scale_errors(scale),
        ({name: u8(2, 3), zero_point: -1}, f"{zero_point} {IN_U8}-1"),
        ({name: s8(2, 3), zero_point: 128}, f"{zero_point} {IN_S8}128"),
    ]


def output_errors(dtypes="Byte or Char"):
    return [
        *scale_errors("y_scale"),
        ({"y_zero_point": 256}, f"y_zero_point {IN_U8}256"),
        ({"y_zero_point": -129, "y_dtype": torch.int8}, f"y_zero_point {IN_S8}-129"),
        ({"y_dtype": torch.int32}, f"y_dtype must be {dtypes}, got Int"),
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
    *output_errors("Byte, Char or Float"),
    *ACTIVATION_ERRORS,
]
BINARY_ERRORS = [
    *input_errors("a", "a_scale", "a_zero_point"),
    *input_errors("b", "b_scale", "b_zero_point"),
    ({"b": u8(2, 4)}, r"shapes do not broadcast: \[2, 3\] and \[2, 4\]"),
    *output_errors(),
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
AVERAGE_ERRORS = [*input_errors("x", "x_scale", "x_zero_point"), *output_errors()]

# (op, changed arguments, message) that CPU and Meta give.
ERRORS = {
    "quantize_per_tensor": [
        ({"x": u8(3)}, f"{REAL}Byte"),
        *scale_errors("scale"),
        ({"zero_point": 256}, f"zero_point {IN_U8}256"),
        *RANGE_ERRORS,
    ],
    "dequantize_per_tensor": input_errors("x", "scale", "zero_point"),
    "quantize_per_channel": [({"x": u8(2, 3)}, f"{REAL}Byte"), *RANGE_ERRORS, *AXIS_ERRORS],
    "dequantize_per_channel": [
        ({"x": floats(2, 3)}, "x must be Byte or Char, got Float"),
        *AXIS_ERRORS,
    ],
    "choose_qparams": [
        ({"x": u8(3)}, f"{REAL}Byte"),
        ({"x": floats(2, 0)}, r"x must have elements, got shape \[2, 0\]"),
        ({"eps": 0.0}, f"eps{NO_SCALE}0"),
        ({"eps": NAN}, f"eps{NO_SCALE}nan"),
        ({"quant_min": 1}, "quant_min and quant_max must include 0, got 1 and 255"),
        *RANGE_ERRORS,
    ],
    "linear": [
        *LINEAR_ERRORS,
        ({"x": u8(2, 6)}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[2, 6\]"),
        ({"x": u8()}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[\]"),
        ({"weight_shape": [5, 2**62]}, r"each in \[1, 2\^31\), got \[5, 4611686018427387904\]"),
        ({"weight_shape": [5, 65794]}, "at most 65793 products can be summed in int32"),
        ({"weight_shape": [-5, 7]}, r"each in \[1, 2\^31\), got \[-5, 7\]"),
    ],
    "linear_pack": [
        ({"weight": u8(5, 7)}, "weight must be Char, got Byte"),
        ({"weight": s8(5)}, r"weight must be \[N, K\], got \[5\]"),
        ({"weight": s8(0, 7)}, r"each in \[1, 2\^31\), got \[0, 7\]"),
    ],
    "linear_unpack": WEIGHT_ERRORS,
    "add": BINARY_ERRORS,
    "mul": BINARY_ERRORS,
    "cat": [
        ({"tensors": [u8(2, 3), floats(2, 3)]}, "tensors must be Byte or Char, got Float"),
        ({"tensors": [u8(2, 3), u8(2, 4)]}, r"but in dimension 0, got \[2, 3\] and \[2, 4\]"),
        ({"tensors": [u8(2, 3), u8(2, 3, 1)]}, r"got \[2, 3\] and \[2, 3, 1\]"),
        ({"tensors": [u8(2, 3), u8()]}, "tensors of no dimensions cannot be joined"),
        ({"scales": [0.1]}, "2 tensors need as many scales and zero_points, got 1 and 2"),
        ({"zero_points": [1, 2, 3]}, "2 tensors need as many scales .*, got 2 and 3"),
        ({"scales": [0.1, 0.0]}, f"scale{NO_SCALE}0"),
        ({"zero_points": [0, 128]}, f"zero_point {IN_S8}128"),
        ({"dim": 2}, r"dim must be in \[-2, 1\], got 2"),
        ({"dim": -3}, r"dim must be in \[-2, 1\], got -3"),
        *output_errors(),
    ],
    "lookup": [
        ({"x": floats(3)}, "x must be Byte or Char, got Float"),
        ({"table": floats(256)}, "table must be Byte or Char, got Float"),
        ({"table": u8(255)}, r"table must have shape \[256\], got \[255\]"),
        ({"table": u8(16, 16)}, r"table must have shape \[256\], got \[16, 16\]"),
    ],
    "max_pool2d": [
        ({"x": floats(2, 3, 6, 6)}, "x must be Byte, Char or Half, got Float"),
        *POOL_ERRORS,
        *pair_errors("dilation", 1),
    ],
    "avg_pool2d": [
        *AVERAGE_ERRORS,
        *POOL_ERRORS,
        ({"divisor_override": 0}, "divisor_override must not be 0"),
    ],
    "adaptive_avg_pool2d": [*AVERAGE_ERRORS, *IMAGE_ERRORS, *pair_errors("output_size", 0)],
    **{
        f"{op}{d}d": [
            ({"x": u8(6)}, r"x must be \[N, C, "),
            ({key: [1, 2, 3, 4]}, f"{key} must have 1 "),
            ({key: [-1]}, rf"{key} must be in \[\d, 2\^31\), got \[-1\]"),
        ]
        for op, key in (
            *(("max_pool", "kernel_size"), ("avg_pool", "stride")),
            ("adaptive_avg_pool", "output_size"),
        )
        for d in (1, 3)
    },
    "interpolate": [
        *AVERAGE_ERRORS,
        ({"x": u8(2, 3)}, r"x must be \[N, C, L\]"),
        ({"mode": "area"}, "mode must be one of nearest, .*, got 'area'"),
        ({"mode": "linear"}, "mode 'linear' needs x of 3 dimensions, got 4"),
        ({"mode": "nearest", "align_corners": True}, "mode 'nearest' takes no align_corners"),
        ({"scale_factors": [2.0]}, "either size or scale_factors must be given, got both"),
        ({"size": None}, "either size or scale_factors must be given, got none"),
        ({"size": [0]}, r"size must be in \[1, 2\^31\), got \[0\]"),
        ({"size": [1, 2, 3]}, "size must have 1 or 2 values"),
        *(
            ({"size": None, "scale_factors": [value]}, message)
            for value, message in (
                (0.0, "scale_factors must be positive and finite"),
                (NAN, "scale_factors must be positive and finite"),
                (1e300, r"sizes of y must be in \[1, 2\^31\)"),
                (0.01, r"sizes of y must be in \[1, 2\^31\), got 0"),
            )
        ),
    ],
    "mean": [
        *AVERAGE_ERRORS,
        ({"dim": [4]}, r"dim must be in \[-4, 3\], got 4"),
        ({"dim": [-5]}, r"dim must be in \[-4, 3\], got -5"),
        ({"dim": [1, -3]}, "dim 1 appears more than once"),
    ],
}
# Errors in values, which Meta tensors do not have.
VALUE_ERRORS = {
    "quantize_per_channel": AXIS_VALUE_ERRORS,
    "dequantize_per_channel": AXIS_VALUE_ERRORS,
    "choose_qparams": [
        ({"x": torch.tensor([1.0, NAN])}, "x must be finite, got values from nan to nan"),
        ({"x": torch.tensor([1.0, -INF])}, "x must be finite, got values from -inf to 1"),
        ({"x": torch.tensor([3e38, -3e38])}, "the range of x overflows"),
    ],
    "linear": channel_value_errors(5),
    "add": [
        ({"alpha": INF}, "alpha must be finite, got inf"),
        ({"a_scale": 1e38, "y_scale": 1e-37}, "the ratio of the scales overflows float32"),
    ],
    "mul": [({"a_scale": 1e38, "b_scale": 1e38}, "the ratio of the scales overflows float32")],
    "cat": [({"scales": [0.1, 1e38], "y_scale": 1e-37}, "the ratio of the scales overflows")],
    "mean": [({"x_scale": 1e38, "y_scale": 1e-37}, "the ratio of the scales overflows float32")],
    "avg_pool2d": [({"x_scale": 1e38, "y_scale": 1e-37}, "the ratio of the scales overflows")],
}


def call(name, args):
    packet, _, overload = name.partition(".")
    return getattr(getattr(OPS, packet), overload or "default")(**args)


def to_meta(value):
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    if isinstance(value, list):
        return [to_meta(item) for item in value]
    return value


def cases(errors):
    return [
        pytest.param(name, changes, message, id=f"{name}-{i}")
        for name, table in errors.items()
        for i, (changes, message) in enumerate(table)
    ]


def test_every_op_has_errors():
    schemas = torch._C._jit_get_all_schemas()
    names = {
        f"{schema.name}.{schema.overload_name}".removeprefix("qnative::").rstrip(".")
        for schema in schemas
        if schema.name.startswith("qnative::")
    }
    modules = [
        importlib.import_module(path.stem)
        for path in Path(__file__).parent.glob("test_ops*_errors.py")
    ]
    assert all(set(module.VALID) == set(module.ERRORS) for module in modules)
    assert names == {name for module in modules for name in module.VALID}


def check_valid(name, args):
    """CPU and Meta agree on arguments without errors."""
    cpu = call(name, args)
    meta = call(name, {key: to_meta(value) for key, value in args.items()})
    for y, z in zip(cpu, meta, strict=True) if isinstance(cpu, tuple) else [(cpu, meta)]:
        assert (y.shape, y.dtype, y.stride()) == (z.shape, z.dtype, z.stride())


def check_value_error(name, args, message):
    """An error that Meta tensors do not have."""
    op = name.partition(".")[0]
    with pytest.raises(RuntimeError, match=f"qnative::{op}: .*{message}"):
        call(name, args)


def check_error(name, args, message):
    check_value_error(name, args, message)
    op = name.partition(".")[0]
    with pytest.raises(RuntimeError, match=f"qnative::{op}: .*{message}"):
        call(name, {key: to_meta(value) for key, value in args.items()})


@pytest.mark.parametrize("name", VALID)
def test_arguments_are_valid_before_they_are_changed(name):
    check_valid(name, VALID[name])


@pytest.mark.parametrize("name, changes, message", cases(ERRORS))
def test_error(name, changes, message):
    check_error(name, {**VALID[name], **changes}, message)


@pytest.mark.parametrize("name, changes, message", cases(VALUE_ERRORS))
def test_error_in_values(name, changes, message):
    check_value_error(name, {**VALID[name], **changes}, message)


def test_no_tensors_to_join():
    with pytest.raises(RuntimeError, match="qnative::cat"):
        OPS.cat([], [], [], 0, 0.1, 3, torch.uint8)


@pytest.mark.parametrize("isa", ["avx1024", "AVX2", "none"])
def test_unknown_isa(isa):
    program = (
        "import torch, qnative\n"
        "x = torch.zeros(3, dtype=torch.uint8)\n"
        "for _ in range(2):\n"
        "    try: torch.ops.qnative.lookup(x, torch.zeros(256, dtype=torch.uint8))\n"
        "    except RuntimeError as error: print(str(error).splitlines()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "QNATIVE_ISA": isa},
        check=True,
    )
    names = "scalar, avx2, avx_vnni, avx512_vnni, amx_int8"
    message = f"qnative: QNATIVE_ISA must be one of {names}, got '{isa}'"
    assert done.stdout.splitlines() == [message] * 2
