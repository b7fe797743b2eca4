"""Linear with int8, float16 or 4-bit weights."""

from typing import Any

import torch
from torch import Tensor

from .._info import MAX_PRODUCTS_U8S8
from ..graph.nodes import Unsupported
from ..lowering.packing import pack_4bit, pack_half, pack_int8
from ._weights import WEIGHT_DTYPES, asked, float_weight, group_size_of


class Linear(torch.nn.Module):
    """torch.nn.Linear with packed weights: ``qnative::linear_dynamic`` or ``linear_dynamic_fp16``.

    dtype: torch.int8, where the rows of x are quantized at run time, or torch.float16. The weight
    is zero until it is loaded; ``from_float`` makes the module of a float one.

    repeated: inputs with a second column in the int8 weight, which holds the rest of weights much
    larger than the others of their row; None without such inputs. A state_dict may have other
    repeated inputs than the module.
    """

    _repeated: list[int]

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
            False,
        )

    def _pack(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, may_repeat: bool
    ) -> None:
        if dtype not in (torch.int8, torch.float16):
            raise ValueError(f"qnative.nn: dtype must be torch.int8 or torch.float16, got {dtype}")
        if dtype is torch.int8 and self.in_features > MAX_PRODUCTS_U8S8:
            raise Unsupported(f"it sums {self.in_features} products, more than {MAX_PRODUCTS_U8S8}")
        scale: Tensor | None = None
        repeated: list[int] = []
        if dtype is torch.float16:
            packed = pack_half(weight)
        else:
            packed, scale, repeated = pack_int8(weight, may_repeat)
        self.register_buffer("packed_weight", packed)
        self.register_buffer("weight_scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.register_buffer("repeated", torch.tensor(repeated) if repeated else None)
        self._repeated = repeated

    @classmethod
    def of(
        cls, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, may_repeat: bool = True
    ) -> "Linear":
        """x weight' + bias of float32 tensors. may_repeat: whether to give large weights more
        columns."""
        module = cls.__new__(cls)
        torch.nn.Module.__init__(module)
        module.out_features, module.in_features = weight.shape
        module._pack(float_weight(weight), bias, dtype, may_repeat)
        return module

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if self.weight_scale is not None and f"{prefix}packed_weight" in state_dict:
            self.repeated = state_dict.get(f"{prefix}repeated")
            self._repeated = [] if self.repeated is None else self.repeated.tolist()
            columns = self.in_features + len(self._repeated)
            codes = torch.zeros(self.out_features, columns, dtype=torch.int8)
            self.packed_weight = torch.ops.qnative.linear_pack(codes)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @classmethod
    def from_float(
        cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False
    ) -> "Linear | Linear4bit":
        """mod: a torch.nn.Linear; its qconfig gives the dtype of the weight. For torch.quint4x2 the
        result is a Linear4bit."""
        if mod.qconfig.weight().dtype is torch.quint4x2:
            return Linear4bit.of(mod.weight, mod.bias, group_size_of(mod))
        return cls.of(mod.weight, mod.bias, asked(mod, WEIGHT_DTYPES))

    def forward(self, input: Tensor) -> Tensor:
        scale, repeated = self.weight_scale, self._repeated
        shape = [self.out_features, self.in_features + len(repeated)]
        if scale is None:
            return torch.ops.qnative.linear_dynamic_fp16(
                input, self.packed_weight, self.bias, shape
            )
        if len(repeated) == 0:
            return torch.ops.qnative.linear_dynamic(
                input, self.packed_weight, scale, self.bias, shape
            )
        return torch.ops.qnative.linear_dynamic(
            input, self.packed_weight, scale, self.bias, shape, repeated=repeated
        )

    def extra_repr(self) -> str:
        dtype = "float16" if self.weight_scale is None else "int8"
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, dtype={dtype}"
        )


class Linear4bit(torch.nn.Module):
    """torch.nn.Linear with weights of 4 bits, a scale for each ``group_size`` of them:
    ``qnative::linear_4bit``. The rows of x are quantized to 8 bits at run time.

    group_size: a multiple of 4; None or more than in_features is one group for each row. The weight
    is zero until it is loaded; ``of`` makes the module of a float weight.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        group_size: int | None = 32,
    ):
        super().__init__()
        weight = torch.zeros(out_features, in_features)
        self._pack(weight, torch.zeros(out_features) if bias else None, group_size)

    def _pack(self, weight: Tensor, bias: Tensor | None, group_size: int | None) -> None:
        self.out_features, self.in_features = weight.shape
        self.group_size = group_size or self.in_features
        self.register_buffer("packed_weight", pack_4bit(weight, self.group_size))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, group_size: int | None = 32) -> "Linear4bit":
        """x weight' + bias of float32 tensors."""
        module = cls.__new__(cls)
        torch.nn.Module.__init__(module)
        module._pack(float_weight(weight), bias, group_size)
        return module

    def forward(self, input: Tensor) -> Tensor:
        shape = [self.out_features, self.in_features]
        return torch.ops.qnative.linear_4bit(
            input, self.packed_weight, self.bias, shape, self.group_size
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, group_size={self.group_size}"
        )
