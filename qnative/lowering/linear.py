"""Linear layers: 8-bit inputs, and float ones with int8 or float16 weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from .by_schema import by_schema
from .call_site import CallSite
from .packing import INT8_RANGE, pack_half, pack_spread
from .weights import packed_weight


def linear(site: CallSite) -> Node:
    return by_schema(site, **packed_weight(site))


def linear_dynamic(site: CallSite) -> Node:
    weight = site.context.constant(site.args["weight"])
    packed, repeated = pack_spread(weight.float())
    site.decision.check_numbers("weight", packed["weight_scale"], 0, *INT8_RANGE)
    nodes = _packed(site, weight, lambda _: packed)
    n, k = weight.shape
    options: dict[str, Any] = {"repeated": repeated} if repeated else {}
    return by_schema(site, **nodes, weight_shape=[n, k + len(repeated)], **options)


def linear_fp16(site: CallSite) -> Node:
    """float16 weights; inputs are float16, or float32 for linear_dynamic_fp16."""
    weight = site.context.constant(site.args["weight"])
    return by_schema(site, **_packed(site, weight, pack_half), weight_shape=list(weight.shape))


def _packed(
    site: CallSite,
    weight: torch.Tensor,
    pack: Callable[[torch.Tensor], dict[str, torch.Tensor]],
) -> dict[str, Any]:
    """The packed weight, its scale if it has one, and the bias, by their names in schemas. A weight
    used twice is packed once."""

    def make() -> dict[str, torch.Tensor]:
        return {f"{site.name}.{name}": value for name, value in pack(weight).items()}

    key = (pack_half is pack, weight.data_ptr(), tuple(weight.shape))
    nodes, added = site.context.once(key, make, keep=weight)
    site.float_bytes += weight.nbytes if added else 0
    site.packed_bytes += added
    names = ["weight", "weight_scale"][: len(nodes)]
    bias = site.floats("bias", site.args["bias"])
    return {**dict(zip(names, nodes, strict=True)), "bias": bias}
