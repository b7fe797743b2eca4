"""qnative's ops beside torch's int8 engines, onnxruntime, OpenVINO and fp32.

Shapes are those of benchmark/shapes; onnx_ops.py says what the times of the two runtimes include.
The limit of one thread is the peak of int8 products or the speed of copying as many bytes.

    python -m benchmark.ops --threads 1 --filter conv2d
    python -m benchmark.ops --isa avx2

--isa: limits torch and qnative to an instruction set. With avx2 torch's engines saturate in int16;
qnative stays exact. onnxruntime and OpenVINO have no such switch and are left out.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import warnings
from pathlib import Path

import torch
from tqdm import tqdm

from benchmark import onnx_ops
from benchmark.cases.case import Case
from benchmark.cases.table import all_cases
from benchmark.limits import Limits
from benchmark.limits import measure as measure_limits
from benchmark.timing import interleaved, summary, threads

# ATen, oneDNN and FBGEMM read these once, when they are loaded.
ENVIRONMENTS = {
    "avx2": {
        "QNATIVE_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx_vnni": {
        "QNATIVE_ISA": "avx_vnni",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2_VNNI",
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx512_vnni": {
        "QNATIVE_ISA": "avx512_vnni",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
    },
}

HEADER = (
    f"{'op':22s} {'shape':38s} {'qnative':>9s} {'Gop/s':>7s} {'% limit':>7s} "
    f"{'best torch int8':>26s} {'ratio':>6s} {'best peer':>26s} {'ratio':>6s} {'fp32':>9s} "
    f"{'ratio':>6s}"
)


def measure(case: Case, rounds: int, limits: Limits | None = None) -> dict:
    """limits: those of one core if the case runs on one thread, else None."""
    timed = {k: summary(v) for k, v in interleaved(case.functions, rounds).items()}
    low = {name: row["low_decile_ms"] for name, row in timed.items()}
    peers = [name for name in low if name not in ("qnative", "fp32")]
    best_torch = min((name for name in peers if name.startswith("torch")), key=low.get)
    best_peer = min(peers, key=low.get)
    return {
        "op": case.op,
        "shape": case.name,
        "gops": case.operations / low["qnative"] / 1e6,
        "limit": case.limit,
        "percent_of_limit": limits.share(case, low["qnative"]) if limits else None,
        "best_torch": best_torch,
        "best_torch_over_qnative": low[best_torch] / low["qnative"],
        "best_peer": best_peer,
        "best_peer_over_qnative": low[best_peer] / low["qnative"],
        "fp32_over_qnative": low["fp32"] / low["qnative"],
        "latencies": timed,
    }


def line(result: dict) -> str:
    low = {name: row["low_decile_ms"] for name, row in result["latencies"].items()}
    share = result["percent_of_limit"]
    rivals = " ".join(
        f"{result[best]:>16s} {low[result[best]]:6.3f} ms {result[f'{best}_over_qnative']:6.2f}"
        for best in ("best_torch", "best_peer")
    )
    return (
        f"{result['op']:22s} {result['shape']:38s} {low['qnative']:6.3f} ms {result['gops']:7.1f} "
        f"{'-' if share is None else f'{share:.0f}':>7s} {rivals} "
        f"{low['fp32']:6.3f} ms {result['fp32_over_qnative']:6.2f}"
    )


def print_means(results: list[dict]) -> None:
    for op in dict.fromkeys(result["op"] for result in results):
        rows = [r for r in results if r["op"] == op]
        torch_mean, peer_mean = (
            statistics.geometric_mean(r[f"{best}_over_qnative"] for r in rows)
            for best in ("best_torch", "best_peer")
        )
        print(
            f"{op:22s} x{len(rows)}: {torch_mean:.2f} times as fast as the best torch int8 engine, "
            f"{peer_mean:.2f} as the best peer"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="0: all cores")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--filter", default="", help="only ops whose name or shape contains this")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    parser.add_argument("--isa", choices=ENVIRONMENTS, help="no more than this instruction set")
    args = parser.parse_args()
    if args.isa and not ENVIRONMENTS[args.isa].items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmark.ops", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ENVIRONMENTS[args.isa])
    warnings.filterwarnings("ignore")  # torch deprecates its quantized dtypes
    torch.manual_seed(0)
    results = []
    limits = measure_limits(isa=args.isa) if args.threads == 1 else None
    left_out = onnx_ops.left_out() if args.isa else contextlib.nullcontext()
    print(f"low decile of {args.rounds} interleaved rounds; ratio: to qnative's time")
    print(HEADER)
    with torch.inference_mode(), threads(args.threads or os.cpu_count()), left_out:
        for make in tqdm(list(all_cases()), leave=False, disable=None):
            case = make()
            if args.filter in f"{case.op} {case.name}":
                results.append(measure(case, args.rounds, limits))
                tqdm.write(line(results[-1]))
    print_means(results)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
