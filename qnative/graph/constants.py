"""Calls that depend on parameters alone, or on nothing, are computed once, before quantization."""

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from . import nodes as ir
from .kinds import RECURRENT

# aten ops that make a tensor of sizes and numbers. _LIKE take size and dtype from a tensor.
_MAKERS = frozenset(
    (
        *("arange", "blackman_window", "eye", "full", "hamming_window", "hann_window", "linspace"),
        *("logspace", "ones", "scalar_tensor", "tril_indices", "triu_indices", "zeros"),
    )
)
_LIKE = frozenset(("full_like", "new_full", "new_ones", "new_zeros", "ones_like", "zeros_like"))
FACTORIES = _MAKERS | _LIKE
# Larger tensors stay calls: files need not hold more zeros.
_MAX_ELEMENTS = 1 << 20


def fold_constants(module: GraphModule) -> set[str]:
    """Replaces every aten call that depends on attributes alone by a buffer with its value: a
    weight that the model computes (``w * mask``, weight norm) is then a plain weight, and
    ``torch.arange(5)`` a plain constant. Returns the names of these calls."""
    graph = module.graph
    values: dict[Node, Any] = {}  # tensors, and the lists that ops such as chunk return

    def value_of(node: Node) -> Any:
        return values[node] if node in values else ir.attribute(module, node.target)

    for node in graph.nodes:
        if not _can_fold(node, values):
            continue
        given = _stand_in if _makes_constant(node) else value_of
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), given)
        with torch.no_grad():
            result = node.target(*args, **kwargs)
        if isinstance(result, torch.Tensor | list | tuple):
            values[node] = result
    for node, value in values.items():
        is_tensor = isinstance(value, torch.Tensor)
        if not is_tensor or all(user in values for user in node.users):
            continue
        name = f"{node.name}_folded"
        module.register_buffer(name, value.detach().clone())
        with graph.inserting_before(node):
            folded = graph.get_attr(name)
        folded.meta.update(node.meta)
        node.replace_all_uses_with(folded)
    if values:
        graph.eliminate_dead_code()
        module.recompile()
    return {node.name for node in values}


def _makes_constant(node: Node) -> bool:
    """Whether a node makes a tensor of known size."""
    value = ir.tensor_of(node)
    if ir.kind(node) not in FACTORIES or value is None:
        return False
    inputs = node.all_input_nodes[1:] if ir.kind(node) in _LIKE else node.all_input_nodes
    is_known = not inputs and all(isinstance(size, int) for size in value.shape)
    # Recurrent ops need no tensor for a state of zeros.
    is_state = any(ir.kind(user) in RECURRENT for user in node.users)
    return is_known and value.numel() <= _MAX_ELEMENTS and not is_state


def _stand_in(node: Node) -> torch.Tensor:
    """A tensor with the size and dtype of a node's value, for the ops in _LIKE."""
    value = ir.tensor_of(node)
    assert value is not None  # _LIKE read tensors
    sizes = [size if isinstance(size, int) else 0 for size in value.shape]
    return torch.empty(sizes, dtype=value.dtype)


def _can_fold(node: Node, values: dict[Node, Any]) -> bool:
    if ir.is_written(node):
        return False  # a buffer would keep what one call writes for the next
    if _makes_constant(node):
        return True
    if node.target is operator.getitem:
        return node.args[0] in values
    if not ir.kind(node) or not node.all_input_nodes:
        return False
    if torch.Tag.nondeterministic_seeded in node.target.tags or node.target._schema.is_mutable:
        return False
    return all(n in values or _is_fixed(n) for n in node.all_input_nodes)


def _is_fixed(node: Node) -> bool:
    """An attribute that the graph does not write to."""
    return node.op == "get_attr" and not ir.is_written(node)
