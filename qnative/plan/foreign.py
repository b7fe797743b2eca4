"""Kernels of other libraries, by the names of their arguments.

A row of a config names one as "mylib::fused_op". Its arguments are given by name:

- ``x``, ``x_scale``, ``x_zero_point`` (any name, with these endings): an 8-bit input with its
  parameters; the first such is the first input of the pattern, and so on.
- ``weight``, ``weight_scale``: the int8 weight as it is, [N, ...], and float32 [N]; a ``weight``
  without ``weight_scale`` is float32. ``bias``: float32 or None.
- ``y_scale``, ``y_zero_point``, ``y_dtype``: of the output.
- any other (``stride``, ``padding``): the argument of that name of the first aten op in the pattern
  that has one; if none has it, the default.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from ..backend_config import BackendPatternConfig, DTypeConfig
from ..backend_config.kinds import Kinds
from ..graph.nodes import Unsupported, aten_default, bind, kind
from ..graph.qdq import STORAGE_DTYPES, is_constant
from ..graph.sequence import follow
from .config_index import named_op, static_dtypes
from .decision import Decision, is_foreign

OUTPUT = ("y_scale", "y_zero_point", "y_dtype")


@dataclass(frozen=True)
class Kernel:
    """An op, and the kinds of aten ops that it runs. weighted: it takes an int8 weight."""

    name: str
    kinds: Kinds
    weighted: bool

    @property
    def op(self) -> torch._ops.OpOverload:
        """Unsupported if no library has registered it."""
        namespace, name = self.name.split("::", 1)
        name, _, overload = name.partition(".")
        try:
            packet = getattr(getattr(torch.ops, namespace), name)
            return getattr(packet, overload or "default")
        except (AttributeError, RuntimeError):
            raise Unsupported(f"there is no op {self.name}: load its library first") from None

    @property
    def inputs(self) -> list[str]:
        """The names of its 8-bit inputs."""
        return quantized_inputs(self.op)


def quantized_inputs(op: torch._ops.OpOverload) -> list[str]:
    """The names of the inputs of an op that come with a scale and a zero point."""
    names = [argument.name for argument in op._schema.arguments]
    return [
        name
        for name in names
        if f"{name}_scale" in names and f"{name}_zero_point" in names and name != "weight"
    ]


def kernel_of(row: BackendPatternConfig, kinds: Kinds) -> tuple[Kernel, DTypeConfig]:
    """The kernel that runs a row, and the DTypeConfig that names it: the first one that static
    8-bit quantization can use. Unsupported if there is none."""
    _, dtypes = static_dtypes([row], weighted=False)
    weighted = dtypes.weight_dtype in STORAGE_DTYPES
    if weighted:
        _, dtypes = static_dtypes([row], weighted=True)
    name = named_op(row, dtypes)
    if not is_foreign(name):
        raise Unsupported(f"its static 8-bit dtypes name no kernel of another library: {name!r}")
    return Kernel(name, kinds, weighted), dtypes


def kernel(node: Node, decision: Decision) -> Kernel:
    """The kernel that a decision names."""
    weighted = decision.dtypes is not None and decision.dtypes.weight in STORAGE_DTYPES
    return Kernel(decision.op, (kind(node), *decision.fused), weighted)


def tensors(kernel: Kernel, node: Node) -> tuple[str, ...]:
    """The arguments of the first aten op that are to be quantized."""
    found = [
        name
        for name, value in bind(node).items()
        if isinstance(value, Node) and name != "weight" and not is_constant(value)
    ]
    return (*found, "weight") if kernel.weighted and "weight" in bind(node) else tuple(found)


def check(kernel: Kernel, node: Node) -> None:
    """Unsupported if the kernel cannot run the sequence that begins with a node."""
    nodes, why_not = follow(node, kernel.kinds)
    if len(nodes) < len(kernel.kinds):
        raise Unsupported(why_not or f"no {kernel.kinds[len(nodes)]} follows {nodes[-1].name}")
    given = [name for name in tensors(kernel, node) if name != "weight"]
    if len(given) != len(kernel.inputs):
        raise Unsupported(
            f"{kernel.name} takes {len(kernel.inputs)} quantized inputs "
            f"({', '.join(kernel.inputs)}), {node.name} has {len(given)}"
        )
    if kernel.weighted and not is_constant(bind(node).get("weight")):
        raise Unsupported(f"{node.name} has no constant weight")
    for before, after in itertools.pairwise(nodes):
        others = [n for n in after.all_input_nodes if n is not before and not is_constant(n)]
        if others:
            raise Unsupported(f"{after.name} has another input, {others[0].name}")
    names = {argument.name for argument in kernel.op._schema.arguments}
    wanted = (*OUTPUT, *(("weight", "weight_scale") if kernel.weighted else ()))
    if missing := [name for name in wanted if name not in names]:
        raise Unsupported(f"{kernel.name} has no argument {', '.join(missing)}")
    _check_dropped(kernel, nodes, names)
    for argument in kernel.op._schema.arguments:
        if argument.name not in _known(kernel):
            aten_argument(argument, nodes, kernel.name)


def _check_dropped(kernel: Kernel, nodes: tuple[Node, ...], names: set[str]) -> None:
    """Unsupported for an argument of the aten ops that differs from its default and that the kernel
    has no parameter for, such as the alpha of a sum."""
    inputs = tensors(kernel, nodes[0])
    for node in nodes:
        args = bind(node)
        for argument in node.target._schema.arguments:
            value = args[argument.name]
            if argument.name in names or value in nodes[:-1]:
                continue
            if (node is nodes[0] and argument.name in inputs) or is_default(argument, value):
                continue
            raise Unsupported(
                f"{kernel.name} has no argument {argument.name}, which is {value} for {node.name}"
            )


def is_default(argument: Any, value: Any) -> bool:
    """Whether a value equals the default of a schema's argument."""
    if not argument.has_default_value():
        return False
    default = argument.default_value
    if isinstance(value, (list, tuple)):
        defaults = default if isinstance(default, (list, tuple)) else [default] * len(value)
        return list(value) == list(defaults)
    return value == default


def _known(kernel: Kernel) -> set[str]:
    known = {*OUTPUT, "bias", "weight"}
    for name in kernel.inputs:
        known |= {name, f"{name}_scale", f"{name}_zero_point"}
    return known | {"weight_scale"} if kernel.weighted else known


def aten_argument(argument: Any, nodes: tuple[Node, ...], op: str) -> Any:
    """The value that the aten ops of a sequence give to an argument of a schema, by its name, or
    its default. Unsupported if there is none, or if it is computed."""
    for node in nodes:
        args = bind(node)
        if argument.name in args:
            value = args[argument.name]
            if isinstance(value, Node) and not is_constant(value):
                raise Unsupported(f"its argument {argument.name} is computed, not a constant")
            return value
    if argument.has_default_value():
        return argument.default_value
    if str(argument.type).startswith("Optional["):
        return None
    found, value = aten_default(map(kind, nodes), argument.name)
    if not found:
        raise Unsupported(f"{op} wants an argument {argument.name!r} that the pattern lacks")
    return value
