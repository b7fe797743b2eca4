"""Whole networks: qnative beside fp32, torch's and torchao's int8, onnxruntime and OpenVINO.

    python -m benchmark.models --filter EfficientNet --output build/bench/models.json

All run interleaved in one process on one pinned thread, and in a second process on all cores. A
runtime that is not installed or cannot run a network is replaced by the reason. Accuracy does not
depend on threads: the first process measures it.
"""

import argparse
import json
import multiprocessing
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

import qnative
from benchmark import peers, silero
from benchmark.networks import NETWORKS, Network
from benchmark.timing import interleaved, summary, threads

FP32, REFERENCE = "fp32 eager", "qnative TorchScript"
Run = peers.Run


def quantize(network: Network) -> torch.nn.Module:
    shapes = "batch" if network.open_sizes is None else network.open_sizes
    return qnative.quantize(
        network.model,
        network.inputs,
        network.calibration or None,
        recipe=network.recipe,
        dynamic_shapes=shapes,
    )


def prepare(name: str, folder: Path) -> None:
    """Writes the slow-to-make files once for both processes: qnative.pt, qnative.pt2, int8.onnx."""
    folder.mkdir(parents=True, exist_ok=True)
    network = NETWORKS[name]()
    if network.recipe == "migrate":
        silero.write_torchscript(folder)
    else:
        write_quantized(network, folder)
    (folder / "int8.onnx").unlink(missing_ok=True)
    try:
        if network.recipe == "migrate":
            silero.write_onnx(folder)
        else:
            peers.write_onnx(network, folder)
    except Exception as error:
        print(f"onnxruntime and OpenVINO are left out: {_reason(error)}")


def write_quantized(network: Network, folder: Path) -> None:
    quantized = quantize(network)
    with torch.inference_mode():
        traced = torch.jit.trace(quantized, network.inputs, check_trace=False)
    torch.jit.save(traced, folder / "qnative.pt")
    torch.export.save(torch.export.export(quantized, network.inputs), folder / "qnative.pt2")


def makers(network: Network, folder: Path, thread_count: int) -> dict[str, Callable[[], Run]]:
    if network.recipe == "migrate":
        return silero.makers(folder, thread_count)
    return {
        "fp32 torch.compile": lambda: peers.compiled(network),
        "qnative eager": lambda: torch.export.load(folder / "qnative.pt2").module(),
        REFERENCE: lambda: torch.jit.load(folder / "qnative.pt"),
        "torch int8": lambda: peers.torch_int8(network),
        "torchao int8 compiled": lambda: peers.torchao_int8(network),
        "onnxruntime int8": lambda: peers.onnxruntime(folder / "int8.onnx", thread_count),
        "OpenVINO int8": lambda: peers.openvino(folder / "int8.onnx", thread_count),
    }


def make_competitors(
    network: Network, folder: Path, thread_count: int
) -> tuple[dict[str, Run], dict[str, str]]:
    """Name -> function of the network's inputs, and name -> reason of those that fail."""
    competitors, reasons = {FP32: network.model}, {}
    for name, make in makers(network, folder, thread_count).items():
        try:
            function = make()
            function(*network.inputs)
            competitors[name] = function
        except Exception as error:
            if name == REFERENCE:
                raise
            reasons[name] = _reason(error)
    return competitors, reasons


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


def measure(
    name: str, folder: Path, thread_count: int, rounds: int, compares: bool
) -> dict[str, dict]:
    """Competitor -> latencies or the reason why there are none, and, if ``compares``, how close
    its outputs are to those of fp32 eager."""
    warnings.filterwarnings("ignore")  # torch deprecates its quantized dtypes
    network = NETWORKS[name]()
    with torch.inference_mode(), threads(thread_count):
        competitors, reasons = make_competitors(network, folder, thread_count)
        runs = {k: lambda f=f: f(*network.inputs) for k, f in competitors.items()}
        latencies = interleaved(runs, rounds, f"{name}, {thread_count} threads")
        results = {k: summary(values) for k, values in latencies.items()}
        results |= {k: {"reason": reason} for k, reason in reasons.items()}
        if not compares:
            return results
        outputs = {k: evaluate(f, network) for k, f in competitors.items()}
    for competitor in set(competitors) - {FP32}:
        results[competitor] |= network.accuracy(outputs[FP32], outputs[competitor])
    return results


def evaluate(function: Run, network: Network) -> list[Tensor]:
    return [function(*row).clone() for row in network.evaluation]


def measure_apart(*args, **kwargs) -> dict[str, dict]:
    """Runs in a new process: thread pools keep the size and the cores they started with."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *args, **kwargs).result()


ACCURACY = {
    "agreement": lambda v: f"same decision {100 * v:5.1f} %",
    "max_difference": lambda v: f"differs by {v:.4f}",
    "sqnr_db": lambda v: f"SQNR {v:5.2f} dB",
    "mean_cosine": lambda v: f"cosine {v:.4f}",
    "min_cosine": lambda v: f"least {v:.4f}",
}


def print_table(title: str, results: dict[str, dict]) -> None:
    print(f"\n{title}\n{'':22s} {'median':>12s} {'low decile':>12s} {'to qnative':>10s}")
    reference = results[REFERENCE]["low_decile_ms"]
    for name, row in results.items():
        if "reason" in row:
            print(f"{name:22s} {row['reason']}")
            continue
        accuracy = "  ".join(text(row[key]) for key, text in ACCURACY.items() if key in row)
        print(
            f"{name:22s} {row['median_ms']:9.3f} ms {row['low_decile_ms']:9.3f} ms "
            f"{row['low_decile_ms'] / reference:9.2f}x  {accuracy}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/bench/models.json"))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--filter", default="", help="only networks whose name contains this")
    args = parser.parse_args()
    # Networks that the filter skips keep the results of an earlier run.
    earlier = json.loads(args.output.read_text()) if args.output.exists() else {}
    results = {name: row for name, row in earlier.items() if name in NETWORKS}
    for name in (name for name in NETWORKS if args.filter in name):
        folder = args.output.parent / "models" / name.replace(", ", "_").replace(" ", "_")
        prepare(name, folder)
        results[name] = {}
        for count in dict.fromkeys((1, os.cpu_count())):
            results[name][str(count)] = measure_apart(
                name, folder, count, args.rounds, compares=count == 1
            )
            place = "1 pinned thread" if count == 1 else f"{count} threads"
            print_table(f"{name}, {place}", results[name][str(count)])
        args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
