"""How one aten call becomes one qnative call. Weights are packed here."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from ..graph import nodes as ir
from ..graph.activation import Bounds, fused_activation
from ..graph.nodes import QParams, Unsupported


@dataclass(frozen=True)
class Quantized:
    """An 8-bit value of the graph."""

    node: Node
    qparams: QParams

    @property
    def args(self) -> tuple[Node, float, int]:
        return self.node, self.qparams.scale, self.qparams.zero_point


@dataclass
class Constants:
    """Tensors that the lowered module gets as buffers, by name."""

    graph: Graph
    taken: set[str]
    values: dict[str, torch.Tensor] = field(default_factory=dict)
    packed: dict[Any, tuple[str, ...]] = field(default_factory=dict)

    def add(self, name: str, value: torch.Tensor) -> str:
        """Registers a tensor, as "module.name" or something like it, and returns its name."""
        parts = name.split(".")
        if any(".".join(parts[:i]) in self.taken for i in range(1, len(parts))):
            name = "_".join(parts)
        base, i = name, 0
        while name in self.taken:
            i += 1
            name = f"{base}_{i}"
        self.taken.add(name)
        self.values[name] = value
        return name

    def get(self, name: str) -> Node:
        return self.graph.get_attr(name)


@dataclass
class CallSite:
    """An aten call about to be replaced.

    x: its quantized tensor arguments by name, a list for a list argument. bounds: of the activation
    fused into it; function: its name where it is no bound. y: of its output; None ends in float32.
    pad: that of the aten.pad fused into it, last dimension first; () without one.
    """

    module: GraphModule
    constants: Constants
    node: Node
    args: dict[str, Any]
    x: dict[str, Any]
    bounds: Bounds
    y: QParams | None
    pad: tuple[int, ...] = ()
    function: str = ""
    float_bytes: int = 0
    packed_bytes: int = 0

    def call(self, op: Any, *args: Any, **kwargs: Any) -> Node:
        return self.constants.graph.call_function(op, args, kwargs)

    @property
    def output(self) -> tuple[float, int, torch.dtype]:
        """y_scale, y_zero_point, y_dtype"""
        if self.y is None:
            return 1.0, 0, torch.float32
        return self.y.scale, self.y.zero_point, self.y.dtype

    @property
    def activation(self) -> tuple[Any, ...]:
        """y_scale to activation_args; arguments that have their default are left out."""
        name, values = fused_activation(self.bounds, self.y)
        return (
            self.output if name == "none" else (*self.output, name, *([values] if values else ()))
        )

    @property
    def float_activation(self) -> tuple[Any, ...]:
        """activation and activation_args of an op with float output; those that have their default
        are left out."""
        if self.function:
            return (self.function,)
        name, values = fused_activation(self.bounds, None)
        return () if name == "none" else (name, values) if values else (name,)

    @property
    def full_output(self) -> tuple[float, int, torch.dtype]:
        """``output`` of an op that cannot clamp to less than its dtype holds."""
        if self.y is not None and not self.y.full_range:
            least, most = self.y.quant_min, self.y.quant_max
            raise Unsupported(f"its output is limited to [{least}, {most}]")
        return self.output

    @property
    def name(self) -> str:
        return ir.module_path(self.node) or self.node.name


def int8_weight(site: CallSite, axis: int, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight as int8 and its scale for each output channel, float32 [N]. Output channels lie
    along ``axis``, where several ``groups`` share what they have there."""
    node = site.args["weight"]
    args = ir.bind(node)
    weight = ir.constant(site.module, args["input"])
    channels = weight.shape[axis]
    if weight.dtype is not torch.int8:
        raise Unsupported(f"its weight is {weight.dtype}, not torch.int8")
    if ir.is_call(node, ir.DEQUANTIZE_CHANNEL):
        if args["axis"] != axis:
            raise Unsupported(f"its weight is quantized along axis {args['axis']}, not {axis}")
        scale = ir.constant(site.module, args["scales"])
        zero_point = ir.constant(site.module, args["zero_points"])
    else:
        params = ir.qparams(site.module, node)
        scale = torch.full((channels,), params.scale)
        zero_point = torch.tensor(params.zero_point)
    if zero_point is not None and bool((zero_point != 0).any()):
        raise Unsupported("its weight is not symmetric: a zero point is not 0")
    return weight, scale.to(torch.float32).repeat(groups)


