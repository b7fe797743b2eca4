"""Each tensor argument of each op on another device, sparse, or of an unsupported dtype: an error
that names the op, never a crash."""

from collections.abc import Iterator

import pytest
import torch

from support.opcheck import CASES, OPS


def overload(name):
    packet, _, rest = name.partition(".")
    return getattr(getattr(OPS, packet), rest or "default")


def tensors(value):
    return [v for v in (value if isinstance(value, list) else [value]) if torch.is_tensor(v)]


def samples() -> Iterator:
    """(op, index of a tensor argument, a call in which it has a tensor)."""
    for name, cases in CASES.items():
        for i, argument in enumerate(overload(name)._schema.arguments):
            if "Tensor" in str(argument.type):
                args = [args for args in cases if i < len(args) and tensors(args[i])]
                yield pytest.param(name, i, args[0] if args else None, id=f"{name}-{argument.name}")


def call_with(change, name, i, args):
    """Calls the op with the last tensor of argument i changed."""
    args = list(args)
    value = args[i]
    args[i] = [*value[:-1], change(value[-1])] if isinstance(value, list) else change(value)
    return overload(name)(*args)


@pytest.fixture(autouse=True)
def check_sample(args):
    assert args is not None, "no case of support/opcheck.py has this tensor"


@pytest.mark.parametrize("name, i, args", list(samples()))
def test_other_device(name, i, args):
    if torch.Tag.dynamic_output_shape in overload(name).tags:  # as torch.nonzero
        with pytest.raises(NotImplementedError, match=rf"qnative::{name}: the values of weight"):
            call_with(lambda x: x.to("meta"), name, i, args)
        return
    if sum(len(tensors(value)) for value in args) == 1:
        assert call_with(lambda x: x.to("meta"), name, i, args) is not None
        return
    message = rf"qnative::{name.partition('.')[0]}: \w+(\[\d+\])? must be on meta, got cpu"
    with pytest.raises(RuntimeError, match=message):
        call_with(lambda x: x.to("meta"), name, i, args)


@pytest.mark.parametrize("name, i, args", list(samples()))
def test_sparse(name, i, args):
    with pytest.raises(RuntimeError, match=f"qnative::{name.partition('.')[0]}.*Sparse"):
        call_with(lambda x: x.to_sparse(), name, i, args)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name, i, args", list(samples()))
def test_unsupported_dtype(name, i, args, device):
    def moved(value):
        if isinstance(value, list):
            return [moved(v) for v in value]
        return value.to(device) if torch.is_tensor(value) else value

    args = [moved(value) for value in args]
    with pytest.raises(RuntimeError, match=rf"qnative::{name.partition('.')[0]}: .*ComplexFloat"):
        call_with(lambda x: x.to(torch.complex64), name, i, args)
