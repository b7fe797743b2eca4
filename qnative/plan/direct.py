"""Ops that need no calibration: dynamic, weight-only and float16 ones take the place of a float
node as it is. What they cannot do is their reason to leave the node float."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from ..graph.activation import function_name
from ..graph.layers import RECURRENT
from ..graph.nodes import STORAGE_DTYPES, Unsupported, bind, kind
from ..lowering import embedding as emit_embedding
from ..lowering import half as emit_half
from ..lowering import linear as emit_linear
from ..lowering import rnn as emit_rnn
from ..lowering.emit import CallSite
from . import table

# Key of a node's meta: the mode in which the Quantizer found a row for it.
MODE = "qnative_mode"
DYNAMIC_INT8 = "dynamic_int8"  # int8 weights, activations quantized at run time
DYNAMIC_FP16 = "dynamic_fp16"  # float16 weights, float32 activations and arithmetic
FP16 = "fp16"  # float16 weights and activations, float32 arithmetic
WEIGHT_ONLY_INT8 = "weight_only_int8"  # tables of 8 bits, float32 rows come out
WEIGHT_ONLY_INT4 = "weight_only_int4"
STATIC = "static"  # 8-bit activations with scales found by calibration: see table.py

# The modes of each recipe of qnative.quantize, best first: a node runs in the first that it has a
# row and an op for.
RECIPES = {
    "static": (STATIC, DYNAMIC_INT8, WEIGHT_ONLY_INT8),
    "dynamic": (DYNAMIC_INT8, WEIGHT_ONLY_INT8),
    "dynamic_fp16": (DYNAMIC_FP16,),
    "fp16": (FP16,),
    "weight_only": (WEIGHT_ONLY_INT8,),
    "weight_only_int4": (WEIGHT_ONLY_INT4,),
}


@dataclass(frozen=True)
class DirectOp:
    """emit creates the qnative call that replaces the node of a CallSite (its ``x`` is empty).
    check raises Unsupported for calls that it cannot run. fuses: relu, relu6, hardtanh or clamp
    after it becomes part of it (``site.bounds``). functions: gelu and its like do too
    (``site.function``)."""

    emit: Callable[[CallSite], Node]
    check: Callable[[Node, dict[str, Any]], None] | None = None
    fuses: bool = False
    functions: bool = False


# mode -> kind of aten op -> DirectOp
DIRECT: dict[str, dict[str, DirectOp]] = {
    DYNAMIC_INT8: {
        "linear": DirectOp(emit_linear.linear_dynamic, emit_linear.check_dynamic, True, True),
        **{kind: DirectOp(emit_rnn.emit_int8, emit_rnn.check) for kind in RECURRENT},
    },
    DYNAMIC_FP16: {
        "linear": DirectOp(
            emit_linear.linear_dynamic_fp16, emit_linear.check_dynamic_fp16, True, True
        ),
        **{kind: DirectOp(emit_rnn.emit_fp16, emit_rnn.check) for kind in RECURRENT},
    },
    FP16: {
        **{
            kind: DirectOp(emit_half.emit, emit_half.check, op.fuses)
            for kind, op in table.TABLE.items()
            if op.role != table.WEIGHTED and kind not in table.LISTS
        },
        "linear": DirectOp(emit_linear.linear_fp16, emit_linear.check_fp16, True, True),
    },
    WEIGHT_ONLY_INT8: {
        "embedding": DirectOp(emit_embedding.embedding(8), emit_embedding.check),
        "embedding_bag": DirectOp(emit_embedding.embedding_bag(8), emit_embedding.check_bag),
    },
    WEIGHT_ONLY_INT4: {
        "embedding": DirectOp(emit_embedding.embedding(4), emit_embedding.check),
        "embedding_bag": DirectOp(emit_embedding.embedding_bag(4), emit_embedding.check_bag),
    },
}


def fits(mode: str, dtypes: Any) -> bool:
    """Whether a DTypeConfig asks for this mode."""
    is_dynamic = bool(dtypes.is_dynamic)
    if mode == DYNAMIC_INT8:
        return is_dynamic and STORAGE_DTYPES.get(dtypes.weight_dtype) is torch.int8
    if mode == DYNAMIC_FP16:
        return is_dynamic and dtypes.input_dtype is torch.float16
    if mode == FP16:
        both = (dtypes.input_dtype, dtypes.output_dtype)
        return not is_dynamic and both == (torch.float16, torch.float16)
    weight = torch.quint8 if mode == WEIGHT_ONLY_INT8 else torch.quint4x2
    return dtypes.input_dtype is torch.float32 and dtypes.weight_dtype is weight


def check(mode: str, node: Node) -> DirectOp:
    """The op that runs a node in this mode; otherwise Unsupported says why not."""
    op = DIRECT[mode].get(kind(node))
    if op is None:
        raise Unsupported(f"qnative has no {mode} op for {node.target}")
    if op.check is not None:
        op.check(node, bind(node))
    return op


def activation_after(op: DirectOp, node: Node) -> tuple[Node | None, str]:
    """The activation that becomes part of ``node``, or None and, if there is one, why not."""
    if not op.fuses:
        return None, ""
    activation, why_not = table.activation_after(node)
    if activation is None and op.functions and len(node.users) == 1:
        (user,) = node.users
        if function_name(user):
            return user, ""
    return activation, why_not
