"""The ways to quantize a node, and the dtypes by which a config asks for them."""

from typing import Literal, NamedTuple, TypeAlias

import torch

from ..backend_config import DTypeConfig
from ..graph.qdq import STORAGE_DTYPES

STATIC = "static"  # 8-bit activations with scales found by calibration
DYNAMIC_INT8 = "dynamic_int8"  # int8 weights, activations quantized at run time
DYNAMIC_INT4 = "dynamic_int4"  # 4-bit weights in groups, activations quantized at run time
DYNAMIC_FP16 = "dynamic_fp16"  # float16 weights, float32 activations and arithmetic
FP16 = "fp16"  # float16 weights and activations, float32 arithmetic
WEIGHT_ONLY_INT8 = "weight_only_int8"  # tables of 8 bits, float32 rows come out
WEIGHT_ONLY_INT4 = "weight_only_int4"

Recipe: TypeAlias = Literal[
    "static",
    "dynamic",
    "dynamic_int4",
    "dynamic_fp16",
    "fp16",
    "weight_only",
    "weight_only_int4",
]
# The modes of each recipe of qnative.quantize, best first: a node runs in the first that it has a
# row and an op for.
RECIPES: dict[Recipe, tuple[str, ...]] = {
    "static": (STATIC, DYNAMIC_INT8, WEIGHT_ONLY_INT8),
    "dynamic": (DYNAMIC_INT8, WEIGHT_ONLY_INT8),
    "dynamic_int4": (DYNAMIC_INT4, DYNAMIC_INT8, WEIGHT_ONLY_INT8),
    "dynamic_fp16": (DYNAMIC_FP16,),
    "fp16": (FP16, DYNAMIC_FP16),
    "weight_only": (WEIGHT_ONLY_INT8,),
    "weight_only_int4": (WEIGHT_ONLY_INT4,),
}


def check_group_size(where: str, group_size: int | None) -> None:
    """ValueError for what cannot be the group size of 4-bit weights."""
    if group_size is not None and (group_size < 4 or group_size % 4):
        raise ValueError(
            f"{where}: group_size must be a multiple of 4, or None for one group in each row, got "
            f"{group_size}"
        )


class Dtypes(NamedTuple):
    """The dtypes of a DTypeConfig; None where it names none."""

    input: torch.dtype | None
    output: torch.dtype | None
    weight: torch.dtype | None
    is_dynamic: bool

    @classmethod
    def of(cls, config: DTypeConfig) -> "Dtypes":
        """config: a DTypeConfig of qnative or upstream."""
        dtypes = (config.input_dtype, config.output_dtype, config.weight_dtype)
        return cls(*dtypes, bool(config.is_dynamic))

    @property
    def has_int8_weight(self) -> bool:
        return self.weight is not None and STORAGE_DTYPES.get(self.weight) is torch.int8

    def fit(self, mode: str) -> bool:
        """Whether they ask for this mode."""
        if mode == STATIC:
            stored = self.input in STORAGE_DTYPES and self.output in STORAGE_DTYPES
            return stored and not self.is_dynamic
        if mode == DYNAMIC_INT8:
            # Attention has no weight.
            without = self.weight is None and self.input in STORAGE_DTYPES
            return self.is_dynamic and (self.has_int8_weight or without)
        if mode == DYNAMIC_INT4:
            return self.is_dynamic and self.weight is torch.quint4x2
        if mode == DYNAMIC_FP16:
            return self.is_dynamic and self.input is torch.float16
        if mode == FP16:
            both = (self.input, self.output) == (torch.float16, torch.float16)
            return both and not self.is_dynamic
        weight = torch.quint8 if mode == WEIGHT_ONLY_INT8 else torch.quint4x2
        return self.input is torch.float32 and self.weight is weight

    def __str__(self) -> str:
        names = " ".join(str(dtype).removeprefix("torch.") for dtype in self[:3])
        return f"({names}{' dynamic' if self.is_dynamic else ''})"
