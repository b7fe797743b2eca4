"""Exports a float module, with its batch size open if the model allows it."""

import inspect
from typing import Any, Literal, TypeAlias

import torch
from torch.fx import GraphModule

from . import nodes as ir
from .functional import functional_module

# Which sizes of the inputs stay open: "batch", none, or what torch.export.export takes.
DynamicShapes: TypeAlias = Literal["batch"] | dict[str, Any] | tuple[Any, ...] | list[Any] | None


def check_inputs(model: Any, example_inputs: Any, caller: str) -> None:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{caller}: model must be a torch.nn.Module, got {type(model).__name__}")
    refuse_script(model, caller)
    if not isinstance(example_inputs, tuple):
        raise TypeError(
            f"{caller}: example_inputs must be a tuple of forward's arguments, got "
            f"{type(example_inputs).__name__}"
        )


def refuse_script(model: Any, caller: str) -> None:
    """TypeError for TorchScript: only ``migrate`` can read its layers."""
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"{caller}: the model is TorchScript: give the module that was scripted or traced, or "
            "quantize it with qnative.migrate(model, dynamic=True)"
        )


def export(
    model: torch.nn.Module,
    inputs: tuple[Any, ...],
    dynamic_shapes: DynamicShapes,
    caller: str,
) -> tuple[GraphModule, list[str]]:
    """The exported module and notes on its shapes. RuntimeError, with ``caller`` in its message,
    for a model that torch.export rejects."""
    try:
        if dynamic_shapes != "batch":
            program = torch.export.export(model, inputs, dynamic_shapes=dynamic_shapes)
            return functional_module(program), []
        try:
            program = _export_batch(model, inputs)
            return functional_module(program), ["batch size: dynamic"]
        except _FixedBatch as error:
            program = torch.export.export(model, inputs)
            return functional_module(program), [f"batch size: fixed, {error}"]
    except Exception as error:
        raise RuntimeError(
            f"{caller}: torch.export rejects {type(model).__name__}: {error}"
        ) from error


class _FixedBatch(Exception):
    """Dimension 0 of the inputs cannot be left open; the message says why."""


def _export_batch(model: torch.nn.Module, inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    """Exports with dimension 0 of every input open, or raises _FixedBatch."""
    # torch.export specializes sizes of 1.
    inputs = torch.utils._pytree.tree_map_only(torch.Tensor, _at_least_two, inputs)
    arguments = inspect.signature(model.forward).bind(*inputs).arguments
    shapes = torch.utils._pytree.tree_map(_open_batch, dict(arguments))
    try:
        program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    except Exception as error:
        raise _FixedBatch(str(error).strip().splitlines()[0]) from error
    for node in program.graph.nodes:
        value = ir.tensor_of(node)
        if node.name not in program.graph_signature.user_inputs or value is None:
            continue
        if value.dim() > 0 and not ir.is_open(value.shape[0]):
            raise _FixedBatch(f"the model computes with the size of {node.name}")
    return program


def _at_least_two(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x]) if x.dim() > 0 and x.shape[0] == 1 else x


def _open_batch(x: Any) -> Any:
    return {0: torch.export.Dim.AUTO} if isinstance(x, torch.Tensor) and x.dim() > 0 else None
