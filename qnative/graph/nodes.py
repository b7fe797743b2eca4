"""Reading an exported graph: operator names, arguments by name, constants."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.fx import Graph, Node


class Unsupported(ValueError):
    """A node cannot run in a qnative op. The message is the reason in its row of the report."""


class NoDtypes(Unsupported):
    """The config has no dtypes for a mode. The reasons of other modes are more informative."""


def target_name(node: Node) -> str:
    """ "aten.conv2d.default" for a call of an operator, "getitem" for a Python function."""
    if isinstance(node.target, str):
        return node.target
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target)
    return getattr(node.target, "__name__", str(node.target))


def op_name(node: Node) -> str:
    """target_name for people: "aten.conv2d", but "aten.add.Tensor"."""
    return target_name(node).removesuffix(".default")


def kind(node: Any) -> str:
    """ "conv2d" for every overload of aten.conv2d and for in-place ones; "" if it is no aten op."""
    if not isinstance(node, Node) or not isinstance(node.target, torch._ops.OpOverload):
        return ""
    namespace, name = node.target._schema.name.split("::")
    return name.rstrip("_") if namespace == "aten" else ""


def bind(node: Node) -> dict[str, Any]:
    """The arguments of a call by the names of its schema, defaults filled in."""
    schema = node.target._schema
    values = {}
    for i, argument in enumerate(schema.arguments):
        if i < len(node.args) and not argument.kwarg_only:
            values[argument.name] = node.args[i]
        elif argument.name in node.kwargs:
            values[argument.name] = node.kwargs[argument.name]
        else:
            values[argument.name] = argument.default_value
    return values


def aten_default(kinds: Iterable[str], name: str) -> tuple[bool, Any]:
    """Whether an overload of the aten ops of some kinds has a default for an argument, and that."""
    for each in kinds:
        packet = getattr(torch.ops.aten, each, None)
        for overload in packet.overloads() if packet is not None else ():
            for argument in getattr(packet, overload)._schema.arguments:
                if argument.name == name and argument.has_default_value():
                    return True, argument.default_value
    return False, None


def is_call(node: Any, names: set[str]) -> bool:
    return isinstance(node, Node) and node.op == "call_function" and target_name(node) in names


def tensor_of(node: Any) -> torch.Tensor | None:
    """The FakeTensor that export recorded for a node, or None."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value if isinstance(value, torch.Tensor) else None


def values_of(node: Node) -> list[torch.Tensor]:
    """The FakeTensors of a node: one, those of a list, or none."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return [value for value in values if isinstance(value, torch.Tensor)]


def is_real(value: torch.Tensor) -> bool:
    """Whether a tensor holds real or complex numbers, not integers."""
    return value.dtype.is_floating_point or value.dtype.is_complex


def is_number(node: Any) -> bool:
    """Whether a node computes a number, such as a size or ``tensor.item()``."""
    numbers = (int, float, torch.SymInt, torch.SymFloat, torch.SymBool)
    return isinstance(node, Node) and isinstance(node.meta.get("val"), numbers)


def is_open(size: Any) -> bool:
    """Whether a size differs from call to call. (Export keeps symbols for sizes that it found to be
    fixed; they have a single value.)"""
    return isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None


def attribute(module: torch.nn.Module, target: str) -> Any:
    """module.a.b.c for the target "a.b.c" of a get_attr node."""
    for part in target.split("."):
        module = getattr(module, part)
    return module


def constant(module: torch.nn.Module, node: Any) -> Any:
    """The value of an argument that depends on attributes alone; Unsupported if it does not."""
    if isinstance(node, (list, tuple)):
        return type(node)(constant(module, item) for item in node)
    if not isinstance(node, Node):
        return node
    if node.op == "get_attr":
        value = attribute(module, node.target)
        return value.detach() if isinstance(value, torch.Tensor) else value
    if node.op == "call_function":
        args = constant(module, node.args)
        kwargs = {name: constant(module, value) for name, value in node.kwargs.items()}
        return node.target(*args, **kwargs)
    raise Unsupported(f"{node.name} is not a constant")


def call(like: Node, target: Any, *args: Any) -> Node:
    """A new call at the graph's insertion point, with the value that export would record and the
    module of the node ``like``."""
    node = like.graph.call_function(target, args)

    def value(n: Node) -> Any:
        return n.meta["val"]

    if all("val" in n.meta for n in node.all_input_nodes):
        node.meta["val"] = target(*torch.fx.node.map_arg(args, value))
    for key in ("nn_module_stack", "stack_trace", "from_node"):
        if key in like.meta:
            node.meta[key] = like.meta[key]
    return node


def module_path(node: Node) -> str:
    """Qualified name of the module that the node was traced in, "" at the top."""
    stack = node.meta.get("nn_module_stack") or {}
    for path, _ in reversed(list(stack.values())):
        # export writes "L['self'].features[0]" or "features.0", depending on its mode.
        path = path.replace("L['self']", "").replace("['", ".").replace("']", "")
        return path.replace("[", ".").replace("]", "").strip(".")
    return ""


def copy_graph(graph: Graph) -> Graph:
    """A copy that belongs to no module yet."""
    copied = Graph()
    output, node = copied.graph_copy(graph, {}, return_output_node=True)
    copied.output(output, node.type).meta.update(node.meta)
    copied.set_codegen(graph._codegen)
    return copied


def source(node: Node) -> Node:
    """The node before any detach: both share its memory."""
    while kind(node) == "detach":
        node = node.args[0]
    return node


def has_effect(node: Node) -> bool:
    """Whether a node must stay if nothing reads it. Ops that draw random numbers, as dropout and
    attention may, need not."""
    if node.op == "call_module":
        return True
    seeded = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    return node.is_impure() and not seeded


def is_written(node: Node) -> bool:
    """Whether an op writes to the value of a node, as max_norm writes to its weight."""
    return any(
        (isinstance(user.target, torch._ops.OpOverload) and user.target._schema.is_mutable)
        or (kind(user) == "detach" and is_written(user))
        for user in node.users
    )
