"""qnative's ops beside torch's int8 engines and fp32, on the layers in benchmark/shapes.

python -m benchmark.ops --threads 1 --filter conv2d
"""

import argparse
import json
import math
import os
import warnings
from pathlib import Path

import torch
from tqdm import tqdm

from benchmark import cases
from benchmark.timing import interleaved, summary, threads

HEADER = (
    f"{'op':22s} {'shape':38s} {'qnative':>9s} {'Gop/s':>7s} {'best torch int8':>26s} "
    f"{'ratio':>6s} {'fp32':>9s} {'ratio':>6s}"
)


def measure(case: cases.Case, rounds: int) -> dict:
    timed = {k: summary(v) for k, v in interleaved(case.functions, rounds).items()}
    low = {name: row["low_decile_ms"] for name, row in timed.items()}
    best = min((name for name in low if name.startswith("torch")), key=low.get)
    return {
        "op": case.op,
        "shape": case.name,
        "gops": case.operations / low["qnative"] / 1e6,
        "best_torch": best,
        "best_torch_over_qnative": low[best] / low["qnative"],
        "fp32_over_qnative": low["fp32"] / low["qnative"],
        "latencies": timed,
    }


def line(result: dict) -> str:
    low = {name: row["low_decile_ms"] for name, row in result["latencies"].items()}
    best = result["best_torch"]
    return (
        f"{result['op']:22s} {result['shape']:38s} {low['qnative']:6.3f} ms {result['gops']:7.1f} "
        f"{best:>16s} {low[best]:6.3f} ms {result['best_torch_over_qnative']:6.2f} "
        f"{low['fp32']:6.3f} ms {result['fp32_over_qnative']:6.2f}"
    )


def print_means(results: list[dict]) -> None:
    for op in dict.fromkeys(result["op"] for result in results):
        ratios = [r["best_torch_over_qnative"] for r in results if r["op"] == op]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"{op:22s} x{len(ratios)}: {mean:.2f} times as fast as the best torch int8 engine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="0: all cores")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--filter", default="", help="only ops whose name or shape contains this")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # torch warns that its quantized dtypes are going
    torch.manual_seed(0)
    results = []
    print(f"low decile of {args.rounds} interleaved rounds; ratio: to qnative's time")
    print(HEADER)
    with torch.inference_mode(), threads(args.threads or os.cpu_count()):
        for make in tqdm(list(cases.cases()), leave=False):
            case = make()
            if args.filter in f"{case.op} {case.name}":
                results.append(measure(case, args.rounds))
                tqdm.write(line(results[-1]))
    print_means(results)
    if args.output:
        args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
