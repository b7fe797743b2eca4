"""Sizes in the lowered graph, written so that every deployment keeps them open.

torch.jit.trace records ``x.size(0)`` and Tensor methods that take sizes, but records the result of
``aten.sym_size`` as a constant: the file would run with the batch size of the trace only.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import Graph, Node

from . import nodes as ir

# Submodule with the size checks of torch.export.
_GUARDS = "_guards_fn"
# Methods of Tensor that take sizes, by their kind; those that make a tensor take its dtype too.
_WITH_SIZES = ("reshape", "expand", "repeat", "narrow")
_NEW = ("new_zeros", "new_ones", "new_full", "new_empty")
# Functions that make a tensor: those of torch record its size, the aten ops take numbers.
_CREATION = ("zeros", "ones", "full", "empty", "rand", "randn", "arange", "eye")
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


class Guards(torch.nn.Module):
    """The checks of input sizes that torch.export made. They do not run under jit.trace, which
    would record their outcome as a constant, with a warning. (The ops check their own
    arguments.)"""

    def __init__(self, guards: torch.nn.Module):
        super().__init__()
        self.guards, self.active = guards, True

    def forward(self, *args: Any) -> None:
        if self.active and not torch.jit.is_tracing():  # type: ignore[attr-defined]
            self.guards(*args)


@contextlib.contextmanager
def unguarded(module: torch.nn.Module) -> Iterator[None]:
    """Calls of a lowered module without these checks. They look at strides and at the tensor that
    a view is of, which a copy of an input does not have."""
    guards = [each for each in module.modules() if isinstance(each, Guards)]
    for each in guards:
        each.active = False
    try:
        yield
    finally:
        for each in guards:
            each.active = True


def guard(target: str, module: torch.nn.Module) -> torch.nn.Module:
    """The submodule that a lowered graph calls in place of ``module``."""
    return Guards(module) if target == _GUARDS and not isinstance(module, Guards) else module


def keep_sizes_open(graph: Graph) -> None:
    """Rewrites views and the sizes that the graph computes with."""
    for node in graph.nodes:
        # qnative ops return images in channels_last and rows as slices of longer rows: a view may
        # not exist.
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
        elif _is_method_of_sizes(node):
            _call_method(graph, node, ir.kind(node), node.args)
        elif ir.kind(node) in _CREATION and node.all_input_nodes:
            node.target = getattr(torch, ir.kind(node))
        elif ir.kind(node) in _RECURRENT:
            _check_state(graph, node)


def _leave_size_to_reshape(node: Node) -> None:
    """[size, -1] -> [-1, 64] where only one size of the result is open."""
    value = ir.tensor_of(node)
    if value is None or not _has_open_size(node):
        return
    sizes = [-1 if ir.is_open(size) else int(size) for size in value.shape]
    if sizes.count(-1) == 1 and 0 not in sizes:
        node.args = (node.args[0], sizes)


def _is_method_of_sizes(node: Node) -> bool:
    known = ir.kind(node) in _NEW or (ir.kind(node) in _WITH_SIZES and not node.kwargs)
    return known and _has_open_size(node)


def _has_open_size(node: Node) -> bool:
    return any(not isinstance(ir.tensor_of(n), torch.Tensor) for n in node.all_input_nodes[1:])


def _call_method(graph: Graph, node: Node, name: str, args: tuple[Any, ...]) -> None:
    with graph.inserting_before(node):
        new = graph.call_method(name, args, node.kwargs)
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)


def _check_state(graph: Graph, node: Node) -> None:
    """torch's recurrent ops do not look at the batch size of their state, and read beyond one that
    is too small; a trace has no checks of sizes either. A reshape to the size that it should have
    does nothing, or is an error."""
    args = ir.bind(node)
    x = ir.tensor_of(args.get("input"))
    if x is None or x.dim() != 3:  # packed sequences
        return
    batch = 0 if args["batch_first"] else 1
    is_list = isinstance(args["hx"], (list, tuple))
    states = list(args["hx"]) if is_list else [args["hx"]]
    with graph.inserting_before(node):
        size = graph.call_method("size", (args["input"], batch))
        for i, state in enumerate(states):
            if (value := ir.tensor_of(state)) is not None:
                wanted = [value.shape[0], size, value.shape[2]]
                states[i] = graph.call_method("reshape", (state, wanted))
                states[i].meta.update(state.meta)
    node.update_arg(1, states if is_list else states[0])
