"""Linear with int8 or float16 weights."""

from typing import Any

import torch
from torch import Tensor

from ..lowering.graph import Unsupported
from ..lowering.packing import MAX_PRODUCTS, pack_half, pack_int8
from ._weights import WEIGHT_DTYPES, asked, float_weight


class Linear(torch.nn.Module):
    """torch.nn.Linear with packed weights: ``qnative::linear_dynamic`` or ``linear_dynamic_fp16``.

    dtype: torch.int8, where the rows of x are quantized at run time, or torch.float16. The weight
    is zero until it is loaded; ``from_float`` makes the module of a float one.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: torch.dtype = torch.int8,
    ):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self._pack(
            torch.zeros(out_features, in_features),
            torch.zeros(out_features) if bias else None,
            dtype,
        )

    def _pack(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        if dtype not in (torch.int8, torch.float16):
            raise ValueError(f"qnative.nn: dtype must be torch.int8 or torch.float16, got {dtype}")
        if dtype is torch.int8 and self.in_features > MAX_PRODUCTS:
            raise Unsupported(f"it sums {self.in_features} products, more than {MAX_PRODUCTS}")
        packed = pack_int8(weight) if dtype is torch.int8 else pack_half(weight)
        self.register_buffer("packed_weight", packed["weight"])
        self.register_buffer("weight_scale", packed.get("weight_scale"))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> "Linear":
        """x weight' + bias of float32 tensors."""
        module = cls.__new__(cls)
        torch.nn.Module.__init__(module)
        module.out_features, module.in_features = weight.shape
        module._pack(float_weight(weight), bias, dtype)
        return module

    @classmethod
    def from_float(cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False) -> Any:
        """mod: a torch.nn.Linear with a qconfig, of which the dtype of the weight counts."""
        return cls.of(mod.weight, mod.bias, asked(mod, WEIGHT_DTYPES))

    def forward(self, input: Tensor) -> Tensor:
        shape = [self.out_features, self.in_features]
        scale = self.weight_scale
        if scale is None:
            return torch.ops.qnative.linear_dynamic_fp16(
                input, self.packed_weight, self.bias, shape
            )
        return torch.ops.qnative.linear_dynamic(input, self.packed_weight, scale, self.bias, shape)

    def extra_repr(self) -> str:
        dtype = "float16" if self.weight_scale is None else "int8"
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, dtype={dtype}"
        )
