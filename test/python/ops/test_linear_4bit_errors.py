"""Errors of linear_4bit, its packing and unpacking, on CPU and Meta."""

import torch

from support.errors import (
    ACTIVATION_ERRORS,
    CHANNEL_ERRORS,
    INF,
    NAN,
    OPS,
    error_tests,
    floats,
    s8,
)

CODES = torch.zeros(5, 7, dtype=torch.int8)
VALID = {
    "linear_4bit": {
        "x": floats(2, 7),
        "weight": OPS.linear_4bit_pack(floats(5, 7), 4),
        "bias": None,
        **{"weight_shape": [5, 7], "group_size": 4, "activation": "none", "activation_args": []},
    },
    "linear_4bit_pack": {"weight": floats(5, 7), "group_size": 4},
    "linear_4bit_pack.codes": {
        **{"codes": CODES, "scale": torch.ones(5, 2).bfloat16(), "group_size": 4}
    },
    "linear_4bit_unpack": {
        "weight": OPS.linear_4bit_pack(floats(5, 7), 4),
        **{"weight_shape": [5, 7], "group_size": 4},
    },
}
SIZE = r"group_size must be a multiple of 4, or at least K = 7 for one group, got "
SIZE_ERRORS = [({"group_size": size}, f"{SIZE}{size}") for size in (-1, 0, 3, 6)]
PACKED = (
    r"weight must be a packed weight of \d+ contiguous bytes to fit weight_shape and group_size, "
)
WEIGHT_ERRORS = [
    ({"weight": s8(192)}, "weight must be Byte, got Char"),
    ({"weight": torch.zeros(191, dtype=torch.uint8)}, rf"{PACKED}got shape \[191\]"),
    ({"weight_shape": [5]}, r"weight_shape must be \[N, K\], each in \[1, 2\^31\), got \[5\]"),
    ({"weight_shape": [5, 0]}, r"each in \[1, 2\^31\), got \[5, 0\]"),
    ({"weight_shape": [2**31, 7]}, r"each in \[1, 2\^31\), got \[2147483648, 7\]"),
    *SIZE_ERRORS,
    (
        {"weight_shape": [5, 2**20 + 4], "group_size": 2**21},
        "a group must have at most 1048576 weights, whose products int32 can sum, got 1048580",
    ),
]
ERRORS = {
    "linear_4bit": [
        *(
            ({"x": floats(2, 7).to(dtype)}, "x must be Float, got ")
            for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.uint8)
        ),
        ({"x": floats(2, 6)}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[2, 6\]"),
        ({"x": floats()}, r"x must be \[\.\.\., 7\] to fit weight_shape, got \[\]"),
        *WEIGHT_ERRORS,
        *((changes, message) for changes, message in CHANNEL_ERRORS if "bias" in changes),
        *ACTIVATION_ERRORS[1:],
    ],
    "linear_4bit_pack": [
        ({"weight": s8(5, 7)}, "weight must be Float, "),
        ({"weight": floats(5)}, r"weight must be \[N, K\], got \[5\]"),
        ({"weight": floats(0, 7)}, r"each in \[1, 2\^31\), got \[0, 7\]"),
        *SIZE_ERRORS,
    ],
    "linear_4bit_pack.codes": [
        ({"codes": floats(5, 7)}, "codes must be Char, got Float"),
        ({"codes": s8(5)}, r"codes must be \[N, K\], got \[5\]"),
        ({"scale": floats(5, 2)}, "scale must be BFloat16, got Float"),
        (
            {"scale": torch.ones(5, 1).bfloat16()},
            r"scale must be \[5, 2\], one for each group, got \[5, 1\]",
        ),
        *SIZE_ERRORS,
    ],
    "linear_4bit_unpack": WEIGHT_ERRORS,
}
# Errors in values, which Meta tensors do not have.
VALUE_ERRORS = {
    "linear_4bit_pack": [
        (
            {"weight": torch.tensor([[1.0, 2.0], [3.0, value]])},
            "weight must be finite as Float, got inf or NaN in row 1",
        )
        for value in (INF, -INF, NAN)
    ],
    "linear_4bit_pack.codes": [
        ({"codes": CODES + 8}, r"codes must be in \[-8, 7\], got 8 to 8"),
        ({"codes": CODES - 9}, r"codes must be in \[-8, 7\], got -9 to -9"),
        ({"scale": torch.full((5, 2), NAN).bfloat16()}, "scale must be finite, got inf or NaN"),
    ],
}


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)
