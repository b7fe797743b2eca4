"""The graph of a model as SVG: a row for each step from the inputs, a box for each node."""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from .colors import color
from .parts import Line

_BOX, _HEIGHT = 150, 20
_COLUMN, _ROW = _BOX + 14, _HEIGHT + 18
_SIGNS = 22  # of a name that fit in a box


class _Place(NamedTuple):
    x: float
    y: float


def drawing(lines: list[Line], escape: Callable[[object], str]) -> str:
    """Nodes that nothing connects are left out. Boxes refer to the rows of the table of nodes by
    their number."""
    read = {name for line in lines for name in line.inputs}
    known = {line.name: i for i, line in enumerate(lines) if line.inputs or line.name in read}
    if not known:
        return ""
    inputs = [name for name in dict.fromkeys(_all_inputs(lines)) if name not in known]
    places = _places([line for line in lines if line.name in known], inputs)
    most = max((line.time or 0.0 for line in lines), default=0.0)
    edges = [
        f"M{places[name].x + _BOX / 2:.0f} {places[name].y + _HEIGHT:.0f}"
        f"L{places[line.name].x + _BOX / 2:.0f} {places[line.name].y:.0f}"
        for line in lines
        if line.name in known
        for name in line.inputs
    ]
    boxes = [_box(name, places[name], "", escape) for name in inputs]
    for name, i in known.items():
        line = lines[i]
        time = None if line.time is None or not most else line.time / most
        values = {"verdict": line.verdict, "error": line.error, "time": time}
        fills = "".join(f' data-{by}="{color(by, value)}"' for by, value in values.items())
        boxes.append(_box(name, places[name], f'data-row="n{i}"{fills}', escape))
    width = max(place.x for place in places.values()) + _BOX + 4
    height = max(place.y for place in places.values()) + _HEIGHT + 4
    return (
        f'<div id="graph"><svg width="{width:.0f}" height="{height:.0f}"><path class="edges" '
        f'd="{"".join(edges)}"/>{"".join(boxes)}</svg></div>'
    )


def _all_inputs(lines: list[Line]) -> list[str]:
    return [name for line in lines for name in line.inputs]


def _box(name: str, place: _Place, attributes: str, escape: Callable[[object], str]) -> str:
    short = name if len(name) <= _SIGNS else f"{name[: _SIGNS - 1]}…"
    kind = "box" if attributes else "input"
    return (
        f'<g class="{kind}" {attributes} transform="translate({place.x:.0f} {place.y:.0f})"><title>'
        f'{escape(name)}</title><rect width="{_BOX}" height="{_HEIGHT}" rx="4"/>'
        f'<text x="6" y="14">{escape(short)}</text></g>'
    )


def _places(lines: list[Line], inputs: list[str]) -> dict[str, _Place]:
    """Each node one row below the lowest that it reads, in the order of what they read."""
    rows = dict.fromkeys(inputs, 0)
    for line in lines:
        rows[line.name] = 1 + max((rows.get(name, 0) for name in line.inputs), default=-1)
    members = defaultdict(list)
    for name, row in rows.items():
        members[row].append(name)
    reads = {line.name: line.inputs for line in lines}
    columns: dict[str, float] = {}
    for row in sorted(members):
        wanted = {name: _mean([columns.get(x, 0.0) for x in reads.get(name, [])]) for name in
                  members[row]}  # fmt: skip
        free = 0.0
        for name in sorted(members[row], key=lambda name: wanted[name]):
            columns[name] = max(free, wanted[name])
            free = columns[name] + 1
    return {name: _Place(2 + columns[name] * _COLUMN, 2 + rows[name] * _ROW) for name in rows}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
