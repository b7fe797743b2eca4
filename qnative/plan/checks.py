"""Calls that an op cannot run, whatever their scales."""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from .._info import MAX_PRODUCTS_U8S8, MAX_PRODUCTS_U8U8
from ..graph import nodes as ir
from ..graph.activation import activation_bounds
from ..graph.kinds import BOUNDED, CONVS, DROPOUTS, INTERPOLATIONS, PADS, RECURRENT, TRANSPOSED
from ..graph.nodes import Unsupported, kind, tensor_of
from ..graph.qdq import is_constant
from ..graph.recurrent import recurrent_parameters
from .decision import FREE, LOOKUP

Check = Callable[[Node, dict[str, Any]], None]


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise Unsupported(reason)


# ---- static 8 bits -------------------------------------------------------------------------------


def _rank(node: Node, argument: Any, ranks: tuple[int, ...]) -> None:
    value = tensor_of(argument)
    if value is not None and value.dim() not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise Unsupported(f"{kind(node)} of a tensor of {value.dim()} dimensions, not {wanted}")


def _weight(node: Node, args: dict[str, Any]) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        if args.get(name) is not None:
            _require(is_constant(args[name]), f"its {name} is computed, not a constant")


def _conv(dims: int) -> Check:
    def check(node: Node, args: dict[str, Any]) -> None:
        _weight(node, args)
        _rank(node, args["input"], (dims + 1, dims + 2))

    return check


def _pool(dims: int) -> Check:
    return lambda node, args: _rank(node, args["self"], (dims + 1, dims + 2))


def _matmul(node: Node, args: dict[str, Any]) -> None:
    value = tensor_of(args["self"])
    if value is not None and isinstance(value.shape[-1], int):
        products, most = value.shape[-1], MAX_PRODUCTS_U8U8
        _require(products <= most, f"it sums {products} products, more than int32 holds")


def _attention(node: Node, args: dict[str, Any]) -> None:
    _require(not args["dropout_p"], "dropout in training mode: call model.eval() before export")
    mask = tensor_of(args["attn_mask"])
    if mask is not None and mask.dtype not in (torch.bool, torch.float32):
        raise Unsupported(f"its mask is {mask.dtype}, not torch.bool or torch.float32")
    q, v = tensor_of(args["query"]), tensor_of(args["value"])
    for value, dim, what in ((q, -1, "products of a score"), (v, -2, "keys")):
        if value is not None and isinstance(value.shape[dim], int):
            too_many = f"it sums {value.shape[dim]} {what}, more than int32 holds"
            _require(value.shape[dim] <= MAX_PRODUCTS_U8S8, too_many)


def _attention_dynamic(node: Node, args: dict[str, Any]) -> None:
    _attention(node, args)
    for name in ("query", "key", "value"):
        value = tensor_of(args[name])
        if value is not None and value.dtype is not torch.float32:
            raise Unsupported(f"its argument {name} is {value.dtype}, not torch.float32")


def _dtype(node: Node, args: dict[str, Any]) -> None:
    _require(args["dtype"] in (None, torch.float32), f"its dtype argument is {args['dtype']}")


def _batch_norm(node: Node, args: dict[str, Any]) -> None:
    _require(not args["training"], "it normalizes with the statistics of the batch")
    _weight(node, args)


def _instance_norm(node: Node, args: dict[str, Any]) -> None:
    updates = args["use_input_stats"] and args["running_mean"] is not None
    _require(not updates, "it updates running statistics: call model.eval() before export")
    _weight(node, args)


def _interpolate(node: Node, args: dict[str, Any]) -> None:
    is_known = kind(node) in INTERPOLATIONS and "scale_factors" in args
    _require(is_known, f"qnative has no op for {node.target}")


def _lookup(node: Node, args: dict[str, Any]) -> None:
    if kind(node) in BOUNDED:
        activation_bounds(node)
        return
    if kind(node) == "prelu":
        _weight(node, args)
        return
    if kind(node) == "pow" and not isinstance(args["exponent"], Node):
        exponent = args["exponent"]
        _require(
            exponent > 0, f"it is the power {exponent} of small values, which 8 bits do not hold"
        )
    _, *extra = (name for name, value in args.items() if isinstance(value, Node))
    _require(not extra, f"its argument {', '.join(extra)} is computed, not a constant")


def pads_with_number(args: dict[str, Any]) -> bool:
    """Whether a pad adds a number other than 0, which its input's range need not include."""
    return args.get("mode", "constant") == "constant" and bool(args["value"])


def _free(node: Node, args: dict[str, Any]) -> None:
    name = kind(node)
    if name in PADS and pads_with_number(args):
        value = args["value"]
        _require(math.isfinite(value), f"it pads with {value}, which has no code")
    if name in DROPOUTS:
        _require(not args["train"], "dropout in training mode: call model.eval() before export")
    if name == "view":
        _require("dtype" not in args, "it reinterprets the bytes of float32 values")
    if name == "resize":
        before, after = tensor_of(args["self"]), tensor_of(node)
        if before is not None and after is not None:
            _require(before.numel() == after.numel(), "it changes the number of elements")
            _require(before.is_contiguous(), "it resizes a tensor that is not contiguous")


