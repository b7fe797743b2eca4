"""Convolutions of one to three dimensions, and transposed ones: 8-bit inputs, and float ones with
int8 weights."""

from typing import Any

from torch.fx import Node

from ..graph.padding import conv_sides
from .by_schema import by_schema
from .call_site import CallSite
from .packing import INT8_RANGE, pack_int8_conv
from .weights import float_weight, packed_weight


def conv(site: CallSite) -> Node:
    """Transposed or not; zeros that an aten.pad added before it are part of its padding."""
    return _call(site, packed_weight(site, site.args["groups"]))


def conv_dynamic(site: CallSite) -> Node:
    """The same with float inputs: zeros do not change the scale of an image."""
    weight, groups = site.context.constant(site.args["weight"]), site.args["groups"]
    packed, scale = pack_int8_conv(site.decision.op, weight, groups)
    site.decision.check_numbers("weight", scale, 0, *INT8_RANGE)
    values = float_weight(site, weight, {"weight": packed, "weight_scale": scale}, groups)
    return _call(site, {**values, "weight_shape": list(weight.shape)})


def _call(site: CallSite, weight: dict[str, Any]) -> Node:
    padding = _padding(site, weight["weight_shape"])
    overload = "padding" if isinstance(padding, str) else "default"
    return by_schema(site, overload, **weight, padding=padding)


def _padding(site: CallSite, weight_shape: list[int]) -> Any:
    """As it stands in the aten call, or with the aten.pad before it added: a value for each
    dimension, or two where sides differ."""
    if not any(site.pad):
        return site.args["padding"]
    # aten.pad begins with the last dimension.
    added = [side for i in range(len(site.pad) - 2, -1, -2) for side in site.pad[i : i + 2]]
    sides = [a + b for a, b in zip(conv_sides(site.args, weight_shape), added, strict=True)]
    return sides[::2] if sides[::2] == sides[1::2] else sides
