"""From float weights to packed ones: the one place that says how they are quantized."""

import torch

from .graph import Unsupported

# More products of a uint8 with an int8 could overflow int32.
MAX_PRODUCTS = 65793


def pack_int8(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Symmetric with a scale for each output channel."""
    most = weight.abs().amax(1)
    if not bool(most.isfinite().all()):
        raise Unsupported("its weight is not finite")
    # A channel of zeros may have any scale.
    scale = torch.where(most > 0, most / 127, 1.0).clamp(min=torch.finfo(torch.float32).tiny)
    codes = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    return {"weight": torch.ops.qnative.linear_pack(codes), "weight_scale": scale}


def pack_half(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.ops.qnative.linear_fp16_pack(weight)}


def pack_table(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The rows of an embedding in 8 or 4 bits, each with its scale and bias."""
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight has values that are not finite")
    return getattr(torch.ops.qnative, f"embedding_{bits}bit_pack")(weight)
