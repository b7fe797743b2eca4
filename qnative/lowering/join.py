"""Joins linear layers with the same input (queries, keys and values), so that its rows are
quantized once."""

from collections import Counter, defaultdict
from dataclasses import dataclass

import torch
from torch.fx import Node

from .._info import MAX_PRODUCTS_U8S8
from ..graph import nodes as ir
from .by_schema import arguments_of
from .call_site import Context
from .qdq import replace

_LINEAR = {"qnative.linear_dynamic.default"}


@dataclass
class Joined:
    """calls: those that one call replaces. extra_bytes: size of its tensors minus that of
    theirs."""

    calls: list[Node]
    extra_bytes: int


@dataclass
class _Part:
    """A call of linear_dynamic."""

    call: Node
    k: int
    repeated: list[int]
    weight_shape: list[int]
    weight: torch.Tensor
    weight_scale: torch.Tensor
    bias: torch.Tensor | None

    @property
    def bytes(self) -> int:
        return sum(map(_bytes, (self.weight, self.weight_scale, self.bias)))


def join_linears(context: Context) -> list[Joined]:
    """Joins calls of ``linear_dynamic`` that have the same input and activation. Their outputs,
    which are views of one, are bit by bit what they were."""
    nodes = context.graph.nodes
    if any(ir.kind(node) == "as_strided" for node in nodes):
        return []  # the one op that depends on where rows lie
    uses = Counter(node.target for node in nodes if node.op == "get_attr")
    groups = defaultdict(list)
    for node in nodes:
        if not ir.is_call(node, _LINEAR) or not all(map(ir.kind, node.users)):
            continue  # what leaves the graph, or goes into an op that would copy it, stays dense
        part = _part(node, context, uses)
        if part is not None:
            args = ir.bind(node)
            groups[args["x"], args["activation"], tuple(args["activation_args"])].append(part)
    joined = []
    for parts in groups.values():
        repeated = _united(parts)
        if len(parts) > 1 and all(_stays_same(part, len(repeated)) for part in parts):
            joined.append(_join(parts, repeated, context))
    return joined


def _part(call: Node, context: Context, uses: Counter[str]) -> _Part | None:
    """None where another call has the same tensors, which would be stored twice."""
    args = ir.bind(call)
    nodes = [args[name] for name in ("weight", "weight_scale", "bias")]
    if any(n and (n.target not in context.tensors or uses[n.target] > 1) for n in nodes):
        return None
    repeated, shape = args["repeated"] or [], args["weight_shape"]
    tensors = (n and context.tensors[n.target] for n in nodes)
    return _Part(call, shape[1] - len(repeated), repeated, shape, *tensors)


def _united(parts: list[_Part]) -> list[int]:
    """Every input as often as any of the parts repeats it."""
    most: Counter[int] = Counter()
    for part in parts:
        most |= Counter(part.repeated)
    return sorted(most.elements())


def can_have_outliers(k: int, repeated: int) -> bool:
    """Whether ``qnative::linear_dynamic`` looks for outliers in rows of k values."""
    return 255 * (k + repeated) + 255 * 128 * (4 + repeated) < 1 << 24


def _stays_same(part: _Part, repeats: int) -> bool:
    """Whether columns of zeros, up to so many repeated ones, are few and change nothing."""
    own = len(part.repeated)
    # As many as ``qnative::linear_dynamic_pack`` makes.
    is_few = repeats <= max(own, min(part.k // 16, MAX_PRODUCTS_U8S8 - part.k))
    return is_few and can_have_outliers(part.k, repeats) == can_have_outliers(part.k, own)


def _join(parts: list[_Part], repeated: list[int], context: Context) -> Joined:
    graph, first = context.graph, parts[0].call
    args = ir.bind(first)
    codes = torch.cat([_codes(part, repeated) for part in parts])
    biases = [torch.zeros(len(p.weight_scale)) if p.bias is None else p.bias for p in parts]
    tensors = {
        "joined": torch.ops.qnative.linear_pack(codes),
        "joined_scale": torch.cat([part.weight_scale for part in parts]),
        "joined_bias": torch.cat(biases),
    }
    name = args["weight"].target
    with graph.inserting_before(first):
        nodes = [context.buffer(f"{name}_{key}", t) for key, t in tensors.items()]
        args |= dict(zip(("weight", "weight_scale", "bias"), nodes, strict=True))
        args |= {"weight_shape": list(codes.shape), "repeated": repeated or None}
        by_position, by_name = arguments_of(first.target, args)
        joined = graph.call_function(first.target, by_position, by_name)
        end = 0
        for part in parts:
            begin, end = end, end + part.weight_shape[0]
            view = graph.call_function(torch.ops.aten.slice.Tensor, (joined, -1, begin, end))
            replace(part.call, view)
    for part in parts:
        graph.erase_node(part.call)
    extra = sum(map(_bytes, tensors.values())) - sum(part.bytes for part in parts)
    return Joined([part.call for part in parts], extra)


def _codes(part: _Part, repeated: list[int]) -> torch.Tensor:
    """The weight of a part with the columns of ``repeated``; those that it does not have are 0."""
    codes = torch.ops.qnative.linear_unpack(part.weight, part.weight_shape)
    columns = defaultdict(list)
    for k, column in zip(part.repeated, codes[:, part.k :].unbind(1), strict=True):
        columns[k].append(column)
    zeros = codes.new_zeros(len(codes))
    more = [columns[k].pop(0) if columns[k] else zeros for k in repeated]
    return torch.stack([*codes[:, : part.k].unbind(1), *more], 1)


def _bytes(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.nbytes
