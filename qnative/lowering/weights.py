"""The weights of linear layers and convolutions: int8 in a graph with quantize nodes, or float."""

from typing import Any

import torch

from ..graph import nodes as ir
from ..graph.kinds import TRANSPOSED
from ..graph.nodes import Unsupported
from ..graph.qdq import DEQUANTIZE, DEQUANTIZE_CHANNEL, qparams
from ..plan.constraints import NONE
from ..plan.decision import Decision
from .call_site import CallSite, Context


def check_weight(context: Context, decision: Decision, weight: Any) -> None:
    """Unsupported for a weight that is not quantized, or not as the row of the config demands."""
    if not ir.is_call(weight, DEQUANTIZE | DEQUANTIZE_CHANNEL):
        raise Unsupported("its weight is not quantized")
    if decision.limits.weight == NONE:
        return
    args = ir.bind(weight)
    by_channel = ir.is_call(weight, DEQUANTIZE_CHANNEL)
    names = ("scales", "zero_points") if by_channel else ("scale", "zero_point")
    scale, zero_point = (context.constant(args[name]) for name in names)
    zero_point = 0 if zero_point is None else zero_point
    decision.check_numbers("weight", scale, zero_point, args["quant_min"], args["quant_max"])


def int8_weight(site: CallSite) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight as int8, and its scale for each output channel, float32 [N]. A transposed
    convolution has its output channels in dimension 1, where all groups share what they have."""
    transposed = site.kind in TRANSPOSED
    axis, groups = (1, site.args["groups"]) if transposed else (0, 1)
    node = site.args["weight"]
    args = ir.bind(node)
    weight = site.context.constant(args["input"])
    if weight.dtype is not torch.int8:
        raise Unsupported(f"its weight is {weight.dtype}, not torch.int8")
    if ir.is_call(node, DEQUANTIZE_CHANNEL):
        if args["axis"] != axis:
            raise Unsupported(f"its weight is quantized along axis {args['axis']}, not {axis}")
        scale = site.context.constant(args["scales"])
        zero_point = site.context.constant(args["zero_points"])
    else:
        params = qparams(site.context.module, node)
        scale = torch.full((weight.shape[axis],), params.scale)
        zero_point = torch.tensor(params.zero_point)
    if zero_point is not None and bool((zero_point != 0).any()):
        raise Unsupported("its weight is not symmetric: a zero point is not 0")
    return weight, scale.to(torch.float32).repeat(groups)


def packed_weight(site: CallSite, *pack_args: Any) -> dict[str, Any]:
    """weight, weight_scale, bias and weight_shape, by the names that schemas have for them. A
    weight used twice is packed once."""
    weight, scale = int8_weight(site)
    op = site.decision.op

    def pack() -> dict[str, torch.Tensor]:
        packed = getattr(torch.ops.qnative, f"{op}_pack")(weight, *pack_args)
        return {f"{site.name}.weight": packed, f"{site.name}.weight_scale": scale}

    key = (op, *pack_args, weight.data_ptr(), *scale.tolist())
    nodes, added = site.context.once(key, pack, keep=weight)
    site.float_bytes += weight.numel() * 4 if added else 0
    site.packed_bytes += added
    return {
        **dict(zip(("weight", "weight_scale"), nodes, strict=True)),
        "bias": site.floats("bias", site.args["bias"]),
        "weight_shape": list(weight.shape),
    }


def float_weight(
    site: CallSite, weight: torch.Tensor, packed: dict[str, torch.Tensor], *pack_args: Any
) -> dict[str, Any]:
    """``packed``, made from the float ``weight``, and the bias, by their names in schemas. A weight
    used twice is stored once."""

    def named() -> dict[str, torch.Tensor]:
        return {f"{site.name}.{name}": value for name, value in packed.items()}

    key = (*packed, *pack_args, weight.data_ptr(), tuple(weight.shape))
    nodes, added = site.context.once(key, named, keep=weight)
    site.float_bytes += weight.nbytes if added else 0
    site.packed_bytes += added
    bias = site.floats("bias", site.args["bias"])
    return {**dict(zip(packed, nodes, strict=True)), "bias": bias}


def plain_weight(site: CallSite, names: set[str], weighted: bool) -> dict[str, Any]:
    """Those of weight, weight_scale and bias that a kernel of another library takes."""
    values: dict[str, Any] = {}
    if weighted:
        weight, scale = int8_weight(site)
        for name, tensor in (("weight", weight), ("weight_scale", scale)):
            values[name] = site.context.buffer(f"{site.name}.{name}", tensor.clone())
        site.float_bytes += weight.numel() * 4
        site.packed_bytes += weight.nbytes + scale.nbytes
    elif "weight" in names:
        values["weight"] = site.floats("weight", site.args.get("weight"))
    if "bias" in names:
        values["bias"] = site.floats("bias", site.args.get("bias"))
    return values
