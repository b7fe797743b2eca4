"""Attention with 8-bit queries, keys and values, or with float ones."""

from torch.fx import Node

from .by_schema import by_schema
from .call_site import CallSite


def attention(site: CallSite) -> Node:
    """The mask stays as the model computes it."""
    return by_schema(site, attn_mask=site.args["attn_mask"])
