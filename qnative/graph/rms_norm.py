"""RMSNorm that a model writes out, as one rms_norm."""

from typing import Any

import torch
from torch.fx import Graph, Node

from . import nodes as ir

_ATEN = torch.ops.aten


def fuse_rms_norm(graph: Graph) -> None:
    """weight * (x * rsqrt(mean(x ** 2, -1) + eps)), as Llama and T5 have it, becomes one call.
    Squares and their mean have more digits than 8 bits: nothing between them may be rounded."""
    for node in list(graph.nodes):
        if ir.kind(node) == "rsqrt" and len(node.users) == 1:
            _fuse(node)


def _fuse(rsqrt: Node) -> None:
    x, eps = _squares(rsqrt.args[0])
    value = ir.tensor_of(x)
    if value is None or value.dtype is not torch.float32 or not isinstance(value.shape[-1], int):
        return
    size = value.shape[-1]
    (end,) = rsqrt.users
    if ir.kind(end) != "mul" or _other(end, rsqrt) is not x:
        return
    weight, after = None, next(iter(end.users), None)
    if ir.kind(after) == "mul" and len(end.users) == 1:
        factor = _other(after, end)
        if isinstance(factor, Node) and factor.op == "get_attr":
            known = ir.tensor_of(factor)
            if known is not None and tuple(known.shape) == (size,):
                weight, end = factor, after
    end.target, end.args, end.kwargs = _ATEN.rms_norm.default, (x, [size], weight, eps), {}


def _other(product: Any, operand: Node) -> Any:
    """The other operand of a product of two tensors."""
    args = ir.bind(product)
    return args["other"] if args["self"] is operand else args["self"]


def _squares(node: Any) -> tuple[Any, float]:
    """x and eps of mean(x ** 2, -1, keepdim=True) + eps; (None, 0) for anything else."""
    nothing = None, 0.0
    if ir.kind(node) != "add" or len(node.users) != 1:
        return nothing
    args = ir.bind(node)
    mean, eps = args["self"], args["other"]
    if isinstance(mean, (int, float)):
        mean, eps = eps, mean
    if not isinstance(eps, (int, float)) or args["alpha"] != 1 or ir.kind(mean) != "mean":
        return nothing
    of = ir.bind(mean)
    value = ir.tensor_of(of["self"])
    if value is None or len(mean.users) != 1 or not of.get("keepdim") or of["dtype"] is not None:
        return nothing
    if of.get("dim") not in ([-1], [value.dim() - 1]) or len(of["self"].users) != 1:
        return nothing
    return _root(of["self"]), float(eps)


def _root(square: Node) -> Any:
    """x of x ** 2, x.square() or x * x; else None."""
    if ir.kind(square) == "square" or (
        ir.kind(square) == "pow" and ir.bind(square).get("exponent") == 2
    ):
        return square.args[0]
    if ir.kind(square) == "mul" and square.args[0] is square.args[1]:
        return square.args[0]
    return None
