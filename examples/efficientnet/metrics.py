"""How close the logits of a quantized network are to those of the float one."""

import torch
from torch import Tensor


def sqnr(reference: Tensor, logits: Tensor) -> float:
    """Signal to quantization noise over all logits, in dB."""
    noise = (reference - logits).square().sum()
    return float(10 * torch.log10(reference.square().sum() / noise))


def agreement(reference: Tensor, logits: Tensor) -> float:
    """The share of the images whose likeliest class is the same."""
    return float((reference.argmax(1) == logits.argmax(1)).float().mean())
