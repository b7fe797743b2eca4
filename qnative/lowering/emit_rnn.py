"""LSTM, GRU and the cells with int8 or float16 weights, straight from their float calls."""

from typing import Any

import torch
from torch.fx import Node

from . import graph as ir
from .emit import Site
from .graph import Unsupported

_GATES = {"lstm": 4, "gru": 3, "lstm_cell": 4, "gru_cell": 3}
KINDS = ("lstm", "gru", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")


def check(node: Node, args: dict[str, Any]) -> None:
    """Unsupported for what the op cannot run."""
    if args.get("train") and args.get("dropout"):
        raise Unsupported("it drops out: export the model in eval mode")
    x = ir.tensor_of(args.get("input", args.get("data")))
    if x is not None and x.dtype is not torch.float32:
        raise Unsupported(f"its input is {x.dtype}, not torch.float32")
    weights, _ = _parameters(args)
    for weight in weights:
        if not isinstance(weight, Node) or weight.op != "get_attr":
            raise Unsupported("its weights are not parameters of the module")


def _parameters(args: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Weights and biases, each in torch's order."""
    if "params" not in args:
        biases = [args["b_ih"], args["b_hh"]]
        return [args["w_ih"], args["w_hh"]], [] if None in biases else biases
    params = list(args["params"])
    if not args["has_biases"]:
        return params, []
    directions = args["num_layers"] * (2 if args["bidirectional"] else 1)
    each = len(params) // directions
    weights, biases = [], []
    for i in range(0, len(params), each):
        weights += [*params[i : i + 2], *params[i + 4 : i + each]]
        biases += params[i + 2 : i + 4]
    return weights, biases


def _pack(weight: torch.Tensor, half: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The packed weight, and the scales of an int8 one."""
    weight = weight.to(torch.float32)
    if not half:
        scale = weight.abs().amax(1) / 127
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        quantized = (weight / scale[:, None]).round().clamp(-128, 127).to(torch.int8)
        return torch.ops.qnative.linear_pack(quantized), scale
    n, k = weight.shape
    limit = torch.finfo(torch.float16).max
    padded = weight.new_zeros(-(-n // 16) * 16, k)
    padded[:n] = weight.clamp(-limit, limit)
    return padded.half().view(-1, 16, k).transpose(1, 2).reshape(-1), None


def _buffer(site: Site, node: Node, suffix: str, value: torch.Tensor, key: Any) -> Node:
    constants = site.constants
    if key not in constants.packed:
        constants.packed[key] = (constants.add(node.target + suffix, value),)
    return constants.get(constants.packed[key][0])


def _constants(site: Site, half: bool) -> tuple[list[Node], list[Node], list[Node]]:
    """weights, weight_scales and biases of the op."""
    weights, scales, biases = [], [], []
    float_weights, float_biases = _parameters(site.args)
    for node in float_weights:
        weight = ir.constant(site.module, node)
        packed, scale = _pack(weight, half)
        form = "fp16" if half else "int8"
        weights.append(_buffer(site, node, f"_{form}", packed, (node.target, form)))
        site.float_bytes += weight.nbytes
        site.packed_bytes += packed.nbytes
        if scale is not None:
            scales.append(_buffer(site, node, "_scale", scale, (node.target, "rnn scale")))
            site.packed_bytes += scale.nbytes
    for node in float_biases:
        bias = ir.constant(site.module, node).to(torch.float32).clone()
        biases.append(_buffer(site, node, "_float", bias, (node.target, "rnn bias")))
        site.float_bytes += bias.nbytes
        site.packed_bytes += bias.nbytes
    return weights, scales, biases


def _state(state: Any) -> Any:
    """None for zeros, which the op makes by itself."""
    is_zeros = isinstance(state, Node) and ir.kind(state) == "zeros"
    return None if is_zeros else state


def _emit(site: Site, half: bool) -> Node:
    args, kind = site.args, ir.kind(site.node)
    packet = getattr(torch.ops.qnative, kind)
    constants = _constants(site, half)
    first, hidden = (ir.constant(site.module, node) for node in _parameters(args)[0][:2])
    hx = args["hx"] if isinstance(args["hx"], (list, tuple)) else [args["hx"]]
    input_size = first.shape[1]
    hidden_size = hidden.shape[0] // _GATES.get(kind, 1)
    if "params" not in args:
        states = map(_state, hx)
        return site.call(
            packet.default, args["input"], *states, *constants, input_size, hidden_size
        )
    proj_size = hidden.shape[1] if hidden.shape[1] != hidden_size else 0
    sizes = [input_size, hidden_size, *([proj_size] if kind == "lstm" else [])]
    sizes += [args["num_layers"], args["bidirectional"]]
    if "data" in args:
        data = (args["data"], args["batch_sizes"])
        return site.call(packet.data, *data, *hx, *constants, *sizes)
    states = map(_state, hx)
    return site.call(
        packet.default, args["input"], *states, *constants, *sizes, args["batch_first"]
    )


def emit_int8(site: Site) -> Node:
    return _emit(site, half=False)


def emit_fp16(site: Site) -> Node:
    return _emit(site, half=True)
