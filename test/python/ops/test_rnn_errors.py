"""Errors of the recurrent ops, on CPU and Meta (errors in values: CPU only)."""

import pytest
import torch

from support.errors import (
    INF,
    NAN,
    OPS,
    check_error,
    error_tests,
    floats,
    s8,
)
from support.rnn import Net
from support.strategies import generator

STATES = {"lstm": ("h0", "c0"), "gru": ("h0",)}


def make(net: Net, half: bool = False) -> dict:
    """The arguments common to all recurrent ops."""
    net.fill(generator(0), half, bias=True)
    weights, weight_scales, biases = net.packed()
    return {
        **{"weights": weights, "weight_scales": weight_scales, "biases": biases},
        **{"input_size": net.input_size, "hidden_size": net.hidden},
    }


def sequence(cell: str, half: bool = False) -> dict:
    proj = 2 if cell == "lstm" else 0
    net = Net(cell, 4, 6, proj, layers=2, directions=2)
    h0 = {"h0": floats(4, 3, net.output), "c0": floats(4, 3, 6)}
    return {
        **{key: h0[key] for key in STATES[cell]},
        **make(net, half),
        **({"proj_size": proj} if proj else {}),
        **{"num_layers": 2, "bidirectional": True},
    }


def cell_args(cell: str) -> dict:
    keys = ("h", "c") if cell == "lstm" else ("h",)
    return {"x": floats(3, 4), **{key: floats(3, 6) for key in keys}, **make(Net(cell, 4, 6))}


