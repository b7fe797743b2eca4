"""Errors of the float16 ops, on CPU and Meta alike; those of pools are in test_pool_errors.py."""

from support.errors import (
    ACTIVATION_ERRORS,
    FUNCTION_NAMES,
    INF,
    NAN,
    error_tests,
    half_errors,
    halves,
)

ACTIVATION = {"activation": "none", "activation_args": []}
VALID = {
    "add_fp16": {"a": halves(2, 3), "b": halves(2, 3), **ACTIVATION, "alpha": 1.0},
    "mul_fp16": {"a": halves(2, 3), "b": halves(2, 3), **ACTIVATION},
    "pointwise_fp16": {"x": halves(2, 3), "function": "tanh", "function_args": []},
    "matmul_fp16": {"a": halves(2, 3), "b": halves(3, 4), **ACTIVATION},
    "softmax_fp16": {"x": halves(2, 3), "dim": 1},
}


BINARY_ERRORS = [
    *half_errors("a"),
    *half_errors("b"),
    ({"b": halves(2, 4)}, r"shapes do not broadcast: \[2, 3\] and \[2, 4\]"),
    *ACTIVATION_ERRORS,
]
FUNCTION = FUNCTION_NAMES.replace("hardsigmoid, got ", "hardsigmoid, got 'elu'")
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
        *half_errors("x"),
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
        *half_errors("a"),
        *half_errors("b"),
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
        *half_errors("x"),
        ({"dim": 2}, r"dim must be in \[-2, 1\], got 2"),
        ({"dim": -3}, r"dim must be in \[-2, 1\], got -3"),
    ],
}


test_valid, test_error = error_tests(VALID, ERRORS)