def weight_arguments(
    site: CallSite, op: str, *pack_args: Any, axis: int = 0, groups: int = 1
) -> tuple[Any, ...]:
    """weight, weight_scale, bias and weight_shape; a weight used twice is packed once. axis,
    groups: see int8_weight."""
    constants = site.constants
    weight, scale = int8_weight(site, axis, groups)
    key = (op, *pack_args, weight.data_ptr(), *scale.tolist())
    if key not in constants.packed:
        packed = getattr(torch.ops.qnative, f"{op}_pack")(weight, *pack_args)
        constants.packed[key] = (
            constants.add(f"{site.name}.weight", packed),
            constants.add(f"{site.name}.weight_scale", scale),
        )
        site.float_bytes += weight.numel() * 4
        site.packed_bytes += packed.numel() + scale.numel() * 4
    bias = None
    if site.args["bias"] is not None:
        value = ir.constant(site.module, site.args["bias"]).to(torch.float32).clone()
        bias = constants.get(constants.add(f"{site.name}.bias", value))
        site.float_bytes += value.numel() * 4
        site.packed_bytes += value.numel() * 4
    packed_name, scale_name = constants.packed[key]
    return constants.get(packed_name), constants.get(scale_name), bias, list(weight.shape)


def linear(site: CallSite) -> Node:
    weight = weight_arguments(site, "linear")
    return site.call(
        torch.ops.qnative.linear.default, *site.x["input"].args, *weight, *site.activation
    )


def add(site: CallSite) -> Node:
    alpha = float(site.args["alpha"])
    options = {} if alpha == 1.0 else {"alpha": alpha}
    a, b = site.x["self"], site.x["other"]
    return site.call(torch.ops.qnative.add.default, *a.args, *b.args, *site.activation, **options)


def sub(site: CallSite) -> Node:
    """self - alpha * other; rsub has them the other way round."""
    alpha = -float(site.args["alpha"])
    a, b = site.x["self"], site.x["other"]
    if ir.kind(site.node) == "rsub":
        a, b = b, a
    op = torch.ops.qnative.add.default
    return site.call(op, *a.args, *b.args, *site.activation, alpha=alpha)


def matmul(site: CallSite) -> Node:
    a, b = site.x.values()
    return site.call(torch.ops.qnative.matmul.default, *a.args, *b.args, *site.activation)


def mul(site: CallSite) -> Node:
    a, b = site.x["self"], site.x["other"]
    return site.call(torch.ops.qnative.mul.default, *a.args, *b.args, *site.activation)


def cat(site: CallSite) -> Node:
    nodes, scales, zero_points = zip(*(x.args for x in site.x["tensors"]), strict=True)
    return site.call(
        torch.ops.qnative.cat.default,
        list(nodes),
        list(scales),
        list(zero_points),
        site.args["dim"],
        *site.full_output,
    )


def stack(site: CallSite) -> Node:
    """cat of the tensors with one more dimension."""
    unsqueeze, dim = torch.ops.aten.unsqueeze.default, site.args["dim"]
    longer = [replace(x, node=site.call(unsqueeze, x.node, dim)) for x in site.x["tensors"]]
    return cat(replace(site, x={"tensors": longer}))


def max_pool(site: CallSite) -> Node:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    op = getattr(torch.ops.qnative, ir.kind(site.node)).default
    return site.call(op, site.x["self"].node, *(site.args[name] for name in names))


