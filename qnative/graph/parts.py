"""Values that are made of parts with a meaning of their own: boxes beside scores, a class token
before patches. One scale that suits the whole can leave nothing of a part."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch.fx import Graph, Node

from . import nodes as ir
from .kinds import CONVS, JOINS, TRANSPOSED

# Ops beside elementwise ones whose output has the dimensions of their input, each where it was.
_KEEPS = frozenset(
    (
        *("batch_norm", "clone", "contiguous", "dropout", "group_norm", "instance_norm"),
        *("layer_norm", "log_softmax", "rms_norm", "softmax", "to", "_to_copy"),
    )
)
_RESHAPES = frozenset(("flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view"))
_REDUCES = frozenset(("amax", "amin", "linalg_vector_norm", "mean", "norm", "sum", "var"))
# More parts than this are channels, not meanings.
_MAX_PARTS = 32


@dataclass(frozen=True)
class Parts:
    """dim: the dimension along which the parts lie. sizes: of each part."""

    dim: int
    sizes: tuple[int, ...]

    @property
    def places(self) -> list[str]:
        """Where each part is, in words."""
        ends = list(itertools.accumulate(self.sizes, initial=0))
        return [f"[{a}:{b}] in dimension {self.dim}" for a, b in itertools.pairwise(ends)]

    def split(self, value: torch.Tensor) -> list[torch.Tensor]:
        """The parts of a value; [] if its size is another one."""
        if self.dim >= value.dim() or value.shape[self.dim] != sum(self.sizes):
            return []
        return list(value.split(self.sizes, self.dim))


def parts_of(graph: Graph) -> dict[Node, Parts]:
    """The values of a graph whose parts stay apart until an output, a softmax of each or the like.
    Parts that a layer mixes, such as joined feature maps before a convolution, are none."""
    found: dict[Node, Parts] = {}
    for node in graph.nodes:
        parts = _joined(node, found) if ir.kind(node) in JOINS else None
        for source in [] if parts else node.all_input_nodes:
            if source in found and (parts := _carried(source, node, found[source])):
                break
        if parts:
            found[node] = parts
    for node in reversed(list(found)):
        if not any(stay_apart(node, user, found) for user in node.users):
            del found[node]
    return found


def _joined(node: Node, found: dict[Node, Parts]) -> Parts | None:
    """The parts of a value that joins others: those, or in turn their parts."""
    value, args = ir.tensor_of(node), ir.bind(node)
    sources = args["tensors"]
    if value is None or len(sources) < 2:
        return None
    dim = args.get("dim", {"hstack": 1}.get(ir.kind(node), 0)) % value.dim()
    if ir.kind(node) == "stack":
        return _checked(Parts(dim, (1,) * len(sources)))
    sizes: list[int] = []
    for source in sources:
        own = found.get(source)
        tensor = ir.tensor_of(source)
        if tensor is None or tensor.dim() != value.dim():  # torch.cat ignores tensor([])
            return None
        sizes += own.sizes if own and own.dim == dim else [tensor.shape[dim]]
    return _checked(Parts(dim, tuple(sizes)))


def _checked(parts: Parts) -> Parts | None:
    known = all(isinstance(size, int) and size > 0 for size in parts.sizes)
    return parts if known and len(parts.sizes) <= _MAX_PARTS else None


def _carried(source: Node, node: Node, parts: Parts) -> Parts | None:
    """The parts of what a node computes from ``source``; None if they are mixed or lost."""
    before, after, name = ir.tensor_of(source), ir.tensor_of(node), ir.kind(node)
    if before is None or after is None or not name:
        return None
    if name in ("transpose", "permute", "swapaxes"):
        return Parts(_moved(node, parts.dim, before.dim()), parts.sizes)
    if name in _RESHAPES:
        dim = _reshaped(before, after, parts.dim)
        return None if dim is None else Parts(dim, parts.sizes)
    is_pointwise = torch.Tag.pointwise in node.target.tags
    keeps = is_pointwise or name in _KEEPS or (name == "linear" and parts.dim < before.dim() - 1)
    same = before.dim() == after.dim() and _size(before, parts.dim) == _size(after, parts.dim)
    return parts if keeps and same else None


def _size(value: torch.Tensor, dim: int) -> int | None:
    size = value.shape[dim]
    return size if isinstance(size, int) else None


def _moved(node: Node, dim: int, rank: int) -> int:
    args = ir.bind(node)
    if "dims" in args:
        return [d % rank for d in args["dims"]].index(dim)
    first, second = (d % rank for d in node.args[1:3])
    return {first: second, second: first}.get(dim, dim)


def _reshaped(before: torch.Tensor, after: torch.Tensor, dim: int) -> int | None:
    """Where a dimension is after a reshape that leaves it and all behind it as many elements."""
    size = _size(before, dim)
    behind = before.shape[dim + 1 :]
    if size is None or not all(isinstance(s, int) for s in behind):
        return None
    for i in range(after.dim()):
        rest = after.shape[i + 1 :]
        same = _size(after, i) == size and all(isinstance(s, int) for s in rest)
        if same and math.prod(rest) == math.prod(behind):
            return i
    return None


def stay_apart(node: Node, user: Node, found: dict[Node, Parts]) -> bool:
    """Whether the parts of a value matter one by one to a reader of it."""
    if user in found:
        return True
    carried = _carried(node, user, found[node])
    if carried is not None:
        return False  # its own readers mix them
    value = ir.tensor_of(node)
    return value is None or not _mixes(user, found[node].dim, value.dim())


def _mixes(node: Node, dim: int, rank: int) -> bool:
    """Whether a node computes each of its results from all along a dimension of its input, or is
    one of the ops on feature maps that come before such a layer."""
    name = ir.kind(node)
    if name in CONVS or name in TRANSPOSED:
        return dim == rank - (CONVS | TRANSPOSED)[name] - 1
    if name == "linear":
        return dim == rank - 1
    if name in _REDUCES:
        dims = ir.bind(node).get("dim")
        every = [dims] if isinstance(dims, int) else dims
        return not every or dim in [d % rank for d in every]
    return "pool" in name or name.startswith(("upsample", "pixel"))
