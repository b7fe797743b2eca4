"""Which rows of a backend config match where in a model, without quantizing it."""

import copy
import operator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.constants import fold_constants
from ..graph.export import check_inputs, export
from ..graph.fold import fold_batch_norm
from ..lowering.lower import REASON
from ..quantize import merge_rows
from ..report import FLOAT, FREE, FUSED, QUANTIZED, Report, Row
from . import table
from .config_index import Match, describe, text_of
from .direct import MODE


@dataclass
class MatchRow(Row):
    """A node of the float graph, as Row has it, and what the config says about it.

    verdict, kernel and reason are those to be expected. config_rows: positions in
    ``config.configs`` of the rows for the longest sequence that begins here. pattern: that of the
    first of them. dtypes: input, output and weight of the DTypeConfig that is chosen. near_misses:
    longer sequences and other ways to run it, and what they lack.
    """

    config_rows: list[int] = field(default_factory=list)
    pattern: str = ""
    dtypes: str = ""
    near_misses: list[str] = field(default_factory=list)


@dataclass
class DryRun(Report):
    """The rows of a model in graph order; ``print`` shows them as a table, ``to_json`` gives them
    all."""

    rows: list[MatchRow] = field(default_factory=list)

    row_type: ClassVar[type] = MatchRow
    columns: ClassVar[tuple[str, ...]] = (
        *("node", "module", "op", "verdict", "pattern", "dtypes", "kernel or reason"),
        "near misses",
    )

    @staticmethod
    def cells(row: MatchRow) -> tuple[str, ...]:
        more = f" (+{len(row.config_rows) - 1})" if len(row.config_rows) > 1 else ""
        *first, detail = Report.cells(row)
        return *first, f"{row.pattern}{more}", row.dtypes, detail, "; ".join(row.near_misses)


def dry_run(
    model: torch.nn.Module,
    example_inputs: tuple[Any, ...],
    backend_config: Any = None,
    *,
    recipe: str = "static",
    dynamic_shapes: Any = "batch",
) -> DryRun:
    """What ``qnative.quantize`` would do with a model, and what keeps it from doing more.

    Arguments and errors are those of ``qnative.quantize``; nothing is calibrated or changed. The
    matching is the quantizer's own. What only calibration can tell is not in it: scales that break
    a constraint, and ops without a row that run in 8 bits because all around them does.
    """
    check_inputs(model, example_inputs, "qnative.dry_run")
    from .quantizer import Annotation, Quantizer

    quantizer = Quantizer(backend_config, recipe=recipe)
    model = copy.deepcopy(model).eval()
    exported, notes = export(model, example_inputs, dynamic_shapes, "qnative.dry_run")
    quantizer.transform_for_annotation(exported)
    annotation = Annotation(quantizer, exported)
    rows = list(map(_row, annotation.nodes))
    matches = {node.name: annotation.index.matches(node) for node in annotation.nodes}
    folded = fold_constants(exported)
    with torch.no_grad():
        fold_batch_norm(exported)
    annotation = _annotated(quantizer, exported, Annotation)
    known = {row.name: row for row in rows}
    alive = {node.name: node for node in annotation.nodes}
    for node in annotation.nodes:
        row = known.setdefault(node.name, _row(node))
        _complete(row, annotation, node)
        if row.verdict != FUSED:
            _match(row, matches.get(node.name, []), alive, annotation.fused)
    return DryRun(merge_rows(rows, [known[name] for name in known if name in alive], folded), notes)


def _annotated(quantizer: Any, module: GraphModule, annotation: Any) -> Any:
    run = annotation(quantizer, module)
    run.run()
    return run


def _row(node: Node) -> MatchRow:
    return MatchRow(node.name, ir.module_path(node), ir.op_name(node), FREE)


def _match(
    row: MatchRow, matches: list[Match], alive: dict[str, Node], fused: dict[Node, Node]
) -> None:
    """The longest sequence that begins with a node and runs as one, and what longer ones lack."""
    misses = []
    for match in matches:
        missing = match.missing
        for part in match.nodes[1:] if not missing else ():
            # What is gone was folded into the weights of the first node.
            if part.name in alive and part not in fused:
                reason = part.meta.get(REASON, "it runs by itself")
                missing = f"{part.name} is not fused: {reason}"
                break
        if not missing:
            row.config_rows = [i for i, _ in match.rows]
            row.pattern = text_of(match.rows[0][1].pattern)
            break
        misses.append(match.near_miss(missing))
    row.near_misses = list(dict.fromkeys([*misses, *row.near_misses]))


def _complete(row: MatchRow, annotation: Any, node: Node) -> None:
    """Verdict, kernel, dtypes and reason."""
    chosen = annotation.direct.get(node) or annotation.chosen(node)
    if node in annotation.fused:
        row.verdict, row.reason = FUSED, f"part of {annotation.fused[node].name}"
    elif MODE in node.meta or (node in annotation.rows and REASON not in node.meta):
        row.verdict, row.kernel = _kernel(node, chosen)
    elif _is_initial_state(annotation, node):
        row.verdict, row.reason = FREE, "removed: nothing uses it"
    elif _is_free(annotation, node):
        row.verdict, row.kernel = FREE, row.op
    else:
        row.verdict, row.reason = FLOAT, node.meta[REASON]
        misses = annotation.misses.get(node, [])
        row.near_misses += [miss for miss in misses if row.reason not in miss]
    if chosen is not None and row.verdict == QUANTIZED:
        row.dtypes = describe(chosen[1])


def _is_initial_state(annotation: Any, node: Node) -> bool:
    """Zeros for recurrent ops, which begin with zeros anyway."""
    return ir.kind(node) == "zeros" and all(user in annotation.direct for user in node.users)


def _is_free(annotation: Any, node: Node) -> bool:
    reads = any(map(annotation.gives_quantized, node.all_input_nodes))
    return table.is_free(node, ir.DEQUANTIZE) and not reads


def _kernel(node: Node, chosen: Any) -> tuple[str, str]:
    op = None if MODE in node.meta else table.row(node)
    if node.target is operator.getitem or (op is not None and op.role == table.FREE):
        return FREE, ir.op_name(node)
    if op is not None and op.role == table.LOOKUP:
        return QUANTIZED, "qnative.lookup"
    # Rows of upstream name no op.
    op_of = getattr(chosen[0], "op", None) if chosen else None
    name = op_of(list(chosen[0].dtype_configs).index(chosen[1])) if op_of else ""
    if name and "::" not in name:
        name = name if name == "aten" else f"qnative::{name}"
    return QUANTIZED, name.replace("::", ".")
