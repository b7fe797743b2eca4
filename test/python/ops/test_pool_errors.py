"""Errors of pools, mean and interpolate, 8-bit and float16, on CPU and Meta."""

import pytest
import torch

from support.errors import (
    AVERAGE_ERRORS,
    IMAGE_ERRORS,
    INPUT,
    NAN,
    OUTPUT,
    POOL_ERRORS,
    error_tests,
    floats,
    half_errors,
    halves,
    pair_errors,
    u8,
)

IMAGE = {"x": halves(2, 3, 6, 6)}
WINDOW = {
    **{"kernel_size": [3], "stride": [2], "padding": [1], "ceil_mode": False},
    "count_include_pad": True,
}
BYTES = {
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
HALVES = {
    **{
        f"avg_pool{d}d_fp16": {
            **{"x": halves(2, 3, *[6] * d), **WINDOW},
            **({} if d == 1 else {"divisor_override": None}),
        }
        for d in (1, 2, 3)
    },
    **{
        f"adaptive_avg_pool{d}d_fp16": {"x": halves(2, 3, *[6] * d), "output_size": [2]}
        for d in (1, 2, 3)
    },
    "mean_fp16": {**IMAGE, "dim": [2, 3], "keepdim": False},
    "interpolate_fp16": {
        **IMAGE,
        **{"size": [3], "scale_factors": None, "mode": "bilinear", "align_corners": None},
    },
}
VALID = {**BYTES, **HALVES}

# op -> (changed arguments, message of CPU and Meta)
BYTES_ERRORS = {
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


def shared_errors(name):
    """Errors of the 8-bit op in arguments that the float16 op has too, with float16 tensors."""
    shared = []
    for changes, message in BYTES_ERRORS[name]:
        about_bytes = "Byte" in message or "Char" in message or "scale" in message
        if not about_bytes and changes.keys() <= HALVES[f"{name}_fp16"].keys():
            half = {
                key: value.half() if isinstance(value, torch.Tensor) else value
                for key, value in changes.items()
            }
            shared.append((half, message))
    return shared


ERRORS = {
    **BYTES_ERRORS,
    **{name: [*half_errors("x"), *shared_errors(name.removesuffix("_fp16"))] for name in HALVES},
}


@pytest.mark.parametrize("name", [name for name in HALVES if "pool" in name])
def test_float16_pools_share_errors(name):
    assert len(ERRORS[name]) >= 6


test_valid, test_error = error_tests(VALID, ERRORS)
