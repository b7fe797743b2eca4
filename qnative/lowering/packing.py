"""Packs float weights for ops with float inputs."""

import torch

from ..graph.nodes import Unsupported

# Range of the weights that are quantized here.
INT8_RANGE = (-127, 127)


def pack_int8(
    weight: torch.Tensor, may_repeat: bool = False
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """The weight, its scale for each output channel, and the inputs with more than one column, see
    ``qnative::linear_dynamic_pack``."""
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight is not finite")
    return torch.ops.qnative.linear_dynamic_pack(weight, may_repeat)


def pack_int8_conv(op: str, weight: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight and its scale for each output channel, see ``qnative::conv2d_dynamic_pack``."""
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight is not finite")
    return getattr(torch.ops.qnative, f"{op}_pack")(weight, groups)


def pack_4bit(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    """The weight as codes of 4 bits with a scale for each group of inputs, see
    ``qnative::linear_4bit_pack``."""
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight is not finite")
    return torch.ops.qnative.linear_4bit_pack(weight, group_size)


def pack_4bit_codes(codes: torch.Tensor, scale: torch.Tensor, group_size: int) -> torch.Tensor:
    """The same from codes and scales."""
    return torch.ops.qnative.linear_4bit_pack(codes, scale, group_size)


def pack_half(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.qnative.linear_fp16_pack(weight)


def table_scale(packed: torch.Tensor) -> torch.Tensor:
    """The scale of each row of a packed table: float32, followed by the row's bias."""
    return packed[:, -8:].contiguous().view(torch.float32)[:, 0]


def pack_table(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The rows of an embedding in 8 or 4 bits, each with its scale and bias."""
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight has values that are not finite")
    return getattr(torch.ops.qnative, f"embedding_{bits}bit_pack")(weight)
