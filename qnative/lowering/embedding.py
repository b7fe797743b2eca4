"""How aten.embedding and aten.embedding_bag become lookups in tables of 8 or 4 bits."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from ..graph import nodes as ir
from ..graph.nodes import Unsupported
from ..plan import constraints
from .emit import CallSite
from .packing import pack_table, table_scale


def check(node: Node, args: dict[str, Any]) -> None:
    """Raises Unsupported for calls that the ops cannot run."""
    weight = args["weight"]
    if not isinstance(weight, Node) or weight.op != "get_attr":
        raise Unsupported("its weight is not a parameter")
    if ir.is_written(weight):
        raise Unsupported("its weight is written to by the model (max_norm)")
    value = ir.tensor_of(weight)
    if value is not None and value.dtype is not torch.float32:
        raise Unsupported(f"its weight is {value.dtype}, not torch.float32")


def check_bag(node: Node, args: dict[str, Any]) -> None:
    """``check``, and that nobody uses what aten.embedding_bag returns for its backward."""
    check(node, args)
    for user in node.users:
        is_output = user.target is operator.getitem and user.args[1] == 0
        if user.users and not is_output:
            raise Unsupported(f"{user.name} uses more than its first output")


def _check_constraints(node: Node, packed: torch.Tensor, bits: int) -> None:
    limits, row = node.meta.get(constraints.CONSTRAINTS, ({}, ""))
    if "weight" in limits and limits["weight"].fixed:
        raise Unsupported(
            f"its weight has a scale and a least value for each row of the table, not scale and "
            f"zero point as scale_exact_match says (row {row})"
        )
    constraints.check_numbers(node, "weight", table_scale(packed), 0, 0, 2**bits - 1)


def _table(site: CallSite, bits: int) -> tuple[Any, ...]:
    """weight and, for 4 bits, embedding_dim; a table used twice is packed once."""
    constants, target = site.constants, site.args["weight"].target
    weight = ir.constant(site.module, site.args["weight"])
    key = (f"embedding_{bits}bit", target)
    if key not in constants.packed:
        packed = pack_table(weight, bits)
        _check_constraints(site.node, packed, bits)
        constants.packed[key] = (constants.add(f"{site.name}.weight", packed),)
        site.float_bytes += weight.numel() * weight.element_size()
        site.packed_bytes += packed.numel()
    table = constants.get(constants.packed[key][0])
    return (table,) if bits == 8 else (table, weight.shape[1])


def embedding(bits: int) -> Callable[[CallSite], Node]:
    op = getattr(torch.ops.qnative, f"embedding_{bits}bit").default
    return lambda site: site.call(op, *_table(site, bits), site.args["indices"])


def _rows_of(flat: Any) -> Node | None:
    """x of two dimensions for the node reshape(x, [-1])."""
    if ir.kind(flat) not in ("reshape", "view") or list(flat.args[1]) != [-1]:
        return None
    value = ir.tensor_of(flat.args[0])
    return flat.args[0] if value is not None and value.dim() == 2 else None


def _bags(args: dict[str, Any]) -> tuple[Any, Any, Any]:
    """indices, offsets and per_sample_weights: of two dimensions and without offsets if the model
    had them so. Export flattens them and counts offsets, which jit.trace takes for constants."""
    flat = (args["indices"], args["offsets"], args["per_sample_weights"])
    indices, offsets, weights = flat
    rows = _rows_of(indices)
    if rows is None or ir.kind(offsets) != "arange" or len(offsets.args) != 3:
        return flat
    if weights is not None and _rows_of(weights) is None:
        return flat
    x = ir.tensor_of(rows)
    begin, end, step = (
        value.meta.get("val") if isinstance(value, Node) else value for value in offsets.args
    )
    expected = ((begin, 0), (end, x.numel()), (step, x.shape[1]))
    if not all(statically_known_true(value == wanted) for value, wanted in expected):
        return flat
    return rows, None, None if weights is None else _rows_of(weights)


def embedding_bag(bits: int) -> Callable[[CallSite], Node]:
    """The call has one output instead of four: it also takes the place of the first getitem."""
    op = getattr(torch.ops.qnative, f"embedding_bag_{bits}bit").default

    def emit(site: CallSite) -> Node:
        indices, offsets, weights = _bags(site.args)
        options = (site.args["mode"], weights, site.args["include_last_offset"])
        options += (site.args.get("padding_idx"),)
        new = site.call(op, *_table(site, bits), indices, offsets, *options)
        site.node.meta["val"] = site.node.meta["val"][0]
        for user in list(site.node.users):
            if user.users:
                user.replace_all_uses_with(new)
            site.constants.graph.erase_node(user)
        return new

    return emit
