"""Static half precision: float16 values between ops. Linear has a kernel of its own; all other ops
are torch's, which compute in float32 and round once."""

import math
from typing import Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from . import table
from .activation import NO_BOUNDS
from .emit import Site
from .graph import kind, tensor_of

_TO = torch.ops.aten.to.dtype
# torch has these for float32 only, which holds every float16 value.
_NO_HALF_KERNEL = ("avg_pool3d",)
# Key of the meta of the node that turns a float16 value into float32.
_FROM_HALF = "qnative_from_half"


def as_half(site: Site, x: Node) -> Node:
    """A float32 value in float16: what comes from another op in float16 is taken as it is."""
    if _FROM_HALF in x.meta:
        return without_cast(x)
    return site.call(_TO, x, torch.float16)


def as_float(site: Site, y: Node) -> Node:
    """A float16 value as the float32 that the graph goes on with."""
    real = site.call(_TO, y, torch.float32)
    real.meta[_FROM_HALF] = True
    return real


def without_cast(y: Node) -> Node:
    """The float16 value behind as_float, or y itself."""
    return y.args[0] if _FROM_HALF in y.meta else y


def check(node: Node, args: dict[str, Any]) -> None:
    """What is right in 8 bits is right in half precision."""
    table.check(node)


def emit(site: Site) -> Node:
    """The aten op and its activation on float16 data."""

    def half(x: Node) -> Node:
        value = tensor_of(x)
        is_float = value is not None and value.dtype is torch.float32
        return as_half(site, x) if is_float else x

    args, kwargs = map_arg((site.node.args, site.node.kwargs), half)
    if kind(site.node) in _NO_HALF_KERNEL:
        args = (site.call(_TO, args[0], torch.float32), *args[1:])
    y = site.call(site.node.target, *args, **kwargs)
    if kind(site.node) in _NO_HALF_KERNEL:
        y = site.call(_TO, y, torch.float16)
    low, high = site.bounds
    if (low, high) == (0.0, math.inf):
        y = site.call(torch.ops.aten.relu.default, y)
    elif (low, high) != NO_BOUNDS:
        bounds = (None if math.isinf(bound) else bound for bound in (low, high))
        y = site.call(torch.ops.aten.clamp.default, y, *bounds)
    return as_float(site, y)
