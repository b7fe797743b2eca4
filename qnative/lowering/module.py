"""The type of what every front end returns."""

from typing import TYPE_CHECKING

from torch.fx import GraphModule

from ..report import NotQuantizedError, Report


class QuantizedModule(GraphModule):
    """A GraphModule whose arithmetic runs in ``qnative::*`` ops. It runs in eager mode, under
    torch.jit.trace, torch.compile and torch.export.

    report: one row for each node of the float graph. ``copy.deepcopy`` keeps it.
    """

    if TYPE_CHECKING:
        # An annotation at run time would make torch.jit.script compile Report.
        report: Report

    def set_report(self, report: Report, *, strict: bool = False) -> None:
        """Replaces the report. NotQuantizedError if strict and a node stays float."""
        if strict and report.float_rows:
            raise NotQuantizedError(report)
        self.report = report
        # GraphModule.__deepcopy__ copies these attributes.
        self.meta.setdefault("_user_preserved_attributes", {})["report"] = report
