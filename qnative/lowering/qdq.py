"""Quantize and dequantize nodes: those that cancel, and those that stay."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.fx import Node

from ..graph import nodes as ir
from ..graph.nodes import Unsupported
from ..graph.qdq import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNEL,
    QUANTIZE,
    QUANTIZE_CHANNEL,
    QParams,
    is_constant,
    is_decomposed,
    qparams,
)
from .call_site import Context, Quantized
from .lookup import requantized


def replace(node: Node, new: Node) -> None:
    """``new`` takes the place of ``node``, which is left for dead code elimination."""
    for key in ("val", "nn_module_stack", "stack_trace", "from_node"):
        if key in node.meta:
            new.meta[key] = node.meta[key]
    node.replace_all_uses_with(new)


def collapse(context: Context) -> None:
    """quantize(dequantize(x)) is x, or a lookup or requantize where the parameters differ: one for
    all with the same parameters."""
    graph = context.graph
    made: dict[tuple[Node, QParams, QParams], Node] = {}
    for node in list(graph.nodes):
        if not (ir.is_call(node, QUANTIZE) and ir.is_call(node.args[0], DEQUANTIZE)):
            continue
        value = node.args[0].args[0]
        x, y = qparams(context.module, node.args[0]), qparams(context.module, node)
        if x == y:
            node.replace_all_uses_with(value)
        else:
            key = value, x, y
            if key not in made:
                with graph.inserting_before(node):
                    try:
                        made[key] = requantized(context, node.name, Quantized(value, x), y)
                    except Unsupported:
                        continue
            replace(node, made[key])
        graph.erase_node(node)


def check(module: torch.nn.Module, nodes: Iterable[Node]) -> None:
    """ValueError for quantization by another quantizer that qnative does not have, on values that
    are no constants."""
    for node in nodes:
        if is_decomposed(node) and not is_constant(node) and (why := _lacks(module, node)):
            raise ValueError(
                f"qnative.lower: {node.name}: {why}. Quantize with qnative.Quantizer (recipe "
                '"dynamic" for scales of each call), or leave what this node belongs to out of the '
                "annotations of the other quantizer"
            )


def _lacks(module: torch.nn.Module, node: Node) -> str:
    """Why qnative has no op for a quantize or dequantize node, "" if it has one."""
    args, name = ir.bind(node), ir.target_name(node)
    if name not in QUANTIZE | DEQUANTIZE | QUANTIZE_CHANNEL | DEQUANTIZE_CHANNEL:
        return f"there is no qnative op for {name}"
    dtypes = (torch.uint8, torch.int8)
    if args["dtype"] not in (*dtypes, *((torch.int16,) if name in QUANTIZE | DEQUANTIZE else ())):
        return f"its dtype is {args['dtype']}, not torch.uint8 or torch.int8"
    try:
        if args["dtype"] is torch.int16 and ir.constant(module, args["zero_point"]) != 0:
            return "its zero point is not 0, which int16 needs"
        for key in ("scale", "zero_point", "scales", "zero_points"):
            value = ir.constant(module, args.get(key))
            if key == "zero_points" and value is not None and value.dtype.is_floating_point:
                return "its zero points are not integers"
    except Unsupported:
        return f"its {key} is computed in each call"
    return ""


def rewrite(context: Context) -> None:
    """Every quantize and dequantize node becomes the qnative one. Constants of types that qnative
    does not have become real numbers."""
    graph = context.graph
    for node in reversed(list(graph.nodes)):
        if not is_decomposed(node):
            continue
        with graph.inserting_before(node):
            if is_constant(node) and _lacks(context.module, node):
                if node.users:
                    value = ir.constant(context.module, node)
                    node.replace_all_uses_with(context.buffer(f"{node.name}.value", value))
            else:
                op, args, limits = _qnative_call(context, node)
                replace(node, graph.call_function(op, args, limits))
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
    return ops.quantize_per_channel.default, (*values, args["dtype"]), _limits(args)


def _limits(args: dict[str, Any]) -> dict[str, int]:
    info = torch.iinfo(args["dtype"])
    limits = {"quant_min": args["quant_min"], "quant_max": args["quant_max"]}
    return {} if (info.min, info.max) == tuple(limits.values()) else limits
