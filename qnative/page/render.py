"""Writes a page: no network, at most 1 MB, every text escaped."""

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from .colors import LEGEND, color
from .graph import drawing
from .histogram import Edge, figure
from .parts import Line, Page, Table

# Bytes of a page.
LIMIT = 1_000_000
_FOLDER = Path(__file__).parent


def render(page: Page) -> str:
    """The HTML. What does not fit in LIMIT bytes is left out, which a note says: the histograms,
    then the graph, then the last lines."""
    without_edges = replace(page, edges=[], notes=[*page.notes, "Left out: the histograms."])
    note = "Left out: the histograms and the graph."
    attempts = [(page, True), (without_edges, True)]
    small = replace(page, edges=[], notes=[*page.notes, note])
    attempts.append((small, False))
    count = len(page.lines)
    while count > 1:
        count //= 2
        text = f"Left out: the histograms, the graph and all nodes behind the first {count}."
        cut = replace(page, edges=[], lines=page.lines[:count], notes=[*page.notes, text])
        attempts.append((cut, False))
    for attempt, has_graph in attempts:
        text = _document(attempt, has_graph)
        if len(text.encode()) <= LIMIT:
            break
    return text


def escape(text: object) -> str:
    """Text as HTML shows it, in elements and in quoted attributes. Characters that do not print
    are shown as escapes."""
    printable = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in str(text)
    )
    return html.escape(printable)


def number(value: float) -> str:
    """A number for people: whole ones with separators, others with one decimal."""
    if math.isinf(value) or math.isnan(value):
        return "∞" if value > 0 else "-∞" if value < 0 else "?"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _document(page: Page, has_graph: bool) -> str:
    style = (_FOLDER / "page.css").read_text()
    script = (_FOLDER / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    graph = drawing(page.lines, escape) if has_graph else ""
    body = "\n".join(
        [
            f"<h1>{escape(page.title)}</h1>",
            f'<p class="{"good" if page.is_good else "bad"}" id="verdict">{escape(page.verdict)}',
            _facts(page.facts),
            *(f"<p>{escape(note)}</p>" for note in page.notes),
            *map(_table, page.tables),
            _nodes(page),
            _graph(graph) if graph else "",
            _edges(page.edges),
            _legend(),
            _table(Table("Environment", ("", ""), list(page.environment.items()), folded=True)),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(page.title)}</title><style>{style}</style></head><body>\n{body}\n"
        f"<script>{script}</script></body></html>\n"
    )


def _facts(facts: list[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(label)}<dd>{escape(text)}" for label, text in facts)
    return f"<dl>{items}</dl>"


def _row(cells: Iterable[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _table(table: Table) -> str:
    if not table.rows:
        return ""
    head = _row(table.columns, "th") if any(table.columns) else ""
    text = f"<table>{head}{''.join(map(_row, table.rows))}</table>"
    if table.folded:
        return f"<details><summary>{escape(table.title)}</summary>{text}</details>"
    return f"<h2>{escape(table.title)}</h2>{text}"


def _nodes(page: Page) -> str:
    """The table of all nodes, those of a module together."""
    titles = list(dict.fromkeys(title for line in page.lines for title in line.numbers))
    verdicts = list(dict.fromkeys(line.verdict for line in page.lines))
    boxes = "".join(
        f'<label><input type="checkbox" checked value="{escape(v)}"> {escape(v)}</label>'
        for v in verdicts
    )
    heads = "".join(
        f'<th aria-sort="none"><button type="button">{escape(title)}</button></th>'
        for title in (*page.columns, *titles)
    )
    width = len(page.columns) + len(titles)
    body = "".join(_body(page.lines, titles, width))
    return (
        '<h2>Nodes</h2><p id="filters"><input type="search" id="filter" placeholder="filter: node, '
        f'module, op, reason"> {boxes} <span id="shown"></span></p>'
        f'<table id="nodes"><thead><tr>{heads}</tr></thead>{body}</table>'
    )


def _body(lines: list[Line], titles: list[str], width: int) -> Iterator[str]:
    """A <tbody> for each run of nodes of one module. Each node has two rows: itself and its
    details."""
    module: str | None = None
    for i, line in enumerate(lines):
        parent = line.module.rpartition(".")[0]
        if parent != module:
            yield "</tbody>" if module is not None else ""
            module = parent
            yield (
                f'<tbody><tr class="group"><th colspan="{width}">{escape(module or "(top)")}</th>'
                "</tr>"
            )
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in line.cells)
        for title in titles:
            value = line.numbers.get(title)
            shown = "" if value is None else number(value)
            key = "" if value is None else f' data-n="{value!r}"'
            cells += f'<td class="n"{key}>{shown}</td>'
        verdict = escape(line.verdict)
        yield f'<tr class="node" id="n{i}" tabindex="0" data-verdict="{verdict}">{cells}</tr>'
        details = [*line.details, ("inputs", ", ".join(line.inputs))]
        items = [(label, text) for label, text in details if text]
        yield f'<tr class="more" hidden><td colspan="{width}">{_facts(items)}</td></tr>'
    yield "</tbody>" if module is not None else ""


def _graph(svg: str) -> str:
    options = "".join(f"<option>{name}</option>" for name in LEGEND)
    return f'<h2>Graph</h2><p>coloured by <select id="color">{options}</select></p>{svg}'


def _edges(edges: list[Edge]) -> str:
    if not edges:
        return ""
    figures = "".join(figure(edge, escape) for edge in edges)
    count = len(edges)
    return (
        f"<details><summary>Values in 8 bits: what calibration saw of each, and the range that its "
        f'codes have ({count})</summary><div id="edges">{figures}</div></details>'
    )


def _legend() -> str:
    """What the colours say."""
    parts = []
    for name, samples in LEGEND.items():
        patches = "".join(
            f'<span class="patch" style="background:{color(name, value)}"></span>{escape(label)} '
            for label, value in samples
        )
        parts.append(f"<dt>{escape(name)}<dd>{patches}")
    return f'<h2>Legend</h2><dl id="legend">{"".join(parts)}</dl>'
