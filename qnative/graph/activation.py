"""Activations that are bounds, relu, relu6, hardtanh and clamp, and those that are functions."""

import math

from torch.fx import Node

from .nodes import Unsupported, bind, kind
from .qdq import QParams

Bounds = tuple[float, float]
NO_BOUNDS: Bounds = (-math.inf, math.inf)
# Functions that ops with float outputs can apply.
_FUNCTIONS = ("gelu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid")


def function_name(node: Node) -> str:
    """The ops' name of an activation function that they can apply; "" for other nodes."""
    name = kind(node)
    if name == "gelu" and bind(node)["approximate"] == "tanh":
        return "gelu_tanh"
    return name if name in _FUNCTIONS else ""


def activation_bounds(node: Node) -> Bounds:
    """[min, max] of an activation node, in real units. Unsupported for bounds that are tensors, or
    empty."""
    name, args = kind(node), bind(node)
    if name == "relu":
        return 0.0, math.inf
    if name == "relu6":
        return 0.0, 6.0
    names = ("min_val", "max_val") if name == "hardtanh" else ("min", "max")
    low, high = (args.get(name) for name in names)
    if isinstance(low, Node) or isinstance(high, Node):
        raise Unsupported("its bounds are computed, not constants")
    low = -math.inf if low is None else float(low)
    high = math.inf if high is None else float(high)
    if not low <= high:
        raise Unsupported(f"its bounds [{low}, {high}] are empty")
    return low, high


def fused_activation(bounds: Bounds, y: QParams | None) -> tuple[str, list[float]]:
    """``activation`` and ``activation_args`` of an op that clamps to ``bounds`` and to the range of
    y, if that is narrower than its dtype."""
    low, high = bounds
    if y is not None:
        lowest, highest = y.real_range
        # A bound outside of the range of y changes no value, but could cross the other bound.
        low, high = min(max(low, lowest), highest), max(min(high, highest), lowest)
    names = {NO_BOUNDS: "none", (0.0, math.inf): "relu", (0.0, 6.0): "relu6"}
    name = names.get((low, high), "clamp")
    return name, [low, high] if name == "clamp" else []
