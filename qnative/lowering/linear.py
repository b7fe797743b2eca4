"""Linear layers that go straight from the float graph to ops with float inputs and outputs."""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from .._info import MAX_PRODUCTS_U8S8
from ..graph import nodes as ir
from ..graph.nodes import Unsupported, is_constant, tensor_of
from ..plan import constraints
from .emit import CallSite
from .half import as_float, as_half
from .packing import INT8_RANGE, pack_half, pack_spread


def _check(node: Node, args: dict[str, Any], dtypes: tuple[torch.dtype, ...]) -> None:
    for name in ("weight", "bias"):
        if args[name] is not None and not is_constant(args[name]):
            raise Unsupported(f"its {name} is computed, not a constant")
    for name in ("input", "weight"):
        value = tensor_of(args[name])
        if value is not None and value.dtype not in dtypes:
            wanted = " or ".join(map(str, dtypes))
            raise Unsupported(f"its argument {name} is {value.dtype}, not {wanted}")
    weight = tensor_of(args["weight"])
    if weight is not None and (weight.dim() != 2 or weight.numel() == 0):
        raise Unsupported(f"its weight has shape {list(weight.shape)}")


def check_dynamic(node: Node, args: dict[str, Any]) -> None:
    _check(node, args, (torch.float32,))
    weight = tensor_of(args["weight"])
    if weight is not None and weight.shape[1] > MAX_PRODUCTS_U8S8:
        raise Unsupported(f"it sums {weight.shape[1]} products, more than {MAX_PRODUCTS_U8S8}")


def check_dynamic_fp16(node: Node, args: dict[str, Any]) -> None:
    _check(node, args, (torch.float32,))


def check_fp16(node: Node, args: dict[str, Any]) -> None:
    _check(node, args, (torch.float32, torch.float16))


def _constants(
    site: CallSite, op: str, make: Callable[[torch.Tensor], dict[str, torch.Tensor]]
) -> tuple[list[Node], Node | None, list[int]]:
    """What ``make`` packs of the weight, the bias and weight_shape. A weight used twice is packed
    once."""
    constants = site.constants
    weight = ir.constant(site.module, site.args["weight"])
    key = (op, weight.data_ptr(), tuple(weight.shape))
    if key not in constants.packed:
        tensors = make(weight)
        constants.packed[key] = tuple(
            constants.add(f"{site.name}.{name}", value) for name, value in tensors.items()
        )
        site.float_bytes += weight.numel() * weight.element_size()
        site.packed_bytes += sum(t.numel() * t.element_size() for t in tensors.values())
    bias = None
    if site.args["bias"] is not None:
        value = ir.constant(site.module, site.args["bias"])
        site.float_bytes += value.numel() * value.element_size()
        value = value.to(torch.float32).clone()
        site.packed_bytes += value.numel() * value.element_size()
        bias = constants.get(constants.add(f"{site.name}.bias", value))
    return [constants.get(name) for name in constants.packed[key]], bias, list(weight.shape)


def linear_dynamic(site: CallSite) -> Node:
    packed, repeated = pack_spread(ir.constant(site.module, site.args["weight"]).float())
    constraints.check_numbers(site.node, "weight", packed["weight_scale"], 0, *INT8_RANGE)
    weight, bias, (rows, columns) = _constants(site, "linear_dynamic", lambda _: packed)
    shape = [rows, columns + len(repeated)]
    trailing = with_repeated(site.float_activation, repeated)
    op = torch.ops.qnative.linear_dynamic.default
    return site.call(op, site.args["input"], *weight, bias, shape, *trailing)


def with_repeated(activation: tuple[Any, ...], repeated: list[int]) -> tuple[Any, ...]:
    """The last arguments of linear_dynamic; those that have their default are left out."""
    if not repeated:
        return activation
    return (*activation, *("none", [])[len(activation) :], repeated)


def linear_dynamic_fp16(site: CallSite) -> Node:
    weight, bias, shape = _constants(site, "linear_fp16", pack_half)
    op = torch.ops.qnative.linear_dynamic_fp16.default
    return site.call(op, site.args["input"], *weight, bias, shape, *site.float_activation)


def linear_fp16(site: CallSite) -> Node:
    """In a float32 model x becomes float16 before it, and y float32 after it."""
    weight, bias, shape = _constants(site, "linear_fp16", pack_half)
    x = site.args["input"]
    value = tensor_of(x)
    is_float = value is None or value.dtype is torch.float32
    y = site.call(
        torch.ops.qnative.linear_fp16.default,
        as_half(site, x) if is_float else x,
        *weight,
        bias,
        shape,
        *site.float_activation,
    )
    return as_float(site, y) if is_float else y
