"""Concatenation."""

from dataclasses import replace

import torch
from torch.fx import Node

from .by_schema import by_schema
from .call_site import CallSite


def cat(site: CallSite) -> Node:
    """stack is cat of the tensors with one more dimension."""
    tensors = site.x["tensors"]
    if site.kind == "stack":
        unsqueeze, dim = torch.ops.aten.unsqueeze.default, site.args["dim"]
        tensors = [replace(x, node=site.call(unsqueeze, x.node, dim)) for x in tensors]
    return by_schema(
        site,
        tensors=[x.node for x in tensors],
        scales=[x.qparams.scale for x in tensors],
        zero_points=[x.qparams.zero_point for x in tensors],
    )
