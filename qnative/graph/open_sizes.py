"""Which sizes of the inputs an exported module leaves open, and inputs of other sizes for it."""

import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple

import sympy
import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from ..report import Report, Size
from . import nodes as ir
from .lines import SizeLines

# The position of a tensor among the flat inputs, and one of its dimensions.
Place = tuple[int, int]
# How far from the example other sizes are looked for, beside half of it and twice it.
_STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, 96, 128)


class Leaf(NamedTuple):
    """A tensor or number among the inputs, by its name: "x", "images[0]", "batch['mask']"."""

    name: str
    source: str  # torch's name of it
    value: Any


def leaves_of(
    model: torch.nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any] | None = None
) -> list[Leaf]:
    """The flat inputs of a model, in order."""
    arguments = dict(inspect.signature(model.forward).bind(*inputs, **(kwargs or {})).arguments)
    found: list[Any] = pytree.tree_flatten_with_path(arguments)[0]
    leaves = []
    for (argument, *path), value in found:
        name, inside = argument.key, pytree.keystr(tuple(path))
        leaves.append(Leaf(f"{name}{inside}", f"L[{name!r}]{inside}", value))
    return leaves


class Trial(NamedTuple):
    """Inputs of other sizes than the example, and the new size of each dimension that differs."""

    inputs: tuple[Any, ...]
    sizes: dict[Place, int]


class OpenSizes:
    """The sizes of an exported module.

    program, module: what torch.export gave. leaves, inputs: the example. lines: those of the code
    that fixed sizes. reasons: why a dimension was not left open, where that is known already.

    sizes: a Size for each dimension that was to stay open; ``open`` is what torch.export says.
    """

    def __init__(
        self,
        program: ExportedProgram,
        module: GraphModule | None,
        leaves: list[Leaf],
        inputs: tuple[Any, ...],
        lines: SizeLines,
        reasons: dict[Place, str],
    ):
        self.inputs, self._leaves, self._lines = inputs, leaves, lines
        self._guards = getattr(module, "_guards_fn", None)
        nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        self._values = [ir.tensor_of(nodes.get(n)) for n in program.graph_signature.user_inputs]
        self._environment = _shape_environment(nodes.values())
        self._example: dict[Any, int] = {}  # by symbols
        self.sizes: dict[Place, Size] = {}
        for i, leaf in enumerate(leaves):
            if isinstance(leaf.value, torch.Tensor):
                for dim in range(leaf.value.dim()):
                    self._add((i, dim), reasons.get((i, dim), ""))

    def _add(self, place: Place, reason: str) -> None:
        i, dim = place
        leaf, value = self._leaves[i], self._values[i]
        size = Size(leaf.name, dim, leaf.value.shape[dim])
        if value is not None and ir.is_open(value.shape[dim]):
            size.open = True
            expression = _expression(value, dim)
            for symbol in sorted(expression.free_symbols, key=str):
                self._example[symbol] = int(self._environment.backed_var_to_val[symbol])
            self.sizes[place] = size
            return
        symbol = self._symbol(f"{leaf.source}.size()[{dim}]")
        if reason or symbol is not None:
            size.reason = reason or self._why_fixed(symbol)
            self.sizes[place] = size

    def _symbol(self, source: str) -> Any:
        """The symbol that torch.export gave a dimension that it was to leave open, or None."""
        known = getattr(self._environment, "source_to_var", {})
        return known.get(source)

    def _why_fixed(self, symbol: Any) -> str:
        replacements = getattr(self._environment, "replacements", {})
        while symbol in replacements and replacements[symbol].is_Symbol:
            symbol = replacements[symbol]
        return by_line(self._lines.of_symbol(symbol)) or "the model computes with it"

    # ---- other inputs --------------------------------------------------------------------------

    @property
    def symbols(self) -> list[Any]:
        """The sizes that differ from call to call; several dimensions may share one."""
        return list(self._example)

    def places(self, symbol: Any) -> list[Place]:
        """The dimensions whose size depends on a symbol."""
        return [
            place
            for place, size in self.sizes.items()
            if size.open and symbol in self._expression(place).free_symbols
        ]

    def fix(self, symbol: Any, reason: str) -> None:
        """The sizes that depend on a symbol are not open."""
        for place in self.places(symbol):
            self.sizes[place].open, self.sizes[place].reason = False, reason

    def other(self, symbol: Any, sign: int) -> int | None:
        """The next larger (sign = 1) or smaller (-1) size that the model takes, as far as
        torch.export knows."""
        size = self._example[symbol]
        steps = {*_STEPS, size if sign > 0 else size // 2}
        for step in sorted(steps):
            other = size + sign * step
            if other >= 1 and self.trial({symbol: other}) is not None:
                return other
        return None

    def trial(self, others: dict[Any, int]) -> Trial | None:
        """Inputs with these sizes in place of the example's; None if the model does not take
        them."""
        values = {**self._example, **others}
        flat, spec = pytree.tree_flatten(self.inputs)
        sizes: dict[Place, int] = {}
        for place, size in self.sizes.items():
            if not size.open:
                continue
            i, dim = place
            new = sympy.sympify(self._expression(place).xreplace(values))
            if not new.is_Integer or new < 0:
                return None
            if new != size.size:
                sizes[place] = int(new)
                flat[i] = _resized(flat[i], dim, int(new))
        if sizes and not self._takes(flat):
            return None
        return Trial(pytree.tree_unflatten(flat, spec), sizes)

    def why_alone(self, symbol: Any) -> str:
        """Why no other value of a symbol was found: the line that asks about it."""
        values = {s: sympy.Integer(n) for s, n in self._example.items()}
        values[symbol] += 1
        for guard in getattr(self._environment, "guards", ()):
            if symbol in guard.expr.free_symbols and guard.expr.xreplace(values) == sympy.false:
                return by_line(self._lines.of_guard(guard.expr)) or f"it needs {guard.expr}"
        return "no other size was found that torch.export takes"

    def _expression(self, place: Place) -> Any:
        return _expression(self._values[place[0]], place[1])

    def _takes(self, flat: list[Any]) -> bool:
        if self._guards is None:
            return True
        try:
            self._guards(*flat)
        except (AssertionError, RuntimeError):
            return False
        except Exception:  # guards that cannot be asked by themselves: a call will tell
            return True
        return True

    def tell(self, report: Report, dynamic_shapes: Any) -> None:
        """Adds to a report what is open: a Size for each dimension, and a note if
        ``dynamic_shapes`` was "batch"."""
        report.sizes = found = list(self.sizes.values())
        if dynamic_shapes != "batch":
            return
        if fixed := [size for size in found if not size.open]:
            report.notes.append(f"batch size: fixed, {fixed[0].reason}")
        elif found:
            report.notes.append("batch size: dynamic")

    def shapes(self) -> Any:
        """dynamic_shapes of torch.export.export for a module with the same inputs: what is open."""
        return shapes_of(self.inputs, {place for place, size in self.sizes.items() if size.open})


def shapes_again(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: Iterable[Size]
) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """Arguments to export a quantized module with, and dynamic_shapes that leave open what its
    report says. torch.export takes a size of 1 for fixed: such sizes are doubled."""
    wanted = {(size.input, size.dimension) for size in sizes if size.open}
    names = inspect.signature(model.forward).parameters
    kwargs = dict(sorted(kwargs.items(), key=lambda item: [*names, item[0]].index(item[0])))
    arguments = dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)
    leaves = leaves_of(model, args, kwargs)
    places = {
        (i, dim)
        for i, leaf in enumerate(leaves)
        if isinstance(leaf.value, torch.Tensor)
        for dim in range(leaf.value.dim())
        if (leaf.name, dim) in wanted
    }
    flat, spec = pytree.tree_flatten((args, kwargs))
    for i, dim in places:
        if flat[i].shape[dim] == 1:
            flat[i] = _resized(flat[i], dim, 2)
    args, kwargs = pytree.tree_unflatten(flat, spec)
    return args, kwargs, shapes_of(arguments, places)


