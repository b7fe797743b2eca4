"""Tables of docs/performance.md, from the JSON files of the benchmarks.

    python -m benchmark.report build/bench                                  # prints them
    python -m benchmark.report build/bench --write docs/performance.md      # puts them in place

A table lies between `<!-- table: name -->` and `<!-- end -->` in the document. A table without its
JSON file is left unchanged.
"""

import argparse
import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path

from benchmark.growth import cliffs
from benchmark.plots import EAGER, REFERENCE, best_peer, kernel_shares, low_deciles

Table = list[list[str]]
COLUMNS = {
    REFERENCE: "qnative TorchScript",
    EAGER: "qnative eager",
    "fp32 eager": "fp32",
    "fp32 torch.compile": "fp32 compiled",
    "torch int8": "torch int8",
    "torchao int8 compiled": "torchao compiled",
    "onnxruntime int8": "onnxruntime",
    "OpenVINO int8": "OpenVINO",
}
ACCURACY = {
    "agreement": lambda v: f"{100 * v:.1f} %",
    "sqnr_db": lambda v: f"{v:.1f} dB",
    "mean_cosine": lambda v: f"{v:.4f}",
    "min_cosine": lambda v: f"{v:.3f}",
    "max_difference": lambda v: f"{v:.4f}",
}


def markdown(table: Table) -> str:
    head, *rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def geometric_mean(rows: list[dict], key: str) -> float:
    return statistics.geometric_mean(row[key] for row in rows)


def models(results: dict, threads: Callable[[dict], str]) -> Table:
    """Milliseconds (ratio to qnative TorchScript); in the last column the best peer's ratio."""
    table = [["", *COLUMNS.values(), "best peer"]]
    for network, by_threads in results.items():
        row = by_threads[threads(by_threads)]
        low = low_deciles(row)
        base, fastest = low[REFERENCE], min(low.values())
        cells = []
        for name in COLUMNS:
            if name not in row:
                cells.append("")
            elif name not in low:
                cells.append("fails")
            else:
                time = digits(low[name])
                time = f"**{time}**" if low[name] == fastest else time
                cells.append(time if name == REFERENCE else f"{time} ({low[name] / base:.2f})")
        best = best_peer(row)
        table.append([network, *cells, f"{low[best] / base:.2f} ({COLUMNS.get(best, best)})"])
    return table


