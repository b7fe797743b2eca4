"""The table of contents of the lowering: which aten op runs in which qnative op, and under which
conditions. The Quantizer annotates what is in here, ``lower`` rewrites it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from .._info import MAX_PRODUCTS_U8U8
from ..graph.activation import FUSABLE, activation_bounds
from ..graph.constants import FACTORIES
from ..graph.layers import CONVS
from ..graph.nodes import Unsupported, bind, is_call, is_constant, kind, target_name, tensor_of
from ..graph.sequence import follow, next_of
from ..lowering import conv as emit_conv
from ..lowering import emit
from ..lowering.emit import CallSite
from . import custom

WEIGHTED = "weighted"  # input, weight and bias
COMPUTE = "compute"  # its output has quantization parameters of its own
SAME = "same"  # its output has its input's quantization parameters
LOOKUP = "lookup"  # a function of each value by itself: one table of 256 entries
FREE = "free"  # the aten op itself, on the 8-bit data


@dataclass(frozen=True)
class Op:
    """One row. tensors: the arguments that must be quantized. check raises Unsupported for calls
    that the qnative op cannot run. emit creates the qnative call (see emit.py). fuses: an
    activation after it becomes part of it. float_output: it can end in float32. kernel: another
    library's, which runs the nodes after it too."""

    role: str
    tensors: tuple[str, ...]
    emit: Callable[[CallSite], Node] | None = None
    check: Callable[[Node, dict[str, Any]], None] | None = None
    fuses: bool = False
    float_output: bool = False
    kernel: custom.Kernel | None = None


# With a number they are functions of each value by itself.
WITH_NUMBER = ("add", "mul", "sub", "rsub", "div")


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise Unsupported(reason)


def _rank(node: Node, argument: Any, ranks: tuple[int, ...]) -> None:
    value = tensor_of(argument)
    if value is not None and value.dim() not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise Unsupported(f"{kind(node)} of a tensor of {value.dim()} dimensions, not {wanted}")


def _check_weight(node: Node, args: dict[str, Any]) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        if args.get(name) is not None:
            _require(is_constant(args[name]), f"its {name} is computed, not a constant")


def _check_conv(dims: int) -> Callable[[Node, dict[str, Any]], None]:
    def check(node: Node, args: dict[str, Any]) -> None:
        _check_weight(node, args)
        _rank(node, args["input"], (dims + 1, dims + 2))

    return check


def _check_binary(node: Node, args: dict[str, Any]) -> None:
    for name in ("self", "other"):
        value = tensor_of(args[name])
        if value is not None:
            _require(value.dtype is torch.float32, f"its argument {name} is {value.dtype}")
    _require(isinstance(args["self"], Node), "its first argument is a number")


def _check_matmul(node: Node, args: dict[str, Any]) -> None:
    value = tensor_of(args["self"])
    if value is not None and isinstance(value.shape[-1], int):
        products = value.shape[-1]
        _require(
            products <= MAX_PRODUCTS_U8U8, f"it sums {products} products, more than int32 holds"
        )


def _check_pool(dims: int) -> Callable[[Node, dict[str, Any]], None]:
    return lambda node, args: _rank(node, args["self"], (dims + 1, dims + 2))


def _check_dtype(node: Node, args: dict[str, Any]) -> None:
    _require(args["dtype"] in (None, torch.float32), f"its dtype argument is {args['dtype']}")


def _check_batch_norm(node: Node, args: dict[str, Any]) -> None:
    _require(not args["training"], "it normalizes with the statistics of the batch")
    _check_weight(node, args)


def _check_instance_norm(node: Node, args: dict[str, Any]) -> None:
    updates = args["use_input_stats"] and args["running_mean"] is not None
    _require(not updates, "it updates running statistics: call model.eval() before export")
    _check_weight(node, args)


def _check_dropout(node: Node, args: dict[str, Any]) -> None:
    _require(not args["train"], "dropout in training mode: call model.eval() before export")


def _check_clamp(node: Node, args: dict[str, Any]) -> None:
    activation_bounds(node)


def _check_lookup(node: Node, args: dict[str, Any]) -> None:
    extra = [name for name, value in args.items() if name != "self" and isinstance(value, Node)]
    _require(not extra, f"its argument {', '.join(extra)} is computed, not a constant")


def _check_view(node: Node, args: dict[str, Any]) -> None:
    _require("dtype" not in args, "it reinterprets the bytes of float32 values")


def _check_resize(node: Node, args: dict[str, Any]) -> None:
    before, after = tensor_of(args["self"]), tensor_of(node)
    if before is not None and after is not None:
        _require(before.numel() == after.numel(), "it changes the number of elements")
        _require(before.is_contiguous(), "it resizes a tensor that is not contiguous")


def _pads_with_number(args: dict[str, Any]) -> bool:
    return args.get("mode", "constant") == "constant" and bool(args["value"])


