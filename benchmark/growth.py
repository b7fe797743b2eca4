"""Time against the size: rows, inner size and columns of linear, batch, and length of sequences.

    python -m benchmark.growth --output build/bench/growth.json

One pinned thread, low decile of interleaved rounds, qnative and the fastest engine of torch at each
size. A cliff is a size whose cost per operation exceeds that of both neighbouring sizes.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from benchmark import onnx_ops
from benchmark.cases import conv, products
from benchmark.cases.case import Case
from benchmark.timing import interleaved, summary, threads

STEEP = 1.3
# Below this multiple of a sweep's fastest time, the fixed cost of a call dominates.
FIXED_COST = 2
KINDS = ("qnative", "torch")


def around_powers(largest: int) -> list[int]:
    """1, powers of two, midpoints between them, and the neighbours of both."""
    middles = [m for bits in range(1, largest.bit_length()) for m in (1 << bits, 3 << bits >> 1)]
    sizes = {size + step for size in middles for step in (-1, 0, 1)}
    return sorted(size for size in sizes | {1, largest} if 1 <= size <= largest)


@dataclass(frozen=True)
class Sweep:
    make: Callable[[int], Case]
    sizes: list[int]


SWEEPS = {
    "linear, rows": Sweep(
        lambda m: products.linear(m, 384, 384), [*around_powers(130), 53, 71, 113]
    ),
    "linear, inner size": Sweep(lambda k: products.linear(16, k, 256), around_powers(4200)),
    "linear, columns": Sweep(lambda n: products.linear(16, 256, n), around_powers(4200)),
    "conv2d, batch": Sweep(
        lambda batch: conv.conv2d(batch, 64, 14, 14, 64, 3, 1, 1, 1), around_powers(64)
    ),
    "linear_dynamic, tokens": Sweep(
        lambda tokens: products.linear_dynamic(tokens, 384, 384), around_powers(515)
    ),
    "lstm, steps": Sweep(lambda steps: products.lstm(steps, 1, 256), around_powers(100)),
}


def measure(sweep: Sweep, rounds: int, title: str = "") -> list[dict]:
    """A row per size: size, operations, milliseconds per call of qnative and of torch."""
    points = []
    for size in tqdm(sorted(sweep.sizes), title, leave=False, disable=None):
        with onnx_ops.left_out():
            case = sweep.make(size)
        case.functions.pop("fp32")
        low = {
            name: summary(values)["low_decile_ms"]
            for name, values in interleaved(case.functions, rounds).items()
        }
        mine = low.pop("qnative")
        points.append(
            {
                "size": size,
                "operations": case.operations,
                "qnative": mine,
                "torch": min(low.values()),
                "engine": min(low, key=low.get),
            }
        )
    return points


def costs(points: list[dict], kind: str) -> list[float]:
    """Picoseconds per operation."""
    return [1e9 * point[kind] / point["operations"] for point in points]


def cliffs(points: list[dict], kind: str) -> list[tuple[int, float]]:
    """(size, its cost over the larger cost of its two neighbours) of every cliff."""
    cost = costs(points, kind)
    least = FIXED_COST * min(point[kind] for point in points)
    found = []
    for i in range(1, len(points) - 1):
        ratio = cost[i] / max(cost[i - 1], cost[i + 1])
        if ratio > STEEP and points[i][kind] >= least:
            found.append((points[i]["size"], ratio))
    return found


def print_cliffs(results: dict[str, list[dict]]) -> None:
    for name, points in results.items():
        for kind in KINDS:
            found = ", ".join(f"{size} ({ratio:.2f}x)" for size, ratio in cliffs(points, kind))
            print(f"{name:24s} {kind:8s} cliffs: {found or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/bench/growth.json"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--filter", default="", help="only sweeps whose name contains this")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # torch deprecates its quantized dtypes
    torch.manual_seed(0)
    with torch.inference_mode(), threads(1):
        results = {
            name: measure(sweep, args.rounds, name)
            for name, sweep in SWEEPS.items()
            if args.filter in name
        }
    print_cliffs(results)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