PACKED = {"data": floats(6, 4), "batch_sizes": torch.tensor([3, 2, 1])}
VALID = {
    **{
        cell: {"x": floats(5, 3, 4), **sequence(cell), "batch_first": False}
        for cell in ("lstm", "gru")
    },
    **{f"{cell}.data": {**PACKED, **sequence(cell)} for cell in ("lstm", "gru")},
    **{f"{cell}_cell": cell_args(cell) for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def changed(values: list, i: int, value) -> list:
    return [*values[:i], value, *values[i + 1 :]]


def parameter_errors(name: str) -> list:
    """Errors of weights, scales, biases and sizes; weights[1] is w_hh of the first direction."""
    args = VALID[name]
    weights, weight_scales, biases = (args[k] for k in ("weights", "weight_scales", "biases"))
    n = len(biases[0])
    count = r"must have \d+ tensors, got "
    halves = [OPS.linear_fp16_pack(floats(n, 4)), *weights[1:]]
    return [
        ({"weights": []}, f"weights {count}0"),
        ({"weights": weights[1:]}, f"weights {count}{len(weights) - 1}"),
        ({"weights": [*weights, weights[0]]}, f"weights {count}{len(weights) + 1}"),
        ({"weights": changed(weights, 0, floats(8))}, "weights must be Char or Half, got Float"),
        ({"weights": changed(weights, 1, floats(8))}, r"weights\[1\] must be Char, got Float"),
        ({"weights": halves, "weight_scales": []}, r"weights\[1\] must be Half, got Char"),
        (
            {"weights": changed(weights, 1, weights[1][:-1].clone())},
            rf"weights\[1\] must be a packed weight \[{n}, \d\] of \d+ contiguous elements, got",
        ),
        ({"weights": changed(weights, 1, weights[1][None])}, r"weights\[1\] must be a packed"),
        ({"weights": changed(weights, 1, s8())}, r"weights\[1\] must be a packed"),
        ({"weight_scales": []}, f"weight_scales {count}0"),
        ({"weight_scales": weight_scales[1:]}, f"weight_scales {count}{len(weights) - 1}"),
        (
            {"weight_scales": changed(weight_scales, 1, floats(n).double())},
            r"weight_scales\[1\] must be Float, got Double",
        ),
        (
            {"weight_scales": changed(weight_scales, 1, floats(n - 1))},
            rf"weight_scales\[1\] must have shape \[{n}\], got \[{n - 1}\]",
        ),
        ({"weight_scales": changed(weight_scales, 1, floats())}, r"weight_scales\[1\] must have"),
        ({"biases": biases[:1]}, f"biases {count}1"),
        ({"biases": changed(biases, 0, floats(n).half())}, r"biases\[0\] must be Float, got Half"),
        ({"biases": changed(biases, 1, floats(n, 1))}, rf"biases\[1\] must have shape \[{n}\]"),
        *(
            ({size: value}, rf"{size} must be in \[1, 65793\], got {value}")
            for size in ("input_size", "hidden_size")
            for value in (0, -1, 65794, 2**62, -(2**63))
        ),
        ({"input_size": 5}, r"(x|data) must be .* with input_size 5, got|weights\[0\] must be"),
        ({"hidden_size": 17}, r"weights\[0\] must be a packed weight"),
    ]


def state_errors(names: dict[str, torch.Tensor], optional: bool) -> list:
    errors = []
    for name, state in names.items():
        shape = "".join(rf"{size}, " for size in state.shape)[:-2]
        errors += [
            ({name: state.double()}, f"{name} must be Float, got Double"),
            ({name: state[..., :-1].clone()}, rf"{name} must have shape \[{shape}\], got"),
            ({name: floats(*[2] * state.dim())}, rf"{name} must have shape|c0 must have shape"),
        ]
        if optional:
            errors.append(({name: floats()}, rf"{name} must have shape \[{shape}\], got \[\]"))
    return errors


def input_errors(name: str, form: str) -> list:
    return [
        ({name: floats(3, 3, 4).double()}, f"{name} must be Float, got Double"),
        ({name: floats(3, 3, 4).half()}, f"{name} must be Float, got Half"),
        ({name: s8(3, 3, 4)}, f"{name} must be Float, got Char"),
        ({name: floats()}, rf"{name} must be {form} with input_size 4, got \[\]"),
        ({name: floats(2, 2, 2, 4)}, rf"{name} must be {form} with input_size 4, got \[2, 2, 2"),
        ({name: floats(6, 5)}, rf"{name} must be {form} with input_size 4, got \[6, 5\]"),
    ]


def net_errors(cell: str) -> list:
    layers = [
        ({"num_layers": value}, rf"num_layers must be in \[1, 2\^20\), got {value}")
        for value in (0, -1, 2**20, 2**62)
    ]
    proj = [
        ({"proj_size": value}, rf"proj_size must be in \[0, hidden_size\), got {value}")
        for value in (-1, 6, 2**62)
    ]
    return [
        *layers,
        ({"num_layers": 1}, r"weights must have \d+ tensors, got \d+"),
        ({"bidirectional": False}, r"weights must have \d+ tensors, got \d+"),
        *(proj if cell == "lstm" else []),
    ]


def sequence_errors(cell: str) -> list:
    args = VALID[cell]
    x = args["x"]
    states = {name: args[name] for name in STATES[cell]}
    return [
        *input_errors("x", r"\[T, B, input_size\] or \[T, input_size\]"),
        *state_errors(states, optional=True),
        *parameter_errors(cell),
        *net_errors(cell),
        ({"x": x[:0]}, r"x must have at least one time step, got \[0, 3, 4\]"),
        ({"x": x[0]}, r"h0 must have shape \[4, \d\], got \[4, 3, \d\]"),
        ({"x": x[:, :2].clone()}, r"h0 must have shape \[4, 2, \d\], got \[4, 3, \d\]"),
        ({"batch_first": True}, r"h0 must have shape \[4, 5, \d\], got \[4, 3, \d\]"),
    ]


def packed_errors(cell: str) -> list:
    name = f"{cell}.data"
    args = VALID[name]
    states = {state: args[state] for state in STATES[cell]}
    sizes = args["batch_sizes"]
    return [
        *input_errors("data", r"\[rows, input_size\]"),
        *state_errors(states, optional=False),
        *parameter_errors(name),
        *net_errors(cell),
        ({"h0": floats(4, 2)}, r"h0 must be \[layers \* directions, B, features\], got \[4, 2\]"),
        ({"batch_sizes": sizes.int()}, "batch_sizes must be Long, got Int"),
        ({"batch_sizes": sizes[None]}, r"batch_sizes must be \[T\] with T > 0, got \[1, 3\]"),
        ({"batch_sizes": sizes[:0]}, r"batch_sizes must be \[T\] with T > 0, got \[0\]"),
        ({"batch_sizes": sizes[0]}, r"batch_sizes must be \[T\] with T > 0, got \[\]"),
    ]


def cell_errors(name: str) -> list:
    args = VALID[name]
    return [
        *input_errors("x", r"\[B, input_size\] or \[input_size\]"),
        *state_errors({key: args[key] for key in ("h", "c") if key in args}, optional=True),
        *parameter_errors(name),
        ({"x": floats(4)}, r"h must have shape \[6\], got \[3, 6\]"),
        ({"x": floats(2, 4)}, r"h must have shape \[2, 6\], got \[3, 6\]"),
    ]


ERRORS = {
    **{cell: sequence_errors(cell) for cell in ("lstm", "gru")},
    **{f"{cell}.data": packed_errors(cell) for cell in ("lstm", "gru")},
    **{name: cell_errors(name) for name in VALID if name.endswith("_cell")},
}


def value_errors(name: str) -> list:
    args = VALID[name]
    scales = args["weight_scales"]
    bad = [torch.cat([scales[-1][:-1], torch.tensor([v])]) for v in (0.0, -1.0, INF, NAN)]
    errors = [
        (
            {"weight_scales": [*scales[:-1], scale]},
            f"weight_scales must be positive and finite, got {scale[-1]:g} for output channel",
        )
        for scale in bad
    ]
    if name.endswith(".data"):
        errors += [
            ({"batch_sizes": torch.tensor(sizes)}, f"batch_sizes must {message}")
            for sizes, message in (
                ([3, 3, 1], "add up to the rows of data, 6, got more"),
                ([3, 2], "add up to the rows of data, 6, got 5"),
                ([2, 2, 2], "begin with the batch of h0, 3, got 2"),
                ([2, 3, 1], "be positive and not increase .*; got 3 after 2"),
                ([3, 3, 0], "be positive and not increase .*; got 0 after 3"),
                ([3, 4, -1], "be positive and not increase .*; got 4 after 3"),
                ([3, 3, -(2**63)], "be positive and not increase .*; got -9223372036854775808"),
                ([2**62, 2**62], "be positive and not increase from the batch of h0, 3"),
            )
        ]
    return errors


# Errors in values, which Meta tensors do not have.
VALUE_ERRORS = {name: value_errors(name) for name in VALID}


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)


@pytest.mark.parametrize("name", VALID)
def test_float16_weights_have_no_scales(name):
    args = VALID[name]
    halves = [weight.half() for weight in args["weights"]]
    check_error(name, {**args, "weights": halves}, r"weight_scales must have 0 tensors, got \d+")


def test_more_inputs_than_int32_sums_hold():
    """The input of the second layer is both directions of the first."""
    net = Net("gru", 4, 40000, layers=2, directions=2)
    shapes = [shape for layer in (0, 0, 1, 1) for shape in net.shapes(layer)]
    with torch.device("meta"):
        weights = [torch.empty(shape, dtype=torch.int8) for shape in shapes[:4]]
        weights = [OPS.linear_pack(weight) for weight in weights] + [s8(1).to("meta")] * 4
        scales, x = [torch.empty(120000)] * 8, torch.empty(5, 3, 4)
    with pytest.raises(RuntimeError, match=r"qnative::gru: at most 65793 products .* got 80000"):
        OPS.gru(x, None, weights, scales, [], *net.sizes(), False)
