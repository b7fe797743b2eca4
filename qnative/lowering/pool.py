"""Means. Other pools need no code: see by_schema.py."""

from torch.fx import Node

from .by_schema import by_schema
from .call_site import CallSite


def mean(site: CallSite) -> Node:
    """aten.mean of all values has neither ``dim`` nor ``keepdim``."""
    return by_schema(site, keepdim=site.args.get("keepdim", False))
