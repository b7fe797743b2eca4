"""The report of a quantized model: the verdict on every node, and its reason."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from ._info import environment
from ._text import printable, text_table
from .page import Edge, Line, Page, Table, render

QUANTIZED = "quantized"
FUSED = "fused"
FREE = "free"
FLOAT = "float"
VERDICTS = (QUANTIZED, FUSED, FREE, FLOAT)
# An output with a lower signal to quantization noise ratio, in dB, gets a note of its own.
POOR = 20.0


@dataclass
class Row:
    """One node of the float graph.

    name: the node's name. module: qualified name of the module it came from, or "". op: the aten
    operator. verdict: "quantized" (a qnative op runs it), "fused" (it is part of another node's
    op), "free" (it only renames, moves or measures data, or depends on integers, sizes and
    constants alone) or "float" (it still computes in floating point). kernel: the operator that
    runs it, or "". reason: why it stayed float, or how it was fused. float_bytes, packed_bytes:
    its weights and bias before and after. inputs: names of the nodes and of the model's inputs that
    it reads.
    """

    name: str
    module: str
    op: str
    verdict: str
    kernel: str = ""
    reason: str = ""
    float_bytes: int = 0
    packed_bytes: int = 0
    inputs: list[str] = field(default_factory=list)


@dataclass
class Output:
    """An output of a model, compared with that of the float model.

    name: "output", or with the key or index in what the model returns. sqnr: signal to quantization
    noise in dB, infinite without noise; None for integers. parts: that of each part of an output
    that the model joins of several, by its place. agreement: the share of integers that are equal;
    None for real numbers.
    """

    name: str
    sqnr: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None

    def __str__(self) -> str:
        if self.sqnr is None:
            return f"{self.name} {self.agreement:.1%} equal"
        parts = ", ".join(f"{place} {sqnr:.1f} dB" for place, sqnr in self.parts.items())
        return f"{self.name} {self.sqnr:.1f} dB" + (f" ({parts})" if parts else "")

    @property
    def places(self) -> dict[str, float]:
        """The dB of the output and of each of its parts, by their names."""
        found = {"": self.sqnr, **self.parts} if self.sqnr is not None else {}
        return {f"{self.name}{place}": sqnr for place, sqnr in found.items()}

    @property
    def poor(self) -> list[str]:
        """The output and its parts that have less than POOR dB."""
        return [f"{place}: {sqnr:.1f} dB" for place, sqnr in self.places.items() if sqnr < POOR]


@dataclass
class Size:
    """A dimension of an input of the model that was to stay open.

    input: the input's name in forward, with the key or index of a part of it. dimension: its
    position. size: that in the example. open: whether other sizes gave the same bits in eager mode,
    in a trace and in an exported file. shown: those sizes. reason: why it is not open, with the
    line of the model's code that fixed it where that is known.
    """

    input: str
    dimension: int
    size: int
    open: bool = False
    shown: list[int] = field(default_factory=list)
    reason: str = ""

    columns: ClassVar[tuple[str, ...]] = ("input", "dimension", "size", "verdict")

    @property
    def cells(self) -> tuple[str, ...]:
        """A text for each of ``columns``."""
        shown = f" (ran with {', '.join(map(str, self.shown))})" if self.shown else ""
        verdict = f"open{shown}" if self.open else f"fixed: {self.reason}"
        return self.input, str(self.dimension), str(self.size), verdict

    def __str__(self) -> str:
        name, dimension, size, verdict = self.cells
        return f"{name}, dimension {dimension}, size {size}: {verdict}"


@dataclass
class Report:
    """The rows of a model in graph order; ``print(report)`` shows them as a table.

    notes: facts about the whole model, such as whether its batch is dynamic. outputs: the error of
    each output, if it was measured. edges: what calibration saw of each value that runs in 8 bits.
    sizes: the dimensions of the inputs that ``dynamic_shapes`` asked to leave open.
    """

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)

    # Type of the rows and how they are shown; subclasses have their own.
    row_type: ClassVar[type] = Row
    columns: ClassVar[tuple[str, ...]] = ("node", "module", "op", "verdict", "kernel or reason")

    @staticmethod
    def cells(row: Row) -> tuple[str, ...]:
        """The cells of a row, one text for each of ``columns``."""
        detail = ": ".join(part for part in (row.kernel, row.reason) if part)
        return row.name, row.module, row.op, row.verdict, detail

    def count(self, verdict: str) -> int:
        """How many rows have this verdict. An unknown verdict is a ValueError."""
        if verdict not in VERDICTS:
            raise ValueError(_unknown(verdict))
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def float_rows(self) -> list[Row]:
        """The nodes that still compute in floating point."""
        return [row for row in self.rows if row.verdict == FLOAT]

    def summary(self) -> str:
        """One line: how many nodes of each verdict, the bytes of the weights, and the signal to
        quantization noise ratio of each output and part."""
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in VERDICTS)
        before = sum(row.float_bytes for row in self.rows)
        after = sum(row.packed_bytes for row in self.rows)
        weights = f"; packed weights {before:,} -> {after:,} bytes" if after else ""
        outputs = f"; SQNR: {', '.join(map(str, self.outputs))}" if self.outputs else ""
        return f"{len(self.rows)} nodes: {counts}{weights}{outputs}"

    def __str__(self) -> str:
        return "\n".join(
            [
                *text_table(self.columns, map(self.cells, self.rows)),
                printable(self.summary()),
                *map(printable, map(str, self.sizes)),
                *map(printable, self.notes),
            ]
        )

    def to_json(self) -> str:
        """{"summary": {verdict: count}, "notes": [...], "outputs": [{...}], "edges": [{...}],
        "sizes": [{...}],
        "rows": [{...}]}, indented."""
        summary = {verdict: self.count(verdict) for verdict in VERDICTS}
        rows = [asdict(row) for row in self.rows]
        outputs = [asdict(output) for output in self.outputs]
        edges = [asdict(edge) for edge in self.edges]
        sizes = [asdict(size) for size in self.sizes]
        data = {
            **{"summary": summary, "notes": self.notes, "outputs": outputs},
            **{"edges": edges, "sizes": sizes, "rows": rows},
        }
        return json.dumps(data, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The inverse of ``to_json``. An unknown verdict is a ValueError."""
        data = json.loads(text)
        for row in data["rows"]:
            if row["verdict"] not in VERDICTS:
                raise ValueError(_unknown(row["verdict"]))
        outputs = [Output(**output) for output in data.get("outputs", [])]
        edges = [Edge(**edge) for edge in data.get("edges", [])]
        rows = [cls.row_type(**row) for row in data["rows"]]
        sizes = [Size(**size) for size in data.get("sizes", [])]
        return cls(rows, data["notes"], outputs, edges=edges, sizes=sizes)

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str = "qnative report",
        diagnosis: "Findings | None" = None,
        times: dict[str, float] | None = None,
    ) -> str:
        """A page that stands on its own, of at most 1 MB: verdict, error of each output, bytes, a
        table of all nodes that sorts and filters, the graph, histograms. Returns its HTML.

        path: where to write it. diagnosis: what ``qnative.diagnose`` found, which adds the error of
        each node, causes and fixes. times: microseconds by names of rows (a diagnosis has them).
        """
        page = self._page(title, times or {})
        if diagnosis is not None:
            diagnosis.add_to(page)
        text = render(page)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _page(self, title: str, times: dict[str, float]) -> Page:
        poor = [text for output in self.outputs for text in output.poor]
        verdict = "The error of the outputs was not measured."
        if self.outputs:
            verdict = f"Below {POOR:.0f} dB: {', '.join(poor)}." if poor else (
                f"No output has less than {POOR:.0f} dB."
            )  # fmt: skip
        before = sum(row.float_bytes for row in self.rows)
        after = sum(row.packed_bytes for row in self.rows)
        facts = [("summary", self.summary())]
        if after:
            share = f" ({after / before:.0%})" if before else ""
            facts.append(("weights", f"{before:,} bytes in float, {after:,} packed{share}"))
        if times:
            facts.append(("time", f"{sum(times.values()):,.1f} us in all nodes"))
        reasons = Counter(row.reason for row in self.float_rows).most_common()
        tables = [
            Table("Accuracy", ("output", "against the float model"), self._accuracy()),
            Table(
                "Why nodes stayed float",
                ("nodes", "reason"),
                [(str(count), reason) for reason, count in reasons],
            ),
            Table("Sizes", Size.columns, [size.cells for size in self.sizes]),
        ]
        lines = [self._line(row, times) for row in self.rows]
        return Page(
            *(title, verdict, not poor, facts, list(self.notes), tables, self.columns, lines),
            *(self.edges, environment()),
        )

    def _accuracy(self) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for output in self.outputs:
            if output.sqnr is None:
                found.append((output.name, f"{output.agreement:.1%} equal"))
            found += [(place, f"{sqnr:.1f} dB") for place, sqnr in output.places.items()]
        return found

    def _line(self, row: Row, times: dict[str, float]) -> Line:
        numbers: dict[str, float] = {}
        if row.float_bytes or row.packed_bytes:
            numbers = {"float bytes": row.float_bytes, "packed bytes": row.packed_bytes}
        time = times.get(row.name)
        if time is not None:
            numbers |= {"us": time, "% of time": 100 * time / (sum(times.values()) or 1.0)}
        details = [("kernel", row.kernel), ("reason", row.reason)]
        return Line(
            *(row.name, row.module, row.verdict, self.cells(row), row.inputs, numbers, details),
            time=time,
        )


