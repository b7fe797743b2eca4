"""The networks that benchmark.models measures: module, inputs, and how it is quantized."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark import architectures, speech
from examples.efficientnet import metrics


@dataclass(frozen=True)
class Network:
    """recipe: of qnative.quantize, or "migrate" for TorchScript models.
    calibration: inputs of several runs, for recipe "static".

    open_sizes: dimensions of each input that a deployed model leaves open.
    evaluation: inputs on which the outputs of all competitors are compared with fp32's by accuracy.
    """

    model: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    recipe: str
    accuracy: Callable[[list[Tensor], list[Tensor]], dict[str, float]]
    evaluation: list[tuple[Tensor, ...]]
    calibration: list[tuple[Tensor, ...]] = field(default_factory=list)
    open_sizes: tuple[dict, ...] | None = None


def sqnr(expected: list[Tensor], outputs: list[Tensor]) -> dict[str, float]:
    return {"sqnr_db": metrics.sqnr(torch.cat(expected), torch.cat(outputs))}


def top1(expected: list[Tensor], outputs: list[Tensor]) -> dict[str, float]:
    return {
        "agreement": metrics.agreement(torch.cat(expected), torch.cat(outputs)),
        **sqnr(expected, outputs),
    }


def cosine(expected: list[Tensor], outputs: list[Tensor]) -> dict[str, float]:
    values = F.cosine_similarity(torch.cat(expected), torch.cat(outputs))
    return {"mean_cosine": values.mean().item(), "min_cosine": values.min().item()}


def image_network(make: Callable[[], nn.Module], batch: int) -> Network:
    """Random weights, the same in every process; inputs are noise."""
    torch.manual_seed(0)
    model = make()
    g = torch.Generator().manual_seed(0)
    images = [torch.randn(batch, 3, 224, 224, generator=g) for _ in range(4)]
    architectures.settle(model, images[0])
    rows = [(x,) for x in images]
    return Network(model, rows[0], "static", sqnr, rows[:2], rows)


def efficientnet(batch: int) -> Network:
    from examples.efficientnet import data

    calibration, evaluation = data.make_crops()
    return Network(
        data.load_model(),
        (evaluation[:batch],),
        "static",
        top1,
        [(x,) for x in evaluation.split(batch) if len(x) == batch],
        [(x,) for x in calibration.split(batch)],
    )


def sentence_encoder(tokens: int) -> Network:
    """Sentences padded or truncated to ``tokens`` tokens."""
    from examples.sentence import data
    from examples.sentence.model import load

    tokenizer = data.load_tokenizer()
    tokenizer.enable_padding(length=tokens)
    tokenizer.enable_truncation(tokens)
    rows = [data.encode(tokenizer, [sentence]) for sentence in data.load_sentences()]
    longest = max(rows, key=lambda row: int(row[1].sum()))
    model = load(data.model_folder()).eval()
    sizes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    return Network(model, longest, "dynamic", cosine, rows, open_sizes=(sizes, sizes))


def speech_lstm(batch: int) -> Network:
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    rows = [(torch.randn(50, batch, 40, generator=g),) for _ in range(4)]
    return Network(architectures.SpeechLstm().eval(), rows[0], "dynamic", sqnr, rows)


def silero_vad(windows: int) -> Network:
    """One run is a stream of ``windows`` windows of 32 ms."""
    model = torch.jit.load(speech.file("silero_vad.jit")).eval()
    rows = [(speech.windows_of_speech(375, seed),) for seed in range(3)]
    inputs = (speech.windows_of_speech(windows, 0),)
    return Network(speech.streamed(model), inputs, "migrate", speech.decisions, rows)


NETWORKS: dict[str, Callable[[], Network]] = {
    "EfficientNet-lite0": lambda: efficientnet(1),
    "EfficientNet-lite0, batch 8": lambda: efficientnet(8),
    "ResNet-18": lambda: image_network(architectures.resnet18, 1),
    "MobileNetV3-large": lambda: image_network(architectures.mobilenet_v3_large, 1),
    "MiniLM, 16 tokens": lambda: sentence_encoder(16),
    "MiniLM, 128 tokens": lambda: sentence_encoder(128),
    "silero VAD, 32 windows": lambda: silero_vad(32),
    "speech LSTM, batch 1": lambda: speech_lstm(1),
    "speech LSTM, batch 8": lambda: speech_lstm(8),
}
