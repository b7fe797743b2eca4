"""Elementwise functions of one 8-bit tensor: tables of 256 values."""

from collections.abc import Callable

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from ..graph.nodes import Unsupported
from ..graph.qdq import QParams
from .call_site import CallSite, Context, Quantized

Function = Callable[[torch.Tensor], torch.Tensor]


def lookup_table(x: QParams, y: QParams, function: Function) -> torch.Tensor:
    """The 256 values of y for ``function`` (float32 -> float32) of each value of x."""
    info = torch.iinfo(x.dtype)
    codes = torch.arange(info.min, info.max + 1).to(x.dtype)
    ops = torch.ops.qnative
    real = function(ops.dequantize_per_tensor(codes, x.scale, x.zero_point))
    limits = {"quant_min": y.quant_min, "quant_max": y.quant_max}
    return ops.quantize_per_tensor(real, y.scale, y.zero_point, y.dtype, **limits)


def requantized(context: Context, name: str, x: Quantized, y: QParams) -> Node:
    """A value with other parameters. name: the prefix of a buffer. Unsupported for a part of the
    range of int16."""
    assert x.qparams is not None
    ops, call = torch.ops.qnative, context.graph.call_function
    if torch.int16 not in (x.qparams.dtype, y.dtype):
        table = context.buffer(f"{name}.table", lookup_table(x.qparams, y, lambda real: real))
        return call(ops.lookup.default, (x.node, table))
    if not y.full_range:
        raise Unsupported(f"its output is limited to [{y.quant_min}, {y.quant_max}]")
    args = (x.node, x.qparams.scale, x.qparams.zero_point, y.scale, y.zero_point, y.dtype)
    return call(ops.requantize.default, args)


def lookup(site: CallSite) -> Node:
    node, (name,) = site.node, site.x

    def function(real: torch.Tensor) -> torch.Tensor:
        def value(n: Node) -> torch.Tensor:
            return real if n is site.args[name] else site.context.constant(n)

        return node.target(*map_arg(node.args, value), **node.kwargs).clamp(*site.bounds)

    return look_up(site, function)


def look_up(site: CallSite, function: Function) -> Node:
    (x,) = site.x.values()
    assert site.y is not None  # only quantized outputs are looked up
    table = lookup_table(x.qparams, site.y, function)
    table_node = site.context.buffer(f"{site.name}.table", table)
    return site.call(torch.ops.qnative.lookup.default, x.node, table_node)
