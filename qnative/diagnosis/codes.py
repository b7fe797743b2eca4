"""The scales of a quantized graph: with which one a node writes its value, and others read it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from ..graph import nodes as ir

LOOKUP = "qnative.lookup.default"
QUANTIZE = "qnative.quantize_per_tensor.default"
DEQUANTIZE = "qnative.dequantize_per_tensor.default"
# Ops that move a value, one behind the other, through which its reader is looked for.
_FAR = 20
# Dtypes of codes.
CODES = (torch.uint8, torch.int8, torch.int16)


@dataclass(frozen=True)
class Codes:
    """real = (code - zero_point) * scale."""

    scale: float
    zero_point: int

    def real(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes.float() - self.zero_point) * self.scale

    def of(self, real: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The codes of real numbers; NaN has the zero point."""
        info = torch.iinfo(dtype)
        codes = torch.nan_to_num((real / self.scale).round() + self.zero_point, self.zero_point)
        return codes.clamp(info.min, info.max).to(dtype)

    def range(self, dtype: torch.dtype) -> tuple[float, float]:
        """The real numbers of the least and the greatest code."""
        info = torch.iinfo(dtype)
        return (info.min - self.zero_point) * self.scale, (info.max - self.zero_point) * self.scale

    def differs(self, other: "Codes") -> bool:
        near = abs(self.scale - other.scale) <= 1e-5 * max(self.scale, other.scale)
        return not near or self.zero_point != other.zero_point


def written(node: Any) -> Codes | None:
    """With which scale an op writes its value; of ops that keep their input's, that of the input.
    None where the graph does not say: a lookup, a float value."""
    if not isinstance(node, Node) or node.op != "call_function":
        return None
    name = ir.target_name(node)
    if name == QUANTIZE:
        return Codes(float(node.args[1]), int(node.args[2]))
    if name in (LOOKUP, DEQUANTIZE):
        return None
    args = ir.bind(node) if isinstance(node.target, torch._ops.OpOverload) else {}
    if "y_dtype" in args:
        if args["y_dtype"] not in CODES:
            return None
        return Codes(float(args["y_scale"]), int(args["y_zero_point"]))
    sources = [source for source in node.all_input_nodes if source.op == "call_function"]
    return written(sources[0]) if sources and not _scales(args) else None


def operands(node: Node) -> list[tuple[str, Node, Codes]]:
    """The 8-bit operands of a qnative op: the name of the argument, the value, its scale there."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return []
    if not ir.target_name(node).startswith("qnative."):
        return []
    args = ir.bind(node)
    if ir.target_name(node) == DEQUANTIZE:
        return [("x", args["x"], Codes(float(args["scale"]), int(args["zero_point"])))]
    found = []
    for name in _scales(args):
        codes = Codes(float(args[f"{name}_scale"]), int(args[f"{name}_zero_point"]))
        if isinstance(args[name], Node):
            found.append((name, args[name], codes))
    if "scales" in args and isinstance(args.get("tensors"), (list, tuple)):
        each = zip(args["tensors"], args["scales"], args["zero_points"], strict=True)
        for i, (value, scale, zero_point) in enumerate(each):
            found.append((f"tensors[{i}]", value, Codes(float(scale), int(zero_point))))
    return found


def codes_of(node: Node, seen: int = 0) -> Codes | None:
    """How to read the value of a node: as it is written or, where that is not said, as the first op
    behind it reads it."""
    if (found := written(node)) is not None:
        return found
    for user in node.users:
        for _, value, codes in operands(user):
            if value is node:
                return codes
    for user in node.users:
        passes = user.op == "call_function" and ir.target_name(user) != LOOKUP
        if not passes or operands(user) or seen == _FAR:
            continue
        if (found := codes_of(user, seen + 1)) is not None:
            return found
    return None


def _scales(args: dict[str, Any]) -> list[str]:
    return [name for name in args if f"{name}_zero_point" in args and name != "y"]
