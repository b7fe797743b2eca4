"""Interpolation of 8-bit or of float16 images."""

from typing import Any

from torch.fx import Node

from ..graph.kinds import INTERPOLATIONS
from .by_schema import by_schema
from .call_site import CallSite


def interpolate(site: CallSite) -> Node:
    (x,), mode = site.x.values(), INTERPOLATIONS[site.kind]
    same: dict[str, Any] = {}
    if "nearest" in mode and x.qparams is not None:  # it only moves values
        scale, zero_point, dtype = x.qparams.scale, x.qparams.zero_point, x.qparams.dtype
        same = {"y_scale": scale, "y_zero_point": zero_point, "y_dtype": dtype}
    size = site.args["output_size"]
    return by_schema(site, used=("output_size",), size=size, mode=mode, **same)