def failures(results: dict) -> Table:
    """Each reason once, with its networks."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for network, by_threads in results.items():
        for name, row in by_threads["1"].items():
            if "reason" in row:
                reasons.setdefault((name, row["reason"]), []).append(network)
    rows = [[name, ", ".join(networks), why] for (name, why), networks in reasons.items()]
    return [["", "network", "reason"], *rows]


def accuracy(results: dict) -> Table:
    names = [name for name in COLUMNS if name not in ("fp32 eager", EAGER)]
    table = [["", *(COLUMNS[name] for name in names)]]
    for network, by_threads in results.items():
        cells = []
        for name in names:
            row = by_threads["1"].get(name, {})
            cells.append(", ".join(text(row[key]) for key, text in ACCURACY.items() if key in row))
        table.append([network, *cells])
    return table


def kernels(report: dict) -> Table:
    """Matrix products by instruction set, in percent of the peak (one row: of reading speed)."""
    titles = {
        "amx_int8": "AMX",
        "avx512_vnni": "AVX-512 VNNI",
        "avx_vnni": "AVX-VNNI",
        "avx2": "AVX2 (exact)",
    }
    by_isa = {}
    for isa, title in titles.items():
        shares = kernel_shares(report, isa)
        products = shares["%peak"] | shares["%read"]
        if products:
            by_isa[title] = products
    table = [["product", *by_isa]]
    for name in next(iter(by_isa.values())):
        if name.startswith("gemm "):
            layer = name.removeprefix("gemm ").replace("/", " ")
            table.append([layer, *(f"{shares[name]:.0f} %" for shares in by_isa.values())])
    return table


def op_means(results: list[dict]) -> Table:
    """Geometric mean of each op, and its slowest shape relative to torch."""
    table = [["op", "shapes", "best torch", "slowest shape", "best peer", "fp32", "% of the limit"]]
    for op in dict.fromkeys(row["op"] for row in results):
        rows = [row for row in results if row["op"] == op]
        least = min(row["best_torch_over_qnative"] for row in rows)
        shares = [row["percent_of_limit"] for row in rows if row["percent_of_limit"] is not None]
        table.append(
            [
                op,
                str(len(rows)),
                f"{geometric_mean(rows, 'best_torch_over_qnative'):.2f}",
                f"{least:.2f}",
                f"{geometric_mean(rows, 'best_peer_over_qnative'):.2f}",
                f"{geometric_mean(rows, 'fp32_over_qnative'):.2f}",
                " to ".join(dict.fromkeys(f"{f(shares):.0f}" for f in (min, max) if shares)),
            ]
        )
    return table


def layers(results: list[dict], ops: tuple[str, ...] = ("conv2d", "linear")) -> Table:
    table = [["op", "shape", "us", "% of the limit", "best torch", "best peer"]]
    for row in results:
        if row["op"] not in ops:
            continue
        share = row["percent_of_limit"]
        table.append(
            [
                row["op"],
                row["shape"],
                digits(1e3 * row["latencies"]["qnative"]["low_decile_ms"]),
                "" if share is None else f"{share:.0f}",
                *(
                    f"{row[f'{best}_over_qnative']:.2f} ({row[best].removeprefix('torch ')})"
                    for best in ("best_torch", "best_peer")
                ),
            ]
        )
    return table


def calls(rows: list[dict]) -> Table:
    names = ("qnative", "torch int8", "fp32")
    table = [["from", "op", *names]]
    for row in sorted(rows, key=lambda row: ("C++", "TorchScript", "Python").index(row["way"])):
        cells = (f"{row[name]:.2f} us" if name in row else "" for name in names)
        table.append([row["way"], row["op"], *cells])
    return table


def programs(results: dict[str, dict]) -> Table:
    """Program beside TorchScript; the calls of 16 threads on one program, divided by those of 16
    threads with a program each."""
    loads = ("load, TorchScript", "load, Program")
    table = [["", "TorchScript", "Program", "ratio", *loads, "planned memory", "16 threads"]]
    for name, row in results.items():
        ratio = row["program_us"] / row["torchscript_us"]
        times = (f"{digits(row[f'{way}_us'])} us" for way in ("torchscript", "program"))
        loads = tuple(f"{row[f'{way}_load_ms']:.1f} ms" for way in ("torchscript", "program"))
        shared = row["shared_calls_s"] / row["copies_calls_s"]
        planned = f"{row['arena_bytes'] / 1e3:.1f} kB"
        table.append([name, *times, f"{ratio:.2f}", *loads, planned, f"{shared:.2f}"])
    return table


def growth(results: dict[str, list[dict]]) -> Table:
    """Sizes that cost more per operation than both neighbours."""
    table = [["", "sizes", "cliffs of qnative", "cliffs of torch"]]
    for name, points in results.items():
        found = (
            ", ".join(f"{size} ({ratio:.2f})" for size, ratio in cliffs(points, kind)) or "none"
            for kind in ("qnative", "torch")
        )
        table.append([name, f"{points[0]['size']} to {points[-1]['size']}", *found])
    return table


def most_threads(by_threads: dict) -> str:
    return max(by_threads, key=int)


# Name in the document -> (JSON file, function that makes the table).
TABLES: dict[str, tuple[str, Callable[[object], Table]]] = {
    "models": ("models", lambda results: models(results, lambda _: "1")),
    "models, all cores": ("models", lambda results: models(results, most_threads)),
    "accuracy": ("models", accuracy),
    "failures": ("models", failures),
    "kernels": ("kernels", kernels),
    "ops": ("ops", op_means),
    "layers": ("ops", layers),
    "ops, AVX-512": ("ops_avx512", op_means),
    "ops, AVX-VNNI": ("ops_avx_vnni", op_means),
    "ops, AVX2": ("ops_avx2", op_means),
    "calls": ("calls", calls),
    "growth": ("growth", growth),
    "programs": ("programs", programs),
}


def make_tables(folder: Path) -> dict[str, str]:
    """The tables whose JSON files exist."""
    tables = {}
    for name, (source, make) in TABLES.items():
        file = folder / f"{source}.json"
        if file.exists():
            tables[name] = markdown(make(json.loads(file.read_text())))
    return tables


def put(document: str, tables: dict[str, str]) -> str:
    def replacement(match: re.Match) -> str:
        name = match[1]
        if name not in TABLES:
            raise ValueError(f"no table is called {name!r}")
        if name not in tables:
            return match[0]
        return f"<!-- table: {name} -->\n{tables[name]}\n<!-- end -->"

    return re.sub(r"<!-- table: (.*?) -->\n.*?<!-- end -->", replacement, document, flags=re.S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path, help="the document whose tables are replaced")
    args = parser.parse_args()
    tables = make_tables(args.folder)
    if args.write:
        args.write.write_text(put(args.write.read_text(), tables))
        print(f"{args.write}: {', '.join(tables)}")
        return
    for name, table in tables.items():
        print(f"\n{name}\n\n{table}")


if __name__ == "__main__":
    main()
