"""Errors of normalizations, softmax and prelu, on CPU and Meta (errors in values: CPU only)."""

import torch

from support.errors import (
    ACTIVATION_ERRORS,
    INF,
    INPUT,
    NAN,
    OUTPUT,
    OVERFLOW,
    RATIO_ERRORS,
    error_tests,
    floats,
    input_errors,
    output_errors,
    u8,
    word_errors,
)

AFFINE = {"weight": torch.ones(3), "bias": torch.zeros(3)}
RUNNING = {"running_mean": torch.zeros(3), "running_var": torch.ones(3)}
VALID = {
    "layer_norm": {
        **{**INPUT, "normalized_shape": [6, 6], "weight": torch.ones(6, 6)},
        **{"bias": torch.zeros(6, 6), "eps": 1e-5, **OUTPUT},
    },
    "rms_norm": {
        **{**INPUT, "normalized_shape": [6, 6], "weight": torch.ones(6, 6)},
        **{"eps": 1e-5, **OUTPUT},
    },
    "group_norm": {**INPUT, "num_groups": 3, **AFFINE, "eps": 1e-5, **OUTPUT},
    "instance_norm": {
        **{**INPUT, **AFFINE, **RUNNING, "use_input_stats": False, "eps": 1e-5, **OUTPUT},
    },
    "batch_norm": {
        **{**INPUT, **AFFINE, **RUNNING, "eps": 1e-5, **OUTPUT},
        **{"activation": "none", "activation_args": []},
    },
    "softmax": {**INPUT, "dim": 1, **OUTPUT},
    "prelu": {**INPUT, "weight": torch.ones(3), **OUTPUT},
}

COMMON = [*input_errors("x", "x_scale", "x_zero_point"), *output_errors()]
FLOAT_OUTPUT = [
    *input_errors("x", "x_scale", "x_zero_point"),
    *output_errors("Byte, Char or Float"),
]
ALL_OUTPUTS = [
    *word_errors("x", "x_scale", "x_zero_point"),
    *output_errors("Byte, Char, Short or Float"),
]
EPS_ERRORS = [
    ({"eps": value}, f"eps must be finite and not negative, got {value:g}")
    for value in (-1e-5, INF, NAN)
]
RANK_ERRORS = [
    ({"x": u8(3)}, r"x must be \[N, C, ...\], got \[3\]"),
    ({"x": u8()}, r"x must be \[N, C, ...\], got \[\]"),
]


def vector_errors(name):
    return [
        ({name: floats(4)}, rf"{name} must have shape \[3\] \(one value a channel\), got \[4\]"),
        ({name: floats(3, 1)}, rf"{name} must have shape \[3\] .*, got \[3, 1\]"),
        ({name: floats()}, rf"{name} must have shape \[3\] .*, got \[\]"),
        ({name: floats(3).half()}, f"{name} must be Float, got Half"),
        ({name: u8(3)}, f"{name} must be Float, got Byte"),
    ]


def shape_errors(name):
    wanted = rf"{name} must have the shape normalized_shape \[6, 6\], got "
    return [
        ({name: floats(6)}, rf"{wanted}\[6\]"),
        ({name: floats(36)}, rf"{wanted}\[36\]"),
        ({name: floats(6, 6).double()}, f"{name} must be Float, got Double"),
    ]


AFFINE_ERRORS = [*vector_errors("weight"), *vector_errors("bias"), *EPS_ERRORS, *RANK_ERRORS]
RUNNING_ERRORS = [*vector_errors("running_mean"), *vector_errors("running_var")]
NORMALIZED = r"x must be \[..., \*normalized_shape\], got \[2, 3, 6, 6\] and "
GROUPS = "num_groups must be positive and divide the channels 3, got "
PRELU = r"weight must have one value, or shape \[C\] for x \[N, C, ...\], got "
ERRORS = {
    "layer_norm": [
        *ALL_OUTPUTS,
        *shape_errors("weight"),
        *shape_errors("bias"),
        *EPS_ERRORS,
        *(
            ({"normalized_shape": shape}, NORMALIZED + str(shape).replace("[", r"\["))
            for shape in ([], [5], [3, 6], [1, 2, 3, 6, 6], [-1], [2**62])
        ),
        ({"x": u8(), "normalized_shape": [1]}, r"got \[\] and \[1\]"),
    ],
    "rms_norm": [
        *ALL_OUTPUTS,
        *shape_errors("weight"),
        *EPS_ERRORS,
        ({"normalized_shape": [5]}, NORMALIZED + r"\[5\]"),
        ({"normalized_shape": []}, NORMALIZED + r"\[\]"),
    ],
    "group_norm": [
        *COMMON,
        *AFFINE_ERRORS,
        *(({"num_groups": n}, f"{GROUPS}{n}") for n in (0, -1, 2, 6, -(2**63))),
    ],
    "instance_norm": [
        *COMMON,
        *AFFINE_ERRORS,
        *RUNNING_ERRORS,
        *(
            ({name: None}, "running_mean and running_var must be tensors without use_input_stats")
            for name in RUNNING
        ),
    ],
    "batch_norm": [*COMMON, *AFFINE_ERRORS, *RUNNING_ERRORS, *ACTIVATION_ERRORS],
    "softmax": [
        *FLOAT_OUTPUT,
        ({"dim": 4}, r"dim must be in \[-4, 3\], got 4"),
        ({"dim": -5}, r"dim must be in \[-4, 3\], got -5"),
        ({"x": u8(), "dim": 1}, r"dim must be in \[-1, 0\], got 1"),
    ],
    "prelu": [
        *COMMON,
        *RATIO_ERRORS,
        ({"weight": floats(4)}, rf"{PRELU}\[4\] for x \[2, 3, 6, 6\]"),
        ({"weight": floats(0)}, rf"{PRELU}\[0\]"),
        ({"weight": floats(3, 1)}, rf"{PRELU}\[3, 1\]"),
        ({"x": u8(3)}, rf"{PRELU}\[3\] for x \[3\]"),
        ({"weight": floats(3).half()}, "weight must be Float, got Half"),
    ],
}


def last(value):
    return torch.tensor([1.0, 1.0, value])


CONSTANT_ERRORS = [
    *(({"weight": last(v)}, f"of channel 2 are not finite: weight {v:g}") for v in (INF, NAN)),
    *(({"bias": last(v)}, f"of channel 2 are not finite: .*bias {v:g}") for v in (INF, NAN)),
    ({"running_mean": last(-INF)}, "of channel 2 are not finite: .*running_mean -inf"),
    ({"running_var": last(-1.0)}, "of channel 2 are not finite: .*running_var -1"),
    ({"running_var": last(0.0), "eps": 0.0}, "of channel 2 are not finite: .*eps 0"),
    ({"x_scale": 1e38, "y_scale": 1e-37}, "of channel 0 are not finite"),
]
VALUE_ERRORS = {
    "instance_norm": CONSTANT_ERRORS,
    "batch_norm": CONSTANT_ERRORS,
    "prelu": [
        *(({"weight": last(v)}, f"weight must be finite, got {v:g} at 2") for v in (INF, NAN)),
        ({"weight": last(3e38), "x_scale": 10.0}, OVERFLOW),
    ],
}


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)
