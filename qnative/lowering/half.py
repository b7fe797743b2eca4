"""Static half precision: float16 values between ops, float32 arithmetic inside of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from ..graph.activation import FUSABLE, activation_bounds, function_name
from ..graph.nodes import Unsupported, kind, tensor_of
from ..plan import table
from . import emit as eight_bit
from .emit import CallSite

_TO = torch.ops.aten.to.dtype
_OPS = torch.ops.qnative
# Key of the meta of the node that turns a float16 value into float32.
_FROM_HALF = "qnative_from_half"


def as_half(site: CallSite, x: Node) -> Node:
    """A float32 value in float16: what comes from another op in float16 is taken as it is."""
    if _FROM_HALF in x.meta:
        return without_cast(x)
    return site.call(_TO, x, torch.float16)


def as_float(site: CallSite, y: Node) -> Node:
    """A float16 value as the float32 that the graph goes on with."""
    real = site.call(_TO, y, torch.float32)
    real.meta[_FROM_HALF] = True
    return real


def without_cast(y: Node) -> Node:
    """The float16 value behind as_float, or y itself."""
    return y.args[0] if _FROM_HALF in y.meta else y


def check(node: Node, args: dict[str, Any]) -> None:
    """What is right in 8 bits is right in half precision, but for numbers that are no float32, and
    a sum may be as long as it likes."""
    table.check(node, sums_integers=False)
    for name in ("other", "alpha"):
        value = args.get(name)
        if isinstance(value, (int, float)) and not _is_finite(value):
            raise Unsupported(f"its argument {name} is {value}")


def _is_finite(value: float) -> bool:
    return abs(value) <= torch.finfo(torch.float32).max


def _pointwise(site: CallSite, x: Node, *function: Any) -> Node:
    """function: its name and, if it has some, its arguments."""
    return site.call(_OPS.pointwise_fp16.default, x, *function)


def _affine(site: CallSite, x: Node, factor: float, summand: float) -> Node:
    """x * factor + summand, and then the activation. -0.0 as summand leaves -0 as it is."""
    y = _pointwise(site, x, "affine", [float(factor), float(summand)])
    return _activated(site, y)


def _activated(site: CallSite, y: Node) -> Node:
    return _pointwise(site, y, *site.float_activation) if site.float_activation else y


# Each of these gets a site with float16 arguments and returns the float16 result.


def _add(site: CallSite) -> Node:
    """self + alpha * other, or the difference; rsub has them the other way round."""
    args, name = site.args, kind(site.node)
    a, b = args["self"], args["other"]
    alpha = float(args["alpha"]) * (1 if name == "add" else -1)
    if not isinstance(b, Node):
        return _affine(site, a, *((alpha, b) if name == "rsub" else (1.0, alpha * b)))
    if name == "rsub":
        a, b = b, a
    options = {} if alpha == 1.0 else {"alpha": alpha}
    return site.call(_OPS.add_fp16.default, a, b, *site.float_activation, **options)


def _mul(site: CallSite) -> Node:
    a, b = site.args["self"], site.args["other"]
    if not isinstance(b, Node):
        return _affine(site, a, b, -0.0)
    return site.call(_OPS.mul_fp16.default, a, b, *site.float_activation)


def _matmul(site: CallSite) -> Node:
    other = site.args["mat2" if kind(site.node) == "bmm" else "other"]
    return site.call(_OPS.matmul_fp16.default, site.args["self"], other, *site.float_activation)


def _function(site: CallSite) -> Node:
    return _pointwise(site, site.args["self"], function_name(site.node))


def _clamp(site: CallSite) -> Node:
    bounded = replace(site, bounds=activation_bounds(site.node))
    return _activated(bounded, site.args["self"])


def _floor_divide(site: CallSite) -> Node:
    return _pointwise(site, site.args["self"], "floor_divide", [float(site.args["other"])])


def _softmax(site: CallSite) -> Node:
    return site.call(_OPS.softmax_fp16.default, site.args["self"], site.args["dim"])


def _max_pool(site: CallSite) -> Node:
    x = eight_bit.Quantized(site.args["self"], None)
    return eight_bit.max_pool(replace(site, x={"self": x}))


def _avg_pool(site: CallSite) -> Node:
    op = getattr(_OPS, f"{kind(site.node)}_fp16").default
    names = ("self", *eight_bit.AVG_POOL_ARGS)
    return site.call(op, *(site.args[name] for name in names if name in site.args))


def _adaptive_avg_pool(site: CallSite) -> Node:
    op = getattr(_OPS, f"{kind(site.node)}_fp16").default
    return site.call(op, site.args["self"], site.args["output_size"])


def _mean(site: CallSite) -> Node:
    args = site.args
    op = _OPS.mean_fp16.default
    return site.call(op, args["self"], args.get("dim"), args.get("keepdim", False))


def _interpolate(site: CallSite) -> Node:
    args, mode = site.args, eight_bit.INTERPOLATE_MODES[kind(site.node)]
    return site.call(
        _OPS.interpolate_fp16.default,
        args["input"],
        args["output_size"],
        args["scale_factors"],
        mode,
        args.get("align_corners"),
    )


_EMIT: dict[str, Callable[[CallSite], Node]] = {
    **dict.fromkeys(("add", "sub", "rsub"), _add),
    "mul": _mul,
    **dict.fromkeys(("matmul", "bmm"), _matmul),
    **dict.fromkeys(("gelu", "hardsigmoid", "hardswish", "sigmoid", "silu", "tanh"), _function),
    **dict.fromkeys(FUSABLE, _clamp),
    "floor_divide": _floor_divide,
    "softmax": _softmax,
    **{f"max_pool{dims}d": _max_pool for dims in (1, 2, 3)},
    **{f"avg_pool{dims}d": _avg_pool for dims in (1, 2, 3)},
    **{f"adaptive_avg_pool{dims}d": _adaptive_avg_pool for dims in (1, 2, 3)},
    "mean": _mean,
    **dict.fromkeys(eight_bit.INTERPOLATE_MODES, _interpolate),
}


def emit(site: CallSite) -> Node:
    """The op on float16 data: the aten op itself where it moves data, and where no config of
    upstream asks for float16."""

    casts: dict[Node, Node] = {}

    def half(x: Node) -> Node:
        value = tensor_of(x)
        if value is None or value.dtype is not torch.float32:
            return x
        if x not in casts:
            casts[x] = as_half(site, x)
        return casts[x]

    own = _EMIT.get(kind(site.node))
    if own is not None:
        return as_float(site, own(replace(site, args=map_arg(site.args, half))))
    args, kwargs = map_arg((site.node.args, site.node.kwargs), half)
    y = site.call(site.node.target, *args, **kwargs)
    return as_float(site, _activated(site, y))