def _check_pad(node: Node, args: dict[str, Any]) -> None:
    if _pads_with_number(args):
        value = args["value"]
        _require(math.isfinite(value), f"it pads with {value}, which has no code")


_FREE = Op(FREE, ("self",), emit.free)
_PAD = Op(FREE, ("self",), emit.pad, _check_pad)
_LOOKUP = Op(LOOKUP, ("self",), emit.lookup, _check_lookup)
_PRELU = Op(LOOKUP, ("self",), emit.lookup, _check_weight)
_CLAMP = Op(LOOKUP, ("self",), emit.lookup, _check_clamp)
_DROPOUT = Op(FREE, ("input",), emit.free, _check_dropout)

TABLE: dict[str, Op] = {
    "linear": Op(WEIGHTED, ("input", "weight"), emit.linear, _check_weight, True, True),
    "add": Op(COMPUTE, ("self", "other"), emit.add, _check_binary, fuses=True),
    "mul": Op(COMPUTE, ("self", "other"), emit.mul, _check_binary, fuses=True),
    "sub": Op(COMPUTE, ("self", "other"), emit.sub, _check_binary, fuses=True),
    "rsub": Op(COMPUTE, ("self", "other"), emit.sub, _check_binary, fuses=True),
    "matmul": Op(COMPUTE, ("self", "other"), emit.matmul, _check_matmul, True, True),
    "bmm": Op(COMPUTE, ("self", "mat2"), emit.matmul, _check_matmul, True, True),
    "mm": Op(COMPUTE, ("self", "mat2"), emit.matmul, _check_matmul, True, True),
    "mv": Op(COMPUTE, ("self", "vec"), emit.matmul, _check_matmul, True, True),
    "cat": Op(COMPUTE, ("tensors",), emit.cat),
    "concat": Op(COMPUTE, ("tensors",), emit.cat),
    "concatenate": Op(COMPUTE, ("tensors",), emit.cat),
    "stack": Op(COMPUTE, ("tensors",), emit.stack),
    "mean": Op(COMPUTE, ("self",), emit.mean, _check_dtype),
    "layer_norm": Op(COMPUTE, ("input",), emit.layer_norm, _check_weight, float_output=True),
    "group_norm": Op(COMPUTE, ("input",), emit.group_norm, _check_weight),
    "instance_norm": Op(COMPUTE, ("input",), emit.instance_norm, _check_instance_norm),
    "batch_norm": Op(COMPUTE, ("input",), emit.batch_norm, _check_batch_norm, fuses=True),
    "softmax": Op(COMPUTE, ("self",), emit.softmax, _check_dtype, float_output=True),
    "prelu": Op(COMPUTE, ("self",), emit.prelu, _check_weight),
    "pixel_shuffle": _FREE,
    "pixel_unshuffle": _FREE,
    "repeat_interleave": _FREE,
    "floor_divide": Op(LOOKUP, ("self",), emit.lookup, _check_lookup),
    "resize": Op(FREE, ("self",), emit.resize, _check_resize),
    "view": Op(FREE, ("self",), emit.free, _check_view),
}
for _dims in (1, 2, 3):
    _check = _check_conv(_dims)
    TABLE |= {
        f"conv{_dims}d": Op(WEIGHTED, ("input", "weight"), emit_conv.conv, _check, True, True),
        f"conv_transpose{_dims}d": Op(
            WEIGHTED, ("input", "weight"), emit_conv.conv_transpose, _check, True, True
        ),
        f"max_pool{_dims}d": Op(SAME, ("self",), emit.max_pool, _check_pool(_dims)),
        f"avg_pool{_dims}d": Op(COMPUTE, ("self",), emit.avg_pool, _check_pool(_dims)),
        f"adaptive_avg_pool{_dims}d": Op(
            COMPUTE, ("self",), emit.adaptive_avg_pool, _check_pool(_dims)
        ),
    }
for _name, _mode in emit.INTERPOLATE_MODES.items():
    # The nearest modes only move values.
    TABLE[_name] = Op(SAME if "nearest" in _mode else COMPUTE, ("input",), emit.interpolate)
# Element by element, whatever the other arguments.
for _name in [
    "celu",
    "elu",
    "exp",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "sqrt",
    "square",
    "tanh",
]:
    TABLE[_name] = _LOOKUP
# Lookups by themselves, part of the op before them where that fuses.
for _name in ["clamp", "clamp_max", "clamp_min", "hardtanh", "relu", "relu6"]:
    TABLE[_name] = _CLAMP
# They move or rename values, whatever the values mean.
for _name in [
    "contiguous",
    "detach",
    "flatten",
    "narrow",
    "permute",
    "repeat",
    "reshape",
    "squeeze",
    "transpose",
    "unsqueeze",
]:
    TABLE[_name] = _FREE

