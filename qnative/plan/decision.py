"""The decision about a node: made once, in this room, and only read elsewhere."""

from dataclasses import dataclass
from typing import Any

from torch.fx import Node

from .. import report
from ..graph.nodes import Unsupported
from ..graph.qdq import QParams
from .constraints import NO_LIMITS, NONE, Limits
from .modes import STATIC, Dtypes

# FREE: the aten op itself, which only moves the quantized data. ATEN: the aten op itself, computing
# in float16.
FREE = "free"
ATEN = "aten"
# A table of 256 values, for any elementwise function of one tensor.
LOOKUP = "lookup"
# Elementwise functions of float16 values.
POINTWISE_FP16 = "pointwise_fp16"


def is_foreign(op: str) -> bool:
    """Whether a name is that of another library's op."""
    return "::" in op and not op.startswith("qnative::")


# Modes of a node that no row of the config quantizes. UNDECIDED: it runs in 8 bits if its inputs
# and its readers do. FLOAT: it stays float in any case.
UNDECIDED = ""
FLOAT = "float"

_KEY = "qnative_decision"


@dataclass(frozen=True)
class Decision:
    """How a node runs.

    mode: one of ``modes``, or UNDECIDED or FLOAT. op: the op that runs it: one of qnative
    ("conv2d"), of another library ("mylib::op"), FREE or ATEN; "" for none. row: the pattern of the
    config's row, in words. dtypes, limits: those of the row's DTypeConfig. fused: kinds of the
    nodes after it that the op runs too. group_size: how many weights of linear_4bit share a scale;
    None: a whole row. part_of: name of the node whose op runs this one too. not_fused: why the
    activation after it is not fused. reason: why it is not quantized. misses: other ways to run it,
    and why they do not apply.
    """

    mode: str = UNDECIDED
    op: str = ""
    row: str = ""
    dtypes: Dtypes | None = None
    limits: Limits = NO_LIMITS
    fused: tuple[str, ...] = ()
    group_size: int | None = None
    part_of: str = ""
    not_fused: str = ""
    reason: str = ""
    misses: tuple[str, ...] = ()

    @property
    def is_quantized(self) -> bool:
        """Whether an op of qnative or of another library runs it."""
        return self.mode not in (UNDECIDED, FLOAT)

    @property
    def verdict(self) -> str:
        """The verdict in its row of a report."""
        if self.part_of:
            return report.FUSED
        if self.op == FREE and self.mode in (STATIC, UNDECIDED, FLOAT):
            return report.FREE
        return report.QUANTIZED if self.is_quantized else report.FLOAT

    def check_numbers(
        self, role: str, scale: Any, zero_point: Any, quant_min: int, quant_max: int
    ) -> None:
        """Unsupported if these numbers (or tensors) of its input, weight or output break a
        constraint."""
        limits = getattr(self.limits, role)
        if limits == NONE:
            return
        if why := limits.broken(scale, zero_point, quant_min, quant_max):
            raise Unsupported(f"its {role} {why} (row {self.row})")

    def check(self, role: str, *values: QParams) -> None:
        """The same for quantized values."""
        for value in values:
            numbers = (value.scale, value.zero_point, value.quant_min, value.quant_max)
            self.check_numbers(role, *numbers)


def decision_of(node: Node) -> Decision | None:
    """None where nothing was decided: the graph comes from another quantizer."""
    return node.meta.get(_KEY)


def remember(node: Node, decision: Decision) -> None:
    node.meta[_KEY] = decision
