"""What the float16 ops say about bad input, on CPU and Meta alike."""

import pytest
import torch
from test_ops_errors import ACTIVATION_ERRORS, INF, NAN, cases, check_error, check_valid, floats, u8
from test_ops_errors import ERRORS as OF_BYTES
from test_ops_float_linear_errors import NAMES


def halves(*shape):
    return floats(*shape).half()


ACTIVATION = {"activation": "none", "activation_args": []}
IMAGE = {"x": halves(2, 3, 6, 6)}
WINDOW = {
    **{"kernel_size": [3], "stride": [2], "padding": [1], "ceil_mode": False},
    "count_include_pad": True,
}
VALID = {
    "add_fp16": {"a": halves(2, 3), "b": halves(2, 3), **ACTIVATION, "alpha": 1.0},
    "mul_fp16": {"a": halves(2, 3), "b": halves(2, 3), **ACTIVATION},
    "pointwise_fp16": {"x": halves(2, 3), "function": "tanh", "function_args": []},
    "matmul_fp16": {"a": halves(2, 3), "b": halves(3, 4), **ACTIVATION},
    "softmax_fp16": {"x": halves(2, 3), "dim": 1},
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


def of_halves(name):
    """The errors of the 8-bit op that are about arguments which both have, with float16 tensors."""
    shared = []
    for changes, message in OF_BYTES[name]:
        about_bytes = "Byte" in message or "Char" in message or "scale must be" in message
        if not about_bytes and changes.keys() <= VALID[f"{name}_fp16"].keys():
            half = {
                key: value.half() if isinstance(value, torch.Tensor) else value
                for key, value in changes.items()
            }
            shared.append((half, message))
    return shared


def dtype_errors(name):
    return [
        ({name: floats(2, 3)}, f"{name} must be Half, got Float"),
        ({name: u8(2, 3)}, f"{name} must be Half, got Byte"),
        ({name: floats(2, 3).bfloat16()}, f"{name} must be Half, got BFloat16"),
    ]


BINARY_ERRORS = [
    *dtype_errors("a"),
    *dtype_errors("b"),
    ({"b": halves(2, 4)}, r"shapes do not broadcast: \[2, 3\] and \[2, 4\]"),
    *ACTIVATION_ERRORS,
]
FUNCTION = NAMES.replace("hardsigmoid, got ", "hardsigmoid, got 'elu'")
ERRORS = {
    "add_fp16": [
        *BINARY_ERRORS,
        *(
            ({"alpha": value}, f"alpha must be finite as float32, got {text}")
            for value, text in ((INF, "inf"), (NAN, "nan"), (-1e39, "-1e"))
        ),
    ],
    "mul_fp16": BINARY_ERRORS,
    "pointwise_fp16": [
        *dtype_errors("x"),
        ({"function": "elu"}, f"function must be {FUNCTION}"),
        ({"function_args": [1.0]}, "function 'tanh' takes 0 function_args, got 1"),
        ({"function": "affine"}, "function 'affine' takes 2 function_args, got 0"),
        ({"function": "floor_divide"}, "function 'floor_divide' takes 1 function_args, got 0"),
        (
            {"function": "affine", "function_args": [1.0, INF]},
            "function_args must be finite as float32, got inf",
        ),
        (
            {"function": "floor_divide", "function_args": [NAN]},
            "function_args must be finite as float32, got nan",
        ),
        (
            {"function": "clamp", "function_args": [1.0, 0.0]},
            r"function_args of clamp must be \[min, max\] with min <= max, got \[1, 0\]",
        ),
    ],
    "matmul_fp16": [
        *dtype_errors("a"),
        *dtype_errors("b"),
        ({"b": halves(4, 3)}, r"inner sizes differ: \[2, 3\] and \[4, 3\]"),
        ({"a": halves()}, r"a and b must have dimensions, got \[\] and \[3, 4\]"),
        (
            {"a": halves(2, 2, 3), "b": halves(3, 3, 4)},
            r"shapes do not broadcast: \[2\] and \[3\]",
        ),
        ({"activation": "elu"}, f"activation must be {FUNCTION}"),
        *ACTIVATION_ERRORS[1:],
    ],
    "softmax_fp16": [
        *dtype_errors("x"),
        ({"dim": 2}, r"dim must be in \[-2, 1\], got 2"),
        ({"dim": -3}, r"dim must be in \[-2, 1\], got -3"),
    ],
    **{
        name: [*dtype_errors("x"), *of_halves(name.removesuffix("_fp16"))]
        for name in VALID
        if "pool" in name or name in ("mean_fp16", "interpolate_fp16")
    },
}


@pytest.mark.parametrize("name", VALID)
def test_arguments_are_valid_before_they_are_changed(name):
    check_valid(name, VALID[name])


@pytest.mark.parametrize("name", [name for name in ERRORS if "pool" in name])
def test_errors_of_bytes_are_those_of_halves(name):
    assert len(ERRORS[name]) >= 6


@pytest.mark.parametrize("name, changes, message", cases(ERRORS))
def test_error(name, changes, message):
    check_error(name, {**VALID[name], **changes}, message)
