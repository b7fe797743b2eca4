"""What ``qnative.diagnose`` returns."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from .._text import printable, text_table
from ..page import Line, Page, Table
from ..report import Output, Report


@dataclass
class Operand:
    """An 8-bit operand of an op. name: the argument, and in parentheses the row whose value it is.
    rounding: what is left of it, in dB, by its scale alone. received: in the quantized model."""

    name: str
    rounding: float
    received: float


@dataclass
class Node:
    """A quantized node, in dB of the signal that it has in the float model.

    row: its name in the report. value: name of the float node whose value it has. is_rounding:
    whether it only rounds that. here: the error that the op makes of inputs without error (but for
    their rounding). inherited: the error that the float op makes of the inputs that the quantized
    model has. total: the error of its value in the quantized model. share: of the noise at the
    worst output, if every node alone made its error. us: microseconds, None if not measured.
    """

    row: str
    value: str
    op: str
    is_rounding: bool
    here: float
    inherited: float
    total: float
    share: float
    us: float | None = None
    operands: list[Operand] = field(default_factory=list)


@dataclass
class Finding:
    """A node that costs accuracy, or a float region that costs time.

    share: of the noise at the worst output, or of the time. output: what would be left of that
    output, in dB, if only this node made an error; None for a region. fix: a line of Python. gain:
    what it brought when it was tried, in dB of the worst output, or in microseconds for a region;
    None if it was not tried. error: why it could not be tried.
    """

    row: str
    cause: str
    detail: str
    share: float
    output: float | None = None
    fix: str = ""
    gain: float | None = None
    error: str = ""

    @property
    def tried(self) -> str:
        if self.error:
            return self.error
        if self.gain is None:
            return ""
        return f"{self.gain:+.1f} {'us' if self.output is None else 'dB'}"


@dataclass
class Diagnosis:
    """Where a quantized model loses accuracy and time; ``print(diagnosis)`` shows it.

    outputs: the error of each output on the data. findings: what costs accuracy, worst first. slow:
    float regions that take much of the time, slowest first. nodes: the errors of all nodes, in the
    order of the graph. report: that of the quantized model.
    """

    outputs: list[Output]
    findings: list[Finding]
    slow: list[Finding]
    nodes: list[Node]
    notes: list[str]
    report: Report = field(repr=False, default_factory=Report)

    _columns = ("node", "cause", "share", "alone", "detail", "fix", "tried")

    def __str__(self) -> str:
        lines = [f"outputs: {', '.join(map(str, self.outputs))}", *self.notes]
        for title, found in (("accuracy", self.findings), ("time", self.slow)):
            if found:
                table = text_table(self._columns, [_cells(each) for each in found])
                lines += [title, *table]
        return "\n".join(map(printable, lines))

    def to_json(self) -> str:
        """{"outputs": [...], "findings": [...], "slow": [...], "nodes": [...], "notes": [...]},
        indented. Infinite numbers are null."""
        names = ("outputs", "findings", "slow", "nodes")
        data: dict[str, Any] = {n: [asdict(each) for each in getattr(self, n)] for n in names}
        return json.dumps(_finite({**data, "notes": self.notes}), indent=1)

    def add_to(self, page: Page) -> None:
        """Adds the errors, causes and fixes to the page of a report."""
        outputs = [(place, f"{db:.1f} dB") for each in self.outputs for place, db in
                   each.places.items()]  # fmt: skip
        for title, rows in (
            ("Accuracy on the data of the diagnosis", outputs),
            ("What costs accuracy", [_cells(each) for each in self.findings]),
            ("What costs time", [_cells(each) for each in self.slow]),
        ):
            columns = self._columns if rows and len(rows[0]) > 2 else ("output", "left")
            page.tables.append(Table(title, columns, [tuple(row) for row in rows]))
        page.notes += self.notes
        lines = {line.name: line for line in page.lines}
        roundings = [node for node in self.nodes if node.is_rounding]
        for node in [*roundings, *(node for node in self.nodes if not node.is_rounding)]:
            if node.row in lines:
                _add(lines[node.row], node)
        for finding in [*self.findings, *self.slow]:
            if finding.row in lines:
                lines[finding.row].details += [
                    ("cause", f"{finding.cause}: {finding.detail}"),
                    ("fix", f"{finding.fix}  ({finding.tried})" if finding.tried else finding.fix),
                ]


def _add(line: Line, node: Node) -> None:
    line.numbers |= {
        "here dB": node.here,
        "inherited dB": node.inherited,
        "total dB": node.total,
        "% of noise": 100 * node.share,
    }
    line.error = node.here
    for operand in node.operands:
        text = f"{operand.rounding:.1f} dB rounded, {operand.received:.1f} dB as it arrives"
        line.details.append((operand.name, text))


def _cells(each: Finding) -> tuple[str, ...]:
    alone = "" if each.output is None else f"{each.output:.1f} dB"
    share = f"{each.share:.0%}"
    return each.row, each.cause, share, alone, each.detail, each.fix, each.tried


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
