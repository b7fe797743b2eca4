"""The type of what every front end returns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import GraphModule

from ..report import NotQuantizedError, Report

# A node's row in the report, and the node of the float graph whose value it computes: two names.
VALUE = "qnative_value"


def values(module: torch.nn.Module, exported: torch.export.ExportedProgram) -> dict[str, Any]:
    """VALUE of the nodes of an exported quantized module, by their names there."""
    if not isinstance(module, QuantizedModule):
        return {}
    known = {node.name: node.meta.get(VALUE, (node.name,) * 2) for node in module.graph.nodes}
    found = {}
    for node in exported.graph.nodes:
        origins = node.meta.get("from_node")
        if node.op == "call_function" and origins and origins[0].name in known:
            found[node.name] = list(known[origins[0].name])
    return found


class _Parameters(Iterator[torch.nn.Parameter]):
    def __init__(self, found: Iterator[torch.nn.Parameter]):
        self.found = found

    def __next__(self) -> torch.nn.Parameter:
        for each in self.found:
            return each
        raise StopIteration(
            "qnative: a quantized module has no more parameters, its weights are buffers. It takes "
            "and gives torch.float32 on the CPU; next(module.buffers()).device is the device"
        )


class QuantizedModule(GraphModule):
    """A GraphModule whose arithmetic runs in ``qnative::*`` ops. It runs in eager mode, under
    torch.jit.trace, torch.compile and torch.export.

    report: one row for each node of the float graph. ``copy.deepcopy`` keeps it.
    """

    if TYPE_CHECKING:
        # An annotation at run time would make torch.jit.script compile Report.
        report: Report

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        """Those of layers that stay float: quantized weights are buffers. ``next`` on none of them
        is a StopIteration that says so."""
        return _Parameters(super().parameters(recurse))

    def set_report(self, report: Report, *, strict: bool = False) -> None:
        """Replaces the report. NotQuantizedError if strict and a node stays float."""
        if strict and report.float_rows:
            raise NotQuantizedError(report)
        self.report = report
        # GraphModule.__deepcopy__ copies these attributes.
        self.meta.setdefault("_user_preserved_attributes", {})["report"] = report
