"""What upstream's FX decided, on the nodes of the exported graph, for ``lower``."""

import contextlib

from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.nodes import NoDtypes, Unsupported
from ..lowering.lower import REASON
from ..plan import constraints, custom, direct, table
from ..plan.config_index import ConfigIndex, choose_direct, kernel_of, static_dtypes, text_of


def annotate(
    exported: GraphModule, index: ConfigIndex, marked: dict[str, str], broken: dict[str, str]
) -> None:
    """What ``lower`` has to know: constraints and kernels of the rows of nodes that upstream
    quantized, and why it did not quantize others."""
    for node in exported.graph.nodes:
        if node.op != "call_function" or ir.is_decomposed(node):
            continue
        path = ir.module_path(node)
        if path in marked or path in broken:
            node.meta["nn_module_stack"] = dict(list(node.meta["nn_module_stack"].items())[:-1])
        if path in broken:
            node.meta[REASON] = broken[path]
        elif path in marked:
            _leave_to_direct(node, marked[path], index)
        elif not any(ir.is_call(x, ir.DEQUANTIZE) for x in node.all_input_nodes):
            node.meta[REASON] = "it has no qconfig, or none that the backend config supports"
        else:
            _find_row(node, index)


def _leave_to_direct(node: Node, mode: str, index: ConfigIndex) -> None:
    """Leaves a node to direct lowering, under the constraints of its row."""
    try:
        direct.check(mode, node)
        with contextlib.suppress(NoDtypes):  # upstream found the row by its module
            choose_direct(mode, node, index.find(ir.kind(node)))
        node.meta[direct.MODE] = mode
    except Unsupported as error:
        node.meta[REASON] = str(error)


def _find_row(node: Node, index: ConfigIndex) -> None:
    """The kernel of another library that runs a node, or the constraints of its row."""
    for kinds, row in index.kernels(node):
        try:
            node.meta[custom.KERNEL], dtypes = kernel_of(row, kinds)
            table.check(node)
            constraints.remember(node, dtypes, text_of(row.pattern))
            return
        except Unsupported as error:
            node.meta.pop(custom.KERNEL, None)
            node.meta.setdefault(custom.REFUSED, str(error))
    activation, _ = table.activation_after(node)
    rows = index.find(ir.kind(node), ir.kind(activation)) if activation is not None else []
    rows = rows or index.find(ir.kind(node))
    op = table.row(node)
    if rows and op is not None:
        node.meta.pop(custom.REFUSED, None)
        try:
            row, dtypes = static_dtypes(rows, op.role == table.WEIGHTED)
            constraints.remember(node, dtypes, text_of(row.pattern))
        except Unsupported as error:
            node.meta[REASON] = str(error)
