"""Folds BatchNorm into the weight and bias of the convolution or linear layer before it."""

import torch
from torch.fx import GraphModule, Node

from . import nodes as ir
from .kinds import CONVS, LAYERS, TRANSPOSED
from .qdq import is_constant

_STATISTICS = ("weight", "bias", "running_mean", "running_var")


def fold_batch_norm(module: GraphModule) -> None:
    """Removes every BatchNorm in evaluation mode that follows a convolution (transposed or not) or
    linear layer with constant weights and is the only reader of its output.

    (prepare_pt2e folds too, but fails for transposed convolutions with groups and changes the
    output that other nodes read. Recipes without calibration do not call it.)
    """
    graph = module.graph
    for norm in list(graph.nodes):
        if ir.kind(norm) == "batch_norm" and _can_fold(norm):
            _fold(module, norm)
    graph.eliminate_dead_code()
    module.recompile()


def _can_fold(norm: Node) -> bool:
    args = ir.bind(norm)
    layer = args["input"]
    name = ir.kind(layer)
    if name not in LAYERS or len(layer.users) > 1:
        return False
    if args["training"]:
        return False
    value = ir.tensor_of(layer)
    assert value is not None  # layers give tensors
    rank = value.dim()
    # BatchNorm has its channels in dimension 1, a linear layer in the last one; a convolution
    # without a batch in dimension 0.
    if rank != (2 if name == "linear" else (CONVS | TRANSPOSED)[name] + 2):
        return False
    given = ir.bind(layer)
    tensors = [given["weight"], given["bias"], *(args[key] for key in _STATISTICS)]
    return all(tensor is None or is_constant(tensor) for tensor in tensors)


def _fold(module: GraphModule, norm: Node) -> None:
    args = ir.bind(norm)
    layer = args["input"]
    given, name = ir.bind(layer), ir.kind(layer)
    weight, bias = (ir.constant(module, given[key]) for key in ("weight", "bias"))
    gain, offset, mean, variance = (ir.constant(module, args[key]) for key in _STATISTICS)
    factor = torch.rsqrt(variance + args["eps"])
    factor = factor if gain is None else factor * gain
    shift = -mean if bias is None else bias - mean
    shift = shift * factor if offset is None else shift * factor + offset
    weight = _scale(weight, factor, given["groups"] if name in TRANSPOSED else 0)
    folded = _buffer(module, layer, "weight", weight)
    folded.meta.update(given["weight"].meta)  # its shape and dtype are the same
    layer.update_arg(1, folded)
    layer.args = (*layer.args[:2], _buffer(module, layer, "bias", shift), *layer.args[3:])
    layer.kwargs = {key: value for key, value in layer.kwargs.items() if key != "bias"}
    norm.replace_all_uses_with(layer)
    module.graph.erase_node(norm)


def _scale(weight: torch.Tensor, factor: torch.Tensor, groups: int) -> torch.Tensor:
    """Output channels lie in dimension 0; with groups, in dimension 1, group by group."""
    if not groups:
        return weight * factor.reshape(-1, *[1] * (weight.dim() - 1))
    factor = factor.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))
    return (weight.unflatten(0, (groups, -1)) * factor).flatten(0, 1)


def _buffer(module: GraphModule, layer: Node, key: str, value: torch.Tensor) -> Node:
    name = f"{layer.name}_folded_{key}"
    module.register_buffer(name, value)
    with module.graph.inserting_before(layer):
        return module.graph.get_attr(name)
