"""What the modules share: which dtype a qconfig asks for, and checks of float parameters."""

from typing import Any

import torch

from ..graph.nodes import Unsupported

# What a qconfig calls a weight, and what it is stored as.
WEIGHT_DTYPES = {torch.qint8: torch.int8, torch.int8: torch.int8, torch.float16: torch.float16}
TABLE_BITS = {torch.quint8: 8, torch.uint8: 8, torch.quint4x2: 4}


def asked(module: torch.nn.Module, valid: dict[torch.dtype, Any]) -> Any:
    """What the weight of ``module.qconfig`` stands for among ``valid``."""
    dtype = module.qconfig.weight().dtype
    if dtype not in valid:
        wanted = ", ".join(map(str, valid))
        raise Unsupported(
            f"{type(module).__name__} takes weights of dtype {wanted}; its qconfig asks for {dtype}"
        )
    return valid[dtype]


def float_weight(weight: torch.Tensor) -> torch.Tensor:
    """A parameter to be packed."""
    if weight.dtype is not torch.float32:
        raise Unsupported(f"its weight is {weight.dtype}, not torch.float32")
    if weight.numel() == 0:
        raise Unsupported(f"its weight has shape {list(weight.shape)}")
    return weight.detach()
