"""Exports a float module, with the sizes of its inputs open that the model allows."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from . import open_ops
from .functional import functional_module
from .lines import SizeLines, place_of
from .open_sizes import Leaf, OpenSizes, Place, by_line, leaves_of, shapes_of
from .rejected import Rejected, explain

# Which sizes of the inputs stay open: "batch", "all" ("auto" is another name of it), none, or what
# torch.export.export takes.
DynamicShapes: TypeAlias = (
    Literal["batch", "all", "auto"] | dict[str, Any] | tuple[Any, ...] | list[Any] | None
)
_NAMES = ("batch", "all", "auto")


class Exported(NamedTuple):
    """An exported module without in-place ops, and its sizes."""

    module: GraphModule
    sizes: OpenSizes


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
) -> Exported:
    """Exports a model. RuntimeError, with ``caller`` in its message, for one that torch.export
    rejects; ValueError for an unknown name as ``dynamic_shapes``."""
    with _rejections(model, caller):
        attempt, reasons = _attempt(model, inputs, dynamic_shapes, caller)
        module = functional_module(attempt.program)
    return Exported(module, attempt.sizes(module, reasons))


def export_program(
    model: torch.nn.Module,
    inputs: tuple[Any, ...],
    dynamic_shapes: DynamicShapes,
    caller: str,
) -> ExportedProgram:
    """The program of torch.export, as it is; errors are those of ``export``."""
    with _rejections(model, caller):
        return _attempt(model, inputs, dynamic_shapes, caller)[0].program


def _attempt(
    model: torch.nn.Module, inputs: tuple[Any, ...], dynamic_shapes: DynamicShapes, caller: str
) -> tuple["_Attempt", dict[Place, str]]:
    """The export with these sizes open, and why other dimensions are not."""
    if not isinstance(dynamic_shapes, str):
        return _Attempt(model, inputs, dynamic_shapes), {}
    if dynamic_shapes not in _NAMES:
        raise _UnknownName(
            f"{caller}: dynamic_shapes must be one of {', '.join(_NAMES)}, None or what "
            f"torch.export.export takes, got {dynamic_shapes!r}"
        )
    return _with_open_sizes(model, inputs, dynamic_shapes == "batch")


class _UnknownName(ValueError):
    pass


@contextmanager
def _rejections(model: torch.nn.Module, caller: str) -> Iterator[None]:
    """Errors of torch.export become RuntimeErrors that say what helps."""
    try:
        yield
    except _UnknownName:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, Rejected) else error
        text = f"{caller}: torch.export rejects {explain(model, error)}"
        raise RuntimeError(text) from cause


class _Attempt:
    """A call of torch.export."""

    def __init__(self, model: torch.nn.Module, inputs: tuple[Any, ...], shapes: Any):
        self.model, self.inputs = model, inputs
        try:
            with SizeLines() as self.lines, open_ops.open_forms():
                self.program: ExportedProgram = torch.export.export(
                    model, inputs, dynamic_shapes=shapes
                )
        except Exception as error:
            raise Rejected(self.lines) from error
        open_ops.restore(self.program)

    def sizes(self, module: GraphModule | None, reasons: dict[Place, str]) -> OpenSizes:
        leaves = leaves_of(self.model, self.inputs)
        return OpenSizes(self.program, module, leaves, self.inputs, self.lines, reasons)


def _with_open_sizes(
    model: torch.nn.Module, inputs: tuple[Any, ...], batch_only: bool
) -> tuple[_Attempt, dict[Place, str]]:
    """The export with the most sizes open, and why other dimensions are not."""
    # torch.export takes a size of 1 for fixed.
    doubled = pytree.tree_map_only(torch.Tensor, _at_least_two, inputs)
    places, reasons = _wanted(leaves_of(model, doubled), batch_only)
    try:
        attempt = _Attempt(model, doubled, _shapes(model, doubled, places))
    except Rejected as error:
        if batch_only:
            return _Attempt(model, inputs, None), dict.fromkeys(places, _why(error))
        return _one_by_one(model, inputs, doubled)
    found = attempt.sizes(None, {}).sizes
    batch = places if batch_only else _doubled(inputs)
    fixed = {place: found[place].reason for place in batch if not found[place].open}
    if not fixed:
        return attempt, reasons
    if batch_only:  # all of it or none
        return _Attempt(model, inputs, None), fixed
    return _one_by_one(model, inputs, inputs)


def _one_by_one(
    model: torch.nn.Module, inputs: tuple[Any, ...], example: tuple[Any, ...]
) -> tuple[_Attempt, dict[Place, str]]:
    """The same, where it is not possible to leave them all open."""
    places, reasons = _wanted(leaves_of(model, example), batch_only=False)
    best = _Attempt(model, example, None)
    opened: set[Place] = set()
    for group in _groups(leaves_of(model, example), places):
        for part in [group] if len(group) == 1 else [group, *({place} for place in group)]:
            try:
                best = _Attempt(model, example, _shapes(model, example, opened | part))
            except Rejected as error:
                reasons |= dict.fromkeys(part, _why(error))
                continue
            opened |= part
            if part is group:
                break
    found = best.sizes(None, {}).sizes
    if example is not inputs and any(
        place not in found or not found[place].open for place in _doubled(inputs)
    ):
        return _one_by_one(model, inputs, inputs)
    return best, {place: why for place, why in reasons.items() if place not in opened}


def _wanted(leaves: list[Leaf], batch_only: bool) -> tuple[set[Place], dict[Place, str]]:
    """The dimensions to leave open, and why others cannot be."""
    places, reasons = set(), {}
    for i, leaf in enumerate(leaves):
        shape = leaf.value.shape if isinstance(leaf.value, torch.Tensor) else ()
        for dim, size in enumerate(shape[:1] if batch_only else shape):
            if size > 1 or batch_only:
                places.add((i, dim))
            else:
                reasons[i, dim] = f"the example's size is {size}: give one of 2 or more"
    return places, reasons


def _groups(leaves: list[Leaf], places: set[Place]) -> Iterator[set[Place]]:
    """Dimensions that may have to be equal: the batch of all inputs, then those of each size."""
    groups: dict[int, set[Place]] = {}
    for i, dim in sorted(places):
        groups.setdefault(leaves[i].value.shape[dim] if dim else 0, set()).add((i, dim))
    yield from (groups[size] for size in sorted(groups))


def _shapes(model: torch.nn.Module, inputs: tuple[Any, ...], places: set[Place]) -> Any:
    arguments = inspect.signature(model.forward).bind(*inputs).arguments
    return shapes_of(dict(arguments), places)


def _at_least_two(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x]) if x.dim() > 0 and x.shape[0] == 1 else x


def _doubled(inputs: tuple[Any, ...]) -> set[Place]:
    """Dimension 0 of the inputs that _at_least_two changes."""
    flat = pytree.tree_leaves(inputs)
    return {
        (i, 0)
        for i, x in enumerate(flat)
        if isinstance(x, torch.Tensor) and x.dim() > 0 and x.shape[0] == 1
    }


def _why(error: Rejected) -> str:
    """The line of the user's code that an error comes from, and the first line of its text."""
    line, _ = place_of(error.__cause__)
    text = next(iter(str(error.__cause__).strip().splitlines()), type(error.__cause__).__name__)
    return ": ".join(filter(None, (by_line(line), text)))
