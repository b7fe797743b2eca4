"""Quantize and dequantize nodes: those that cancel, and those that stay."""

from typing import Any

import torch
from torch.fx import Node

from ..graph import nodes as ir
from ..graph.qdq import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNEL,
    QUANTIZE,
    QUANTIZE_CHANNEL,
    is_decomposed,
    qparams,
)
from .call_site import Context
from .lookup import lookup_table


def replace(node: Node, new: Node) -> None:
    """``new`` takes the place of ``node``, which is left for dead code elimination."""
    for key in ("val", "nn_module_stack", "stack_trace", "from_node"):
        if key in node.meta:
            new.meta[key] = node.meta[key]
    node.replace_all_uses_with(new)


def collapse(context: Context) -> None:
    """quantize(dequantize(x)) is x, or a lookup where the parameters differ."""
    graph = context.graph
    for node in list(graph.nodes):
        if not (ir.is_call(node, QUANTIZE) and ir.is_call(node.args[0], DEQUANTIZE)):
            continue
        value = node.args[0].args[0]
        x, y = qparams(context.module, node.args[0]), qparams(context.module, node)
        if x != y:
            table = lookup_table(x, y, lambda real: real)
            with graph.inserting_before(node):
                table_node = context.buffer(f"{node.name}.table", table)
                value = graph.call_function(torch.ops.qnative.lookup.default, (value, table_node))
        replace(node, value) if x != y else node.replace_all_uses_with(value)
        graph.erase_node(node)


def rewrite(context: Context) -> None:
    """Every quantize and dequantize node becomes the qnative one; ValueError for other
    ``quantized_decomposed`` ops, which exist in Python processes only."""
    graph = context.graph
    for node in list(graph.nodes):
        if not is_decomposed(node):
            continue
        with graph.inserting_before(node):
            op, args, limits = _qnative_call(context, node)
            new = graph.call_function(op, args, limits)
        replace(node, new)
        graph.erase_node(node)


def _qnative_call(context: Context, node: Node) -> tuple[Any, tuple[Any, ...], dict[str, int]]:
    args, ops, name = ir.bind(node), torch.ops.qnative, ir.target_name(node)
    if name in QUANTIZE | DEQUANTIZE:
        params = qparams(context.module, node)
        values: tuple[Any, ...] = (args["input"], params.scale, params.zero_point)
        if name in DEQUANTIZE:
            return ops.dequantize_per_tensor.default, values, {}
        return ops.quantize_per_tensor.default, (*values, params.dtype), _limits(args)
    values = tuple(args.get(key) for key in ("input", "scales", "zero_points", "axis"))
    if name in DEQUANTIZE_CHANNEL:
        return ops.dequantize_per_channel.default, values, {}
    if name in QUANTIZE_CHANNEL:
        return ops.quantize_per_channel.default, (*values, args["dtype"]), _limits(args)
    raise ValueError(f"qnative.lower: {node.name}: there is no qnative op for {name}")


def _limits(args: dict[str, Any]) -> dict[str, int]:
    info = torch.iinfo(args["dtype"])
    limits = {"quant_min": args["quant_min"], "quant_max": args["quant_max"]}
    return {} if (info.min, info.max) == tuple(limits.values()) else limits
