"""Lookups in tables of 8 or 4 bits for aten.embedding and aten.embedding_bag."""

from typing import Any

import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from ..graph import nodes as ir
from ..graph.nodes import Unsupported
from ..plan.modes import WEIGHT_ONLY_INT8
from .by_schema import by_schema
from .call_site import CallSite
from .packing import pack_table, table_scale


def embedding(site: CallSite) -> Node:
    return by_schema(site, **_table(site), indices=site.args["indices"])


def embedding_bag(site: CallSite) -> Node:
    """The call has one output instead of four: it also takes the place of the first getitem."""
    indices, offsets, weights = _bags(site.args)
    bags = {"indices": indices, "offsets": offsets, "per_sample_weights": weights}
    new = by_schema(site, **_table(site), **bags)
    site.node.meta["val"] = site.node.meta["val"][0]
    for user in list(site.node.users):
        if user.users:
            user.replace_all_uses_with(new)
        site.context.graph.erase_node(user)
    return new


def _table(site: CallSite) -> dict[str, Any]:
    """weight and, for 4 bits, embedding_dim; a table used twice is packed once."""
    weight = site.context.constant(site.args["weight"])
    bits = 8 if site.decision.mode == WEIGHT_ONLY_INT8 else 4

    def pack() -> dict[str, torch.Tensor]:
        packed = pack_table(weight, bits)
        _check_limits(site, packed, bits)
        return {f"{site.name}.weight": packed}

    (table,), added = site.context.once((f"embedding_{bits}bit", site.args["weight"].target), pack)
    site.float_bytes += weight.nbytes if added else 0
    site.packed_bytes += added
    return {"weight": table} | ({} if bits == 8 else {"embedding_dim": weight.shape[1]})


def _check_limits(site: CallSite, packed: torch.Tensor, bits: int) -> None:
    decision = site.decision
    if decision.limits.weight.fixed:
        raise Unsupported(
            f"its weight has a scale and a least value for each row of the table, not scale and "
            f"zero point as scale_exact_match says (row {decision.row})"
        )
    decision.check_numbers("weight", table_scale(packed), 0, 0, 2**bits - 1)


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
    assert x is not None  # _rows_of looked at it
    begin, end, step = (
        value.meta.get("val") if isinstance(value, Node) else value for value in offsets.args
    )
    expected = ((begin, 0), (end, x.numel()), (step, x.shape[1]))
    if not all(statically_known_true(value == wanted) for value, wanted in expected):
        return flat
    return rows, None, None if weights is None else _rows_of(weights)


def _rows_of(flat: Any) -> Node | None:
    """x of two dimensions for the node reshape(x, [-1])."""
    if ir.kind(flat) not in ("reshape", "view") or list(flat.args[1]) != [-1]:
        return None
    value = ir.tensor_of(flat.args[0])
    return flat.args[0] if value is not None and value.dim() == 2 else None
