"""Which rows of a backend config match where in a model, without quantizing it."""

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.fx import Node

from ..backend_config.kinds import text_of
from ..backend_config.registry import AnyBackend
from ..graph import nodes as ir
from ..graph.constants import fold_constants
from ..graph.export import DynamicShapes, check_inputs, export
from ..graph.fold import fold_batch_norm
from ..graph.qdq import sources
from ..report import FREE, FUSED, QUANTIZED, Report, Row, merge_rows
from . import decision as decisions
from .config_index import ConfigIndex, Match
from .decision import ATEN, Decision, decision_of, is_foreign
from .modes import Recipe


@dataclass
class MatchRow(Row):
    """A node of the float graph, as Row has it, and the rows of the config for it.

    verdict, kernel and reason are those to be expected. config_rows: positions in
    ``config.configs`` of the rows for the longest sequence that begins here. pattern: that of the
    first of them. dtypes: input, output and weight of the DTypeConfig that is chosen. near_misses:
    longer sequences and other ways to run it, and why they do not apply.
    """

    config_rows: list[int] = field(default_factory=list)
    pattern: str = ""
    dtypes: str = ""
    near_misses: list[str] = field(default_factory=list)


@dataclass
class DryRun(Report):
    """The rows of a model in graph order; ``print`` shows them as a table, ``to_json`` gives them
    all."""

    rows: list[MatchRow] = field(default_factory=list)  # type: ignore[assignment]

    row_type: ClassVar[type] = MatchRow
    columns: ClassVar[tuple[str, ...]] = (
        *("node", "module", "op", "verdict", "pattern", "dtypes", "kernel or reason"),
        "near misses",
    )

    @staticmethod
    def cells(row: MatchRow) -> tuple[str, ...]:  # type: ignore[override]
        more = f" (+{len(row.config_rows) - 1})" if len(row.config_rows) > 1 else ""
        *first, detail = Report.cells(row)
        return *first, f"{row.pattern}{more}", row.dtypes, detail, "; ".join(row.near_misses)


def dry_run(
    model: torch.nn.Module,
    example_inputs: tuple[Any, ...],
    *,
    recipe: Recipe = "static",
    backend_config: AnyBackend = None,
    dynamic_shapes: DynamicShapes = "batch",
) -> DryRun:
    """Reports what ``qnative.quantize`` would do with a model, without quantizing it.

    Arguments and errors are those of ``qnative.quantize``; nothing is calibrated or changed. The
    decisions are the quantizer's own. It lacks what only calibration can tell: scales
    that break a constraint, and ops without a row that run in 8 bits because all around them does.
    """
    check_inputs(model, example_inputs, "qnative.dry_run")
    from .quantizer import Quantizer

    quantizer = Quantizer(backend_config, recipe=recipe)
    model = copy.deepcopy(model).eval()
    exported, sizes = export(model, example_inputs, dynamic_shapes, "qnative.dry_run")
    index = ConfigIndex(quantizer.config)
    nodes = [node for node in exported.graph.nodes if node.op == "call_function"]
    rows = {node.name: _row(node) for node in nodes}
    matches = {node.name: index.matches(node) for node in nodes}
    folded = fold_constants(exported)
    quantizer.transform_for_annotation(exported)
    with torch.no_grad():
        fold_batch_norm(exported)
    alive = {node.name: node for node in quantizer.plan(exported).nodes}
    float_rows = list(rows.values())
    for name, node in alive.items():
        row = rows.setdefault(name, _row(node))
        _complete(row, node, decision_of(node) or Decision())
        if row.verdict != FUSED:
            _match(row, matches.get(name, []), alive)
    report = DryRun(merge_rows(float_rows, [rows[n] for n in rows if n in alive], folded))
    sizes.tell(report, dynamic_shapes)
    return report


def _row(node: Node) -> MatchRow:
    where = ir.module_path(node)
    return MatchRow(node.name, where, ir.op_name(node), FREE, inputs=sources(node))


def _complete(row: MatchRow, node: Node, decision: Decision) -> None:
    """Verdict, kernel, dtypes and reason."""
    row.verdict, row.reason = decision.verdict, decision.reason
    if row.verdict == FUSED:
        row.reason = f"part of {decision.part_of}"
    elif row.verdict == QUANTIZED:
        row.kernel = _kernel(node, decision)
        row.dtypes = str(decision.dtypes)
    elif row.verdict == FREE:
        row.kernel = "" if row.reason else row.op
    else:
        row.near_misses += [miss for miss in decision.misses if row.reason not in miss]


def _kernel(node: Node, decision: Decision) -> str:
    if decision.op in (ATEN, decisions.FREE):
        return ir.op_name(node)
    name = decision.op if is_foreign(decision.op) else f"qnative::{decision.op}"
    return name.replace("::", ".")


def _match(row: MatchRow, matches: list[Match], alive: dict[str, Node]) -> None:
    """Notes the longest sequence that begins with a node and runs in one op, and near misses."""
    misses = []
    for match in matches:
        missing = match.missing or _what_runs_apart(match, alive)
        if not missing:
            row.config_rows = [i for i, _ in match.rows]
            row.pattern = text_of(match.rows[0][1].pattern)
            break
        misses.append(match.near_miss(missing))
    row.near_misses = list(dict.fromkeys([*misses, *row.near_misses]))


def _what_runs_apart(match: Match, alive: dict[str, Node]) -> str:
    """Names the first node of a match that another op runs, with the reason; "" if one op runs all.
    Removed nodes were folded into the weights of the first one."""
    for part in match.nodes[1:]:
        decision = decision_of(part) if part.name in alive else None
        if decision is not None and not decision.part_of:
            return f"{part.name} is not fused: {decision.reason or 'it runs by itself'}"
    return ""
