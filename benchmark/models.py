"""EfficientNet-lite0, batch 1: qnative beside fp32 eager and the int8 of onnxruntime and OpenVINO.

    python -m benchmark.models --output build/bench/models.json

All run interleaved in one process on one pinned thread, and in a second process on all cores.
onnxruntime and OpenVINO are left out with a message where they are not installed
(pip install onnx onnxruntime openvino).
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

import qnative
from benchmark import peers
from benchmark.timing import interleaved, summary, threads
from examples.efficientnet import data, metrics

FP32, REFERENCE = "fp32 eager", "qnative TorchScript"


def prepare(folder: Path) -> None:
    """Everything that is measured, as files: qnative.pt, qnative.pt2, int8.onnx, evaluation.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    model = data.load_model()
    calibration, evaluation = data.make_crops()
    example = evaluation[:1]
    quantized = qnative.quantize(model, (example,), list(calibration.split(8)))
    with torch.inference_mode():
        torch.jit.save(torch.jit.trace(quantized, example), folder / "qnative.pt")
    torch.export.save(torch.export.export(quantized, (example,)), folder / "qnative.pt2")
    torch.save(evaluation, folder / "evaluation.pt")
    try:
        peers.write_onnx(model, calibration, folder)
    except ImportError as error:
        (folder / "int8.onnx").unlink(missing_ok=True)
        print(f"onnxruntime and OpenVINO are left out: {error}")


def make_competitors(folder: Path, thread_count: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Name -> function from one image to its logits."""
    competitors = {
        FP32: data.load_model(),
        "qnative eager": torch.export.load(folder / "qnative.pt2").module(),
        REFERENCE: torch.jit.load(folder / "qnative.pt"),
    }
    if (folder / "int8.onnx").exists():
        for name, make in {"onnxruntime": peers.onnxruntime, "OpenVINO": peers.openvino}.items():
            try:
                competitors[f"{name} int8"] = make(folder / "int8.onnx", thread_count)
            except ImportError as error:
                print(f"{name} is left out: {error}")
    return competitors


def measure(folder: Path, thread_count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Name -> latencies, agreement and SQNR against fp32 eager."""
    evaluation = torch.load(folder / "evaluation.pt")
    with torch.inference_mode(), threads(thread_count):
        competitors = make_competitors(folder, thread_count)
        runs = {name: lambda f=f: f(evaluation[:1]) for name, f in competitors.items()}
        latencies = interleaved(runs, rounds, f"{thread_count} threads")
        logits = {
            name: torch.cat([function(crop) for crop in evaluation.split(1)])
            for name, function in competitors.items()
        }
    results = {name: summary(values) for name, values in latencies.items()}
    for name in set(competitors) - {FP32}:
        results[name]["agreement"] = metrics.agreement(logits[FP32], logits[name])
        results[name]["sqnr_db"] = metrics.sqnr(logits[FP32], logits[name])
    return results


def measure_apart(*args) -> dict[str, dict[str, float]]:
    """In a process of its own: thread pools keep the size and the cores they started with."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *args).result()


def print_table(thread_count: int, results: dict[str, dict[str, float]]) -> None:
    print(f"\n{'1 pinned thread' if thread_count == 1 else f'{thread_count} threads'}")
    print(
        f"{'':22s} {'median':>11s} {'low decile':>11s} {'to qnative':>10s} {'top-1':>8s} "
        f"{'SQNR':>9s}"
    )
    reference = results[REFERENCE]["low_decile_ms"]
    for name, row in results.items():
        accuracy = ""
        if name != FP32:
            accuracy = f"{100 * row['agreement']:6.1f} % {row['sqnr_db']:6.2f} dB"
        print(
            f"{name:22s} {row['median_ms']:8.2f} ms {row['low_decile_ms']:8.2f} ms "
            f"{row['low_decile_ms'] / reference:9.2f}x {accuracy}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/bench/models.json"))
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    folder = args.output.parent / "models"
    prepare(folder)
    results = {}
    for thread_count in dict.fromkeys((1, os.cpu_count())):
        results[thread_count] = measure_apart(folder, thread_count, args.rounds)
        print_table(thread_count, results[thread_count])
    args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
