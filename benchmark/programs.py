"""TorchScript and qnative.Program on the same models, called in turns: time, loading, memory.

    python -m benchmark.programs --output build/bench/programs.json

C++ calls both (benchmark/cpp/programs.cpp); a call from Python is measured on the smallest model.
One thread.
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import qnative
from benchmark import architectures
from benchmark.models import quantize
from benchmark.networks import Network, efficientnet, sentence_encoder, sqnr
from benchmark.timing import interleaved, summary, threads
from examples.efficientnet.demo import silence

PROGRAM = Path("build/release/benchmark/benchmark_programs")


def noise(make: Callable[[], nn.Module], *sizes: int) -> Network:
    torch.manual_seed(0)
    model = make()
    g = torch.Generator().manual_seed(0)
    batches = [(torch.randn(16, *sizes, generator=g),) for _ in range(2)]
    architectures.settle(model, *batches[0])
    one = (batches[0][0][:1],)
    return Network(model, one, "static", sqnr, [one], batches)


NETWORKS: dict[str, Callable[[], Network]] = {
    "MLP 64-128-10": lambda: noise(architectures.mlp, 64),
    "DS-CNN, keyword spotting": lambda: noise(architectures.ds_cnn, 1, 49, 10),
    "MobileNetV3-small, 96 x 96": lambda: noise(architectures.mobilenet_v3_small, 3, 96, 96),
    "MiniLM, 16 tokens": lambda: sentence_encoder(16),
    "EfficientNet-lite0": lambda: efficientnet(1),
    "EfficientNet-lite0, batch 8": lambda: efficientnet(8),
    "EfficientNet-lite0, batch 32": lambda: efficientnet(32),
}


def write(network: Network, folder: Path) -> None:
    """model.pt, model.pt2 and inputs.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    model = quantize(network)
    with torch.inference_mode():
        traced = torch.jit.trace(model, network.inputs, check_trace=False)
    torch.jit.save(traced, folder / "model.pt")
    qnative.save(model, folder / "model.pt2", network.inputs)
    torch.save(list(network.inputs), folder / "inputs.pt")


def measure(folder: Path, seconds: float) -> dict[str, float]:
    files = [folder / name for name in ("model.pt", "model.pt2", "inputs.pt")]
    command = [PROGRAM, *files, str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measure_in_python(folder: Path, rounds: int) -> dict[str, float]:
    """Microseconds of a call."""
    inputs = torch.load(folder / "inputs.pt")
    script = torch.jit.load(folder / "model.pt")
    program = qnative.Program.load(folder / "model.pt2")
    exported = torch.export.load(folder / "model.pt2").module()
    functions = {
        "torchscript_python_us": lambda: script(*inputs),
        "program_python_us": lambda: program(*inputs),
        "export_python_us": lambda: exported(*inputs),
    }
    with torch.inference_mode():
        latencies = interleaved(functions, rounds)
    return {name: 1e3 * summary(values)["fastest_ms"] for name, values in latencies.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/bench/programs.json"))
    parser.add_argument("--seconds", type=float, default=4, help="of each model")
    parser.add_argument("--rounds", type=int, default=100, help="of calls from Python")
    parser.add_argument("--filter", default="", help="measure models whose name contains this")
    args = parser.parse_args()
    silence()
    results = {}
    for name, make in NETWORKS.items():
        if args.filter not in name:
            continue
        folder = args.output.parent / "programs" / name
        if not (folder / "inputs.pt").exists():
            write(make(), folder)
        with threads(1):
            results[name] = measure(folder, args.seconds) | measure_in_python(folder, args.rounds)
        row = results[name]
        ratio = row["program_us"] / row["torchscript_us"]
        print(f"{name:28s} {row['torchscript_us']:10.2f} {row['program_us']:10.2f} us {ratio:6.2f}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
