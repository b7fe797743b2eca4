"""Attention that a model writes out, as one scaled_dot_product_attention."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from . import nodes as ir

_ATEN = torch.ops.aten
_MATMULS = ("matmul", "bmm")
# What may be between the softmax and the product with the values: they change nothing.
_IDLE = ("dropout", "clone", "contiguous", "to")


@dataclass
class _Scores:
    """scale * q k^T + sum of masks. masks: tensors, or functions that make one."""

    q: Node
    k: Node
    product: Node
    scale: float
    masks: list[Any]


def fuse_attention(graph: Graph) -> None:
    """matmul(softmax(scale * matmul(q, k^T) + mask), v), as Hugging Face's eager attention and
    nn.MultiheadAttention have it, becomes one call. Weights that are read by others stay."""
    for node in list(graph.nodes):
        if ir.kind(node) != "softmax" or not _is_last(node):
            continue
        end = _product_of(node)
        scores = None if end is None else _scores(node.args[0])
        if scores is not None:
            _fuse(end, scores)
    graph.eliminate_dead_code(ir.has_effect)


def _is_last(softmax: Node) -> bool:
    value, dim = ir.tensor_of(softmax), ir.bind(softmax)["dim"]
    if value is None or value.dtype is not torch.float32:
        return False
    return dim in (-1, value.dim() - 1)


def _only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _product_of(softmax: Node) -> Node | None:
    """The product of the weights with the values, if nothing else reads the weights."""
    node = softmax
    while True:
        user = _only_user(node)
        if user is None:
            return None
        if ir.kind(user) in _MATMULS and user.args[0] is node and user.args[1] is not node:
            return user if _is_batch(user.args[1]) else None
        idle = ir.kind(user) in _IDLE and user.args[0] is node and not ir.bind(user).get("train")
        value = ir.tensor_of(user)
        if not idle or value is None or value.dtype is not torch.float32:
            return None
        node = user


def _is_batch(node: Any) -> bool:
    value = ir.tensor_of(node)
    return value is not None and value.dim() >= 2 and value.dtype is torch.float32


def _scores(node: Any) -> _Scores | None:
    """The scores that end in ``node``, read upwards: masks, then factors, then the product."""
    masks: list[Any] = []
    scale = 1.0
    while isinstance(node, Node) and len(node.users) == 1:
        name, args = ir.kind(node), ir.bind(node) if ir.kind(node) else {}
        if name in _MATMULS:
            found = _operands(node, node.args[0], node.args[1], scale, masks)
            return found if found and all(_fits(mask, node) for mask in masks) else None
        if name == "baddbmm" and scale == 1.0 and args["beta"] == 1:
            masks.append(args["self"])
            found = _operands(node, args["batch1"], args["batch2"], args["alpha"], masks)
            return found if found and all(_fits(mask, node) for mask in masks) else None
        if name in ("mul", "div") and isinstance(args.get("other"), (int, float)):
            factor = args["other"]
            if not factor or args.get("rounding_mode"):
                return None
            scale = scale * factor if name == "mul" else scale / factor
            node = args["self"]
        elif name == "add" and scale == 1.0 and args["alpha"] == 1:
            sides = [args["self"], args["other"]]
            inner = [side for side in sides if _leads_to_product(side)]
            if len(inner) != 1 or not all(isinstance(side, Node) for side in sides):
                return None
            masks.append(next(side for side in sides if side is not inner[0]))
            (node,) = inner
        elif name == "masked_fill" and scale == 1.0 and not isinstance(args["value"], Node):
            masks.append(_Filled(args["mask"], args["value"]))
            node = args["self"]
        else:
            return None
    return None


@dataclass
class _Filled:
    """value where ``where`` is true, else 0."""

    where: Node
    value: float


def _leads_to_product(node: Any) -> bool:
    """Whether a node is a product of two computed tensors, scaled or masked."""
    while isinstance(node, Node):
        if ir.kind(node) in (*_MATMULS, "baddbmm"):
            return len(node.users) == 1
        if ir.kind(node) not in ("mul", "div", "add", "masked_fill", "to"):
            return False
        node = node.args[0]
    return False


def _operands(product: Node, q: Any, k: Any, scale: float, masks: list[Any]) -> _Scores | None:
    if not (_is_batch(q) and _is_batch(k)):
        return None
    q, factor = _unscaled(q)
    k = _transposed(product, k)
    k, other = _unscaled(k)
    return _Scores(q, k, product, float(scale * factor * other), masks)


def _unscaled(node: Node) -> tuple[Node, float]:
    """x and the number that it is multiplied by."""
    if ir.kind(node) in ("mul", "div") and len(node.users) == 1:
        args = ir.bind(node)
        factor = args["other"]
        if isinstance(factor, (int, float)) and factor and not args.get("rounding_mode"):
            return args["self"], factor if ir.kind(node) == "mul" else 1 / factor
    return node, 1.0


def _transposed(product: Node, node: Node) -> Node:
    """A matrix with its last two dimensions swapped: the one that was swapped before, or a new
    node."""
    dims, name = node.meta["val"].dim(), ir.kind(node)
    args = ir.bind(node) if name else {}
    if name == "transpose" and {args["dim0"] % dims, args["dim1"] % dims} == {dims - 2, dims - 1}:
        return args["self"]
    if name == "permute":
        order = [dim % dims for dim in args["dims"]]
        if order == [*range(dims - 2), dims - 1, dims - 2]:
            return args["self"]
    if name == "mT":
        return args["self"]
    with product.graph.inserting_before(product):
        return ir.call(product, _ATEN.transpose.int, node, -2, -1)


def _fits(mask: Any, scores: Node) -> bool:
    """Whether a mask can be added to scores without making them larger."""
    wanted = torch.bool if isinstance(mask, _Filled) else torch.float32
    value, like = ir.tensor_of(getattr(mask, "where", mask)), ir.tensor_of(scores)
    if value is None or like is None or value.dtype is not wanted or value.dim() > like.dim():
        return False
    pairs = zip(reversed(value.shape), reversed(like.shape), strict=False)
    return all(statically_known_true(a == 1) or statically_known_true(a == b) for a, b in pairs)


def _fuse(end: Node, scores: _Scores) -> None:
    with end.graph.inserting_before(end):
        masks = [_tensor(end, mask) for mask in scores.masks]
        mask = masks[0] if masks else None
        for other in masks[1:]:
            mask = ir.call(end, _ATEN.add.Tensor, mask, other)
    values = end.args[1]
    end.target = _ATEN.scaled_dot_product_attention.default
    end.args = (scores.q, scores.k, values, mask)
    end.kwargs = {"scale": scores.scale}


def _tensor(end: Node, mask: Any) -> Node:
    if isinstance(mask, _Filled):
        return ir.call(end, _ATEN.where.Scalar, mask.where, float(mask.value), 0.0)
    return mask
