"""An aten call that a qnative call is about to replace, and the graph that it stands in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from ..graph import nodes as ir
from ..graph.activation import NO_BOUNDS, Bounds, fused_activation
from ..graph.nodes import Unsupported
from ..graph.qdq import QParams
from ..plan.decision import Decision


@dataclass(frozen=True)
class Quantized:
    """An 8-bit value of the graph, or with qparams None a float16 or float32 one."""

    node: Node
    qparams: QParams | None


@dataclass
class Context:
    """The graph that is rewritten, and what belongs to all of its calls.

    module: has the attributes that the graph used before. taken: names of attributes. tensors:
    buffers of the lowered module, by name. packed: names of the buffers that were made of one
    value. kept: tensors that must stay alive, see ``once``. halves: float32 nodes that are casts of
    float16 ones, with these.
    """

    module: GraphModule
    graph: Graph
    taken: set[str]
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    packed: dict[Any, tuple[str, ...]] = field(default_factory=dict)
    halves: dict[Node, Node] = field(default_factory=dict)
    kept: list[torch.Tensor | None] = field(default_factory=list)

    def buffer(self, name: str, value: torch.Tensor) -> Node:
        """A node for a new buffer of this name, or of a similar one if it is taken."""
        return self.graph.get_attr(self._add(name, value))

    def once(
        self,
        key: Any,
        make: Callable[[], dict[str, torch.Tensor]],
        keep: torch.Tensor | None = None,
    ) -> tuple[list[Node], int]:
        """Nodes for the buffers that ``make`` returns by name, and the bytes that this call added:
        ``make`` runs once for each key. keep: a tensor whose address is part of the key; it stays
        alive, so that no other tensor gets its address."""
        added = 0
        if key not in self.packed:
            made = make()
            self.kept.append(keep)
            self.packed[key] = tuple(self._add(name, value) for name, value in made.items())
            added = sum(value.nbytes for value in made.values())
        return [self.graph.get_attr(name) for name in self.packed[key]], added

    def constant(self, node: Any) -> Any:
        """The value of an argument that depends on attributes alone; Unsupported if it does not."""
        return ir.constant(self.module, node)

    def _add(self, name: str, value: torch.Tensor) -> str:
        parts = name.split(".")
        if any(".".join(parts[:i]) in self.taken for i in range(1, len(parts))):
            name = "_".join(parts)
        base, i = name, 0
        while name in self.taken:
            i += 1
            name = f"{base}_{i}"
        self.taken.add(name)
        self.tensors[name] = value
        return name


@dataclass
class CallSite:
    """An aten call about to be replaced.

    args: its arguments by name. x: those that are read in quantized form, a list for a list
    argument. bounds: of the activation fused into it; function: its name where it is no bound. y:
    the quantization of its output; None ends in float. pad: that of the aten.pad fused into it,
    last dimension first; () without one.
    """

    context: Context
    node: Node
    decision: Decision
    args: dict[str, Any]
    x: dict[str, Any]
    bounds: Bounds = NO_BOUNDS
    function: str = ""
    y: QParams | None = None
    pad: tuple[int, ...] = ()
    float_bytes: int = 0
    packed_bytes: int = 0

    @property
    def kind(self) -> str:
        return ir.kind(self.node)

    @property
    def name(self) -> str:
        """Qualified name of the module of the call: prefix of the names of its buffers."""
        return ir.module_path(self.node) or self.node.name

    def call(self, op: Any, *args: Any, **kwargs: Any) -> Node:
        return self.context.graph.call_function(op, args, kwargs)

    @property
    def output(self) -> dict[str, Any]:
        """Scale, zero point and dtype of the output, by the names that schemas have for them."""
        if self.y is None:
            return {"y_scale": 1.0, "y_zero_point": 0, "y_dtype": torch.float32}
        y = self.y
        return {"y_scale": y.scale, "y_zero_point": y.zero_point, "y_dtype": y.dtype}

    @property
    def full_output(self) -> dict[str, Any]:
        """``output`` of an op that cannot clamp to less than its dtype holds."""
        if self.y is not None and not self.y.full_range:
            low, high = self.y.quant_min, self.y.quant_max
            raise Unsupported(f"its output is limited to [{low}, {high}]")
        return self.output

    @property
    def activation(self) -> dict[str, Any]:
        """The fused activation, by the names that schemas have for it."""
        name, values = fused_activation(self.bounds, self.y)
        if self.function:
            name, values = self.function, []
        return {"activation": name, "activation_args": values}

    def floats(self, name: str, argument: Node | None) -> Node | None:
        """A tensor that stays float32, as a buffer of the lowered module."""
        if argument is None:
            return None

        value = self.context.constant(argument)
        key, buffer = (self.node, name), f"{self.name}.{name}"
        (node,), added = self.context.once(key, lambda: {buffer: value.to(torch.float32).clone()})
        self.float_bytes += value.nbytes if added else 0
        self.packed_bytes += added
        return node