class Findings(Protocol):
    """What can add to the page of a report."""

    def add_to(self, page: Page) -> None: ...


class NotQuantizedError(RuntimeError):
    """Raised by ``strict=True``: some nodes stayed float.

    rows: those nodes, each with its reason. report: the whole report.
    """

    def __init__(self, report: Report):
        self.report = report
        self.rows = report.float_rows
        lines = [f"  {row.name} ({row.op}): {row.reason}" for row in self.rows]
        super().__init__(
            f"qnative: strict=True, but {len(self.rows)} node(s) stay float:\n" + "\n".join(lines)
        )

    def __reduce__(self) -> tuple[type, tuple[Report]]:
        return type(self), (self.report,)


R = TypeVar("R", bound=Row)


def merge_rows(float_rows: list[R], lowered: list[R], folded: set[str]) -> list[R]:
    """The rows of the lowered model, and those of nodes that were gone before it was lowered."""
    rows = {row.name: row for row in lowered}
    for row in float_rows:
        if row.name in folded:
            row.reason = "computed once: it depends on parameters alone"
        elif row.name not in rows:
            batch_norm = "batch_norm" in row.op
            row.verdict = FUSED if batch_norm else FREE
            row.reason = "folded into the weights before it" if batch_norm else "removed"
    known = {row.name for row in float_rows}
    for row in float_rows:
        if row.name in rows:
            rows[row.name].inputs = row.inputs
    merged = [rows.get(row.name, row) for row in float_rows]
    return merged + [row for row in lowered if row.name not in known]


def _unknown(verdict: str) -> str:
    return f"unknown verdict {verdict!r}; valid: {', '.join(VERDICTS)}"
