"""Linear layers: 8-bit inputs, and float ones with int8 or float16 weights."""

from typing import Any

import torch
from torch.fx import Node

from .by_schema import by_schema
from .call_site import CallSite
from .packing import INT8_RANGE, pack_half, pack_int8
from .weights import packed_weight


def linear(site: CallSite) -> Node:
    return by_schema(site, **packed_weight(site))


def linear_dynamic(site: CallSite) -> Node:
    weight = site.context.constant(site.args["weight"])
    packed, scale, repeated = pack_int8(weight.float(), may_repeat=True)
    site.decision.check_numbers("weight", scale, 0, *INT8_RANGE)
    values = _buffers(site, weight, {"weight": packed, "weight_scale": scale})
    n, k = weight.shape
    values["weight_shape"] = [n, k + len(repeated)]
    if repeated:
        values["repeated"] = repeated
    return by_schema(site, **values)


def linear_fp16(site: CallSite) -> Node:
    """float16 weights; inputs are float16, or float32 for linear_dynamic_fp16."""
    weight = site.context.constant(site.args["weight"])
    values = _buffers(site, weight, {"weight": pack_half(weight)})
    return by_schema(site, **values, weight_shape=list(weight.shape))


def _buffers(
    site: CallSite, weight: torch.Tensor, packed: dict[str, torch.Tensor]
) -> dict[str, Any]:
    """``packed``, made from ``weight``, and the bias, by their names in schemas. A weight used
    twice is stored once."""

    def named() -> dict[str, torch.Tensor]:
        return {f"{site.name}.{name}": value for name, value in packed.items()}

    key = (*packed, weight.data_ptr(), tuple(weight.shape))
    nodes, added = site.context.once(key, named, keep=weight)
    site.float_bytes += weight.nbytes if added else 0
    site.packed_bytes += added
    bias = site.floats("bias", site.args["bias"])
    return {**dict(zip(packed, nodes, strict=True)), "bias": bias}