# Their outputs are lists.
LISTS = frozenset(("chunk", "split", "split_with_sizes", "tensor_split", "unbind"))
PADS = frozenset(("pad", "constant_pad_nd"))
# Nothing, outside of training.
DROPOUTS = frozenset(("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"))
# No config has rows for these: they do no arithmetic, and are quantized as their input is.
MOVES = (LISTS | DROPOUTS - {"dropout"}) | {
    *("alias", "channel_shuffle", "clone", "constant_pad_nd", "expand", "flip", "index_select"),
    *("gather", "mT", "movedim", "numpy_T", "pad", "roll", "select", "slice", "swapaxes", "t"),
    *("tile", "unflatten", "unfold"),
}
TABLE |= dict.fromkeys(MOVES, _FREE) | dict.fromkeys(PADS, _PAD)
TABLE |= dict.fromkeys(DROPOUTS, _DROPOUT)
GETITEM = Op(FREE, ("self",))


def row(node: Node) -> Op | None:
    """The row of a node. Arithmetic with a number, or a prelu with one weight, is a function of
    each value by itself."""
    name, kernel = kind(node), node.meta.get(custom.KERNEL)
    if kernel is not None:
        role, inputs = WEIGHTED if kernel.weighted else COMPUTE, custom.tensors(kernel, node)
        return Op(role, inputs, custom.emit_kernel, custom.check, kernel=kernel)
    if name == "prelu":
        weight = tensor_of(bind(node)["weight"])
        return _PRELU if weight is not None and weight.numel() == 1 else TABLE[name]
    if name in WITH_NUMBER and not isinstance(bind(node).get("other"), Node):
        return _LOOKUP
    return TABLE.get(name)


def check(node: Node, sums_integers: bool = True) -> Op:
    """The row of a node that a qnative op can run; otherwise Unsupported says why not.
    sums_integers: whether a sum of products has to fit into an int32."""
    op = row(node)
    if op is None:
        raise Unsupported(f"qnative has no op for {node.target}")
    args = bind(node)
    if not args.keys() >= set(op.tensors):
        raise Unsupported(f"qnative has no op for {node.target}")
    for name in op.tensors:
        for tensor in args[name] if isinstance(args[name], (list, tuple)) else [args[name]]:
            value = tensor_of(tensor)
            if value is not None and value.dtype is not torch.float32:
                raise Unsupported(f"its argument {name} is {value.dtype}, not torch.float32")
    if op.check is not None and (sums_integers or op.check is not _check_matmul):
        op.check(node, args)
    _require(not all(map(is_constant, node.all_input_nodes)), "it computes a constant")
    return op


def activation_after(node: Node) -> tuple[Node | None, str]:
    """The activation that can be fused into ``node``, or None and, if there is one, why not."""
    activation, why_not = next_of(node, FUSABLE)
    if activation is None:
        return None, why_not
    try:
        activation_bounds(activation)
    except Unsupported as error:
        return None, f"{activation.name} is not fused: {error}"
    return activation, ""


def has_own_range(op: Op, node: Node) -> bool:
    """Whether an op that moves data adds to it what may lie outside of its range."""
    return op is _PAD and _pads_with_number(bind(node))


def fused_into(op: Op, node: Node) -> tuple[tuple[Node, ...], str]:
    """The nodes after ``node`` that become part of it, and why an activation does not."""
    if op.kernel is not None:
        nodes, why_not = follow(node, op.kernel.kinds)
        return nodes[1:], why_not
    activation, why_not = activation_after(node) if op.fuses else (None, "")
    return (() if activation is None else (activation,)), why_not


def zero_padding(node: Node) -> tuple[Node | None, tuple[int, ...]]:
    """The aten.pad before a convolution that its own padding can replace, and two numbers for each
    dimension, last one first: (left, right, top, bottom)."""
    nothing = None, ()
    dims = None if custom.KERNEL in node.meta else CONVS.get(kind(node))
    pad = bind(node)["input"] if dims else None
    if kind(pad) not in PADS:
        return nothing
    args = bind(pad)
    sides = args["pad"]
    plain = args.get("mode", "constant") == "constant" and not args["value"]
    if not plain or not all(isinstance(side, int) and side >= 0 for side in sides):
        return nothing
    if len(sides) > 2 * dims:
        return nothing
    return pad, (*sides, *[0] * (2 * dims - len(sides)))


def is_free(node: Node, dequantize: set[str]) -> bool:
    """Whether a node that stays as it is computes nothing in floating point: it works on integers
    or sizes, makes a constant, or moves data that was not dequantized for it."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point:
        return True
    if kind(node) in FACTORIES:
        return True
    if isinstance(value, (int, torch.SymInt, bool, torch.SymBool)) or value is None:
        return True
    if target_name(node) == "getitem":
        return True
    return _moves(node) and not any(is_call(x, dequantize) for x in node.all_input_nodes)


def _moves(node: Node) -> bool:
    """Whether a node hands on values as they are."""
    op = TABLE.get(kind(node))
    if op is None or op.role != FREE:
        return False
    try:
        if op.check is not None:
            op.check(node, bind(node))
    except Unsupported:
        return False
    return True
