"""How aten.embedding and aten.embedding_bag become lookups in tables of 8 or 4 bits."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from . import graph as ir
from .emit import Site
from .graph import Unsupported


def check(node: Node, args: dict[str, Any]) -> None:
    """Raises Unsupported for calls that the ops cannot run."""
    weight = args["weight"]
    if not isinstance(weight, Node) or weight.op != "get_attr":
        raise Unsupported("its weight is not a parameter")
    written = [
        user.name
        for user in weight.users
        if isinstance(user.target, torch._ops.OpOverload) and user.target._schema.is_mutable
    ]
    if written:
        raise Unsupported(f"its weight is written to by {', '.join(written)} (max_norm)")
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


def _table(site: Site, bits: int) -> tuple[Any, ...]:
    """weight and, for 4 bits, embedding_dim; a table used twice is packed once."""
    constants, target = site.constants, site.args["weight"].target
    weight = ir.constant(site.module, site.args["weight"])
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight has values that are not finite")
    op = f"embedding_{bits}bit_pack"
    key = (op, target)
    if key not in constants.packed:
        packed = getattr(torch.ops.qnative, op)(weight)
        constants.packed[key] = (constants.add(f"{site.name}.weight", packed),)
        site.float_bytes += weight.numel() * weight.element_size()
        site.packed_bytes += packed.numel()
    table = constants.get(constants.packed[key][0])
    return (table,) if bits == 8 else (table, weight.shape[1])


def embedding(bits: int) -> Callable[[Site], Node]:
    op = getattr(torch.ops.qnative, f"embedding_{bits}bit").default
    return lambda site: site.call(op, *_table(site, bits), site.args["indices"])


def embedding_bag(bits: int) -> Callable[[Site], Node]:
    """The call has one output instead of four: it also takes the place of the first getitem."""
    op = getattr(torch.ops.qnative, f"embedding_bag_{bits}bit").default

    def emit(site: Site) -> Node:
        names = ("indices", "offsets", "mode", "per_sample_weights", "include_last_offset")
        values = [site.args[name] for name in names]
        new = site.call(op, *_table(site, bits), *values, site.args.get("padding_idx"))
        site.node.meta["val"] = site.node.meta["val"][0]
        for user in list(site.node.users):
            if user.users:
                user.replace_all_uses_with(new)
            site.constants.graph.erase_node(user)
        return new

    return emit
