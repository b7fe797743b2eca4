"""Calls that are accepted and refused, state, threads, and inputs of every mode."""

import pytest
import torch
from torch import nn

import qnative
from support import programs
from support.programs import run_threads

CASES = programs.cases()


def make(name):
    case = CASES[name]
    exported = torch.export.export(
        case.model, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes
    )
    return qnative.Program(exported)


X = torch.randn(3, 4)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "error", "message"),
    [
        ("relu", (), {}, TypeError, "argument 'args_0' is missing"),
        ("relu", (X, X), {}, TypeError, "takes 1 positional arguments, got 2"),
        ("relu", (X,), {"y": X}, TypeError, "'y' is given twice or no argument"),
        ("relu", (X,), {"args_0": X}, TypeError, "'args_0' is given twice or no argument"),
        ("relu", (3.5,), {}, TypeError, "input 'args_0': wanted a tensor, got float"),
        (
            *("relu", (X.double(),), {}, ValueError),
            r"input 'args_0': wanted Float \[3, 4\] on cpu, got Double \[3, 4\] on cpu",
        ),
        ("relu", (X[0],), {}, ValueError, r"wanted Float \[3, 4\] on cpu, got Float \[4\] on cpu"),
        ("relu", (X.to("meta"),), {}, ValueError, r"got Float \[3, 4\] on meta"),
        ("relu", (X.to_sparse(),), {}, ValueError, r"got Float \[3, 4\] on cpu, layout Sparse"),
        ("constants", (torch.randn(2, 5),), {}, ValueError, r"wanted Float \[s\d+, 4\] on cpu"),
        (
            *("ranges", (torch.randn(3, 4), torch.randn(7, 4)), {}, ValueError),
            r"size 0 of input 'y' is 7, wanted 2 \* s\d+ = 6, where s\d+ = 3 \(size 0 of input 'x'",
        ),
        (
            *("ranges", (torch.randn(65, 4), torch.randn(130, 4)), {}, ValueError),
            "size 0 of input 'x' is 65, wanted at most 64",
        ),
        (
            *("guards", (torch.randn(3, 4),), {}, ValueError),
            r"exported for inputs with \(L\['x'\].size\(\)\[0\] % 2\) == 0",
        ),
        ("guards", (torch.randn(4, 7),), {}, ValueError, r"with L\['x'\].size\(\)\[1\] != 7"),
        ("guards", (torch.randn(12, 4),), {}, ValueError, "exported for inputs with .*trunc"),
        (
            *("structures", (X, (X, X), X, X), {"table": {"b": [X], "a": X}}, ValueError),
            "argument 'pair': Node type mismatch; expected <class 'list'>",
        ),
        (
            *("structures", (X, (X, [X, X]), X, X), {"table": {"b": [X]}}, ValueError),
            "argument 'table'",
        ),
        (
            "structures",
            (X, (X, [X, X]), X, X),
            {"table": {"b": [X], "a": X}, "scale": 1.0},
            ValueError,
            "input 'scale': wanted 0.5, got 1",
        ),
        ("integer", (X, 2.5), {}, ValueError, r"input 'args_1': wanted an integer, got 2.5"),
    ],
)
def test_errors(name, args, kwargs, error, message):
    with pytest.raises(error, match=message):
        make(name)(*args, **kwargs)


def test_an_error_leaves_the_program_usable():
    program = make("indexing")
    x, index = CASES["indexing"].args
    expected = program(x, index)
    with pytest.raises(IndexError, match=r"(?s)index 7 is out of bounds.*in node 'index"):
        program(x, torch.tensor([0, 7]))
    torch.testing.assert_close(program(x, index), expected, rtol=0, atol=0)


def test_constants_may_be_left_out():
    program = make("structures")
    x, table = X, {"b": [X], "a": X}
    args = (x, (x, [x, x]), x, x)
    expected = program(*args, scale=0.5, table=table)
    torch.testing.assert_close(program(*args, table=table)["y"], expected["y"], rtol=0, atol=0)


def test_arguments_by_name():
    program = make("constants")
    assert torch.equal(program(x=X)[0], program(X)[0])


def test_describes_itself():
    program = make("ranges")
    assert [node.target for node in program.nodes][-1] == "torch.ops.aten.new_zeros.default"
    assert [leaf.name for leaf in program.inputs] == ["x", "y"]
    assert program.inputs[0].dtype == torch.float32
    symbol = program.inputs[0].sizes[0]
    assert program.inputs[1].sizes == (f"2 * {symbol}", 4)
    signature = f"(x: float32[{symbol}, 4], y: float32[2 * {symbol}, 4]) -> ('tensor', 'tensor')"
    assert program.signature == signature
    assert repr(program) == f"qnative.Program{signature}"


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_modes(mode):
    """Weights serve every mode; results are never part of a graph of gradients."""
    program = make("encoder")
    x = CASES["encoder"].args[0]
    with mode():
        y = program(x)
    given = x.clone().requires_grad_()
    z = program(given)
    assert not y.requires_grad and not z.requires_grad
    torch.testing.assert_close(y, z, rtol=0, atol=0)
    assert y.is_inference() == (mode is torch.inference_mode)


def test_results_outlive_calls():
    program = make("lstm")
    inputs = [torch.randn(2, 3, 4) for _ in range(5)]
    expected = [program(x)[0].clone() for x in inputs]
    results = [program(x)[0] for x in inputs]
    torch.testing.assert_close(results, expected, rtol=0, atol=0)
    del program
    torch.testing.assert_close(results, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["encoder", "while_loop", "arithmetic", "residual"])
def test_threads(name):
    program, case = make(name), CASES[name]
    calls = [case.args, *case.calls]
    with torch.no_grad():
        expected = [program(*args) for args in calls]

    def run(i):
        with torch.no_grad():
            for j in range(i, i + 20):
                got = program(*calls[j % len(calls)])
                torch.testing.assert_close(got, expected[j % len(calls)], rtol=0, atol=0)

    run_threads(run, 8)


def test_new_threads_use_the_number_of_threads_that_was_set():
    """Sums of MKL depend on it."""
    before = torch.get_num_threads()
    program, (x,) = make("encoder"), CASES["encoder"].args
    try:
        torch.set_num_threads(1)
        expected = program(x)
        run_threads(lambda i: torch.testing.assert_close(program(x), expected, rtol=0, atol=0), 8)
    finally:
        torch.set_num_threads(before)


def test_threads_of_a_program_with_state():
    """Each call sees the buffers as another call has left them."""
    program = make("counter")
    counts = []
    zero = torch.zeros(3)
    run_threads(lambda i: [counts.append(program(zero)[0][0].item()) for _ in range(50)], 4)
    assert sorted(counts) == list(range(1, 201))


class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return self.weight, x


def test_outputs_that_are_weights_or_inputs():
    model = Weights()
    exported = torch.export.export(model, (X,))
    program = qnative.Program(exported)
    weight, x = program(X)
    assert torch.equal(weight, model.weight) and x is X
