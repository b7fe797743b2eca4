"""Errors of quantize, linear, add, mul, cat and lookup; every op has a test of its errors."""

import runpy
from pathlib import Path

import pytest
import torch

from support.checks import python
from support.errors import (
    AXIS_ERRORS,
    AXIS_VALUE_ERRORS,
    BINARY,
    BINARY_ERRORS,
    IN_S8,
    IN_U8,
    INF,
    LINEAR,
    LINEAR_ERRORS,
    NAN,
    NO_SCALE,
    OPS,
    OUTPUT,
    OVERFLOW,
    PER_CHANNEL,
    RANGE_ERRORS,
    REAL,
    WEIGHT_ERRORS,
    channel_value_errors,
    error_tests,
    floats,
    output_errors,
    s8,
    scale_errors,
    u8,
    word_errors,
)
from support.opcheck import registered

VALID = {
    "quantize_per_tensor": {
        **{"x": floats(2, 3), "scale": 0.1, "zero_point": 3, "dtype": torch.uint8},
        **{"quant_min": None, "quant_max": None},
    },
    "dequantize_per_tensor": {"x": u8(2, 3), "scale": 0.1, "zero_point": 3},
    "requantize": {"x": u8(2, 3), "x_scale": 0.1, "x_zero_point": 3, **OUTPUT},
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
}


# op -> (changed arguments, message of CPU and Meta)
ERRORS = {
    "quantize_per_tensor": [
        ({"x": u8(3)}, f"{REAL}Byte"),
        *scale_errors("scale"),
        ({"zero_point": 256}, f"zero_point {IN_U8}256"),
        ({"dtype": torch.int16}, "zero_point must be 0 for Short, got 3"),
        ({"dtype": torch.int32}, "dtype must be Byte, Char or Short, got Int"),
        *RANGE_ERRORS[1:],
    ],
    "dequantize_per_tensor": word_errors("x", "scale", "zero_point"),
    "requantize": [
        *word_errors("x", "x_scale", "x_zero_point"),
        *output_errors("Byte, Char or Short"),
        ({"x_scale": 1e38, "y_scale": 1e-37}, OVERFLOW),
    ],
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
    "add": [*BINARY_ERRORS, ({"a_scale": 1e38, "y_scale": 1e-37}, OVERFLOW)],
    "mul": [*BINARY_ERRORS, ({"a_scale": 1e38, "b_scale": 1e38}, OVERFLOW)],
    "cat": [
        ({"scales": [0.1, 1e38], "y_scale": 1e-37}, OVERFLOW),
        ({"tensors": [u8(2, 3), floats(2, 3)]}, "tensors must be Byte, Char or Short, got Float"),
        ({"tensors": [u8(2, 3), u8(2, 4)]}, r"but in dimension 0, got \[2, 3\] and \[2, 4\]"),
        ({"tensors": [u8(2, 3), u8(2, 3, 1)]}, r"got \[2, 3\] and \[2, 3, 1\]"),
        ({"tensors": [u8(2, 3), u8()]}, "tensors of no dimensions cannot be joined"),
        ({"scales": [0.1]}, "2 tensors need as many scales and zero_points, got 1 and 2"),
        ({"zero_points": [1, 2, 3]}, "2 tensors need as many scales .*, got 2 and 3"),
        ({"scales": [0.1, 0.0]}, f"scale{NO_SCALE}0"),
        ({"zero_points": [0, 128]}, f"zero_point {IN_S8}128"),
        ({"dim": 2}, r"dim must be in \[-2, 1\], got 2"),
        ({"dim": -3}, r"dim must be in \[-2, 1\], got -3"),
        *output_errors("Byte, Char or Short"),
    ],
    "lookup": [
        ({"x": floats(3)}, "x must be Byte or Char, got Float"),
        ({"table": floats(256)}, "table must be Byte or Char, got Float"),
        ({"table": u8(255)}, r"table must have shape \[256\], got \[255\]"),
        ({"table": u8(16, 16)}, r"table must have shape \[256\], got \[16, 16\]"),
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
    ],
}


def test_every_op_has_errors():
    modules = [runpy.run_path(str(path)) for path in Path(__file__).parent.glob("test_*errors.py")]
    assert all(set(module["VALID"]) == set(module["ERRORS"]) for module in modules)
    assert registered() == {name for module in modules for name in module["VALID"]}


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)


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
    done = python("-c", program, QNATIVE_ISA=isa)
    assert done.returncode == 0, done.stderr
    names = "scalar, avx2, avx_vnni, avx512_vnni, amx_int8"
    message = f"qnative: QNATIVE_ISA must be one of {names}, got '{isa}'"
    assert done.stdout.splitlines() == [message] * 2
