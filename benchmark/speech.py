"""Files of the silero-vad package, and synthetic speech in windows of 32 ms."""

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

RATE, WINDOW = 16000, 512


def file(name: str) -> Path:
    return Path(find_spec("silero_vad").origin).parent / "data" / name


def synthetic_speech(seconds: float, seed: int) -> Tensor:
    """Voiced syllables: harmonics of a gliding pitch through three formants, with pauses and a
    little noise."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(int(seconds * RATE)) / RATE
    pitch = 120 + 25 * torch.sin(2 * math.pi * 0.7 * t + seed)
    phase = 2 * math.pi * torch.cumsum(pitch, 0) / RATE
    formants = [(500 + 200 * torch.sin(2 * math.pi * 2.3 * t), 90.0), (1500.0, 120.0)]
    formants.append((2500 + 300 * torch.sin(2 * math.pi * 1.1 * t), 160.0))
    voice = torch.zeros_like(t)
    for k in range(1, 30):
        frequency = pitch * k
        gain = sum(1 / (1 + ((frequency - f) / width) ** 2) for f, width in formants)
        voice += gain * torch.sin(k * phase)
    syllables = torch.sigmoid(20 * torch.sin(2 * math.pi * 3.5 * t))
    phrases = (torch.sin(2 * math.pi * 0.25 * t + seed) > -0.2).float()
    noise = torch.randn(len(t), generator=generator)
    return 0.15 * voice * syllables * phrases + 0.003 * noise


def windows_of_speech(windows: int, seed: int) -> Tensor:
    """[1, samples]"""
    return synthetic_speech(windows * WINDOW / RATE, seed)[None]


def decisions(expected: list[Tensor], outputs: list[Tensor]) -> dict[str, float]:
    """Share of windows with the same decision, and the largest change of a probability."""
    before, after = torch.cat(expected), torch.cat(outputs)
    return {
        "agreement": ((before > 0.5) == (after > 0.5)).double().mean().item(),
        "max_difference": (before - after).abs().max().item(),
    }


def streamed(model: torch.jit.ScriptModule) -> Callable[[Tensor], Tensor]:
    """Audio -> probability of speech per window; one call per window, as in a stream."""

    def run(audio: Tensor) -> Tensor:
        model.reset_states()
        return torch.cat([model(window, RATE).flatten() for window in audio.split(WINDOW, 1)])

    return run
