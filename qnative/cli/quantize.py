"""``python -m qnative quantize model.pt2 --data x.pt -o q.pt2``"""

import argparse
import os
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from ..quantization import quantize
from ..saving import save
from .graphs import read_exported
from .inputs import read_tensors

# Samples in a batch, where the model leaves that open.
_BATCH = 8


def run(options: argparse.Namespace) -> int:
    program = read_exported(options.model)
    _check(program, options.model)
    data = None if options.data is None else _batches(program, options.data)
    example = _example(program, options.model, data)
    shapes = _open_shapes(program, example)
    example = pytree.tree_map(_at_least_two, example, shapes) if shapes is not None else example
    is_static = options.recipe == "static"
    model = quantize(
        program.module(),
        example,
        data if is_static else None,
        recipe=options.recipe,
        strict=options.strict,
        backend_config=options.backend,
        dynamic_shapes=shapes,
        evaluation=None if is_static else data,
    )
    save(model, options.output, example, dynamic_shapes=shapes)
    print(model.report)
    before, after = (os.path.getsize(path) for path in (options.model, options.output))
    print(f"{options.output}: {after:,} bytes, {options.model}: {before:,} bytes")
    return 0


def _check(program: ExportedProgram, path: str) -> None:
    if any(str(node.target).startswith("qnative.") for node in program.graph.nodes):
        raise ValueError(f"qnative: {path} is quantized already")
    keywords = program.call_spec.in_spec.unflatten([None] * program.call_spec.in_spec.num_leaves)[1]
    if keywords:
        raise ValueError(
            f"qnative: {path} was exported with keyword arguments ({', '.join(keywords)}): export "
            "it with positional ones"
        )


def _sizes(program: ExportedProgram) -> list[list[Any] | None]:
    """The sizes of each input, None for one that is no tensor; open ones are SymInt."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    named = [values.get(str(name)) for name in program.graph_signature.user_inputs]
    return [list(x.shape) if isinstance(x, torch.Tensor) else None for x in named]


def _batches(program: ExportedProgram, path: str) -> list[Any]:
    """The batches in a file: samples of one tensor are divided as the program takes them."""
    data = read_tensors(path)
    if isinstance(data, (tuple, dict)):
        return [data]
    if isinstance(data, torch.Tensor):
        if data.dim() == 0 or len(data) == 0:
            raise ValueError(f"qnative: {path} has a tensor of {list(data.shape)}: no samples")
        first = next((sizes for sizes in _sizes(program) if sizes), [_BATCH])
        size = first[0] if isinstance(first[0], int) else _BATCH
        data = [batch for batch in data.split(size) if len(batch) == size or size == _BATCH]
    if not isinstance(data, list) or not data:
        raise ValueError(
            f"qnative: {path} must hold a tensor or a list of batches, has "
            f"{'none' if isinstance(data, list) else type(data).__name__}"
        )
    return data


def _example(program: ExportedProgram, path: str, data: list[Any] | None) -> tuple[Any, ...]:
    if data is not None and not isinstance(data[0], dict):
        return tuple(data[0]) if isinstance(data[0], (tuple, list)) else (data[0],)
    if program.example_inputs is not None:
        return program.example_inputs[0]
    raise ValueError(f"qnative: {path} has no example inputs: give --data")


def _open_shapes(program: ExportedProgram, example: tuple[Any, ...]) -> Any:
    """What torch.export takes to leave the sizes open that are open in the program, or None."""
    leaves, spec = pytree.tree_flatten(example)
    shapes = [
        {dim: torch.export.Dim.AUTO for dim, n in enumerate(sizes or []) if not isinstance(n, int)}
        for sizes in _sizes(program)
    ]
    if len(shapes) != len(leaves) or not any(shapes):
        return None
    return spec.unflatten([each or None for each in shapes])


def _at_least_two(x: Any, shape: dict[int, Any] | None) -> Any:
    """torch.export takes an open size of 1 for fixed."""
    for dim in shape or ():
        x = torch.cat([x, x], dim) if x.shape[dim] == 1 else x
    return x
