"""Kernels of other libraries, by the names of their arguments.

A row of a config names one as "mylib::fused_op". Its arguments are given by name:

- ``x``, ``x_scale``, ``x_zero_point`` (any name, with these endings): an 8-bit input with its
  parameters; the first such is the first input of the pattern, and so on.
- ``weight``, ``weight_scale``: the int8 weight as it is, [N, ...], and float32 [N]; a ``weight``
  without ``weight_scale`` is float32. ``bias``: float32 or None.
- ``y_scale``, ``y_zero_point``, ``y_dtype``: of the output.
- any other: the argument of that name of the aten ops in the pattern, first op first, such as
  ``stride`` and ``padding``; if none has it, the default.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from ..graph.layers import TRANSPOSED
from ..graph.nodes import Unsupported, bind, is_constant, kind
from ..graph.sequence import follow
from ..lowering import emit

# Key of a node's meta: the Kernel that runs it and the nodes after it.
KERNEL = "qnative_kernel"
# And why the only kernel that its row names cannot run it.
REFUSED = "qnative_refused"
_OUTPUT = ("y_scale", "y_zero_point", "y_dtype")


@dataclass(frozen=True)
class Kernel:
    """An op, and the kinds of aten ops that it runs. weighted: it takes an int8 weight."""

    name: str
    kinds: tuple[str, ...]
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
        names = [argument.name for argument in self.op._schema.arguments]
        return [
            name
            for name in names
            if f"{name}_scale" in names and f"{name}_zero_point" in names and name != "weight"
        ]


def is_custom(op: str) -> bool:
    """Whether a name in a row's ops is that of another library's op."""
    return "::" in op and not op.startswith("qnative::")


def tensors(kernel: Kernel, node: Node) -> tuple[str, ...]:
    """The arguments of the first aten op that are to be quantized."""
    found = [
        name
        for name, value in bind(node).items()
        if isinstance(value, Node) and name != "weight" and not is_constant(value)
    ]
    return (*found, "weight") if kernel.weighted and "weight" in bind(node) else tuple(found)


def check(node: Node, args: dict[str, Any]) -> None:
    kernel = node.meta[KERNEL]
    nodes, why_not = follow(node, kernel.kinds)
    if len(nodes) < len(kernel.kinds):
        missing = f"no {kernel.kinds[len(nodes)]} follows {nodes[-1].name}"
        raise Unsupported(why_not or missing)
    given = [name for name in tensors(kernel, node) if name != "weight"]
    if len(given) != len(kernel.inputs):
        raise Unsupported(
            f"{kernel.name} takes {len(kernel.inputs)} quantized inputs "
            f"({', '.join(kernel.inputs)}), {node.name} has {len(given)}"
        )
    if kernel.weighted and not is_constant(args.get("weight")):
        raise Unsupported(f"{node.name} has no constant weight")
    for before, after in itertools.pairwise(nodes):
        others = [n for n in after.all_input_nodes if n is not before and not is_constant(n)]
        if others:
            raise Unsupported(f"{after.name} has another input, {others[0].name}")
    names = {argument.name for argument in kernel.op._schema.arguments}
    wanted = (*_OUTPUT, *(("weight", "weight_scale") if kernel.weighted else ()))
    if missing := [name for name in wanted if name not in names]:
        raise Unsupported(f"{kernel.name} has no argument {', '.join(missing)}")
    _check_dropped(kernel, nodes, names)
    for argument in kernel.op._schema.arguments:
        if argument.name not in _known(kernel):
            _other(argument, nodes, kernel)


def _check_dropped(kernel: Kernel, nodes: tuple[Node, ...], names: set[str]) -> None:
    """Unsupported for an argument of the aten ops that says something which the kernel would not
    hear of, such as the alpha of a sum."""
    inputs = tensors(kernel, nodes[0])
    for node in nodes:
        args = bind(node)
        for argument in node.target._schema.arguments:
            value = args[argument.name]
            if argument.name in names or value in nodes[:-1]:
                continue
            if (node is nodes[0] and argument.name in inputs) or _is_default(argument, value):
                continue
            raise Unsupported(
                f"{kernel.name} has no argument {argument.name}, which is {value} for {node.name}"
            )


def _is_default(argument: Any, value: Any) -> bool:
    if not argument.has_default_value():
        return False
    default = argument.default_value
    if isinstance(value, (list, tuple)):
        defaults = default if isinstance(default, (list, tuple)) else [default] * len(value)
        return list(value) == list(defaults)
    return value == default


def _known(kernel: Kernel) -> set[str]:
    known = {*_OUTPUT, "bias", "weight"}
    for name in kernel.inputs:
        known |= {name, f"{name}_scale", f"{name}_zero_point"}
    return known | {"weight_scale"} if kernel.weighted else known


def _other(argument: Any, nodes: tuple[Node, ...], kernel: Kernel) -> Any:
    for node in nodes:
        args = bind(node)
        if argument.name in args:
            value = args[argument.name]
            if isinstance(value, Node) and not is_constant(value):
                raise Unsupported(f"its argument {argument.name} is computed, not a constant")
            return value
    if argument.has_default_value():
        return argument.default_value
    raise Unsupported(f"{kernel.name} wants an argument {argument.name!r} that the pattern lacks")


def emit_kernel(site: emit.CallSite) -> Node:
    """The call that takes the place of the sequence at ``site``."""
    node = site.node
    kernel, values = node.meta[KERNEL], {}
    nodes, _ = follow(node, kernel.kinds)
    for name, x in zip(kernel.inputs, site.x.values(), strict=True):
        values |= {name: x.node, f"{name}_scale": x.qparams.scale}
        values[f"{name}_zero_point"] = x.qparams.zero_point
    values |= dict(zip(_OUTPUT, site.full_output, strict=True))
    values |= _weights(site, kernel)
    arguments = []
    for argument in kernel.op._schema.arguments:
        value = values.get(argument.name)
        if argument.name not in values:
            value = _other(argument, nodes, kernel)
            if isinstance(value, Node):
                owner = next(n for n in nodes if argument.name in bind(n))
                value = emit.floats(site, argument.name, bind(owner)[argument.name])
        arguments.append(value)
    return site.call(kernel.op, *arguments)


def _weights(site: emit.CallSite, kernel: Kernel) -> dict[str, Any]:
    """weight, weight_scale and bias, as far as there are such."""
    names = {argument.name for argument in kernel.op._schema.arguments}
    values: dict[str, Any] = {}
    if kernel.weighted:
        transposed = kind(site.node) in TRANSPOSED
        groups = site.args["groups"] if transposed else 1
        weight, scale = emit.int8_weight(site, 1 if transposed else 0, groups)
        for name, tensor in (("weight", weight), ("weight_scale", scale)):
            added = site.constants.add(f"{site.name}.{name}", tensor.clone())
            values[name] = site.constants.get(added)
        site.float_bytes += weight.numel() * 4
        site.packed_bytes += weight.numel() + scale.numel() * 4
    elif "weight" in names:
        values["weight"] = emit.floats(site, "weight", site.args.get("weight"))
    if "bias" in names:
        values["bias"] = emit.floats(site, "bias", site.args.get("bias"))
    return {name: value for name, value in values.items() if name in names}
