"""Quantizes the sentence encoder all-MiniLM-L6-v2 without calibration, its tables included.

    python -m examples.sentence.demo --output build/sentence

Prints how near the vectors are to those of fp32, how fast and how small the result is. The output
folder gets fp32.pt and qnative.pt (TorchScript, any number of sentences and tokens).
"""

import argparse
import os
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import qnative
from benchmark.timing import interleaved, threads
from examples.efficientnet.demo import silence
from examples.sentence import data
from examples.sentence.model import load


def quantize(model: torch.nn.Module, ids: Tensor, mask: Tensor) -> torch.nn.Module:
    """Any number of sentences of any length."""
    open_sizes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    shapes = (open_sizes, open_sizes)
    # "native" has no row for attention, which stays float. The default config runs it in 8 bits:
    # 128 tokens take three quarters of the time, and of 64 sentences the worst has a cosine of
    # 0.9958 instead of 0.9965 (mean 0.9994 with both).
    options = {"recipe": "dynamic", "backend_config": "native"}
    return qnative.quantize(model, (ids, mask), dynamic_shapes=shapes, **options)


def save(model: torch.nn.Module, inputs: tuple[Tensor, Tensor], file: Path) -> torch.nn.Module:
    """Writes TorchScript and reads it again."""
    with torch.inference_mode():
        torch.jit.save(torch.jit.trace(model, inputs, check_trace=False), file)
    return torch.jit.load(file)


def encode_each(model: torch.nn.Module, tokenizer: object, sentences: list[str]) -> Tensor:
    """One sentence at a time: no padding."""
    with torch.inference_mode():
        return torch.cat([model(*data.encode(tokenizer, [sentence])) for sentence in sentences])


def cosines(model: torch.nn.Module, reference: torch.nn.Module) -> Tensor:
    """Cosines between the models' vectors of each sentence, alone and in a batch of all."""
    tokenizer, sentences = data.load_tokenizer(), data.load_sentences()
    batch = data.encode(tokenizer, sentences)
    with torch.inference_mode():
        expected = reference(*batch)
        return torch.cat(
            [
                F.cosine_similarity(encode_each(model, tokenizer, sentences), expected),
                F.cosine_similarity(model(*batch), expected),
            ]
        )


def measure_latencies(
    models: dict[str, torch.nn.Module], inputs: tuple[Tensor, Tensor], count: int, rounds: int
) -> None:
    """Prints the median milliseconds of a batch on `count` threads."""
    functions = {name: lambda model=model: model(*inputs) for name, model in models.items()}
    with torch.inference_mode(), threads(count):
        latencies = interleaved(functions, rounds)
    medians = {name: statistics.median(values) for name, values in latencies.items()}
    times = "  ".join(f"{name} {value:8.2f} ms" for name, value in medians.items())
    shape = "x".join(map(str, inputs[0].shape))
    ratio = medians["fp32"] / medians["qnative"]
    print(f"{count} thread(s), {shape:>6s} tokens: {times}  {ratio:.2f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/sentence"))
    parser.add_argument("--rounds", type=int, default=30, help="measurements of each latency")
    args = parser.parse_args()
    silence()
    args.output.mkdir(parents=True, exist_ok=True)

    model = load(data.model_folder())
    tokenizer, sentences = data.load_tokenizer(), data.load_sentences()
    inputs = data.encode(tokenizer, sentences[:3])
    quantized = quantize(model, *inputs)
    print(quantized.report.summary())
    files = {"fp32": args.output / "fp32.pt", "qnative": args.output / "qnative.pt"}
    models = {
        "fp32": save(model, inputs, files["fp32"]),
        "qnative": save(quantized, inputs, files["qnative"]),
    }
    near = cosines(models["qnative"], model)
    numbers = f"mean {near.mean():.5f}, median {near.median():.5f}, min {near.min():.5f}"
    print(f"cosine of {len(sentences)} sentences, alone and in a batch, to fp32: {numbers}")
    for name, file in files.items():
        print(f"{name}: {file.stat().st_size / 1e6:.1f} MB")
    middle = len(sentences) // 2
    batches = (sentences[middle : middle + 1], sentences[middle - 8 : middle + 8], sentences)
    for count in dict.fromkeys((1, os.cpu_count())):
        for batch in batches:
            measure_latencies(models, data.encode(tokenizer, batch), count, args.rounds)


if __name__ == "__main__":
    main()
