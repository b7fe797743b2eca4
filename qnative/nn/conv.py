"""Convolutions with int8 weights."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.utils import _ntuple

from .._info import MAX_PRODUCTS_U8S8
from ..graph.nodes import Unsupported
from ..lowering.packing import pack_int8_conv
from ._weights import asked, float_weight

DTYPES = {torch.qint8: torch.int8, torch.int8: torch.int8}


class _Convolution(torch.nn.Module):
    """A convolution of torch.nn with packed int8 weights. Each image of the input is quantized at
    run time, with a scale of its own: ``qnative::conv2d_dynamic`` and its kin.

    The arguments are those of the module of the same name in torch.nn, without device and dtype.
    The weight is zero until it is loaded; ``from_float`` makes the module of a float one.
    """

    float_type: type[torch.nn.modules.conv._ConvNd]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        like = self.float_type(*args, device="meta", **kwargs)
        bias = None if like.bias is None else torch.zeros(like.out_channels)
        self._pack(like, torch.zeros(like.weight.shape), bias)

    @classmethod
    def from_float(
        cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False
    ) -> "_Convolution":
        """mod: a convolution of torch.nn; its qconfig asks for a weight of int8."""
        asked(mod, DTYPES)
        module = cls.__new__(cls)
        torch.nn.Module.__init__(module)
        module._pack(mod, float_weight(mod.weight), mod.bias)
        return module

    def _pack(self, like: Any, weight: Tensor, bias: Tensor | None) -> None:
        """like: a float module of the same geometry."""
        dims, groups = weight.dim() - 2, like.groups
        each = _ntuple(dims)
        inputs = weight.shape[0] // groups if like.transposed else weight.shape[1]
        products = inputs * math.prod(weight.shape[2:])
        if products > MAX_PRODUCTS_U8S8:
            raise Unsupported(f"it sums {products} products, more than {MAX_PRODUCTS_U8S8}")
        self.in_channels, self.out_channels, self.groups = (
            like.in_channels,
            like.out_channels,
            groups,
        )
        self.shape, self.padding_mode = list(weight.shape), like.padding_mode
        self.stride, self.dilation = list(each(like.stride)), list(each(like.dilation))
        self.output_padding = list(each(like.output_padding))
        # As F.pad has them: the last dimension first. Those of "same" and "valid" are numbers too.
        self.sides = list(like._reversed_padding_repeated_twice)
        if like.transposed:
            self.padding = list(each(like.padding))
        elif self.padding_mode == "zeros":
            starts = range(2 * dims - 2, -1, -2)
            self.padding = [side for i in starts for side in self.sides[i : i + 2]]
        else:
            self.padding = [0]
        op = f"conv{'_transpose' if like.transposed else ''}{dims}d_dynamic"
        packed, scale = pack_int8_conv(op, weight, groups)
        self.register_buffer("packed_weight", packed)
        self.register_buffer("weight_scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _padded(self, input: Tensor) -> Tensor:
        """The input with padding that is not of zeros."""
        if self.padding_mode == "zeros":
            return input
        return F.pad(input, self.sides, mode=self.padding_mode)

    def _more(self, input: Tensor, output_size: list[int] | None) -> list[int]:
        """The output_padding that gives a transposed convolution an output of this size."""
        if output_size is None:
            return self.output_padding
        dims = len(self.stride)
        more: list[int] = []
        for i in range(dims):
            extent = (self.shape[2 + i] - 1) * self.dilation[i] + 1
            size = (input.size(i - dims) - 1) * self.stride[i] - 2 * self.padding[i] + extent
            more.append(output_size[i - dims] - size)
        return more

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={tuple(self.shape[2:])}, "
            f"stride={tuple(self.stride)}, groups={self.groups}, bias={self.bias is not None}, "
            "dtype=int8"
        )


class Conv1d(_Convolution):
    float_type = torch.nn.Conv1d

    def forward(self, input: Tensor) -> Tensor:
        return torch.ops.qnative.conv1d_dynamic(
            self._padded(input),
            self.packed_weight,
            self.weight_scale,
            self.bias,
            self.shape,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class Conv2d(_Convolution):
    float_type = torch.nn.Conv2d

    def forward(self, input: Tensor) -> Tensor:
        return torch.ops.qnative.conv2d_dynamic(
            self._padded(input),
            self.packed_weight,
            self.weight_scale,
            self.bias,
            self.shape,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class Conv3d(_Convolution):
    float_type = torch.nn.Conv3d

    def forward(self, input: Tensor) -> Tensor:
        return torch.ops.qnative.conv3d_dynamic(
            self._padded(input),
            self.packed_weight,
            self.weight_scale,
            self.bias,
            self.shape,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class ConvTranspose1d(_Convolution):
    float_type = torch.nn.ConvTranspose1d

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return torch.ops.qnative.conv_transpose1d_dynamic(
            input,
            self.packed_weight,
            self.weight_scale,
            self.bias,
            self.shape,
            self.stride,
            self.padding,
            self._more(input, output_size),
            self.dilation,
            self.groups,
        )


class ConvTranspose2d(_Convolution):
    float_type = torch.nn.ConvTranspose2d

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return torch.ops.qnative.conv_transpose2d_dynamic(
            input,
            self.packed_weight,
            self.weight_scale,
            self.bias,
            self.shape,
            self.stride,
            self.padding,
            self._more(input, output_size),
            self.dilation,
            self.groups,
        )


class ConvTranspose3d(_Convolution):
    float_type = torch.nn.ConvTranspose3d

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return torch.ops.qnative.conv_transpose3d_dynamic(
            input,
            self.packed_weight,
            self.weight_scale,
            self.bias,
            self.shape,
            self.stride,
            self.padding,
            self._more(input, output_size),
            self.dilation,
            self.groups,
        )
