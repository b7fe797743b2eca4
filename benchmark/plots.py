"""Plots of the benchmarks, from their JSON files in one folder.

    python -m benchmark.plots build/bench                        # beside the files
    python -m benchmark.plots build/bench --output docs/images

models.png: per network, low deciles relative to the best peer's, one thread.
kernels.png: percent of the machine's limit that each kernel of the best ISA reaches.
roofline.png: operations per second against operations per byte.
growth.png: cost per operation against the size.
"""

import argparse
import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path

from benchmark.growth import KINDS, costs
from benchmark.limits import read as limit_rows
from qnative._info import ISAS

REFERENCE, EAGER = "qnative TorchScript", "qnative eager"
LIMITS = {"%peak": "of the product peak", "%read": "of reading", "%copy": "of copying"}
# Bars above this multiple of the best peer's time are cut and labelled.
LONGEST_BAR = 4
COLORS = {
    "qnative": "tab:blue",
    "fp32": "lightgrey",
    "torch": "tab:orange",
    "torchao": "tab:orange",
    "onnxruntime": "tab:green",
    "OpenVINO": "tab:purple",
}
SIZES = {16 << 10: "L1", 512 << 10: "L2", 8 << 20: "L3", 64 << 20: "memory"}


def low_deciles(row: dict[str, dict]) -> dict[str, float]:
    """Competitor -> milliseconds, without competitors that failed."""
    return {k: v["low_decile_ms"] for k, v in row.items() if "low_decile_ms" in v}


def best_peer(row: dict[str, dict]) -> str:
    """The fastest competitor that is not qnative."""
    low = low_deciles(row)
    return min((name for name in low if name not in (REFERENCE, EAGER)), key=low.get)


def model_ratios(results: dict, threads: str = "1") -> dict[str, dict[str, float]]:
    """Network -> competitor -> its low decile over that of the best peer, from models.json."""
    ratios = {}
    for network, by_threads in results.items():
        low = low_deciles(by_threads[threads])
        base = low[best_peer(by_threads[threads])]
        ratios[network] = {name: value / base for name, value in low.items()}
    return ratios


def rows_of(report: dict, isa: str = "") -> Iterator[tuple[dict, str, str]]:
    """(row, kernel and shape) of one ISA, or of the best ISA of each kernel."""
    rows = [(row, *row["name"].split("/", 2)) for row in report["benchmarks"]]
    rows = [row for row in rows if len(row) == 4 and row[2] in ISAS]
    best = {}
    for _, kernel, candidate, _ in rows:
        best[kernel] = max(candidate, best.get(kernel, candidate), key=ISAS.index)
    for row, kernel, candidate, shape in rows:
        if candidate == (isa or best[kernel]):
            yield row, kernel, shape


def kernel_shares(report: dict, isa: str = "") -> dict[str, dict[str, float]]:
    """Limit -> kernel and shape -> percent of the limit."""
    shares = {limit: {} for limit in LIMITS}
    for row, kernel, shape in rows_of(report, isa):
        for limit in LIMITS:
            if limit in row:
                shares[limit][f"{kernel} {shape}"] = row[limit]
    return shares


def roofline(report: dict) -> dict[str, list[tuple[float, float]]]:
    """Kernel -> (operations per byte, operations per second) of each shape."""
    points = {}
    for row, kernel, _ in rows_of(report):
        if "ops" in row:
            point = (row["ops"] / row["bytes"], row["ops"] / row["best_us"] * 1e6)
            points.setdefault(kernel, []).append(point)
    return points


def save(figure: object, path: Path) -> None:
    """Saves with a palette, which keeps the files in the repository small."""
    from PIL import Image

    figure.tight_layout()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=90)
    Image.open(picture).convert("RGB").quantize(64).save(path, optimize=True)


def plain_numbers(axes: object) -> None:
    """Tick labels without powers of ten; 1, 2 and 5 on the y axis."""
    from matplotlib.ticker import LogLocator

    axes.yaxis.set_minor_locator(LogLocator(10, (2, 5)))
    axes.yaxis.set_minor_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")


