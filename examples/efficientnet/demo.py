"""Quantizes EfficientNet-lite0 with PyTorch's native backend config, saves it and runs it from C++.

    python -m examples.efficientnet.demo --output build/demo

Prints how fast, how small and how accurate the result is beside fp32. In the output folder: fp32.pt,
qnative.pt (TorchScript), qnative.pt2 (torch.export), report.html and report.json (what happened to
every node), cpp/classify (the C++ program) and the photos it reads.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import qnative
from benchmark.timing import interleaved, threads
from examples.efficientnet import cpp_program, data, metrics

BATCH = 16
SHOWN_PHOTO = "coffee"
REPEATS = 3


def quantize(model: torch.nn.Module, calibration: Tensor) -> torch.nn.Module:
    batches = calibration.split(BATCH)
    return qnative.quantize(model, (batches[0],), tqdm(batches, desc="calibration"))


def save(model: torch.nn.Module, quantized: torch.nn.Module, folder: Path) -> dict[str, Path]:
    """Name of a table row -> its file."""
    example = torch.zeros(1, 3, data.IMAGE_SIZE, data.IMAGE_SIZE)
    files = {
        "fp32 eager": folder / "fp32.pt",
        "qnative eager": folder / "qnative.pt2",
        "qnative TorchScript": folder / "qnative.pt",
        "qnative C++": folder / "qnative.pt",
    }
    with torch.inference_mode():
        torch.jit.save(torch.jit.trace(model, example), files["fp32 eager"])
        torch.jit.save(torch.jit.trace(quantized, example), files["qnative TorchScript"])
    torch.export.save(torch.export.export(quantized, (example,)), files["qnative eager"])
    return files


def write_photos(folder: Path) -> dict[Path, Tensor]:
    """A photo as the C++ program reads it -> the same as input of the network."""
    folder.mkdir(exist_ok=True)
    inputs = {}
    for name, photo in data.load_photos().items():
        path = folder / f"{name}.ppm"
        data.write_ppm(path, photo)
        inputs[path] = data.centre(photo).network_input(photo)[None]
    return inputs


def run_all(model: torch.nn.Module, crops: Tensor, title: str) -> Tensor:
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in tqdm(crops.split(BATCH), desc=title)])


def check_cpp(program: Path, file: Path, scripted: torch.nn.Module, inputs: dict) -> None:
    """The C++ program must give the bits that Python gives, from the photo to the logits."""
    for path, image in tqdm(inputs.items(), desc="C++ against Python"):
        with torch.inference_mode():
            expected = scripted(image)
        if not torch.equal(cpp_program.logits(program, file, path), expected):
            raise AssertionError(f"{path}: the C++ program and Python give different logits")


def measure_latencies(models: dict, cpp: tuple, thread_count: int, rounds: int) -> dict[str, float]:
    """Name -> median milliseconds of one image; the C++ program takes turns with the others."""
    image = torch.zeros(1, 3, data.IMAGE_SIZE, data.IMAGE_SIZE)
    functions = {name: lambda model=model: model(image) for name, model in models.items()}
    latencies = {name: [] for name in (*models, "qnative C++")}
    with torch.inference_mode(), threads(thread_count):
        for _ in range(REPEATS):
            title = f"latency, {thread_count} thread(s)"
            for name, values in interleaved(functions, rounds // REPEATS, title).items():
                latencies[name] += values
            latencies["qnative C++"].append(
                cpp_program.latency(*cpp, thread_count, rounds // REPEATS)
            )
    return {name: statistics.median(values) for name, values in latencies.items()}


def print_table(rows: dict[str, dict]) -> None:
    counts = list(next(iter(rows.values()))["latency_ms"])
    heads = ["1 thread" if count == 1 else f"{count} threads" for count in counts]
    print(f"{'':20s}", *(f"{head:>12s}" for head in heads), f"{'file':>10s}  top-1 agreement, SQNR")
    for name, row in rows.items():
        times = [f"{row['latency_ms'][count]:9.2f} ms" for count in counts]
        accuracy = "reference"
        if "sqnr_db" in row:
            accuracy = f"{100 * row['agreement']:.1f} %, {row['sqnr_db']:.1f} dB"
        print(f"{name:20s}", *times, f"{row['bytes'] / 1e6:7.2f} MB  {accuracy}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    parser.add_argument("--rounds", type=int, default=90, help="measurements of each latency")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    model = data.load_model()
    calibration, evaluation = data.make_crops()
    quantized = quantize(model, calibration)
    print(quantized.report.summary())
    files = save(model, quantized, args.output)
    scripted = torch.jit.load(files["qnative TorchScript"])

    reference = run_all(model, evaluation, "fp32")
    logits = {
        "qnative eager": run_all(quantized, evaluation, "qnative eager"),
        "qnative TorchScript": run_all(scripted, evaluation, "qnative TorchScript"),
    }
    program = cpp_program.build(args.output / "cpp")
    inputs = write_photos(args.output / "photos")
    check_cpp(program, files["qnative C++"], scripted, inputs)
    logits["qnative C++"] = logits["qnative TorchScript"]  # the same bits, as just checked

    models = {"fp32 eager": model, "qnative eager": quantized, "qnative TorchScript": scripted}
    photo = args.output / "photos" / f"{SHOWN_PHOTO}.ppm"
    cpp = (program, files["qnative C++"], photo)
    rows = {name: {"bytes": path.stat().st_size, "latency_ms": {}} for name, path in files.items()}
    for count in dict.fromkeys((1, os.cpu_count())):
        for name, median in measure_latencies(models, cpp, count, args.rounds).items():
            rows[name]["latency_ms"][count] = median
    for name, values in logits.items():
        rows[name]["agreement"] = metrics.agreement(reference, values)
        rows[name]["sqnr_db"] = metrics.sqnr(reference, values)

    report = {"results": rows, **json.loads(quantized.report.to_json())}
    (args.output / "report.json").write_text(json.dumps(report, indent=1))
    (args.output / "report.html").write_text(quantized.report.to_html("EfficientNet-lite0"))
    labels = args.output / "labels.txt"
    labels.write_text("\n".join(data.class_names()))

    print(f"\n{program} {files['qnative C++']} {photo}")
    print(cpp_program.run(*cpp, "--labels", labels))
    print(f"EfficientNet-lite0, batch 1; {len(evaluation)} held-back crops of {len(inputs)} photos")
    print_table(rows)
    print(f"\nevery node and why it is int8 or not: {args.output / 'report.html'}")


if __name__ == "__main__":
    main()
