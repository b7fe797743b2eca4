"""Decisions about single nodes: by a row of a config, by the graph alone, or none."""

from dataclasses import replace

from torch.fx import Node

from ..backend_config import BackendPatternConfig, DTypeConfig
from ..backend_config.kinds import Kinds, text_of
from ..graph.constants import FACTORIES
from ..graph.kinds import ATTENTION, LAYERS, RECURRENT
from ..graph.nodes import Unsupported, bind, is_real, kind, values_of
from ..graph.origins import Origin, Origins
from ..graph.qdq import is_constant
from . import constraints
from .capability import check, fused_into, named, op_of
from .config_index import Rows, direct_dtypes, named_op
from .constraints import Limits
from .decision import FLOAT, FREE, Decision
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


def by_origin(node: Node, origins: Origins) -> Decision | None:
    """The decision to leave a node in float because no calibration can know the range of what it
    computes or reads; None for other nodes."""
    values = values_of(node)
    if kind(node) in FACTORIES or not any(map(is_real, values)):
        return None
    if all(map(is_constant, node.all_input_nodes)):
        return None  # quantize() folds it
    if origins.of(node) != Origin.DATA:
        return Decision(FLOAT, FREE, reason="it depends on integers, sizes and constants alone")
    sources = node.all_input_nodes
    if kind(node) == ATTENTION:  # its mask stays float
        sources = [bind(node)[name] for name in ("query", "key", "value")]
    if mask := next(filter(origins.masks, (node, *sources)), None):
        return Decision(FLOAT, reason=f"an attention mask decides the range of {mask.name}")
    # A layer reads integers as data: the counts of a table, the pixels of an image.
    unknown = (Origin.SIZES,) if kind(node) in LAYERS else (Origin.SIZES, Origin.INTEGERS)
    if kind(node) in RECURRENT:
        return None
    for source in sources:
        if origins.of(source) in unknown and any(map(is_real, values_of(source))):
            return Decision(FLOAT, reason=f"{source.name} depends on sizes or integers alone")
    return None


def _text(row: BackendPatternConfig) -> str:
    return text_of(row.pattern)
