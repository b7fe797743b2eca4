"""Table of contents of the lowering: ops that need code of their own.

All other ops are called by the names of their arguments, see by_schema.py.
"""

from collections.abc import Callable

from torch.fx import Node

from ..graph.kinds import CONVS, RECURRENT, TRANSPOSED
from ..plan.decision import FREE, LOOKUP, POINTWISE_FP16, is_foreign
from .arithmetic import add
from .attention import attention
from .by_schema import by_schema, foreign
from .call_site import CallSite
from .cat import cat
from .conv import conv, conv_dynamic
from .embedding import embedding, embedding_bag
from .half import pointwise
from .interpolate import interpolate
from .linear import linear, linear_4bit, linear_dynamic, linear_fp16
from .lookup import lookup
from .moves import move
from .rnn import recurrent

Emitter = Callable[[CallSite], Node]

# By the name of the op, as rows of a config have it.
_EMITTERS: dict[str, Emitter] = {
    "linear": linear,
    "linear_4bit": linear_4bit,
    "linear_dynamic": linear_dynamic,
    "linear_dynamic_fp16": linear_fp16,
    "linear_fp16": linear_fp16,
    **dict.fromkeys((*CONVS, *TRANSPOSED), conv),
    **{f"{op}_dynamic": conv_dynamic for op in (*CONVS, *TRANSPOSED)},
    "add": add,
    "add_fp16": add,
    "attention": attention,
    "attention_dynamic": attention,
    "cat": cat,
    "interpolate": interpolate,
    "interpolate_fp16": interpolate,
    LOOKUP: lookup,
    POINTWISE_FP16: pointwise,
    FREE: move,
    **dict.fromkeys(RECURRENT, recurrent),
    **{f"embedding_{bits}bit": embedding for bits in (8, 4)},
    **{f"embedding_bag_{bits}bit": embedding_bag for bits in (8, 4)},
}


def emitter(op: str) -> Emitter:
    """The function that creates the call of an op."""
    return foreign if is_foreign(op) else _EMITTERS.get(op, by_schema)
