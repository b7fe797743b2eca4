"""In-place ops become out-of-place ones: a quantized copy would not see their writes."""

import operator
from collections.abc import Iterator

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node

from .nodes import bind, kind, source


def functional_module(program: ExportedProgram) -> GraphModule:
    """The module of an exported program without in-place ops. If one writes to a part of a value
    that is read later (``y[:, 1:] = x``), it is that of torch's functional form of the program."""
    module = program.module()
    if write_to_view(module.graph) is not None:
        module = program.run_decompositions({}).module()
        _restore_batch_norm(module)
    make_functional(module.graph)
    module.recompile()
    return module


def make_functional(graph: Graph) -> None:
    """In-place aten ops become out-of-place ones; later readers of the written value read their
    result. ValueError for an op that writes to a part of a value that is read later."""
    node = write_to_view(graph)
    if node is not None:
        raise ValueError(
            f"qnative: {node.name} writes to {node.args[0]}, whose memory is read by another name "
            "later: take the module of torch.export.export(...).run_decompositions({}), or "
            "qnative.quantize, which does so"
        )
    for node in _in_place(graph):
        packet = getattr(torch.ops.aten, node.target._schema.name.split("::")[1][:-1])
        node.target = getattr(packet, node.target._overloadname)
        order = {other: i for i, other in enumerate(graph.nodes)}
        node.args[0].replace_all_uses_with(
            node, lambda user, node=node, order=order: order[user] > order[node]
        )


def _in_place(graph: Graph) -> Iterator[Node]:
    """The aten ops that write to their first argument and have a form that does not."""
    for node in graph.nodes:
        if not isinstance(node.target, torch._ops.OpOverload) or not node.args:
            continue
        namespace, name = node.target._schema.name.split("::")
        if namespace != "aten" or not name.endswith("_") or name.endswith("__"):
            continue
        written, packet = node.args[0], getattr(torch.ops.aten, name[:-1], None)
        if packet is None or node.target._overloadname not in packet.overloads():
            continue
        if isinstance(written, Node) and source(written).op != "get_attr":
            yield node


def write_to_view(graph: Graph) -> Node | None:
    """The first in-place op that writes to memory which another node reads later: the value that
    the written one is a view of, or another view of it."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in _in_place(graph):
        written = root = node.args[0]
        while _is_view(root):
            root = root.args[0]
        for alias in _aliases(root):
            is_read = any(order[user] > order[node] for user in alias.users)
            if alias is not written and order[alias] < order[node] and is_read:
                return node
    return None


def _is_view(node: Node) -> bool:
    """Whether its value may share memory with its first argument."""
    if not node.args or not isinstance(node.args[0], Node):
        return False
    if node.target is operator.getitem:
        return _is_view(node.args[0])
    if not isinstance(node.target, torch._ops.OpOverload) or node.target._schema.is_mutable:
        return False
    return any(value.alias_info is not None for value in node.target._schema.returns)


def _aliases(node: Node) -> Iterator[Node]:
    """A node, its views, and theirs."""
    yield node
    for user in node.users:
        if _is_view(user) and user.args[0] is node:
            yield from _aliases(user)


def _restore_batch_norm(module: GraphModule) -> None:
    """BatchNorm is the one op with another name in torch's functional form."""
    for node in list(module.graph.nodes):
        if kind(node) != "_native_batch_norm_legit_no_training":
            continue
        args = bind(node)
        names = ("input", "weight", "bias", "running_mean", "running_var")
        with module.graph.inserting_before(node):
            norm = module.graph.call_function(
                torch.ops.aten.batch_norm.default,
                (*(args[n] for n in names), False, args["momentum"], args["eps"], False),
            )
        for user in list(node.users):
            norm.meta.update(user.meta)
            user.replace_all_uses_with(norm)
    module.graph.eliminate_dead_code()
    module.recompile()
