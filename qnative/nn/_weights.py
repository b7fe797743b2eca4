"""Shared by the modules: the dtype that a qconfig asks for, and checks of float parameters."""

from typing import Any

import torch

from ..graph.nodes import Unsupported

# The dtype of a weight in a qconfig -> its storage dtype, or its bits.
WEIGHT_DTYPES = {torch.qint8: torch.int8, torch.int8: torch.int8, torch.float16: torch.float16}
TABLE_BITS = {torch.quint8: 8, torch.uint8: 8, torch.quint4x2: 4}


def asked(module: torch.nn.Module, valid: dict[torch.dtype, Any]) -> Any:
    """The entry of ``valid`` for the weight dtype of ``module.qconfig``. Unsupported if none."""
    dtype = module.qconfig.weight().dtype
    if dtype not in valid:
        wanted = ", ".join(map(str, valid))
        raise Unsupported(
            f"{type(module).__name__} takes weights of dtype {wanted}; its qconfig asks for {dtype}"
        )
    return valid[dtype]


def group_size_of(module: torch.nn.Module) -> int | None:
    """Weights that share a scale: an attribute that ``quantize_dynamic`` gives its qconfigs."""
    size: int | None = getattr(module.qconfig, "group_size", 32)
    return size


def float_weight(weight: torch.Tensor) -> torch.Tensor:
    """A float32 parameter, detached. Unsupported for other dtypes and for empty ones."""
    if weight.dtype is not torch.float32:
        raise Unsupported(f"its weight is {weight.dtype}, not torch.float32")
    if weight.numel() == 0:
        raise Unsupported(f"its weight has shape {list(weight.shape)}")
    return weight.detach()
