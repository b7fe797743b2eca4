"""A program gives what the module of its ExportedProgram gives, bit for bit."""

import copy

import pytest
import torch
from torch.utils import _pytree as pytree

import qnative
from support import programs

CASES = programs.cases()


def assert_equal(expected, got):
    expected_leaves, expected_spec = pytree.tree_flatten(expected)
    leaves, spec = pytree.tree_flatten(got)
    assert spec == expected_spec
    for a, b in zip(expected_leaves, leaves, strict=True):
        assert type(a) is type(b)
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype and a.stride() == b.stride()
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        else:
            assert a == b


@pytest.mark.parametrize("source", ["file", "memory", "decomposed"])
@pytest.mark.parametrize("name", CASES)
def test_modules(name, source, tmp_path):
    case = CASES[name]
    exported = torch.export.export(
        case.model, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes
    )
    if source == "decomposed":  # no operation in place, mutations as outputs
        exported = exported.run_decompositions()
    if source == "memory":
        program = qnative.Program(exported)
    else:
        torch.export.save(exported, tmp_path / "model.pt2")
        program = qnative.Program.load(tmp_path / "model.pt2")
    module = exported.module()
    results = []
    for args in [case.args, *case.calls]:
        given, given_again = copy.deepcopy(args), copy.deepcopy(args)
        with torch.no_grad():
            results.append((module(*given, **case.kwargs), program(*given_again, **case.kwargs)))
        assert_equal(given, given_again)  # also where the model changes its inputs
    # Compared at the end: a result must not change when another call runs.
    for expected, got in results:
        assert_equal(expected, got)
