"""Convolutions of one to three dimensions, and transposed ones, with 8-bit inputs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Node

from . import graph as ir
from .emit import Site, weight_arguments

# Kinds by the number of their dimensions.
CONVS = {f"conv{d}d": d for d in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{d}d": d for d in (1, 2, 3)}


def for_each_dimension(values: Any, dims: int) -> list[int]:
    """A number for each dimension, where one can stand for all."""
    values = [values] if isinstance(values, int) else list(values)
    return values * dims if len(values) == 1 else values


def conv_sides(args: dict[str, Any], weight_shape: Sequence[int]) -> list[int]:
    """The padding of a convolution, "same" and "valid" included, as the number of values before and
    after those of each dimension: [top, bottom, left, right]."""
    dims = len(weight_shape) - 2
    padding = args["padding"]
    if padding == "valid":
        return [0] * 2 * dims
    if padding != "same":
        return [side for side in for_each_dimension(padding, dims) for _ in range(2)]
    dilation = for_each_dimension(args["dilation"], dims)
    totals = [d * (k - 1) for d, k in zip(dilation, weight_shape[2:], strict=True)]
    return [side for total in totals for side in (total // 2, total - total // 2)]


def _padding(site: Site, weight_shape: Sequence[int]) -> Any:
    """As it stands in the aten call, or with the aten.pad before it added: a value for each
    dimension, or two where sides differ."""
    if not any(site.pad):
        return site.args["padding"]
    # aten.pad begins with the last dimension.
    added = [side for i in range(len(site.pad) - 2, -1, -2) for side in site.pad[i : i + 2]]
    sides = [a + b for a, b in zip(conv_sides(site.args, weight_shape), added, strict=True)]
    return sides[::2] if sides[::2] == sides[1::2] else sides


def conv(site: Site) -> Node:
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


def conv_transpose(site: Site) -> Node:
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
