"""The call of an op by the names of its schema's arguments: that is all that most ops need."""

from typing import Any

import torch
from torch.fx import Node

from ..graph.nodes import Unsupported
from ..graph.sequence import follow
from ..plan.foreign import aten_argument, is_default, kernel, quantized_inputs
from .call_site import CallSite
from .weights import plain_weight

# Arguments of aten ops that ops of qnative need not know: they matter in training, or say how to
# compute. Checks have seen to ``training`` and ``dtype``.
_IGNORED = {
    *("momentum", "cudnn_enable", "cudnn_enabled", "training", "dtype"),
    *("padding_idx", "scale_grad_by_freq", "sparse"),
}


def by_schema(
    site: CallSite, overload: str = "default", used: tuple[str, ...] = (), **given: Any
) -> Node:
    """Calls the op of a site's decision. Its arguments are, by their names in its schema:

    - those in ``given``;
    - quantized inputs, in the order of ``site.x``: ``x``, ``x_scale``, ``x_zero_point``;
    - ``y_scale``, ``y_zero_point``, ``y_dtype``, ``activation`` and ``activation_args``;
    - those of the same name of the aten call, tensors as float32 buffers;
    - their defaults.

    used: arguments of the aten call that ``given`` has under other names. Unsupported for an
    argument without a value, and for one of the aten call that is not the default and that the op
    does not have.
    """
    op = getattr(getattr(torch.ops.qnative, site.decision.op), overload)
    names = {argument.name for argument in op._schema.arguments}
    values = _inputs(site, op, given) | given
    if "activation" in names:
        values = site.output | site.activation | values
    elif "y_scale" in names - values.keys():
        values |= site.full_output
    _check_dropped(site, {*names, *used, *site.x})
    return _call(site, op, values, (site.node,))


def foreign(site: CallSite) -> Node:
    """The call of a kernel of another library, see plan/foreign.py, in place of a sequence."""
    chosen = kernel(site.node, site.decision)
    names = {argument.name for argument in chosen.op._schema.arguments}
    values = _inputs(site, chosen.op, {}) | site.full_output
    values |= plain_weight(site, names, chosen.weighted)
    return _call(site, chosen.op, values, follow(site.node, chosen.kinds)[0])


def _call(
    site: CallSite, op: torch._ops.OpOverload, values: dict[str, Any], nodes: tuple[Node, ...]
) -> Node:
    for argument in op._schema.arguments:
        if argument.name not in values:
            values[argument.name] = _aten_value(site, argument, nodes)
    args, kwargs = arguments_of(op, values)
    return site.call(op, *args, **kwargs)


def arguments_of(
    op: torch._ops.OpOverload, values: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Values by the names of a schema as the arguments of a call, without defaults at the end."""
    by_position, by_name = [], {}
    for argument in op._schema.arguments:
        value = values[argument.name]
        if not argument.kwarg_only:
            by_position.append((argument, value))
        elif not is_default(argument, value):
            by_name[argument.name] = value
    while by_position and is_default(*by_position[-1]):
        by_position.pop()
    return tuple(value for _, value in by_position), by_name


def _inputs(site: CallSite, op: torch._ops.OpOverload, given: dict[str, Any]) -> dict[str, Any]:
    """The quantized inputs of an op. Without parameters they are its first tensors."""
    names = quantized_inputs(op) or [
        argument.name
        for argument in op._schema.arguments
        if str(argument.type) == "Tensor" and argument.name not in given
    ]
    values: dict[str, Any] = {}
    for name, x in zip(names, site.x.values(), strict=False):
        if isinstance(x, list):
            continue
        values[name] = x.node
        if x.qparams is not None:
            values[f"{name}_scale"] = x.qparams.scale
            values[f"{name}_zero_point"] = x.qparams.zero_point
    return values


def _check_dropped(site: CallSite, known: set[str]) -> None:
    for argument in site.node.target._schema.arguments:
        name, value = argument.name, site.args[argument.name]
        if name in known | _IGNORED or is_default(argument, value):
            continue
        raise Unsupported(f"qnative.{site.decision.op} has no argument {name}, which is {value}")


def _aten_value(site: CallSite, argument: Any, nodes: tuple[Node, ...]) -> Any:
    """The value of an argument that the aten calls have too, a tensor as a float32 buffer."""
    value = aten_argument(argument, nodes, site.decision.op)
    return site.floats(argument.name, value) if isinstance(value, Node) else value
