"""Sizes in the lowered graph, written so that every deployment keeps them open.

torch.jit.trace records ``x.size(0)`` and Tensor methods with sizes, but takes what
``aten.sym_size`` returns for a constant: a file traced with one batch size would run with no other.
"""

import torch
from torch.fx import Graph, Node

from . import nodes as ir

# Where export leaves the checks of its sizes.
_GUARDS = "_guards_fn"
# Methods of Tensor that take sizes, by their kind.
_WITH_SIZES = ("reshape", "expand", "repeat", "narrow")


class Guards(torch.nn.Module):
    """The checks of input sizes that torch.export made, outside of jit.trace, which would take
    their outcome for a constant and warn of it. (The ops check what they compute with anyway.)"""

    def __init__(self, guards: torch.nn.Module):
        super().__init__()
        self.guards = guards

    def forward(self, *args):
        if not torch.jit.is_tracing():
            self.guards(*args)


def guard(target: str, module: torch.nn.Module) -> torch.nn.Module:
    """The submodule that a lowered graph calls in place of ``module``."""
    return Guards(module) if target == _GUARDS and not isinstance(module, Guards) else module


def keep_sizes_open(graph: Graph) -> None:
    """Rewrites views and the sizes that the graph computes with."""
    for node in graph.nodes:
        # Images come out of qnative ops as channels_last, and rows as parts of longer ones, for
        # which a view may not exist.
        if ir.is_call(node, {"aten.view.default", "aten._unsafe_view.default"}):
            node.target = torch.ops.aten.reshape.default
        if ir.is_call(node, {"aten.view_as.default"}):
            node.target = torch.ops.aten.reshape_as.default
        if ir.is_call(node, {"aten.reshape.default"}):
            _leave_size_to_reshape(node)
    graph.eliminate_dead_code(lambda n: n.op == "call_module" or n.is_impure())
    for node in list(graph.nodes):
        if ir.is_call(node, {"aten.sym_size.int"}):
            _call_method(graph, node, "size", node.args)
        elif ir.kind(node) in _WITH_SIZES and _has_open_size(node) and not node.kwargs:
            _call_method(graph, node, ir.kind(node), node.args)
        elif ir.kind(node) == "arange" and node.all_input_nodes:
            node.target = torch.arange  # which records a size, where the aten op wants a number


def _leave_size_to_reshape(node: Node) -> None:
    """[size, -1] -> [-1, 64] where only one size of the result is open."""
    value = ir.tensor_of(node)
    if value is None or not _has_open_size(node):
        return
    sizes = [-1 if ir.is_open(size) else int(size) for size in value.shape]
    if sizes.count(-1) == 1 and 0 not in sizes:
        node.args = (node.args[0], sizes)


def _has_open_size(node: Node) -> bool:
    return any(not isinstance(ir.tensor_of(n), torch.Tensor) for n in node.all_input_nodes[1:])


def _call_method(graph: Graph, node: Node, name: str, args: tuple) -> None:
    with graph.inserting_before(node):
        new = graph.call_method(name, args)
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)
