"""The padding of convolutions, and of the aten.pad before them."""

from collections.abc import Sequence
from typing import Any

from torch.fx import Node

from .kinds import CONVS, PADS
from .nodes import bind, kind


def for_each_dimension(values: int | Sequence[int], dims: int) -> list[int]:
    """One number for each dimension; a single number stands for all."""
    values = [values] if isinstance(values, int) else list(values)
    return values * dims if len(values) == 1 else values


def conv_sides(args: dict[str, Any], weight_shape: Sequence[int]) -> list[int]:
    """The padding of a convolution before and after each dimension: [top, bottom, left, right].
    Takes "same" and "valid" too."""
    dims = len(weight_shape) - 2
    padding = args["padding"]
    if padding == "valid":
        return [0] * 2 * dims
    if padding != "same":
        return [side for side in for_each_dimension(padding, dims) for _ in range(2)]
    dilation = for_each_dimension(args["dilation"], dims)
    totals = [d * (k - 1) for d, k in zip(dilation, weight_shape[2:], strict=True)]
    return [side for total in totals for side in (total // 2, total - total // 2)]


def zero_padding(node: Node) -> tuple[Node | None, tuple[int, ...]]:
    """The aten.pad with zeros before a convolution, which the convolution's own padding can
    replace, and its sides, last dimension first: (left, right, top, bottom). (None, ()) without
    one."""
    nothing = None, ()
    dims = CONVS.get(kind(node))
    if dims is None:
        return nothing
    pad = bind(node)["input"]
    if kind(pad) not in PADS:
        return nothing
    args = bind(pad)
    sides = args["pad"]
    plain = args.get("mode", "constant") == "constant" and not args["value"]
    if not plain or not all(isinstance(side, int) and side >= 0 for side in sides):
        return nothing
    if len(sides) > 2 * dims:
        return nothing
    return pad, (*sides, *[0] * (2 * dims - len(sides)))
