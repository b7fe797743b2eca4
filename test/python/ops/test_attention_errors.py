"""Errors of attention and attention_dynamic, on CPU and Meta."""

import torch

from support.errors import (
    INF,
    NAN,
    OVERFLOW,
    error_tests,
    floats,
    input_errors,
    output_errors,
    s8,
    u8,
)

OPTIONS = {"attn_mask": None, "is_causal": False, "scale": None, "enable_gqa": False}
VALID = {
    "attention": {
        **{"q": u8(2, 4, 5, 8), "q_scale": 0.1, "q_zero_point": 3},
        **{"k": s8(2, 4, 7, 8), "k_scale": 0.1, "k_zero_point": 3},
        **{"v": u8(2, 4, 7, 8), "v_scale": 0.1, "v_zero_point": 3},
        **{"y_scale": 0.1, "y_zero_point": 3, "y_dtype": torch.uint8},
        **OPTIONS,
    },
    "attention_dynamic": {
        **{"q": floats(2, 4, 5, 8), "k": floats(2, 4, 7, 8), "v": floats(2, 4, 7, 8)},
        **OPTIONS,
    },
}


def shape_errors(make):
    """make(*shape): a tensor of the op's dtype."""
    return [
        (
            {"q": make(8)},
            r"q, k and v must have at least 2 dimensions, got \[8\], \[2, 4, 7, 8\] and \[2, 4, 7",
        ),
        ({"v": make(8)}, r"at least 2 dimensions, got \[2, 4, 5, 8\], \[2, 4, 7, 8\] and \[8\]"),
        (
            {"k": make(2, 4, 7, 9)},
            r"the last sizes of q and k differ: \[2, 4, 5, 8\] and \[2, 4, 7, 9\]",
        ),
        (
            {"v": make(2, 4, 6, 8)},
            r"different numbers of rows: \[2, 4, 7, 8\] and \[2, 4, 6, 8\]",
        ),
        ({"k": make(2, 3, 7, 8)}, r"shapes do not broadcast: \[2, 4\] and \[2, 3\]"),
        ({"v": make(3, 4, 7, 8)}, r"shapes do not broadcast: \[2, 4\] and \[3, 4\]"),
        (
            {"k": make(2, 3, 7, 8), "enable_gqa": True},
            "the heads of k must divide those of q, got 3 and 4",
        ),
        (
            {"v": make(2, 8, 7, 8), "enable_gqa": True},
            "the heads of v must divide those of q, got 8 and 4",
        ),
        (
            {"k": make(2, 0, 7, 8), "enable_gqa": True},
            "the heads of k must divide those of q, got 0 and 4",
        ),
        (
            {"k": make(7, 8), "enable_gqa": True},
            r"enable_gqa needs q, k and v of at least 3 dimensions, got .* \[7, 8\] and ",
        ),
        (
            {"q": make(5, 65794), "k": make(7, 65794), "v": make(7, 8)},
            "at most 65793 products can be summed in int32, got heads of size 65794",
        ),
        (
            {"q": make(5, 1), "k": make(65794, 1), "v": make(65794, 1)},
            "at most 65793 products can be summed in int32, got keys 65794",
        ),
        ({"attn_mask": floats(5, 7).double()}, "attn_mask must be Bool or Float, got Double"),
        ({"attn_mask": u8(5, 7)}, "attn_mask must be Bool or Float, got Byte"),
        (
            {"attn_mask": floats(5, 6)},
            r"attn_mask must broadcast to the scores, \[2, 4, 5, 7\], got \[5, 6\]",
        ),
        ({"attn_mask": floats(3, 1, 1, 7)}, r"\[2, 4, 5, 7\], got \[3, 1, 1, 7\]"),
        ({"scale": 1e39}, r"scale must be finite as float32, got 1e\+39"),
        ({"attn_mask": floats(1, 2, 4, 5, 7)}, r"\[2, 4, 5, 7\], got \[1, 2, 4, 5, 7\]"),
        *(
            ({"scale": value}, f"scale must be finite as float32, got {value:g}")
            for value in (INF, -INF, NAN)
        ),
    ]


def dtype_errors(name):
    return [
        ({name: floats(2, 4, 7, 8).to(dtype)}, f"{name} must be Float, got {text}")
        for dtype, text in ((torch.float64, "Double"), (torch.bfloat16, "BFloat16"))
    ] + [({name: u8(2, 4, 7, 8)}, f"{name} must be Float, got Byte")]


ERRORS = {
    "attention": [
        *input_errors("q", "q_scale", "q_zero_point"),
        *input_errors("k", "k_scale", "k_zero_point"),
        *input_errors("v", "v_scale", "v_zero_point"),
        *output_errors("Byte, Char or Float"),
        ({"q_scale": 1e38, "k_scale": 1e38}, OVERFLOW),
        ({"v_scale": 1e38, "y_scale": 1e-37}, OVERFLOW),
        ({"v_scale": 3e38, "v_zero_point": 255, "y_scale": 1.0}, OVERFLOW),
        *shape_errors(u8),
    ],
    "attention_dynamic": [
        *dtype_errors("q"),
        *dtype_errors("k"),
        *dtype_errors("v"),
        *shape_errors(floats),
    ],
}


test_valid, test_error = error_tests(VALID, ERRORS)