def shapes_of(inputs: Any, places: set[Place]) -> Any:
    """dynamic_shapes for a tree of inputs with these dimensions open."""
    flat, spec = pytree.tree_flatten(inputs)
    auto = torch.export.Dim.AUTO
    dims: list[Any] = [
        {d: auto for j, d in sorted(places) if j == i} or None for i in range(len(flat))
    ]
    return pytree.tree_unflatten(dims, spec)


def by_line(line: str) -> str:
    """A reason, for the line of the user's code that fixed a size; "" for none."""
    return f"by {line}" if line else ""


def _expression(value: Any, dim: int) -> Any:
    """The size of a FakeTensor in symbols."""
    return value.shape[dim].node.expr


def _resized(x: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """x with another size: cut off, or repeated."""
    y = x.index_select(dim, torch.arange(size, device=x.device) % x.shape[dim])
    for layout in (torch.channels_last, torch.channels_last_3d):
        if x.dim() == (4 if layout is torch.channels_last else 5) and not x.is_contiguous():
            y = y.contiguous(memory_format=layout) if x.is_contiguous(memory_format=layout) else y
    return y


def _shape_environment(nodes: Iterable[Node]) -> Any:
    """What torch.export knows about sizes; None if there is no tensor among the nodes."""
    for node in nodes:
        mode: Any = getattr(ir.tensor_of(node), "fake_mode", None)
        if mode is not None:
            return mode.shape_env
    return None
