"""Quantizes EfficientNet-lite0 with PyTorch's native backend config, saves it and runs it from C++.

    python -m examples.efficientnet.demo --output build/demo

Prints how fast, how small and how accurate the result is beside fp32. The output folder gets
fp32.pt and qnative.pt (TorchScript), qnative.pt2 (for qnative.Program), report.html and report.json
(what happened to every node), cpp/classify (the C++ program) and the photos it reads.
"""

import argparse
import json
import logging
import os
import statistics
import warnings
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import qnative
from benchmark.timing import interleaved, threads
from examples.efficientnet import cpp_program, data, metrics

BATCH = 16
SHOWN_PHOTO = "coffee.ppm"
REPEATS = 3
FP32, EAGER, SCRIPT = "fp32 eager", "qnative eager", "qnative TorchScript"
PROGRAM, CPP = "qnative Program", "qnative C++"


def silence() -> None:
    """Hides warnings that users cannot act on: TorchScript, which C++ programs load, is deprecated;
    torchao names its GPU libraries that do not fit."""
    warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def say(text: str) -> None:
    """A step that takes a while."""
    print(f"{text} ...", flush=True)


def save(model: torch.nn.Module, quantized: torch.nn.Module, folder: Path) -> dict[str, Path]:
    """Writes the networks. Returns the file that each row of the table stands for."""
    files = {FP32: folder / "fp32.pt", SCRIPT: folder / "qnative.pt"}
    files |= dict.fromkeys((EAGER, PROGRAM, CPP), folder / "qnative.pt2")
    example = torch.zeros(1, 3, data.IMAGE_SIZE, data.IMAGE_SIZE)
    with torch.inference_mode():
        torch.jit.save(torch.jit.trace(model, example), files[FP32])
        torch.jit.save(torch.jit.trace(quantized, example), files[SCRIPT])
    qnative.save(quantized, files[PROGRAM], (example,))
    return files


def write_photos(folder: Path) -> dict[Path, Tensor]:
    """A photo as the C++ program reads it -> the same as input of the network."""
    folder.mkdir(exist_ok=True)
    inputs = {}
    for name, photo in data.load_photos().items():
        data.write_ppm(folder / f"{name}.ppm", photo)
        inputs[folder / f"{name}.ppm"] = data.centre(photo).network_input(photo)[None]
    return inputs


def measure_accuracy(models: dict[str, torch.nn.Module], crops: Tensor) -> dict[str, dict]:
    """Name -> agreement and SQNR against fp32, for all but fp32."""
    logits = {name: [] for name in models}
    with torch.inference_mode():
        for crop in tqdm(crops.split(1), desc="held-back crops"):
            for name, model in models.items():
                logits[name].append(model(crop))
    logits = {name: torch.cat(values) for name, values in logits.items()}
    reference = logits.pop(FP32)
    return {
        name: {
            "agreement": metrics.agreement(reference, values),
            "sqnr_db": metrics.sqnr(reference, values),
        }
        for name, values in logits.items()
    }


def check_cpp(program: Path, file: Path, inputs: dict[Path, Tensor]) -> None:
    """The C++ program must give the bits that Python gives, from the photo to the logits."""
    model = qnative.Program.load(file)
    for path, image in tqdm(inputs.items(), desc="C++ beside Python"):
        expected = model(image)
        if not torch.equal(cpp_program.logits(program, file, path), expected):
            raise RuntimeError(f"{path}: the C++ program and Python give different logits")


def measure_latencies(
    models: dict[str, torch.nn.Module], cpp: tuple[Path, Path, Path], count: int, rounds: int
) -> dict[str, float]:
    """Name -> median milliseconds of one image on `count` threads.

    cpp: program, network, photo; it takes turns with the others.
    """
    image = torch.zeros(1, 3, data.IMAGE_SIZE, data.IMAGE_SIZE)
    functions = {name: lambda model=model: model(image) for name, model in models.items()}
    latencies = {name: [] for name in (*models, CPP)}
    with torch.inference_mode(), threads(count):
        for turn in range(REPEATS):
            title = f"latency on {count} thread(s), {turn + 1} of {REPEATS}"
            for name, values in interleaved(functions, rounds // REPEATS, title).items():
                latencies[name] += values
            latencies[CPP].append(cpp_program.latency(*cpp, count, rounds // REPEATS))
    return {name: statistics.median(values) for name, values in latencies.items()}


def print_table(rows: dict[str, dict]) -> None:
    counts = list(rows[FP32]["latency_ms"])
    heads = "".join(f"{count} thread(s)".rjust(13) for count in counts)
    print(f"{'':20s}{heads}{'file':>12s}{'top-1 agreement':>18s}{'SQNR':>9s}")
    for name, row in rows.items():
        times = "".join(f"{row['latency_ms'][count]:10.2f} ms" for count in counts)
        accuracy = (
            f"{100 * row['agreement']:16.1f} %{row['sqnr_db']:6.1f} dB" if name != FP32 else ""
        )
        print(f"{name:20s}{times}{row['bytes'] / 1e6:9.2f} MB{accuracy}")


def write_report(folder: Path, quantized: torch.nn.Module, rows: dict[str, dict]) -> None:
    report = {"results": rows} | json.loads(quantized.report.to_json())
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    quantized.report.to_html(folder / "report.html", title="EfficientNet-lite0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    parser.add_argument("--rounds", type=int, default=90, help="measurements of each latency")
    args = parser.parse_args()
    silence()
    folder = args.output
    folder.mkdir(parents=True, exist_ok=True)

    say("loading EfficientNet-lite0 with its ImageNet weights, and photos")
    model = data.load_model()
    calibration, evaluation = data.make_crops()
    batches = calibration.split(BATCH)
    say(f"quantizing: {len(calibration)} crops for calibration")
    quantized = qnative.quantize(model, (batches[0],), batches, verbose=True)
    say(f"saving .pt2 and TorchScript files to {folder}")
    files = save(model, quantized, folder)
    rows = {name: {"bytes": path.stat().st_size} for name, path in files.items()}

    say("building the C++ program")
    program = cpp_program.build(folder / "cpp", target="classify") / "classify"
    inputs = write_photos(folder / "photos")
    check_cpp(program, files[CPP], inputs)
    models = {
        FP32: model,
        EAGER: quantized,
        SCRIPT: torch.jit.load(files[SCRIPT]),
        PROGRAM: qnative.Program.load(files[PROGRAM]),
    }
    for name, accuracy in measure_accuracy(models, evaluation).items():
        rows[name] |= accuracy
    rows[CPP] |= {key: rows[PROGRAM][key] for key in ("agreement", "sqnr_db")}  # equal bits
    cpp = (program, files[CPP], folder / "photos" / SHOWN_PHOTO)
    say("measuring latencies, one after the other in turns")
    latencies = {
        count: measure_latencies(models, cpp, count, args.rounds)
        for count in dict.fromkeys((1, os.cpu_count()))
    }
    for name, row in rows.items():
        row["latency_ms"] = {count: medians[name] for count, medians in latencies.items()}
    write_report(folder, quantized, rows)

    (folder / "labels.txt").write_text("\n".join(data.class_names()))
    print("\n$", *cpp, "--labels", folder / "labels.txt")
    print(cpp_program.run(*cpp, "--labels", folder / "labels.txt"))
    print(f"EfficientNet-lite0, batch 1; {len(evaluation)} held-back crops of {len(inputs)} photos")
    print_table(rows)
    print(f"C++ and Python: equal bits on {len(inputs)} photos. Nodes: {folder / 'report.html'}")


if __name__ == "__main__":
    main()
