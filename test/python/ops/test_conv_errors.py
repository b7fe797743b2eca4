"""Errors of convolutions, on CPU and Meta (errors in values: CPU only)."""

import itertools

import pytest
import torch

from support.errors import (
    ACTIVATION_ERRORS,
    CHANNEL_ERRORS,
    FUNCTION_NAMES,
    INF,
    LINEAR,
    LINEAR_ERRORS,
    NAN,
    OPS,
    WEIGHT_ERRORS,
    call,
    channel_value_errors,
    check_valid,
    error_tests,
    floats,
    s8,
    u8,
)

X_FORMS = {
    1: r"\[N, C, W\] or \[C, W\]",
    2: r"\[N, C, H, W\] or \[C, H, W\]",
    3: r"\[N, C, D, H, W\] or \[C, D, H, W\]",
}
AXES = {1: "KW", 2: "KH, KW", 3: "KD, KH, KW"}


def shape(channels, inner, d):
    return [channels, inner, *[3] * d]


def text(sizes):
    """The sizes as a regular expression."""
    return rf"\[{', '.join(map(str, sizes))}\]"


def valid(op, d, weight_shape):
    """Arguments of a convolution of two groups from 4 channels to 6."""
    return {
        **LINEAR,
        **{"x": u8(2, 4, *[6] * d), "weight": getattr(OPS, f"{op}_pack")(s8(*weight_shape), 2)},
        **{"weight_scale": torch.ones(6), "weight_shape": weight_shape},
        **{"stride": [1], "padding": [1], "dilation": [1], "groups": 2},
    }


def number_errors(name, d, least, counts=None):
    """Errors of an argument that is one number or one per dimension."""
    counts = counts or ("1 value" if d == 1 else f"1 or {d} values")
    bounds = rf"{name} must be in \[{least}, 2\^31\), got "
    many = [1] * 7
    return [
        ({name: many}, f"{name} must have {counts}, got {text(many)}"),
        ({name: []}, rf"{name} must have {counts}, got \[\]"),
        ({name: [least - 1]}, rf"{bounds}\[{least - 1}\]"),
        ({name: [1] * (d - 1) + [2**31]}, rf"{bounds}.*2147483648\]"),
        ({name: [2**62] + [1] * (d - 1)}, rf"{bounds}\[4611686018427387904"),
    ]


def group_errors(side, channels):
    message = f"groups must be positive and divide the {side} channels {channels}, got "
    return [({"groups": groups}, f"{message}{groups}") for groups in (5, 0, -2)]


PADDED = r"padded x must have less than 2\^31 bytes a row"


def common_errors(d, weight_shape, x=u8, operands=LINEAR_ERRORS):
    huge = [2**40, *weight_shape[1:]]
    empty = [*weight_shape[:-1], 0]
    return [
        *operands,
        ({"x": x(*[6] * d)}, f"x must be {X_FORMS[d]}, got {text([6] * d)}"),
        ({"x": x(*[1] * (d + 3))}, f"x must be {X_FORMS[d]}, got {text([1] * (d + 3))}"),
        ({"x": x(2, 4, *[6] * (d - 1), 0)}, r"must be in \[1, 2\^31\), got \[2, 4, .*0\]"),
        ({"x": x(2, 3, *[6] * d)}, r"x must have 4 channels .* groups 2, got \[2, 3, 6"),
        *number_errors("stride", d, 1),
        *number_errors("dilation", d, 1),
        ({"weight_shape": empty}, rf"each in \[1, 2\^31\), got {text(empty)}"),
        ({"weight_shape": huge}, rf"each in \[1, 2\^31\), got {text(huge)}"),
        (
            {"weight_shape": [*weight_shape[:-1], 2**20]},
            "at most 65793 products can be summed in int32",
        ),
    ]


def pack_errors(form, d, weight_shape, groups):
    return [
        ({"weight": u8(*weight_shape)}, "weight must be Char, got Byte"),
        (
            {"weight": s8(6, 2)},
            rf"weight must be \[{form} / groups, {AXES[d]}\], got \[6, 2\]",
        ),
        ({"weight": s8(0, *weight_shape[1:])}, r"each in \[1, 2\^31\), got \[0, "),
        *groups,
    ]


def conv_cases(d):
    op, weight_shape = f"conv{d}d", shape(6, 2, d)
    args = valid(op, d, weight_shape)
    groups = group_errors("output", 6)
    yield from padding_cases(op, d, args, [*common_errors(d, weight_shape), *groups])
    yield from weight_cases(op, args, pack_errors("O, C", d, weight_shape, groups), groups)


def padding_cases(op, d, args, errors):
    """Of a convolution that is not transposed, with padding as numbers and by name."""
    counts = "1 or 2 values" if d == 1 else f"1, {d} or {2 * d} values"
    numbers = [
        *errors,
        *number_errors("padding", d, 0, counts),
        ({"padding": [1] * (2 * d - 1) + [-1]}, r"padding must be in \[0, 2\^31\), got .*-1\]"),
        (
            {"dilation": [1] * (d - 1) + [4], "padding": [0]},
            "the dilated kernel has width 9, but padded x only 6",
        ),
        ({"padding": [2**30]}, PADDED),
    ]
    named = [
        *errors,
        ({"padding": "full"}, "padding must be numbers, 'same' or 'valid', got 'full'"),
        ({"stride": [2]}, r"padding 'same' needs stride 1, got \[2\]"),
    ]
    yield op, args, numbers
    yield f"{op}.padding", {**args, "padding": "same"}, named


