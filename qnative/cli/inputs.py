"""Arguments of a call: from a file of torch.save, or random."""

import argparse
from typing import Any

import torch

from ..program import Program
from .graphs import unreadable


def read_tensors(path: str) -> Any:
    """What torch.save has saved, if it is tensors in lists, tuples and dicts. A RuntimeError names
    a file that is something else."""
    try:
        return torch.load(path, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of pickle, or whatever the bytes lead it to
        raise unreadable(path, error) from error


def read_inputs(path: str) -> Any:
    """The arguments in a file. A RuntimeError names a file that has none."""
    inputs = read_tensors(path)
    if isinstance(inputs, torch.Tensor):
        return (inputs,)
    if not isinstance(inputs, (list, tuple)):
        raise RuntimeError(
            f"qnative: {path} must hold a tensor, a list or a tuple, has {type(inputs).__name__}"
        )
    return inputs


def make_inputs(program: Program, options: argparse.Namespace) -> tuple[Any, ...]:
    """The arguments that the options of ``run`` and ``bench`` describe. Random tensors serve
    programs whose arguments are tensors alone."""
    if options.inputs is not None:
        return tuple(read_inputs(options.inputs))
    tensors = [leaf for leaf in program.inputs if leaf.kind == "tensor"]
    if len(tensors) != len([leaf for leaf in program.inputs if leaf.kind != "constant"]):
        raise ValueError(f"qnative: {options.file} takes numbers: give --inputs")
    sizes = [[options.batch if isinstance(n, str) else n for n in leaf.sizes] for leaf in tensors]
    if options.sizes:
        sizes = [[int(n) for n in text.split(",")] for text in options.sizes]
    if len(sizes) != len(tensors):
        raise ValueError(f"qnative: {options.file} takes {len(tensors)} tensors, got {len(sizes)}")
    return tuple(_random(leaf.dtype, shape) for leaf, shape in zip(tensors, sizes, strict=True))


def _random(dtype: Any, shape: list[int]) -> torch.Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, dtype=dtype)
    return torch.ones(shape, dtype=dtype)  # an index of any table, a mask that hides nothing
