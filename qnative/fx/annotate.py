"""Decisions about the nodes of a graph that upstream's FX quantized."""

import contextlib

from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.kinds import LAYERS
from ..graph.nodes import NoDtypes, Unsupported
from ..graph.qdq import DEQUANTIZE, is_decomposed
from ..graph.sequence import activation_after
from ..plan import decide
from ..plan.capability import op_of
from ..plan.config_index import ConfigIndex, static_dtypes
from ..plan.decision import FLOAT, Decision, remember
from ..plan.modes import STATIC


def annotate(
    exported: GraphModule, index: ConfigIndex, marked: dict[str, str], broken: dict[str, str]
) -> None:
    """Decides about every call: by the rows of nodes that upstream quantized, and why it did not
    quantize others.

    marked: modes by the paths of modules that need no calibration. broken: reasons by the paths of
    modules whose qconfig breaks a constraint.
    """
    for node in exported.graph.nodes:
        if node.op != "call_function" or is_decomposed(node):
            continue
        path = ir.module_path(node)
        if path in marked or path in broken:
            node.meta["nn_module_stack"] = dict(list(node.meta["nn_module_stack"].items())[:-1])
        if path in broken:
            remember(node, Decision(reason=broken[path]))
        elif path in marked:
            remember(node, _direct(node, marked[path], index))
        elif not any(ir.is_call(x, DEQUANTIZE) for x in node.all_input_nodes):
            reason = "it has no qconfig, or none that the backend config supports"
            remember(node, Decision(reason=reason))
        else:
            remember(node, _static(node, index))


def _direct(node: Node, mode: str, index: ConfigIndex) -> Decision:
    """In a mode without calibration, under the constraints of its row."""
    try:
        with contextlib.suppress(NoDtypes):
            return decide.by_mode(node, mode, index.find(ir.kind(node)))
        # Upstream found the row by its module.
        return decide.with_neighbours(node, Decision(mode, op_of(node, mode)))
    except Unsupported as error:
        return Decision(reason=str(error))


def _static(node: Node, index: ConfigIndex) -> Decision:
    """In the kernel of another library, or under the constraints of its row."""
    refused = Decision()
    for kinds, row in index.kernels(node):
        try:
            return decide.by_kernel(node, kinds, row)[0]
        except Unsupported as error:
            refused = refused if refused.reason else Decision(FLOAT, reason=str(error))
    activation, _ = activation_after(node)
    rows = index.find(ir.kind(node), ir.kind(activation)) if activation is not None else []
    rows = rows or index.find(ir.kind(node))
    if not rows:
        return refused
    try:
        op_of(node, STATIC)
    except Unsupported:
        return refused
    try:
        row, config = static_dtypes(rows, ir.kind(node) in LAYERS)
        return decide.by_row(node, STATIC, row, config)
    except Unsupported as error:
        return Decision(reason=str(error))
