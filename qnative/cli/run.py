"""``python -m qnative run model.pt2``"""

import argparse
from typing import Any

import torch

from .._files import replacing
from ..program import Program
from .inputs import read_inputs


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "run",
        help="run a .pt2 file",
        description="Prints the result. Exit status: 0 done; 1 the file cannot be read or does not "
        "take the inputs; 2 a usage error.",
    )
    add_inputs(parser)
    parser.add_argument("--output", metavar="FILE", help="where torch.save puts the result")
    parser.set_defaults(run=run)


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """The file of a program, and the options for its arguments."""
    parser.add_argument("file", help="of torch.export.save or qnative.save")
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        help="a tensor, or a list or tuple of the arguments of one call, saved by torch.save "
        "(default: random tensors)",
    )
    parser.add_argument(
        "--batch", type=int, default=1, metavar="B", help="random tensors: sizes that are open"
    )
    parser.add_argument(
        "--sizes",
        nargs="*",
        metavar="N,...",
        help="random tensors: the sizes of each, such as 1,3,224,224",
    )


def make_inputs(program: Program, options: argparse.Namespace) -> tuple[Any, ...]:
    """The arguments that the options describe. Random tensors serve programs whose arguments are
    tensors alone."""
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


def run(options: argparse.Namespace) -> int:
    program = Program.load(options.file)
    with torch.inference_mode():
        result = program(*make_inputs(program, options))
    print(result)
    if options.output is not None:
        with replacing(options.output) as file:
            torch.save(result, file)
    return 0
