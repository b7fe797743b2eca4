"""What a page has: tables, the nodes of a graph, facts."""

from dataclasses import dataclass, field

from .histogram import Edge


@dataclass
class Table:
    """A small table with a title. folded: whether it is folded until the reader opens it."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    folded: bool = False


@dataclass
class Line:
    """A node. cells: its texts, one for each of the page's columns. module: of which it is part.
    inputs: names of the nodes that it reads. numbers: by the title of their column. details: what
    the reader sees who opens it, each with a label. error: in dB, the less the worse. time: in
    microseconds."""

    name: str
    module: str
    verdict: str
    cells: tuple[str, ...]
    inputs: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    details: list[tuple[str, str]] = field(default_factory=list)
    error: float | None = None
    time: float | None = None


@dataclass
class Page:
    """verdict: one line, and whether it is good news. facts: label and text. columns: titles of the
    cells of each line. edges: the histograms of values."""

    title: str
    verdict: str
    is_good: bool
    facts: list[tuple[str, str]]
    notes: list[str]
    tables: list[Table]
    columns: tuple[str, ...]
    lines: list[Line]
    edges: list[Edge] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
