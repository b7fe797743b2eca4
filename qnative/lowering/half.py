"""Static half precision: float16 values between ops, float32 arithmetic inside of them."""

import functools
from collections.abc import Callable

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from ..graph.activation import Bounds, activation_bounds, function_name, fused_activation
from ..graph.kinds import BOUNDED
from ..graph.nodes import tensor_of
from ..plan.decision import ATEN, FREE
from .call_site import CallSite, Quantized

_TO = torch.ops.aten.to.dtype
_POINTWISE = torch.ops.qnative.pointwise_fp16.default


def in_half(site: CallSite, emit: Callable[[CallSite], Node]) -> Node:
    """Calls ``emit`` with the inputs cast to float16 and casts its output back to float32, which
    the graph goes on with. A model in float16 needs no casts."""
    cast = functools.cache(functools.partial(_as_half, site))
    if site.decision.op in (ATEN, FREE):
        return _as_float(site, _aten(site, cast))
    values = [tensor_of(x.node) for x in site.x.values()]
    site.x = {name: Quantized(cast(x.node), None) for name, x in site.x.items()}
    y = emit(site)
    is_half = any(value is not None and value.dtype is torch.float16 for value in values)
    return y if is_half else _as_float(site, y)


def _as_half(site: CallSite, x: Node) -> Node:
    """A value in float16: what comes from another op in float16 is taken as it is."""
    value = tensor_of(x)
    if value is not None and value.dtype is not torch.float32:
        return x
    return site.context.halves.get(x) or site.call(_TO, x, torch.float16)


def _as_float(site: CallSite, y: Node) -> Node:
    real = site.call(_TO, y, torch.float32)
    site.context.halves[real] = y
    return real


def _aten(site: CallSite, cast: Callable[[Node], Node]) -> Node:
    """The aten op itself: it moves data, or no config of upstream asks for it in float16."""

    def half(x: Node) -> Node:
        value = tensor_of(x)
        return cast(x) if value is not None and value.dtype is torch.float32 else x

    args, kwargs = map_arg((site.node.args, site.node.kwargs), half)
    return _activated(site, site.call(site.node.target, *args, **kwargs), site.bounds)


def pointwise(site: CallSite) -> Node:
    """An elementwise function of one tensor, or a sum or product with a number."""
    (x,), args, name = site.x.values(), site.args, site.kind
    if name in BOUNDED:
        return _activated(site, x.node, activation_bounds(site.node))
    if function := function_name(site.node):
        return site.call(_POINTWISE, x.node, function)
    if name == "floor_divide":
        return site.call(_POINTWISE, x.node, "floor_divide", [float(args["other"])])
    factor, summand = _affine(name, args["other"], args.get("alpha", 1))
    y = site.call(_POINTWISE, x.node, "affine", [factor, summand])
    return _activated(site, y, site.bounds)


def _affine(name: str, number: float, alpha: float) -> tuple[float, float]:
    """x * factor + summand. -0.0 as summand leaves -0 as it is."""
    alpha = float(alpha)
    if name == "mul":
        return float(number), -0.0
    if name == "rsub":
        return -alpha, float(number)
    return 1.0, float((alpha if name == "add" else -alpha) * number)


def _activated(site: CallSite, y: Node, bounds: Bounds) -> Node:
    name, values = fused_activation(bounds, None)
    return y if name == "none" else site.call(_POINTWISE, y, name, *([values] if values else []))
