"""Ops that only move values: the aten op on the quantized data."""

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from ..graph.kinds import PADS
from ..graph.nodes import is_call
from ..graph.qdq import DEQUANTIZE
from .call_site import CallSite
from .lookup import requantized


def move(site: CallSite) -> Node:
    if site.kind in PADS:
        return _pad(site)
    ((name, x),) = site.x.items()
    if site.kind == "resize":
        # To as many values as before, whatever their layout is by now.
        return site.call(torch.ops.aten.reshape.default, x.node, site.args["size"])

    def value(n: Node) -> Node:
        if n is site.args[name]:
            return x.node
        # Of the tensor in reshape_as only the shape matters: it need not be dequantized.
        return n.args[0] if is_call(n, DEQUANTIZE) else n

    args = map_arg(site.node.args, value)
    return site.call(site.node.target, *args, **site.node.kwargs)


def _pad(site: CallSite) -> Node:
    """A constant becomes a code. Any number but 0 may lie outside of the range of the input, which
    therefore is brought to the range of the output."""
    (x,), args = site.x.values(), site.args
    mode = args.get("mode", "constant")
    if site.y is None:
        value = x.qparams.zero_point if mode == "constant" else None
        return site.call(torch.ops.aten.pad.default, x.node, args["pad"], mode, value)
    y, number = site.y, torch.full((1,), float(args["value"]))
    limits = {"quant_min": y.quant_min, "quant_max": y.quant_max}
    ops = torch.ops.qnative
    code = int(ops.quantize_per_tensor(number, y.scale, y.zero_point, y.dtype, **limits))
    node = x.node if x.qparams == y else requantized(site.context, site.name, x, y)
    return site.call(torch.ops.aten.pad.default, node, args["pad"], mode, code)
