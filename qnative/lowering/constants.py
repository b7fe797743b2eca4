"""What depends on parameters alone is computed once, before anything is quantized."""

import torch
from torch.fx import GraphModule, Node

from . import graph as ir


def fold_constants(module: GraphModule) -> set[str]:
    """Replaces every aten call that depends on attributes alone by its value, as a buffer: a
    weight that the model computes (``w * mask``, weight norm) is then a weight like others.
    Returns the names of these calls."""
    graph = module.graph
    values: dict[Node, torch.Tensor] = {}

    def value_of(node: Node) -> torch.Tensor:
        return values[node] if node in values else ir.attribute(module, node.target)

    for node in graph.nodes:
        if not _can_fold(node, values):
            continue
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), value_of)
        with torch.no_grad():
            result = node.target(*args, **kwargs)
        if isinstance(result, torch.Tensor):
            values[node] = result.detach()
    for node, value in values.items():
        if all(user in values for user in node.users):
            continue
        name = f"{node.name}_folded"
        module.register_buffer(name, value.clone())
        with graph.inserting_before(node):
            folded = graph.get_attr(name)
        folded.meta.update(node.meta)
        node.replace_all_uses_with(folded)
    if values:
        graph.eliminate_dead_code()
        module.recompile()
    return {node.name for node in values}


def _can_fold(node: Node, values: dict[Node, torch.Tensor]) -> bool:
    if not ir.kind(node) or not node.all_input_nodes:
        return False
    if torch.Tag.nondeterministic_seeded in node.target.tags or node.target._schema.is_mutable:
        return False
    return all(n in values or _is_fixed(n) for n in node.all_input_nodes)


def _is_fixed(node: Node) -> bool:
    """An attribute that the graph does not write to."""
    return node.op == "get_attr" and not ir.is_written(node)
