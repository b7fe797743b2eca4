"""Convolutions of one to three dimensions, and transposed ones, with 8-bit inputs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Node

from ..graph import nodes as ir
from ..graph.layers import conv_sides
from .emit import CallSite, weight_arguments


def _padding(site: CallSite, weight_shape: Sequence[int]) -> Any:
    """As it stands in the aten call, or with the aten.pad before it added: a value for each
    dimension, or two where sides differ."""
    if not any(site.pad):
        return site.args["padding"]
    # aten.pad begins with the last dimension.
    added = [side for i in range(len(site.pad) - 2, -1, -2) for side in site.pad[i : i + 2]]
    sides = [a + b for a, b in zip(conv_sides(site.args, weight_shape), added, strict=True)]
    return sides[::2] if sides[::2] == sides[1::2] else sides


def conv(site: CallSite) -> Node:
    args, name = site.args, ir.kind(site.node)
    weight = weight_arguments(site, name, args["groups"])
    padding = _padding(site, weight[3])
    op = getattr(torch.ops.qnative, name)
    return site.call(
        op.padding if isinstance(padding, str) else op.default,
        *site.x["input"].args,
        *weight,
        args["stride"],
        padding,
        args["dilation"],
        args["groups"],
        *site.activation,
    )


def conv_transpose(site: CallSite) -> Node:
    """The weight is [C, O / groups, ...]: the same channels of all groups have one scale."""
    args, name = site.args, ir.kind(site.node)
    groups = args["groups"]
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    return site.call(
        getattr(torch.ops.qnative, name).default,
        *site.x["input"].args,
        *weight_arguments(site, name, groups, axis=1, groups=groups),
        *(args[name] for name in names),
        *site.activation,
    )
