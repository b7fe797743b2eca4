"""Which values of a plan are int16: the residual stream of a transformer.

Sums over all layers of a network need more digits than 8 bits hold, and every normalization spreads
the error over all channels. So what a layer_norm or rms_norm reads is int16, the operands of the
sums that it reads too, and what such sums are added to. Networks without these norms have no such
values.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.fx import Node

from ..backend_config import BackendPatternConfig, DTypeConfig
from ..graph.kinds import LAYERS, WITH_NUMBER
from ..graph.nodes import bind, kind, tensor_of
from . import decide
from .capability import INT16_INPUTS
from .decision import FREE, is_foreign, remember
from .modes import STATIC, Dtypes
from .plan import Plan

NORMS = ("layer_norm", "rms_norm")


def widen(plan: Plan) -> Plan:
    """Changes the rows and decisions of a plan to those with int16 values, where its config has
    them. Returns the plan."""
    wide: set[Node] = set()
    static = [node for node in plan.nodes if plan.is_static(node)]
    for node in static:
        if kind(node) in NORMS:
            _widen_sources(plan, node, wide)
    for node in static:  # in graph order: one pass reaches all sums
        if kind(node) == "add" and any(source in wide for source in _sources(plan, node)):
            _widen(plan, node, wide)
    for node in static:
        if kind(node) in NORMS or node in wide:
            _choose(plan, node, wide)
    return plan


def _widen(plan: Plan, node: Node, wide: set[Node]) -> None:
    """Makes the value of a node int16 if it can be, with what it is computed of."""
    if node in wide or _dtypes(plan, node, output=torch.int16) is None:
        return
    wide.add(node)
    if plan.capability(node).role != "weighted" and kind(node) not in NORMS:
        _widen_sources(plan, node, wide)


def _widen_sources(plan: Plan, node: Node, wide: set[Node]) -> None:
    for source in _sources(plan, node):
        _widen(plan, source, wide)


def _sources(plan: Plan, node: Node) -> Iterator[Node]:
    """The ops that compute the inputs of a node, behind moves."""
    args = bind(node)
    for name in plan.capability(node).tensors:
        argument = args[name]
        for source in argument if isinstance(argument, (list, tuple)) else [argument]:
            owner = plan.owner(source)
            while plan.is_static(owner) and plan.capability(owner).role == FREE:
                owner = plan.owner(plan.source(owner))
            if plan.is_static(owner):
                yield owner


def _dtypes(
    plan: Plan, node: Node, output: torch.dtype | None = None, input: torch.dtype | None = None
) -> tuple[BackendPatternConfig, DTypeConfig] | None:
    """The first row and DTypeConfig for a node with this output and input; None if there is none or
    the node's op cannot run so."""
    if is_foreign(plan.decisions[node].op) or plan.end(node) is not node:
        return None
    if kind(node) in WITH_NUMBER and len(plan.capability(node).tensors) < 2:
        return None
    if output is torch.int16 and _is_depthwise(node):
        return None
    for row in plan.index.find(kind(node)):
        for config in row.dtype_configs:
            dtypes = Dtypes.of(config)
            if not dtypes.fit(STATIC) or dtypes.has_int8_weight != (kind(node) in LAYERS):
                continue
            if output in (None, dtypes.output) and input in (None, dtypes.input):
                return row, config
    return None


def _is_depthwise(node: Node) -> bool:
    args = bind(node)
    weight = tensor_of(args.get("weight"))
    return args.get("groups", 1) > 1 and weight is not None and weight.shape[1] == 1


def _choose(plan: Plan, node: Node, wide: set[Node]) -> None:
    """The row of a node whose inputs or output are int16."""
    sources = list(_sources(plan, node))
    reads_words = node in wide or not sources or any(source in wide for source in sources)
    takes_words = plan.decisions[node].op in INT16_INPUTS
    found = None
    if reads_words or node in wide:
        output = torch.int16 if node in wide else torch.quint8
        found = _dtypes(plan, node, output, torch.int16 if takes_words else None)
    if found is None:
        return
    before = plan.decisions[node]
    decision = decide.by_row(node, STATIC, *found)
    plan.decisions[node] = replace(decision, fused=before.fused, not_fused=before.not_fused)
    plan.rows[node] = found
    remember(node, plan.decisions[node])
