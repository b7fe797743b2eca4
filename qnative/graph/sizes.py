"""Sizes in the lowered graph, written so that every deployment keeps them open.

torch.jit.trace records ``x.size(0)`` and what Tensor methods and functions of torch do with it, but
the numbers that ``torch.ops.aten`` takes, and those that Python computes, are constants to it: the
file would run with the sizes of the trace only.
"""

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import Graph, Node

from . import nodes as ir
from .numbers import NUMBERS

# Submodule with the size checks of torch.export.
_GUARDS = "_guards_fn"
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
# Where Python finds ops by the names of aten, in this order.
_BINDINGS = (torch, torch._C._nn, torch.nn.functional)


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
        elif node.target in NUMBERS:
            node.target = NUMBERS[node.target]
        elif _has_open_size(node) and isinstance(node.target, torch._ops.OpOverload):
            _call_from_python(graph, node)
        if ir.kind(node) in _RECURRENT:
            _check_state(graph, node)


def _leave_size_to_reshape(node: Node) -> None:
    """[size, -1] -> [-1, 64] where only one size of the result is open."""
    value = ir.tensor_of(node)
    if value is None or not _has_open_size(node):
        return
    sizes = [-1 if ir.is_open(size) else int(size) for size in value.shape]
    if sizes.count(-1) == 1 and 0 not in sizes:
        node.args = (node.args[0], sizes)


def _has_open_size(node: Node) -> bool:
    return any(map(ir.is_number, node.all_input_nodes))


def _call_from_python(graph: Graph, node: Node) -> None:
    """An aten op with open sizes becomes the method of Tensor or the function of torch."""
    name, of_aten = ir.kind(node), node.target.namespace == "aten"
    takes_self = bool(node.target._schema.arguments) and (
        node.target._schema.arguments[0].name == "self" and isinstance(node.args[0], Node)
    )
    if not of_aten:
        return
    if name == "slice":
        _index(node)
    elif takes_self and ir.tensor_of(node.args[0]) is not None and hasattr(torch.Tensor, name):
        _call_method(graph, node, name, node.args)
    else:
        function = next((getattr(m, name) for m in _BINDINGS if hasattr(m, name)), None)
        node.target = function or node.target


def _index(node: Node) -> None:
    """aten.slice as x[:, start:end]."""
    args = ir.bind(node)
    x, dim = args["self"], args["dim"]
    value = ir.tensor_of(x)
    assert value is not None
    part = slice(args["start"], args["end"], args["step"])
    index = (*[slice(None)] * (dim % value.dim()), part)
    node.target, node.args, node.kwargs = operator.getitem, (x, index), {}


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
