"""LSTM, GRU and the cells with int8 or float16 weights, straight from their float calls."""

from typing import Any

import torch
from torch.fx import Node

from .._info import MAX_PRODUCTS_U8S8
from ..graph import nodes as ir
from ..graph.nodes import Unsupported
from ..plan import constraints
from .emit import CallSite
from .packing import INT8_RANGE, pack_half, pack_int8

_GATES = {"lstm": 4, "gru": 3, "lstm_cell": 4, "gru_cell": 3}


def check(node: Node, args: dict[str, Any]) -> None:
    """Unsupported for what the op cannot run."""
    if args.get("train") and args.get("dropout"):
        raise Unsupported("it drops out: export the model in eval mode")
    x = ir.tensor_of(args.get("input", args.get("data")))
    if x is not None and x.dtype is not torch.float32:
        raise Unsupported(f"its input is {x.dtype}, not torch.float32")
    if (args.get("b_ih") is None) != (args.get("b_hh") is None):
        raise Unsupported("it has one bias where qnative has two or none")
    weights, biases = _parameters(args)
    for parameter in weights + biases:
        if not isinstance(parameter, Node) or parameter.op != "get_attr":
            raise Unsupported("its weights are not parameters of the module")
        value = ir.tensor_of(parameter)
        if value is not None and value.shape[-1] > MAX_PRODUCTS_U8S8 and parameter in weights:
            raise Unsupported(f"it sums {value.shape[-1]} products, more than {MAX_PRODUCTS_U8S8}")


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


def _buffer(
    site: CallSite, node: Node, suffix: str, value: torch.Tensor, float_bytes: int = 0
) -> Node:
    """What is made of a parameter, once for all that use it."""
    constants, key = site.constants, (node.target, suffix, "rnn")
    if key not in constants.packed:
        constants.packed[key] = (constants.add(node.target + suffix, value),)
        site.packed_bytes += value.nbytes
        site.float_bytes += float_bytes
    return constants.get(constants.packed[key][0])


def _constants(site: CallSite, half: bool) -> tuple[list[Node], list[Node], list[Node]]:
    """weights, weight_scales and biases of the op."""
    weights, scales, biases = [], [], []
    float_weights, float_biases = _parameters(site.args)
    for node in float_weights:
        weight = ir.constant(site.module, node)
        packed = (pack_half if half else pack_int8)(weight.to(torch.float32))
        form = "fp16" if half else "int8"
        weights.append(_buffer(site, node, f"_{form}", packed["weight"], weight.nbytes))
        if not half:
            constraints.check_numbers(site.node, "weight", packed["weight_scale"], 0, *INT8_RANGE)
            scales.append(_buffer(site, node, "_scale", packed["weight_scale"]))
    for node in float_biases:
        bias = ir.constant(site.module, node).to(torch.float32).clone()
        biases.append(_buffer(site, node, "_float", bias, bias.nbytes))
    return weights, scales, biases


def _state(state: Any) -> Any:
    """None for zeros, which the op makes by itself."""
    is_zeros = isinstance(state, Node) and ir.kind(state) == "zeros"
    return None if is_zeros else state


def _emit(site: CallSite, half: bool) -> Node:
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


def emit_int8(site: CallSite) -> Node:
    return _emit(site, half=False)


def emit_fp16(site: CallSite) -> Node:
    return _emit(site, half=True)