def transposed_cases(d):
    op, weight_shape = f"conv_transpose{d}d", shape(4, 3, d)
    args = {**valid(op, d, weight_shape), "output_padding": [0]}
    groups = group_errors("input", 4)
    yield op, args, transposed_errors(d, [*common_errors(d, weight_shape), *groups])
    yield from weight_cases(op, args, pack_errors("C, O", d, weight_shape, groups), groups)


def transposed_errors(d, errors):
    return [
        *errors,
        *number_errors("padding", d, 0),
        *number_errors("output_padding", d, 0),
        (
            {"output_padding": [1]},
            r"output_padding must be less than stride or dilation, got \[1\]",
        ),
        ({"padding": [4]}, r"y must have a .* in \[1, 2\^31\), got 0"),
        ({"dilation": [2**29]}, PADDED),
        ({"stride": [2**31 - 1]}, r"y must have a .* in \[1, 2\^31\), got "),
        (
            {"weight_shape": [4, 2**31 - 1, *[3] * d]},
            r"y must have less than 2\^31 channels, got weight_shape \[4, 2147483647, .* groups 2",
        ),
    ]


# Of the operands of convolutions of float32 images.
DYNAMIC_ERRORS = [
    *(
        ({"x": floats(2, 4, 6).to(dtype)}, "x must be Float, got ")
        for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.uint8)
    ),
    *WEIGHT_ERRORS,
    *CHANNEL_ERRORS,
    ({"activation": "elu"}, f"activation must be {FUNCTION_NAMES}'elu'"),
    *ACTIVATION_ERRORS[1:],
    ({"activation": "gelu", "activation_args": [1.0]}, "'gelu' takes 0 activation_args, got 1"),
]


def dynamic_cases(d):
    for form, op, weight_shape, groups in (
        ("O, C", f"conv{d}d", shape(6, 2, d), group_errors("output", 6)),
        ("C, O", f"conv_transpose{d}d", shape(4, 3, d), group_errors("input", 4)),
    ):
        args = valid(op, d, weight_shape)
        for name in ("x_scale", "x_zero_point", "y_scale", "y_zero_point", "y_dtype"):
            del args[name]
        args["x"] = floats(*args["x"].shape)
        errors = [*common_errors(d, weight_shape, floats, DYNAMIC_ERRORS), *groups]
        if form == "O, C":
            depthwise = {
                **{"weight": getattr(OPS, f"{op}_pack")(s8(6, 1, *[3] * d), 6), "groups": 6},
                **{"x": floats(2, 6, *[6] * d), "weight_shape": [6, 1, *[3] * d]},
            }
            refused = "depthwise convolutions take bounds as activation, not other functions"
            errors.append(({**depthwise, "activation": "silu"}, refused))
            yield from padding_cases(f"{op}_dynamic", d, args, errors)
        else:
            args["output_padding"] = [0]
            yield f"{op}_dynamic", args, transposed_errors(d, errors)
        packing = [
            ({"weight": s8(*weight_shape)}, "weight must be Float, got Char"),
            (
                {"weight": floats(6, 2)},
                rf"weight must be \[{form} / groups, {AXES[d]}\], got \[6, 2\]",
            ),
            ({"weight": floats(0, *weight_shape[1:])}, r"each in \[1, 2\^31\), got \[0, "),
            *groups,
        ]
        yield f"{op}_dynamic_pack", {"weight": floats(*weight_shape), "groups": 2}, packing


def weight_cases(op, args, packing, groups):
    weight_shape = args["weight_shape"]
    yield f"{op}_pack", {"weight": s8(*weight_shape), "groups": 2}, packing
    unpacked = {name: args[name] for name in ("weight", "weight_shape", "groups")}
    yield f"{op}_unpack", unpacked, [*WEIGHT_ERRORS, *groups]


def last_weight(name, weight):
    """The position of the last weight, and the output channel that it is of."""
    channels = weight.shape[1] * 2 if "transpose" in name else len(weight)
    return weight.numel() - 1, channels - 1


ROWS = [
    row
    for d in (1, 2, 3)
    for make in (conv_cases, transposed_cases, dynamic_cases)
    for row in make(d)
]
VALID = {name: args for name, args, _ in ROWS}
ERRORS = {name: errors for name, _, errors in ROWS}
# Errors in values, which Meta tensors do not have.
VALUE_ERRORS = {
    # The scale of float32 images is no argument.
    **{
        name: channel_value_errors(6)[: 4 if "dynamic" in name else None]
        for name, args in VALID.items()
        if "x" in args
    },
    **{
        name: [
            (
                {
                    "weight": torch.where(
                        torch.arange(args["weight"].numel()) == at, value, 1.0
                    ).view_as(args["weight"])
                },
                f"weight must be finite, got inf or NaN in output channel {channel}",
            )
            for value in (INF, -INF, NAN)
        ]
        for name, args in VALID.items()
        if name.endswith("_dynamic_pack")
        for at, channel in [last_weight(name, args["weight"])]
    },
}


@pytest.mark.parametrize("op", [name for name in VALID if name.endswith("_unpack")])
def test_strides_of_unpacked_weights(op):
    """Those of dimensions of size 1 too."""
    d = len(VALID[op]["weight_shape"]) - 2
    for sizes in itertools.product([1, 2, 4], [1, 3], *[[1, 2]] * d):
        weight_shape, groups = list(sizes), 1 if sizes[0] == 1 else 2
        weight = s8(*weight_shape)
        packed = getattr(OPS, op.replace("_unpack", "_pack"))(weight, groups)
        args = {"weight": packed, "weight_shape": weight_shape, "groups": groups}
        check_valid(op, args)
        assert call(op, args).stride() == weight.stride()


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)
