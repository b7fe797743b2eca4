"""Linear layers: 8-bit inputs, and float ones with int8, 4-bit or float16 weights."""

from torch.fx import Node

from ..calibration.run import GROUPS
from .by_schema import by_schema
from .call_site import CallSite
from .packing import INT8_RANGE, pack_4bit, pack_4bit_codes, pack_half, pack_int8
from .weights import float_weight, packed_weight


def linear(site: CallSite) -> Node:
    return by_schema(site, **packed_weight(site))


def linear_dynamic(site: CallSite) -> Node:
    weight = site.context.constant(site.args["weight"])
    packed, scale, repeated = pack_int8(weight.float(), may_repeat=True)
    site.decision.check_numbers("weight", scale, 0, *INT8_RANGE)
    values = float_weight(site, weight, {"weight": packed, "weight_scale": scale})
    n, k = weight.shape
    values["weight_shape"] = [n, k + len(repeated)]
    if repeated:
        values["repeated"] = repeated
    return by_schema(site, **values)


def linear_4bit(site: CallSite) -> Node:
    weight = site.context.constant(site.args["weight"])
    size = site.decision.group_size or weight.shape[1]
    if GROUPS in site.node.meta:  # rounded with calibration data
        codes, scale = site.node.meta[GROUPS]
        packed = pack_4bit_codes(codes, scale, size)
    else:
        packed = pack_4bit(weight.float(), size)
    values = float_weight(site, weight, {"weight": packed}, size)
    return by_schema(site, **values, weight_shape=list(weight.shape), group_size=size)


def linear_fp16(site: CallSite) -> Node:
    """float16 weights; inputs are float16, or float32 for linear_dynamic_fp16."""
    weight = site.context.constant(site.args["weight"])
    values = float_weight(site, weight, {"weight": pack_half(weight)})
    return by_schema(site, **values, weight_shape=list(weight.shape))
