"""Quantize and dequantize nodes: their parameters, and which values are constants."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from .nodes import Unsupported, bind, constant, is_call, target_name

_QD = "quantized_decomposed"
QUANTIZE = {f"{_QD}.quantize_per_tensor.default", f"{_QD}.quantize_per_tensor.tensor"}
DEQUANTIZE = {f"{_QD}.dequantize_per_tensor.default", f"{_QD}.dequantize_per_tensor.tensor"}
QUANTIZE_CHANNEL = {f"{_QD}.quantize_per_channel.default"}
DEQUANTIZE_CHANNEL = {f"{_QD}.dequantize_per_channel.default"}
# Upstream's quantized dtypes, which qnative never creates, and their storage dtypes. int16 has the
# zero point 0.
STORAGE_DTYPES: dict[torch.dtype | None, torch.dtype] = {
    torch.uint8: torch.uint8,
    torch.quint8: torch.uint8,
    torch.int8: torch.int8,
    torch.qint8: torch.int8,
    torch.int16: torch.int16,
}


@dataclass(frozen=True)
class QParams:
    """real = (value - zero_point) * scale, values of ``dtype`` within [quant_min, quant_max]."""

    scale: float
    zero_point: int
    dtype: torch.dtype
    quant_min: int
    quant_max: int

    @property
    def full_range(self) -> bool:
        info = torch.iinfo(self.dtype)
        return (self.quant_min, self.quant_max) == (info.min, info.max)

    @property
    def real_range(self) -> tuple[float, float]:
        """The real values of quant_min and quant_max; infinite where the dtype ends there too."""
        info = torch.iinfo(self.dtype)
        low = (self.quant_min - self.zero_point) * self.scale
        high = (self.quant_max - self.zero_point) * self.scale
        return (
            -math.inf if self.quant_min == info.min else low,
            math.inf if self.quant_max == info.max else high,
        )


def is_constant(node: Any) -> bool:
    """A parameter or buffer, possibly quantized and dequantized."""
    if not isinstance(node, Node):
        return False
    if node.op == "get_attr":
        return True
    passing = QUANTIZE | DEQUANTIZE | QUANTIZE_CHANNEL | DEQUANTIZE_CHANNEL
    observed = node.op == "call_module" and len(node.args) == 1
    return (is_call(node, passing) or observed) and is_constant(node.args[0])


def qparams(module: torch.nn.Module, node: Node) -> QParams:
    """The parameters of a per-tensor quantize or dequantize node."""
    values = bind(node)
    if values.get("out_dtype") not in (None, torch.float32):
        raise Unsupported(f"{node.name} dequantizes to {values['out_dtype']}, not float32")
    scale, zero_point = (constant(module, values[name]) for name in ("scale", "zero_point"))
    return QParams(
        float(scale),
        int(zero_point),
        values["dtype"],
        int(values["quant_min"]),
        int(values["quant_max"]),
    )


def is_decomposed(node: Node) -> bool:
    """Whether a node calls one of the ``quantized_decomposed`` ops."""
    return node.op == "call_function" and target_name(node).startswith(f"{_QD}.")


def sources(node: Node) -> list[str]:
    """Names of the calls and of the model's inputs that a node reads, quantized or not."""
    found: list[str] = []
    for source in node.all_input_nodes:
        if is_decomposed(source):
            found += sources(source)
        elif source.op in ("placeholder", "call_function"):
            found.append(source.name)
    return list(dict.fromkeys(found))
