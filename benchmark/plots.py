"""Pictures of what the benchmarks measured (pip install matplotlib).

    build/release/benchmark/benchmark_kernels --benchmark_out=build/bench/kernels.json
    python -m benchmark.models --output build/bench/models.json
    python -m benchmark.growth --output build/bench/growth.json
    python -m benchmark.plots build/bench

models.png: a group of bars for each network, low deciles over qnative's TorchScript, one thread.
kernels.png: how close every kernel of the best ISA comes to the limit of the machine.
roofline.png: operations a second of the kernels that multiply, against operations a byte.
growth.png: cost of an operation against the size.
"""

import argparse
import importlib.util
import json
from pathlib import Path

from benchmark.growth import KINDS, costs
from benchmark.limits import read as limit_rows

REFERENCE = "qnative TorchScript"
LIMITS = ("%peak", "%read", "%copy")


def model_ratios(results: dict) -> dict[str, dict[str, float]]:
    """Network -> competitor -> its low decile over that of qnative, from models.json."""
    ratios = {}
    for network, by_threads in results.items():
        row = by_threads["1"]
        base = row[REFERENCE]["low_decile_ms"]
        ratios[network] = {name: values["low_decile_ms"] / base for name, values in row.items()}
    return ratios


def best_isa(report: dict) -> str:
    isas = {row["name"].split("/")[1] for row in report["benchmarks"] if "/" in row["name"]}
    return next(isa for isa in ("avx512_vnni", "avx2", "scalar") if isa in isas)


def kernel_shares(report: dict) -> dict[str, dict[str, float]]:
    """Limit -> kernel and shape -> percent of it, of the best ISA that ran."""
    best = best_isa(report)
    shares = {limit: {} for limit in LIMITS}
    for row in report["benchmarks"]:
        if f"/{best}/" in row["name"]:
            for limit in LIMITS:
                if limit in row:
                    shares[limit][row["name"].replace(f"/{best}/", " ")] = row[limit]
    return shares


def roofline(report: dict) -> dict[str, list[tuple[float, float]]]:
    """Kernel of the best ISA -> operations a byte and a second, of each of its shapes."""
    best, points = best_isa(report), {}
    for row in report["benchmarks"]:
        if f"/{best}/" in row["name"] and "ops" in row:
            point = (row["ops"] / row["bytes"], row["ops"] / row["best_us"] * 1e6)
            points.setdefault(row["name"].split("/")[0], []).append(point)
    return points


def draw_models(ratios: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib import pyplot

    names = [n for n in next(iter(ratios.values())) if n != REFERENCE]
    figure, axes = pyplot.subplots(figsize=(12, 5))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        places = [x + i * width for x in range(len(ratios))]
        axes.bar(places, [row.get(name, 0) for row in ratios.values()], width, label=name)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks([x + 0.4 for x in range(len(ratios))], ratios, rotation=15, ha="right")
    axes.set_ylabel("time / qnative's")
    axes.set_yscale("log")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def draw_kernels(shares: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib import pyplot

    rows = max(len(values) for values in shares.values())
    figure, panels = pyplot.subplots(1, len(LIMITS), figsize=(18, 2 + 0.18 * rows))
    for axes, (limit, values) in zip(panels, shares.items(), strict=True):
        axes.barh(list(values), list(values.values()))
        axes.axvline(100, color="black", linewidth=1)
        axes.set_title(limit)
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    figure.savefig(path)


def draw_roofline(report: dict, path: Path) -> None:
    """Bandwidths are those of copying, from the smallest cache to memory."""
    from matplotlib import pyplot

    limits = limit_rows(report)
    peak = limits.dot
    figure, axes = pyplot.subplots(figsize=(10, 7))
    intensities = [2.0**exponent for exponent in range(-2, 13)]
    for size in (16 << 10, 512 << 10, 8 << 20, 64 << 20):
        roof = [min(peak, limits.copy[size] * x) / 1e9 for x in intensities]
        axes.plot(intensities, roof, linewidth=1, label=f"copying {size >> 10} KiB")
    for kernel, points in roofline(report).items():
        x, y = zip(*points, strict=True)
        axes.scatter(x, [value / 1e9 for value in y], label=kernel)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("operations a byte")
    axes.set_ylabel("Gop/s")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def draw_growth(results: dict[str, list[dict]], path: Path) -> None:
    from matplotlib import pyplot

    columns = 2
    rows = -(-len(results) // columns)
    figure, panels = pyplot.subplots(rows, columns, figsize=(14, 4 * rows), squeeze=False)
    for axes, (name, points) in zip(panels.flat, results.items(), strict=False):
        for kind in KINDS:
            sizes = [point["size"] for point in points]
            axes.plot(sizes, costs(points, kind), marker=".", linewidth=1, label=kind)
        axes.set_title(name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylabel("ps an operation")
        axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if importlib.util.find_spec("matplotlib") is None:
        print("no plots: matplotlib is not installed")
        return
    for name, source, draw in (
        ("models", "models", lambda report, path: draw_models(model_ratios(report), path)),
        ("kernels", "kernels", lambda report, path: draw_kernels(kernel_shares(report), path)),
        ("roofline", "kernels", draw_roofline),
        ("growth", "growth", draw_growth),
    ):
        file = folder / f"{source}.json"
        if file.exists():
            draw(json.loads(file.read_text()), folder / f"{name}.png")
            print(folder / f"{name}.png")
        else:
            print(f"{file} is not there")


if __name__ == "__main__":
    main()
