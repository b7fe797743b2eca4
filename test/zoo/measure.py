"""Quantizes one model of the zoo in a process of its own: python -m zoo.measure NAME FILE."""

import argparse
import json
import statistics
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

import qnative
from benchmark.timing import interleaved, threads
from qnative.calibration.measure import Measure
from qnative.graph.export import export
from qnative.report import FLOAT, FUSED, POOR, QUANTIZED
from zoo.entry import Entry, Plain
from zoo.macs import macs
from zoo.packages import prepare
from zoo.record import RECIPES
from zoo.table import ENTRIES

BATCH, CALIBRATION, EVALUATION = 2, 8, 2
ROUNDS = 7
# A part below POOR dB is a silent error where torchao's is better by this, and no note names it.
MARGIN = 5.0


def measure(entry: Entry, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The record of a model. `save` gets what is known before each stage, in case it crashes."""
    record: dict[str, Any] = {"name": entry.name, "recipes": {}}

    def stage(name: str) -> None:
        save(record | {"stage": name})

    stage("build")
    model = entry.build()
    record["parameters"] = sum(p.numel() for p in model.parameters())
    for recipe in RECIPES:
        stage(f"{recipe}: quantize")
        record["recipes"][recipe] = result = {}
        try:
            quantized, sizes = _quantize(entry, model, recipe)
        except Exception as error:
            result["error"] = _text(error)
            continue
        result |= _quality(quantized.report) | {"sizes": sizes}
        stage(f"{recipe}: macs")
        _attempt(result, "int8_share", lambda s=sizes, q=quantized: _share(entry, model, s, q))
        stage(f"{recipe}: torchao")
        _attempt(result, "torchao", lambda r=recipe: _torchao(entry, model, r))
        result["silent"] = _silent(result, quantized.report.notes)
        stage(f"{recipe}: deployments")
        result["equal"], traced = _deployments(entry, quantized, recipe, stage)
        stage(f"{recipe}: speed")
        _attempt(result, "speedup", lambda f=traced or quantized: _speedup(entry, model, f))
    record["cpu_seconds"] = round(time.process_time(), 1)
    return record


def _text(error: BaseException) -> str:
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0][:300] if first else ''}"


def _attempt(result: dict[str, Any], key: str, function: Callable[[], Any]) -> None:
    try:
        result[key] = function()
    except Exception as error:
        result[key] = None
        result[f"{key}_error"] = _text(error)


def _batches(entry: Entry, first_seed: int, count: int) -> list[tuple[torch.Tensor, ...]]:
    return [entry.draw(BATCH, first_seed + i) for i in range(count)]


def _quantize(entry: Entry, model: Plain, recipe: str) -> tuple[qnative.QuantizedModule, str]:
    """The model with all sizes open that the entry names, or its batch alone if it cannot."""
    data = {
        "calibration": _batches(entry, 1000, CALIBRATION) if recipe == "static" else None,
        "evaluation": _batches(entry, 2000, EVALUATION),
        "recipe": recipe,
    }
    inputs = entry.draw(BATCH, 0)
    if entry.has_other_size:
        try:
            shapes = entry.open_sizes()
            return qnative.quantize(model, inputs, dynamic_shapes=shapes, **data), "open"
        except RuntimeError as error:
            if "torch.export rejects" not in str(error):
                raise
    return qnative.quantize(model, inputs, **data), "batch"


def _quality(report: qnative.Report) -> dict[str, Any]:
    floats = Counter((row.op, row.reason) for row in report.float_rows)
    return {
        "rows": {verdict: report.count(verdict) for verdict in (QUANTIZED, FUSED, FLOAT)},
        "float": [[op, reason, count] for (op, reason), count in floats.most_common()],
        "notes": report.notes,
        "sqnr": _sqnr(report.outputs),
    }


def _sqnr(outputs: list[Any]) -> dict[str, float | None]:
    """Decibels of each output and part; integers by the share that is equal, as "... equal"."""
    found: dict[str, float | None] = {}
    for output in outputs:
        if output.sqnr is None:
            found[f"{output.name} equal"] = output.agreement
            continue
        found[output.name] = output.sqnr
        found |= {f"{output.name}{place}": value for place, value in output.parts.items()}
    return found


def _share(entry: Entry, model: Plain, sizes: str, quantized: qnative.QuantizedModule) -> float:
    shapes = entry.open_sizes() if sizes == "open" else "batch"
    exported = export(model, entry.draw(BATCH, 0), shapes, "zoo").module
    counts = macs(exported)
    verdicts = {row.name: row.verdict for row in quantized.report.rows}
    if missing := counts.keys() - verdicts.keys():
        raise LookupError(f"no row for {', '.join(sorted(missing))}")
    int8 = sum(n for name, n in counts.items() if verdicts[name] in (QUANTIZED, FUSED))
    return int8 / max(sum(counts.values()), 1)


def _torchao(entry: Entry, model: Plain, recipe: str) -> dict[str, float | None]:
    """The same decibels of torchao's simulated quantization for x86."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    quantizer = X86InductorQuantizer()
    quantizer.set_global(
        get_default_x86_inductor_quantization_config(is_dynamic=recipe == "dynamic")
    )
    with torch.no_grad():
        exported = torch.export.export(model, entry.draw(BATCH, 0)).module(check_guards=False)
        compared = Measure(export(model, entry.draw(BATCH, 0), None, "zoo").module.graph)
        for inputs in _batches(entry, 2000, EVALUATION):
            compared.keep(inputs, {}, model(*inputs))
        prepared = prepare_pt2e(exported, quantizer)
        for inputs in _batches(entry, 1000, CALIBRATION if recipe == "static" else 1):
            prepared(*inputs)
        return _sqnr(compared.compare(convert_pt2e(prepared)))


def _silent(result: dict[str, Any], notes: list[str]) -> list[str]:
    """The outputs and parts that are poor without a note, though torchao has them right."""
    peer = result.get("torchao") or {}
    return [
        name
        for name, value in result["sqnr"].items()
        if value is not None
        and not name.endswith(" equal")
        and value < POOR
        and (peer.get(name) or 0) > value + MARGIN
        and not any(name in note for note in notes)
    ]


def _deployments(
    entry: Entry, quantized: qnative.QuantizedModule, recipe: str, stage: Callable[[str], None]
) -> tuple[dict[str, str], Any]:
    """Whether each deployment gives the bits of eager mode, by its name; and the traced module."""
    inputs = entry.draw(BATCH, 0)
    calls = {"": inputs, ", other batch": entry.draw(BATCH + 1, 1)}
    if entry.has_other_size:
        calls[", other size"] = entry.draw(BATCH, 2, other=True)
    wanted: dict[str, Any] = {}
    equal: dict[str, str] = {}
    for call, arguments in calls.items():
        try:
            with torch.no_grad():
                wanted[call] = quantized(*arguments)
        except Exception as error:
            equal[f"eager{call}"] = _text(error)
    makers = {"trace": _trace, "export": _export, "Program": _program}
    traced = None
    for name, make in makers.items():
        stage(f"{recipe}: {name}")
        try:
            function = make(quantized, entry, inputs)
        except Exception as error:
            equal[name] = _text(error)
            continue
        traced = function if name == "trace" else traced
        for call, want in wanted.items():
            stage(f"{recipe}: {name}{call}")
            try:
                with torch.no_grad():
                    equal[f"{name}{call}"] = _compare(function(*calls[call]), want)
            except Exception as error:
                equal[f"{name}{call}"] = _text(error)
    return equal, traced


def _trace(quantized: qnative.QuantizedModule, entry: Entry, inputs: Any) -> Any:
    with torch.no_grad():
        return torch.jit.trace(quantized, inputs, check_trace=False)


def _exported(quantized: qnative.QuantizedModule, entry: Entry, inputs: Any) -> Any:
    """With the sizes open that the quantized module has open."""
    shapes = tuple(each.open_sizes for each in entry.inputs)
    with torch.no_grad():
        return torch.export.export(quantized, inputs, dynamic_shapes=shapes)


def _export(quantized: qnative.QuantizedModule, entry: Entry, inputs: Any) -> Any:
    return _exported(quantized, entry, inputs).module()


def _program(quantized: qnative.QuantizedModule, entry: Entry, inputs: Any) -> Any:
    return qnative.Program(_exported(quantized, entry, inputs))


def _compare(got: Any, want: Any) -> str:
    pairs = zip(pytree.tree_leaves(got), pytree.tree_leaves(want), strict=True)
    same = all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)
    return "equal" if same else "differs"


def _speedup(entry: Entry, model: Plain, quantized: Any) -> float:
    """Over eager fp32, batch 1, one thread, as the median of alternating rounds."""
    inputs = entry.draw(1, 3)
    with torch.no_grad(), threads(1):
        functions = {"float": lambda: model(*inputs), "int8": lambda: quantized(*inputs)}
        times = interleaved(functions, ROUNDS)
    return statistics.median(a / b for a, b in zip(times["float"], times["int8"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=ENTRIES)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    prepare()

    def save(record: dict[str, Any]) -> None:
        # Replaced as a whole: the process may be killed at any time.
        unfinished = arguments.file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(record, indent=1))
        unfinished.replace(arguments.file)

    try:
        save(measure(ENTRIES[arguments.name], save))
    except Exception as error:
        traceback.print_exc()
        known = json.loads(arguments.file.read_text())
        save(known | {"error": _text(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()
