"""LSTM, GRU and the cells with int8 or float16 weights, from their float calls."""

from typing import Any

import torch
from torch.fx import Node

from ..calibration.recurrent import ROUNDED
from ..graph import nodes as ir
from ..graph.recurrent import recurrent_parameters
from ..plan.modes import DYNAMIC_FP16
from .call_site import CallSite
from .packing import INT8_RANGE, pack_half, pack_int8

_GATES = {"lstm": 4, "gru": 3, "lstm_cell": 4, "gru_cell": 3}


def recurrent(site: CallSite) -> Node:
    args, kind = site.args, site.kind
    packet = getattr(torch.ops.qnative, kind)
    constants = _constants(site)
    first, hidden = map(site.context.constant, recurrent_parameters(args)[0][:2])
    hx = args["hx"] if isinstance(args["hx"], (list, tuple)) else [args["hx"]]
    input_size = first.shape[1]
    hidden_size = hidden.shape[0] // _GATES.get(kind, 1)
    sizes = [input_size, hidden_size]
    if "params" not in args:
        return site.call(packet.default, args["input"], *map(_state, hx), *constants, *sizes)
    proj_size = hidden.shape[1] if hidden.shape[1] != hidden_size else 0
    sizes += [proj_size] if kind == "lstm" else []
    sizes += [args["num_layers"], args["bidirectional"]]
    if "data" in args:
        return site.call(packet.data, args["data"], args["batch_sizes"], *hx, *constants, *sizes)
    rest = (*constants, *sizes, args["batch_first"])
    return site.call(packet.default, args["input"], *map(_state, hx), *rest)


def _constants(site: CallSite) -> tuple[list[Node], list[Node], list[Node]]:
    """weights, weight_scales and biases of the op."""
    weights, scales, biases = [], [], []
    float_weights, float_biases = recurrent_parameters(site.args)
    for node in float_weights:
        weight = site.context.constant(node)
        real = weight.to(torch.float32)
        if site.decision.mode == DYNAMIC_FP16:
            weights.append(_buffer(site, node, "_fp16", pack_half(real), weight.nbytes))
            continue
        packed, scale = _int8(site, node, real)
        weights.append(_buffer(site, node, "_int8", packed, weight.nbytes))
        site.decision.check_numbers("weight", scale, 0, *INT8_RANGE)
        scales.append(_buffer(site, node, "_scale", scale))
    for node in float_biases:
        bias = site.context.constant(node).to(torch.float32).clone()
        biases.append(_buffer(site, node, "_float", bias, bias.nbytes))
    return weights, scales, biases


def _int8(site: CallSite, node: Node, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A packed weight and its scales: as calibration rounded it, or rounded to nearest."""
    rounded = site.node.meta.get(ROUNDED, {})
    if node.target not in rounded:
        packed, scale, _ = pack_int8(weight)
        return packed, scale
    codes, scale = rounded[node.target]
    return torch.ops.qnative.linear_pack(codes), scale


def _buffer(
    site: CallSite, node: Node, suffix: str, value: torch.Tensor, float_bytes: int = 0
) -> Node:
    """A buffer made from a parameter; users of one parameter share it."""
    key, name = (node.target, suffix, "rnn"), f"{node.target}{suffix}"
    (buffer,), added = site.context.once(key, lambda: {name: value})
    site.float_bytes += float_bytes if added else 0
    site.packed_bytes += added
    return buffer


def _state(state: Any) -> Any:
    """None for zeros: the op needs no tensor for them."""
    is_zeros = isinstance(state, Node) and ir.kind(state) == "zeros"
    return None if is_zeros else state
