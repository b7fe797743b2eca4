"""Pictures of what the benchmarks measured (pip install matplotlib).

    build/release/benchmark/benchmark_kernels --benchmark_out=build/bench/kernels.json
    python -m benchmark.models --output build/bench/models.json
    python -m benchmark.plots build/bench

models.png: a group of bars for each network, low deciles over qnative's TorchScript, one thread.
kernels.png: how close every kernel of the best ISA comes to the limit of the machine.
"""

import argparse
import json
from pathlib import Path

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


def kernel_shares(report: dict) -> dict[str, dict[str, float]]:
    """Limit -> kernel and shape -> percent of it, of the best ISA that ran."""
    isas = {row["name"].split("/")[1] for row in report["benchmarks"] if "/" in row["name"]}
    best = next(isa for isa in ("avx512_vnni", "avx2", "scalar") if isa in isas)
    shares = {limit: {} for limit in LIMITS}
    for row in report["benchmarks"]:
        if f"/{best}/" in row["name"]:
            for limit in LIMITS:
                if limit in row:
                    shares[limit][row["name"].replace(f"/{best}/", " ")] = row[limit]
    return shares


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, read, draw in (
        ("models", model_ratios, draw_models),
        ("kernels", kernel_shares, draw_kernels),
    ):
        file = folder / f"{name}.json"
        if file.exists():
            draw(read(json.loads(file.read_text())), folder / f"{name}.png")
            print(folder / f"{name}.png")
        else:
            print(f"{file} is not there")


if __name__ == "__main__":
    main()
