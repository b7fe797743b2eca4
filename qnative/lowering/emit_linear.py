"""Linear layers that go straight from the float graph to ops with float inputs and outputs."""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from . import graph as ir
from .activation import fused_activation
from .emit import Site, is_constant
from .emit_half import as_float, as_half
from .graph import Unsupported, bind, kind, tensor_of

# More products of a uint8 with an int8 could overflow int32.
MAX_PRODUCTS = 65793
# Weights up to so many times the root mean square of their channel set its scale: of normally
# distributed ones, one in two million is beyond. Then larger weights do, until few enough are.
_LEAST_PEAK = 5.0
_MOST_REPEATED = 16
_FUNCTIONS = ("gelu", "silu", "sigmoid", "tanh", "hardswish")


def function_name(node: Node) -> str:
    """What the ops call a function that can be part of them; "" for other nodes."""
    name = kind(node)
    if name == "gelu" and bind(node)["approximate"] == "tanh":
        return "gelu_tanh"
    return name if name in _FUNCTIONS else ""


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
    if weight is not None and weight.shape[1] > MAX_PRODUCTS:
        raise Unsupported(f"it sums {weight.shape[1]} products, more than {MAX_PRODUCTS}")


def check_dynamic_fp16(node: Node, args: dict[str, Any]) -> None:
    _check(node, args, (torch.float32,))


def check_fp16(node: Node, args: dict[str, Any]) -> None:
    _check(node, args, (torch.float32, torch.float16))


def _activation(site: Site) -> tuple[Any, ...]:
    if site.function:
        return (site.function,)
    name, values = fused_activation(site.bounds, None)
    return () if name == "none" else (name, values) if values else (name,)


def _constants(
    site: Site, op: str, make: Callable[[torch.Tensor], dict[str, torch.Tensor]]
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


def _check_finite(weight: torch.Tensor) -> None:
    if not bool(weight.isfinite().all()):
        raise Unsupported("its weight is not finite")


def _scale(most: torch.Tensor) -> torch.Tensor:
    """Of channels whose weights go up to ``most``. A channel of zeros may have any scale."""
    return torch.where(most > 0, most / 127, 1.0).clamp(min=torch.finfo(torch.float32).tiny)


def pack_int8(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Symmetric with a scale for each output channel."""
    _check_finite(weight)
    scale = _scale(weight.abs().amax(1))
    codes = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    return {"weight": torch.ops.qnative.linear_pack(codes), "weight_scale": scale}


def pack_half(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.ops.qnative.linear_fp16_pack(weight)}


def spread(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """int8 [N, K + R], a scale for each output channel, and the R inputs that have another column.

    One weight far beyond the others of its channel would set their scale and leave them a few bits.
    Here it is the sum of several columns of one input, if those are at most 1 / _MOST_REPEATED of
    all.
    """
    _check_finite(weight)
    most = weight.abs().amax(1)
    # Squares of the shares: those of the weights may leave float32.
    share = weight / most.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    typical = most * share.square().mean(1).sqrt()
    peak = _LEAST_PEAK
    while True:
        scale = _scale(torch.minimum(most, peak * typical))
        codes = (weight / scale[:, None]).round()
        columns = (codes.abs().amax(0) / 127).ceil().clamp(min=1).to(torch.int64)
        if int((columns - 1).sum()) * _MOST_REPEATED <= len(columns):
            break
        peak *= 1.25
    repeated = torch.arange(len(columns)).repeat_interleave(columns - 1)
    parts = [codes.clamp(-127, 127)]
    rest = codes - parts[0]
    for k in repeated.tolist():
        part = rest[:, k].clamp(-127, 127)
        rest[:, k] -= part
        parts.append(part[:, None])
    return torch.cat(parts, 1).to(torch.int8), scale, repeated.tolist()


def linear_dynamic(site: Site) -> Node:
    codes, scale, repeated = spread(ir.constant(site.module, site.args["weight"]).float())
    weight, bias, _ = _constants(
        site,
        "linear_dynamic",
        lambda _: {"weight": torch.ops.qnative.linear_pack(codes), "weight_scale": scale},
    )
    activation = _activation(site)
    if repeated:
        activation = (*activation, *("none", [])[len(activation) :], repeated)
    op = torch.ops.qnative.linear_dynamic.default
    return site.call(op, site.args["input"], *weight, bias, list(codes.shape), *activation)


def linear_dynamic_fp16(site: Site) -> Node:
    weight, bias, shape = _constants(site, "linear_fp16", pack_half)
    op = torch.ops.qnative.linear_dynamic_fp16.default
    return site.call(op, site.args["input"], *weight, bias, shape, *_activation(site))


def linear_fp16(site: Site) -> Node:
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
        *_activation(site),
    )
    return as_float(site, y) if is_float else y
