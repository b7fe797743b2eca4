"""Decisions about single nodes: by a row of a config, by the graph alone, or none."""

from dataclasses import replace

from torch.fx import Node

from ..backend_config import BackendPatternConfig, DTypeConfig
from ..backend_config.kinds import Kinds, text_of
from ..graph.nodes import Unsupported, kind
from . import constraints
from .capability import check, fused_into, named, op_of
from .config_index import Rows, direct_dtypes, named_op
from .constraints import Limits
from .decision import Decision
from .foreign import kernel_of
from .modes import DYNAMIC_INT8, STATIC, Dtypes


def by_row(node: Node, mode: str, row: BackendPatternConfig, config: DTypeConfig) -> Decision:
    """The decision to quantize a node as one of its row's DTypeConfigs says. Unsupported if no op
    can, or the row names one that computes something else."""
    op, asked = op_of(node, mode), named_op(row, config)
    if asked not in ("", op, named(kind(node), mode)):
        raise Unsupported(f"it runs in qnative.{op}, not in {asked} as its row {_text(row)} says")
    return Decision(mode, op, _text(row), Dtypes.of(config), Limits.of(config))


def by_kernel(node: Node, kinds: Kinds, row: BackendPatternConfig) -> tuple[Decision, DTypeConfig]:
    """The decision to run a sequence in the kernel that its row names, and the row's DTypeConfig.
    Unsupported if the kernel cannot run it."""
    kernel, config = kernel_of(row, kinds)
    constraints.check_possible(config, _text(row))
    dtypes, limits = Dtypes.of(config), Limits.of(config)
    decision = Decision(STATIC, kernel.name, _text(row), dtypes, limits, fused=kinds[1:])
    check(node, decision)
    return decision, config


def by_mode(node: Node, mode: str, rows: Rows) -> Decision:
    """The decision to run a node in a mode without calibration, by the first row that asks for it.
    Unsupported for constraints that the mode cannot keep, and for calls that the op cannot run."""
    row, config = direct_dtypes(rows, mode)
    if mode == DYNAMIC_INT8:
        constraints.check_run_time(config, _text(row))
    return with_neighbours(node, by_row(node, mode, row, config))


def with_neighbours(node: Node, decision: Decision) -> Decision:
    """A decision with the nodes that its op runs too. Unsupported for a call that the op cannot
    run."""
    fused, _ = fused_into(check(node, decision), node)
    return replace(decision, fused=tuple(map(kind, fused)))


def by_graph(node: Node) -> Decision:
    """The decision that follows from the quantize and dequantize nodes around a node: by a
    quantizer that is not ours, or because all around it runs in 8 bits. Unsupported if qnative has
    no op for it."""
    return Decision(STATIC, op_of(node, STATIC))


def _text(row: BackendPatternConfig) -> str:
    return text_of(row.pattern)
