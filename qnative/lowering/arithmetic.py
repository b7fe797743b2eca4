"""Sums and differences of 8-bit or of float16 tensors."""

from torch.fx import Node

from .by_schema import by_schema
from .call_site import CallSite


def add(site: CallSite) -> Node:
    """self + alpha * other, or the difference; rsub has them the other way round."""
    alpha = float(site.args["alpha"])
    if site.kind == "rsub":
        site.x = {"other": site.x["other"], "self": site.x["self"]}
    return by_schema(site, alpha=alpha if site.kind == "add" else -alpha)
