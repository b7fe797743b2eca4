"""einsum of two tensors as a matrix product."""

from typing import Any

import torch
from torch.fx import Node

from . import nodes as ir

_ATEN = torch.ops.aten


def einsum(node: Node) -> None:
    """Rewrites an einsum of two tensors that is a (batched) matrix product. Others stay: three
    operands, an ellipsis, a letter twice in an operand, sums over a letter of one operand."""
    equation, tensors = node.args[:2]
    terms = _terms(equation)
    if terms is None or len(tensors) != 2:
        return
    left, right, out = terms
    a, b = map(ir.tensor_of, tensors)
    if a is None or b is None or (a.dim(), b.dim()) != (len(left), len(right)):
        return
    sizes = dict(zip(left + right, (*a.shape, *b.shape), strict=True))
    batch = [c for c in left if c in right and c in out]
    summed = [c for c in left if c in right and c not in out]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    if not summed or set(out) != {*batch, *rows, *columns}:
        return
    # Without a batch the rows of the left operand need not be in one dimension.
    leading, rows = (batch, rows) if batch else (rows[:-1], rows[-1:])
    groups = (rows, summed, columns)
    if any(len(g) != 1 and any(not isinstance(sizes[c], int) for c in g) for g in groups):
        return  # their product would have to stay open
    with node.graph.inserting_before(node):
        x = _arranged(node, tensors[0], left, leading, (rows, summed))
        y = _arranged(node, tensors[1], right, batch, (summed, columns))
        y = ir.call(node, _ATEN.matmul.default, x, y)
        y = _split(node, y, len(leading), (rows, columns), sizes)
    order = [*leading, *rows, *columns]
    node.target, node.kwargs = _ATEN.permute.default, {}
    node.args = (y, [order.index(c) for c in out])


def _terms(equation: str) -> tuple[str, str, str] | None:
    """Letters of both operands and of the result; None unless each has every letter once."""
    equation = equation.replace(" ", "")
    if "->" not in equation or "." in equation:
        return None
    inputs, out = equation.split("->")
    terms = (*inputs.split(","), out)
    if len(terms) != 3 or any(len(set(term)) != len(term) for term in terms):
        return None
    return terms


def _arranged(
    node: Node,
    tensor: Node,
    letters: str,
    batch: list[str],
    groups: tuple[list[str], list[str]],
) -> Node:
    """A tensor as a batch of matrices, each group of letters one dimension."""
    order = [*batch, *groups[0], *groups[1]]
    if order != list(letters):
        tensor = ir.call(node, _ATEN.permute.default, tensor, [letters.index(c) for c in order])
    for position, group in reversed(list(enumerate(groups))):
        begin = len(batch) + (len(groups[0]) if position else 0)
        if not group:
            tensor = ir.call(node, _ATEN.unsqueeze.default, tensor, begin)
        elif len(group) > 1:
            end = begin + len(group) - 1
            tensor = ir.call(node, _ATEN.flatten.using_ints, tensor, begin, end)
    return tensor


def _split(
    node: Node, y: Node, first: int, groups: tuple[list[str], list[str]], sizes: dict[str, Any]
) -> Node:
    """The product with the letters of rows and columns as dimensions again."""
    for position, group in reversed(list(enumerate(groups))):
        dim = first + position
        if not group:
            y = ir.call(node, _ATEN.squeeze.dim, y, dim)
        elif len(group) > 1:
            y = ir.call(node, _ATEN.unflatten.int, y, dim, [sizes[c] for c in group])
    return y