# By op; an op without a check runs every call.
STATIC_CHECKS: dict[str, Check] = {
    "linear": _weight,
    **{name: _conv(dims) for name, dims in (CONVS | TRANSPOSED).items()},
    **{f"max_pool{dims}d": _pool(dims) for dims in (1, 2, 3)},
    **{f"avg_pool{dims}d": _pool(dims) for dims in (1, 2, 3)},
    **{f"adaptive_avg_pool{dims}d": _pool(dims) for dims in (1, 2, 3)},
    "matmul": _matmul,
    "attention": _attention,
    "mean": _dtype,
    "softmax": _dtype,
    "layer_norm": _weight,
    "rms_norm": _weight,
    "group_norm": _weight,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
    "prelu": _weight,
    "interpolate": _interpolate,
    LOOKUP: _lookup,
    FREE: _free,
}


# ---- other modes ---------------------------------------------------------------------------------


def _linear(*dtypes: torch.dtype, most: float = math.inf) -> Check:
    def check(node: Node, args: dict[str, Any]) -> None:
        _weight(node, args)
        for name in ("input", "weight"):
            value = tensor_of(args[name])
            wanted = " or ".join(map(str, dtypes))
            if value is not None and value.dtype not in dtypes:
                raise Unsupported(f"its argument {name} is {value.dtype}, not {wanted}")
        weight = tensor_of(args["weight"])
        if weight is not None:
            is_matrix = weight.dim() == 2 and weight.numel() > 0
            _require(is_matrix, f"its weight has shape {list(weight.shape)}")
            _require_products(weight, most)

    return check


def _conv_dynamic(dims: int, transposed: bool) -> Check:
    def check(node: Node, args: dict[str, Any]) -> None:
        _conv(dims)(node, args)
        for name in ("input", "weight"):
            value = tensor_of(args[name])
            if value is not None and value.dtype is not torch.float32:
                raise Unsupported(f"its argument {name} is {value.dtype}, not torch.float32")
        weight = tensor_of(args["weight"])
        if weight is not None:
            inputs = weight.shape[0] // args["groups"] if transposed else weight.shape[1]
            _require_count(inputs * math.prod(weight.shape[2:]), MAX_PRODUCTS_U8S8)

    return check


def _require_products(weight: torch.Tensor, most: float) -> None:
    _require_count(weight.shape[-1], most)


def _require_count(products: int, most: float) -> None:
    _require(products <= most, f"it sums {products} products, more than {most}")


def _recurrent(node: Node, args: dict[str, Any]) -> None:
    if args.get("train") and args.get("dropout"):
        raise Unsupported("it drops out: export the model in eval mode")
    x = tensor_of(args.get("input", args.get("data")))
    if x is not None and x.dtype is not torch.float32:
        raise Unsupported(f"its input is {x.dtype}, not torch.float32")
    if (args.get("b_ih") is None) != (args.get("b_hh") is None):
        raise Unsupported("it has one bias where qnative has two or none")
    weights, biases = recurrent_parameters(args)
    for parameter in weights + biases:
        if not isinstance(parameter, Node) or parameter.op != "get_attr":
            raise Unsupported("its weights are not parameters of the module")
        value = tensor_of(parameter)
        if value is not None and parameter in weights:
            _require_products(value, MAX_PRODUCTS_U8S8)


def _embedding(node: Node, args: dict[str, Any]) -> None:
    weight = args["weight"]
    if not isinstance(weight, Node) or weight.op != "get_attr":
        raise Unsupported("its weight is not a parameter")
    if ir.is_written(weight):
        raise Unsupported("its weight is written to by the model (max_norm)")
    value = tensor_of(weight)
    if value is not None and value.dtype is not torch.float32:
        raise Unsupported(f"its weight is {value.dtype}, not torch.float32")


def _embedding_bag(node: Node, args: dict[str, Any]) -> None:
    """Also that nothing uses the outputs for the backward pass."""
    _embedding(node, args)
    for user in node.users:
        is_output = user.target is operator.getitem and user.args[1] == 0
        if user.users and not is_output:
            raise Unsupported(f"{user.name} uses more than its first output")


DIRECT_CHECKS: dict[str, Check] = {
    "attention_dynamic": _attention_dynamic,
    "linear_dynamic": _linear(torch.float32, most=MAX_PRODUCTS_U8S8),
    **{f"{name}_dynamic": _conv_dynamic(dims, False) for name, dims in CONVS.items()},
    **{f"{name}_dynamic": _conv_dynamic(dims, True) for name, dims in TRANSPOSED.items()},
    "linear_4bit": _linear(torch.float32),
    "linear_dynamic_fp16": _linear(torch.float32),
    "linear_fp16": _linear(torch.float32, torch.float16),
    **dict.fromkeys(RECURRENT, _recurrent),
    **{f"embedding_{bits}bit": _embedding for bits in (8, 4)},
    **{f"embedding_bag_{bits}bit": _embedding_bag for bits in (8, 4)},
}


def finite_numbers(args: dict[str, Any]) -> None:
    """Unsupported for numbers outside of float32: a table of 8-bit values can hold their effect, an
    op on float16 values cannot take them."""
    largest = torch.finfo(torch.float32).max
    for name in ("other", "alpha"):
        value = args.get(name)
        if isinstance(value, (int, float)) and not abs(value) <= largest:
            raise Unsupported(f"its argument {name} is {value}")