def draw_models(ratios: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for row in ratios.values() for name in row))
    names.sort(key=lambda name: (name != REFERENCE, name != EAGER))
    figure, panels = pyplot.subplots(3, 3, figsize=(13, 9), squeeze=False)
    for axes, (network, row) in zip(panels.flat, ratios.items(), strict=False):
        shown = [name for name in names if name in row]
        bars = axes.barh(
            shown,
            [min(row[name], LONGEST_BAR) for name in shown],
            color=[COLORS[name.split()[0]] for name in shown],
        )
        labels = [f"{row[name]:.2f}{'  →' * (row[name] > LONGEST_BAR)}" for name in shown]
        axes.bar_label(bars, labels, padding=3, fontsize=8)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlim(0, LONGEST_BAR * 1.2)
        axes.set_title(network, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels.flat[len(ratios) :]:
        axes.set_visible(False)
    figure.suptitle("Time over the best peer's, one pinned thread (shorter is faster)")
    save(figure, path)


def draw_kernels(shares: dict[str, dict[str, float]], path: Path) -> None:
    """A bar per matrix product; for data movement, a row per kernel with all its shapes."""
    from matplotlib import pyplot

    panels = {limit: {} for limit, values in shares.items() if values}
    for limit, rows in panels.items():
        for name, share in shares[limit].items():
            row = name.split("/", 1)[-1] if limit == "%peak" else name.split(" ")[0]
            rows.setdefault(row.replace("gemm ", ""), []).append(share)
    longest = max(len(rows) for rows in panels.values())
    size = (4.5 * len(panels), 1.5 + 0.19 * longest)
    figure, all_axes = pyplot.subplots(1, len(panels), figsize=size, squeeze=False)
    for axes, (limit, rows) in zip(all_axes.flat, panels.items(), strict=True):
        order = sorted(rows, key=lambda name: -max(rows[name]))
        axes.barh(order, [max(rows[name]) for name in order], height=0.6, color="lightblue")
        for place, name in enumerate(order):
            axes.plot(rows[name], [place] * len(rows[name]), ".", color="tab:blue", markersize=5)
        axes.axvline(100, color="black", linewidth=1)
        axes.set_title(f"percent {LIMITS[limit]}", fontsize=10)
        axes.set_ylim(longest - 0.5, -0.5)
        axes.tick_params(axis="y", labelsize=7.5)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_roofline(report: dict, path: Path) -> None:
    """Bandwidths are copy speeds, from the smallest cache to memory."""
    from matplotlib import pyplot

    limits = limit_rows(report)
    figure, axes = pyplot.subplots(figsize=(9, 6))
    intensities = [2.0**exponent for exponent in range(-2, 13)]
    for size, name in SIZES.items():
        bandwidth = limits.copy[size]
        roof = [min(limits.dot, bandwidth * x) / 1e9 for x in intensities]
        axes.plot(intensities, roof, linewidth=1, color="grey")
        axes.annotate(name, (intensities[0], roof[0]), xytext=(-4, 0), ha="right", va="center",
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.annotate("peak of 8-bit products", (intensities[-1], limits.dot / 1e9), xytext=(0, 5),
                  ha="right", textcoords="offset points", fontsize=8)  # fmt: skip
    for kernel, points in roofline(report).items():
        x, y = zip(*points, strict=True)
        axes.scatter(x, [value / 1e9 for value in y], label=kernel, s=24)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_numbers(axes)
    axes.set_xlabel("operations a byte")
    axes.set_ylabel("Gop/s")
    axes.grid(alpha=0.3)
    axes.legend(title="kernel, a point a shape")
    save(figure, path)


def draw_growth(results: dict[str, list[dict]], path: Path) -> None:
    from matplotlib import pyplot

    columns = 2
    rows = -(-len(results) // columns)
    figure, panels = pyplot.subplots(rows, columns, figsize=(12, 3.2 * rows), squeeze=False)
    for axes, (name, points) in zip(panels.flat, results.items(), strict=False):
        for kind in KINDS:
            sizes = [point["size"] for point in points]
            label = "best torch engine" if kind == "torch" else kind
            axes.plot(sizes, costs(points, kind), marker=".", linewidth=1, label=label)
        axes.set_title(name, fontsize=10)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylabel("ps an operation")
        plain_numbers(axes)
        axes.grid(alpha=0.3)
        axes.legend()
    save(figure, path)


DRAWINGS = {
    "models": ("models", lambda report, path: draw_models(model_ratios(report), path)),
    "kernels": ("kernels", lambda report, path: draw_kernels(kernel_shares(report), path)),
    "roofline": ("kernels", draw_roofline),
    "growth": ("growth", draw_growth),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, help="folder of the pictures, if it is another")
    args = parser.parse_args()
    if importlib.util.find_spec("matplotlib") is None:
        print("no plots: matplotlib is not installed")
        return
    output = args.output or args.folder
    output.mkdir(parents=True, exist_ok=True)
    for name, (source, draw) in DRAWINGS.items():
        file = args.folder / f"{source}.json"
        if file.exists():
            draw(json.loads(file.read_text()), output / f"{name}.png")
            print(output / f"{name}.png")
        else:
            print(f"{file} is not there")


if __name__ == "__main__":
    main()
