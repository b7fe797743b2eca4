"""Microseconds of the rows of a report."""

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..lowering.module import QuantizedModule
from ..program import Program
from ..report import FLOAT, Report
from ..saving import save
from .codes import DEQUANTIZE, QUANTIZE
from .graphs import Quantized

# The share of all time from which a float region is worth a look.
_ISLAND = 0.1


class Times(NamedTuple):
    """rows: microseconds of each row. borders: those of the quantize and dequantize steps, by the
    name of the row whose value they convert. whole: of all steps."""

    rows: dict[str, float]
    borders: dict[str, float]
    whole: float


class Island(NamedTuple):
    """Rows that stay float, one behind the other, and the steps at their borders."""

    rows: list[str]
    us: float
    borders: float


def measure_times(quantized: Quantized, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Times:
    """The time of each row in a call: the minimum of several, by ``Program.profile``."""
    with tempfile.TemporaryDirectory() as folder:
        path: str | os.PathLike[str] = Path(folder) / "model.pt2"
        if isinstance(quantized, QuantizedModule):
            save(quantized, path, args, kwargs)
        else:
            path = quantized
        program = Program.load(path)
        with torch.inference_mode():
            profile = program.profile(*args, rounds=10, **kwargs)
        names, exported = program.metadata.get("values", {}), torch.export.load(os.fspath(path))
    rows: dict[str, float] = defaultdict(float)
    borders: dict[str, float] = defaultdict(float)
    nodes = {node.name: node for node in exported.graph.nodes}
    for cost in profile:
        kind = cost.target.removeprefix("torch.ops.")
        row = names.get(cost.name, [cost.name])[0]
        if kind in (QUANTIZE, DEQUANTIZE) and cost.name in nodes:
            source = nodes[cost.name].args[0].name
            borders[names.get(source, [source])[0]] += cost.us
        else:
            rows[row] += cost.us
    return Times(dict(rows), dict(borders), sum(cost.us for cost in profile))


def islands(report: Report, times: Times) -> list[Island]:
    """The float regions that take a tenth of the time or more, slowest first."""
    floats = {row.name: row for row in report.rows if row.verdict == FLOAT}
    groups: dict[str, list[str]] = {}
    for name, row in floats.items():
        joined = [name]
        for source in row.inputs:
            if source in groups and groups[source] is not joined:
                joined = groups[source] = [*groups[source], *joined]
        for member in joined:
            groups[member] = joined
    found = []
    for rows in {id(group): group for group in groups.values()}.values():
        inside = set(rows)
        reads = {source for name in rows for source in floats[name].inputs} - inside
        us = sum(times.rows.get(name, 0.0) for name in rows)
        borders = sum(times.borders.get(name, 0.0) for name in inside | reads)
        if us + borders >= _ISLAND * times.whole:
            found.append(Island(rows, us, borders))
    return sorted(found, key=lambda island: -(island.us + island.borders))


def read_times(path: str, args: tuple[Any, ...]) -> dict[str, float]:
    """Microseconds of each row of a file of ``qnative.save``, its borders included."""
    times = measure_times(path, args, {})
    names = [*times.rows, *times.borders]
    return {n: times.rows.get(n, 0.0) + times.borders.get(n, 0.0) for n in dict.fromkeys(names)}