# One dimension has no divisor_override.
AVG_POOL_ARGS = (
    *("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "divisor_override",
)


def avg_pool(site: CallSite) -> Node:
    """Of every number of dimensions."""
    values = (site.args[name] for name in AVG_POOL_ARGS if name in site.args)
    op = getattr(torch.ops.qnative, ir.kind(site.node)).default
    return site.call(op, *site.x["self"].args, *values, *site.full_output)


def adaptive_avg_pool(site: CallSite) -> Node:
    op = getattr(torch.ops.qnative, ir.kind(site.node)).default
    return site.call(op, *site.x["self"].args, site.args["output_size"], *site.full_output)


# aten's names of what torch.nn.functional.interpolate calls a mode.
INTERPOLATE_MODES = {
    **{f"upsample_nearest{d}d": "nearest" for d in (1, 2, 3)},
    **{f"_upsample_nearest_exact{d}d": "nearest-exact" for d in (1, 2, 3)},
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_bicubic2d": "bicubic",
    "upsample_trilinear3d": "trilinear",
}


def interpolate(site: CallSite) -> Node:
    args, x, mode = site.args, site.x["input"], INTERPOLATE_MODES[ir.kind(site.node)]
    same = x.qparams.scale, x.qparams.zero_point, x.qparams.dtype
    return site.call(
        torch.ops.qnative.interpolate.default,
        *x.args,
        args["output_size"],
        args["scale_factors"],
        mode,
        args.get("align_corners"),
        *(same if "nearest" in mode else site.full_output),
    )


def mean(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.mean.default,
        *site.x["self"].args,
        site.args.get("dim"),
        site.args.get("keepdim", False),
        *site.full_output,
    )


def floats(site: CallSite, name: str, argument: Any) -> Node | None:
    """An argument that stays float32, as a buffer of the lowered module."""
    if argument is None:
        return None
    constants, key = site.constants, (site.node, name)
    if key not in constants.packed:
        value = ir.constant(site.module, argument).to(torch.float32).clone()
        constants.packed[key] = (constants.add(f"{site.name}.{name}", value),)
        site.float_bytes += value.numel() * 4
        site.packed_bytes += value.numel() * 4
    return constants.get(*constants.packed[key])


def layer_norm(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.layer_norm.default,
        *site.x["input"].args,
        site.args["normalized_shape"],
        *(floats(site, name, site.args[name]) for name in ("weight", "bias")),
        site.args["eps"],
        *site.full_output,
    )


def group_norm(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.group_norm.default,
        *site.x["input"].args,
        site.args["num_groups"],
        *(floats(site, name, site.args[name]) for name in ("weight", "bias")),
        site.args["eps"],
        *site.full_output,
    )


_RUNNING = ("weight", "bias", "running_mean", "running_var")


def instance_norm(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.instance_norm.default,
        *site.x["input"].args,
        *(floats(site, name, site.args[name]) for name in _RUNNING),
        site.args["use_input_stats"],
        site.args["eps"],
        *site.full_output,
    )


def batch_norm(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.batch_norm.default,
        *site.x["input"].args,
        *(floats(site, name, site.args[name]) for name in _RUNNING),
        site.args["eps"],
        *site.activation,
    )


def softmax(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.softmax.default,
        *site.x["self"].args,
        site.args["dim"],
        *site.full_output,
    )


def prelu(site: CallSite) -> Node:
    return site.call(
        torch.ops.qnative.prelu.default,
        *site.x["self"].args,
        floats(site, "weight", site.args["weight"]),
        *site.full_output,
    )


def lookup_table(x: QParams, y: QParams, function: Any) -> torch.Tensor:
    """The 256 values of y for ``function`` (float32 -> float32) of each value of x."""
    info = torch.iinfo(x.dtype)
    codes = torch.arange(info.min, info.max + 1).to(x.dtype)
    ops = torch.ops.qnative
    real = function(ops.dequantize_per_tensor(codes, x.scale, x.zero_point))
    limits = {"quant_min": y.quant_min, "quant_max": y.quant_max}
    return ops.quantize_per_tensor(real, y.scale, y.zero_point, y.dtype, **limits)


def lookup(site: CallSite) -> Node:
    node, argument = site.node, site.args["self"]

    def function(real: torch.Tensor) -> torch.Tensor:
        args = map_arg(node.args, lambda n: real if n is argument else ir.constant(site.module, n))
        return node.target(*args, **node.kwargs)

    return _look_up(site, function)


def _look_up(site: CallSite, function: Any) -> Node:
    x = site.x["self"]
    table = lookup_table(x.qparams, site.y, function)
    name = site.constants.add(f"{site.name}.table", table)
    return site.call(torch.ops.qnative.lookup.default, x.node, site.constants.get(name))


def resize(site: CallSite) -> Node:
    """Of contiguous values to as many ones: what reshape does, whatever the layout is by now."""
    return site.call(torch.ops.aten.reshape.default, site.x["self"].node, site.args["size"])


def pad(site: CallSite) -> Node:
    """With a code, where it pads with a constant. Any but 0 may be outside of the range of what is
    padded, which therefore is brought to the range of the output."""
    x, args = site.x["self"], site.args
    mode = args.get("mode", "constant")
    if site.y is None:
        value = x.qparams.zero_point if mode == "constant" else None
        return site.call(torch.ops.aten.pad.default, x.node, args["pad"], mode, value)
    number = args["value"]
    table = lookup_table(x.qparams, site.y, lambda real: torch.full_like(real, number))
    node = x.node if x.qparams == site.y else _look_up(site, lambda real: real)
    return site.call(torch.ops.aten.pad.default, node, args["pad"], mode, int(table[0]))


def free(site: CallSite) -> Node:
    """The aten op on the 8-bit data."""
    ((name, x),) = site.x.items()
    args = map_arg(site.node.args, lambda n: x.node if n is site.args[name] else n)
    return site.call(site.node.target, *args, **site.node.kwargs)
