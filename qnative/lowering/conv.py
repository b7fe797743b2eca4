"""Convolutions of one to three dimensions, and transposed ones, with 8-bit inputs."""

from typing import Any

from torch.fx import Node

from ..graph.padding import conv_sides
from .by_schema import by_schema
from .call_site import CallSite
from .weights import packed_weight


def conv(site: CallSite) -> Node:
    """Transposed or not; zeros that an aten.pad added before it are part of its padding."""
    weight = packed_weight(site, site.args["groups"])
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
