"""Quantizes and packs float weights for ops with float inputs."""

import torch

from .._info import MAX_PRODUCTS_U8S8
from ..graph.nodes import Unsupported

# Range of the weights that are quantized here.
INT8_RANGE = (-127, 127)
# The scale of a channel covers weights of up to this multiple of its root mean square (one in two
# million normally distributed weights is larger). It grows until few enough weights are larger.
_MIN_PEAK = 5.0


def most_repeated(k: int) -> int:
    """Maximum number of repeated columns for k inputs: they cost time and memory."""
    return min(k // 16, MAX_PRODUCTS_U8S8 - k)


def can_have_outliers(k: int, repeated: int) -> bool:
    """Whether ``qnative::linear_dynamic`` looks for outliers in rows of k values."""
    return 255 * (k + repeated) + 255 * 128 * (4 + repeated) < 1 << 24


def _check_finite(weight: torch.Tensor) -> None:
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight is not finite")


def _scale(most: torch.Tensor) -> torch.Tensor:
    """Scales of channels with weights of magnitude up to ``most``; 1 for channels of zeros."""
    return torch.where(most > 0, most / 127, 1.0).clamp(min=torch.finfo(torch.float32).tiny)


def pack_int8(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Symmetric with a scale for each output channel."""
    _check_finite(weight)
    scale = _scale(weight.abs().amax(1))
    codes = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    return {"weight": torch.ops.qnative.linear_pack(codes), "weight_scale": scale}


def spread(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """int8 [N, K + R], a scale for each output channel, and the R inputs that have another column.

    A weight much larger than the others of its channel would set their scale and leave them few
    bits. Here it becomes the sum of several columns of one input, up to ``most_repeated`` of them.
    """
    _check_finite(weight)
    most = weight.abs().amax(1)
    # Squares of the shares: those of the weights may leave float32.
    share = weight / most.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    typical = most * share.square().mean(1).sqrt()
    peak = _MIN_PEAK
    room = most_repeated(weight.shape[1])
    while True:
        scale = _scale(torch.minimum(most, peak * typical))
        codes = (weight / scale[:, None]).round()
        columns = (codes.abs().amax(0) / 127).ceil().clamp(min=1).to(torch.int64)
        if int((columns - 1).sum()) <= room:
            break
        peak *= 1.25
    repeated = torch.arange(len(columns)).repeat_interleave(columns - 1)
    parts = [codes.clamp(-127, 127)]
    rest = codes - parts[0]
    for k in repeated.tolist():
        part = rest[:, k].clamp(-127, 127)
        rest[:, k] -= part
        parts.append(part[:, None])
    return torch.cat(parts, 1).to(torch.int8), scale, repeated.tolist()


def pack_spread(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], list[int]]:
    """The packed result of ``spread``, and the inputs that have another column, for
    ``qnative::linear_dynamic``."""
    codes, scale, repeated = spread(weight)
    return {"weight": torch.ops.qnative.linear_pack(codes), "weight_scale": scale}, repeated


def pack_half(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.ops.qnative.linear_fp16_pack(weight)}


def table_scale(packed: torch.Tensor) -> torch.Tensor:
    """The scale of each row of a packed table: float32, followed by the row's bias."""
    return packed[:, -8:].contiguous().view(torch.float32)[:, 0]


def pack_table(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The rows of an embedding in 8 or 4 bits, each with its scale and bias."""
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight has values that are not finite")
    return getattr(torch.ops.qnative, f"embedding_{bits}bit_pack")(weight)
