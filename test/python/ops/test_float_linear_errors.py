"""Errors of the linear ops with float input and of matmul, on CPU and Meta."""

import torch

from support.errors import (
    ACTIVATION_ERRORS,
    BINARY,
    CHANNEL_ERRORS,
    FUNCTION_NAMES,
    INF,
    NAN,
    OPS,
    OVERFLOW,
    WEIGHT_ERRORS,
    error_tests,
    floats,
    input_errors,
    output_errors,
    s8,
    u8,
)

FLOAT_LINEAR = {
    **{"x": floats(2, 7), "bias": None, "weight_shape": [5, 7]},
    **{"activation": "none", "activation_args": []},
}
HALF = {**FLOAT_LINEAR, "weight": OPS.linear_fp16_pack(floats(5, 7))}
VALID = {
    "linear_dynamic": {
        **FLOAT_LINEAR,
        **{"weight": OPS.linear_pack(s8(5, 7)), "weight_scale": torch.ones(5)},
    },
    "linear_dynamic_pack": {"weight": floats(5, 7), "may_repeat": False},
    "linear_dynamic_fp16": HALF,
    "linear_fp16": {**HALF, "x": floats(2, 7).half()},
    "linear_fp16_pack": {"weight": floats(5, 7)},
    "linear_fp16_unpack": {"weight": HALF["weight"], "weight_shape": [5, 7]},
    "matmul": {**BINARY, "a": u8(2, 3), "b": s8(3, 4)},
}
X_ERRORS = [{"x": floats(2, 7).to(dtype)} for dtype in (torch.float64, torch.bfloat16, torch.uint8)]
SHAPE_ERRORS = [
    ({"x": floats(2, 6)}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[2, 6\]"),
    ({"x": floats()}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[\]"),
    ({"activation": "elu"}, f"activation must be {FUNCTION_NAMES}'elu'"),
    *ACTIVATION_ERRORS[1:],
    ({"activation": "gelu", "activation_args": [1.0]}, "'gelu' takes 0 activation_args, got 1"),
]
PACKED = r"weight must be a packed weight of \d+ contiguous elements to fit weight_shape, got "
HALF_ERRORS = [
    ({"weight": floats(112)}, "weight must be Half, got Float"),
    ({"weight": floats(111).half()}, rf"{PACKED}shape \[111\]"),
    ({"weight_shape": [5]}, r"weight_shape must be \[N, K\], each in \[1, 2\^31\), got \[5\]"),
    ({"weight_shape": [5, 0]}, r"each in \[1, 2\^31\), got \[5, 0\]"),
    ({"weight_shape": [2**31, 7]}, r"each in \[1, 2\^31\), got \[2147483648, 7\]"),
]
BIAS_ERRORS = [(changes, message) for changes, message in CHANNEL_ERRORS if "bias" in changes]
ERRORS = {
    "linear_dynamic": [
        *((x, "x must be Float, got ") for x in [*X_ERRORS, {"x": floats(2, 7).half()}]),
        *WEIGHT_ERRORS,
        *CHANNEL_ERRORS,
        *SHAPE_ERRORS,
        ({"weight_shape": [5, 65794]}, "at most 65793 products can be summed in int32"),
        ({"repeated": [0]}, r"x must be \[\.\.\., 6\] to fit weight_shape, got \[2, 7\]"),
        ({"repeated": [6]}, r"repeated must be in \[0, 6\), got 6"),
        ({"repeated": [-1]}, r"repeated must be in \[0, 6\), got -1"),
        ({"repeated": [0] * 7}, "weight_shape has 7 columns, repeated must be fewer, got 7"),
    ],
    "linear_dynamic_pack": [
        ({"weight": s8(5, 7)}, "weight must be Float, got Char"),
        ({"weight": floats(5, 7).half()}, "weight must be Float, got Half"),
        ({"weight": floats(5)}, r"weight must be \[N, K\], got \[5\]"),
        ({"weight": floats(5, 0)}, r"each in \[1, 2\^31\), got \[5, 0\]"),
        ({"weight": floats(1, 65794)}, "at most 65793 products can be summed in int32"),
    ],
    "linear_dynamic_fp16": [
        *((x, "x must be Float, got ") for x in [*X_ERRORS, {"x": floats(2, 7).half()}]),
        *HALF_ERRORS,
        *BIAS_ERRORS,
        *SHAPE_ERRORS,
    ],
    "linear_fp16": [
        *((x, "x must be Half, got ") for x in [*X_ERRORS, {"x": floats(2, 7)}]),
        *HALF_ERRORS,
        *BIAS_ERRORS,
        ({"x": floats(2, 6).half()}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[2, 6\]"),
        *SHAPE_ERRORS[2:],
    ],
    "linear_fp16_pack": [
        ({"weight": s8(5, 7)}, "weight must be Half or Float, got Char"),
        ({"weight": floats(5)}, r"weight must be \[N, K\], got \[5\]"),
        ({"weight": floats(0, 7)}, r"each in \[1, 2\^31\), got \[0, 7\]"),
    ],
    "linear_fp16_unpack": HALF_ERRORS,
    "matmul": [
        *input_errors("a", "a_scale", "a_zero_point"),
        *input_errors("b", "b_scale", "b_zero_point"),
        ({"a_scale": 1e38, "b_scale": 1e38}, OVERFLOW),
        ({"b": u8(4, 3)}, r"inner sizes differ: \[2, 3\] and \[4, 3\]"),
        ({"b": u8(2)}, r"inner sizes differ: \[2, 3\] and \[2\]"),
        ({"a": u8()}, r"a and b must have dimensions, got \[\] and \[3, 4\]"),
        ({"a": u8(2, 2, 3), "b": s8(3, 3, 4)}, r"shapes do not broadcast: \[2\] and \[3\]"),
        ({"a": u8(1, 33026), "b": s8(33026, 1)}, "at most 33025 products can be summed in int32"),
        *output_errors("Byte, Char or Float"),
        *ACTIVATION_ERRORS,
    ],
}
# Errors in values, which Meta tensors do not have.
VALUE_ERRORS = {
    "linear_dynamic": [
        (
            {"weight_scale": torch.tensor([1.0, 1.0, 1.0, 1.0, value])},
            f"weight_scale must be positive and finite, got {value:g} for output channel 4",
        )
        for value in (0.0, -1.0, INF, NAN)
    ],
    "linear_dynamic_pack": [
        (
            {"weight": torch.tensor([[1.0, 2.0], [3.0, value]]), "may_repeat": may_repeat},
            "weight must be finite, got inf or NaN in row 1",
        )
        for value in (INF, -INF, NAN)
        for may_repeat in (False, True)
    ],
    "linear_fp16": [
        ({"weight": floats(224).half()[::2]}, rf"{PACKED}shape \[112\] and strides \[2\]"),
    ],
}


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)
