"""``qnative.diagnose``: runs the float and the quantized graph side by side."""

import inspect
import os
from collections.abc import Iterable
from typing import Any

import torch

from ..calibration.measure import Measure
from ..graph.sizes import unguarded
from . import causes
from .causes import cause_of
from .codes import QUANTIZE
from .diagnosis import Diagnosis, Finding, Node, Operand
from .errors import Errors, Tally, decibels, measure
from .fixes import Trials
from .graphs import Pair, Quantized, Site, leaves, load_float, pair
from .times import Times, islands, measure_times

# Findings make at least this share of the noise.
_LEAST = 0.02
_MOST = 20  # findings


def diagnose(
    model: torch.nn.Module | str | os.PathLike[str],
    quantized: Quantized,
    data: Iterable[Any],
    *,
    calibration: Iterable[Any] | None = None,
    tries: int = 3,
    times: bool = True,
    **options: Any,
) -> Diagnosis:
    """Finds where a quantized model loses accuracy, why, and what helps.

    model: the float model, or a ``.pt2`` file of it. quantized: what ``qnative.quantize`` or
    ``qnative.lower`` made of it, or a file of ``qnative.save``. data: inputs as ``quantize`` takes
    them for calibration, a few batches; what they show decides.

    Each quantized node runs on inputs of the float model, which gives the error made there; each
    float node on the inputs of the quantized one, which gives the error inherited. What a node
    costs is the noise at the worst output of the float model with the error of that node alone.

    tries: for how many findings to quantize the model again with the fix, and to measure what it
    brings (0: none). calibration: data for that; None takes ``data``. options: further arguments of
    ``quantize`` for these trials, such as ``backend_config``, which should be those that the
    quantized model was made with. times: whether to measure microseconds with
    ``qnative.Program.profile``.

    Raises TypeError for arguments of another type; ValueError if there is no data, for files that
    lack the names of float nodes, and for a model of which the quantized one was not made.
    """
    batches = list(_calls(data))
    if not batches:
        raise ValueError("qnative.diagnose: data is empty: it must give one batch or more")
    model = load_float(model)
    args, kwargs = batches[0]
    example = tuple(_positional(model, args, kwargs))
    both = pair(model, quantized, example, options.get("backend_config"))
    if not both.sites:
        raise ValueError(
            "qnative.diagnose: no node of the quantized model belongs to one of the float model: "
            "it was not made of it, or it is all float"
        )
    with torch.no_grad():
        kept = Measure(both.float_graph.graph)
        for each, named in batches:
            kept.keep(each, named, model(*each, **named))
        with unguarded(both.quantized):
            outputs = kept.compare(both.quantized)
        errors = measure(both, [leaves(model, *call) for call in batches])
    notes: list[str] = []
    measured = _times(quantized, args, kwargs, notes) if times else None
    findings = _findings(errors)
    slow = _slow(both, measured) if measured is not None else []
    trials = Trials(model, example, list(calibration or data), options, kept, outputs)
    trials.run(findings[:tries])
    if tries:
        trials.run_slow(slow, measured)
    nodes = _nodes(errors, measured)
    return Diagnosis(outputs, findings, slow, nodes, notes + trials.notes, both.report)


def _calls(data: Iterable[Any]) -> Iterable[tuple[tuple[Any, ...], dict[str, Any]]]:
    if isinstance(data, torch.Tensor):
        raise TypeError(
            "qnative.diagnose: data must be an iterable of inputs, such as [tensor], got a tensor"
        )
    for inputs in data:
        if isinstance(inputs, dict):
            yield (), inputs
        else:
            yield tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,), {}


def _positional(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"qnative.diagnose: model must be a torch.nn.Module, got {type(model).__name__}"
        )
    return inspect.signature(model.forward).bind(*args, **kwargs).args


def _times(
    quantized: Quantized, args: tuple[Any, ...], kwargs: dict[str, Any], notes: list[str]
) -> Times | None:
    try:
        return measure_times(quantized, args, kwargs)
    except (RuntimeError, ValueError, TypeError) as error:
        notes.append(f"times were not measured: {str(error).splitlines()[0]}")
        return None


def _findings(errors: Errors) -> list[Finding]:
    whole = sum(tally.alone for tally in errors.tallies.values())
    ranked = sorted(errors.tallies.items(), key=lambda item: -item[1].alone)
    found = []
    for site, tally in ranked[:_MOST]:
        part = causes.share(tally.alone, whole)
        if part < _LEAST:
            break
        cause = cause_of(site, errors)
        left = decibels(1.0, tally.alone)
        found.append(Finding(site.row, cause.name, cause.detail, part, left))
    return found


def _slow(both: Pair, times: Times) -> list[Finding]:
    rows = {row.name: row for row in both.report.rows}
    found = []
    for island in islands(both.report, times):
        reasons = dict.fromkeys(rows[name].reason for name in island.rows if rows[name].reason)
        names = ", ".join(island.rows[:6])
        detail = (
            f"{names}: {island.us:.1f} us, and {island.borders:.1f} us to convert at its borders; "
            f"{'; '.join(reasons)}"
        )
        part = causes.share(island.us + island.borders, times.whole)
        found.append(Finding(island.rows[0], causes.FLOAT_ISLAND, detail, part))
    return found


def _nodes(errors: Errors, times: Times | None) -> list[Node]:
    found = []
    for site, tally in errors.tallies.items():
        found.append(_node(site, tally, errors, times))
    return found


def _node(site: Site, tally: Tally, errors: Errors, times: Times | None) -> Node:
    whole = sum(each.alone for each in errors.tallies.values())
    name = str(site.node.target)
    operands = [
        Operand(argument, decibels(signal, own), decibels(signal, arrived))
        for argument, (signal, own, arrived) in tally.operands.items()
    ]
    us = None
    if times is not None:
        us = (times.borders if name == QUANTIZE else times.rows).get(site.row)
    return Node(
        row=site.row,
        value=site.value.name,
        op=name.removesuffix(".default"),
        is_rounding=site.is_rounding,
        here=decibels(tally.signal, tally.here),
        inherited=decibels(tally.signal, tally.inherited),
        total=decibels(tally.signal, tally.total),
        share=causes.share(tally.alone, whole),
        us=us,
        operands=operands,
    )
