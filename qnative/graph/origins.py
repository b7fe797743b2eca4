"""What values depend on: data, or integers, sizes and constants alone; and which of them mask.

Calibration knows the range of data. It cannot know that of a position, which grows with the length
of the input, or that of a mask, which need not mask anything in the calibration data.
"""

import enum
from typing import Any

import torch
from torch.fx import GraphModule, Node

from . import nodes as ir
from .constants import FACTORIES
from .kinds import DROPOUTS, LAYERS, MOVES, RECURRENT


class Origin(enum.IntEnum):
    """What a value depends on. A value that depends on several of them has the largest."""

    FIXED = 0  # constants, and bounded functions of anything but data: its range is known
    SIZES = 1  # sizes too, as arange does
    INTEGERS = 2  # integer or boolean inputs too
    DATA = 3


# Functions whose range does not depend on that of their input.
_BOUNDED = frozenset(("cos", "hardsigmoid", "sigmoid", "sin", "softmax", "tanh"))
# Layers with learned weights: their output is data, whatever they read.
LEARNED = LAYERS | {"embedding", "embedding_bag", *RECURRENT}
_INDEXING = frozenset(("embedding", "gather", "index", "index_select", "take_along_dim"))
_RESHAPES = (
    MOVES
    | DROPOUTS
    | {
        *(
            "_to_copy",
            "_unsafe_view",
            "broadcast_to",
            "contiguous",
            "detach",
            "expand_as",
            "flatten",
        ),
        *("permute", "repeat", "repeat_interleave", "reshape", "reshape_as", "squeeze", "to"),
        *("transpose", "type_as", "unsqueeze", "view", "view_as", "narrow"),
    }
)
_SOFTMAX = frozenset(("_safe_softmax", "_softmax", "softmax"))
# Integers of these widths count, index and mask; pixels and samples are narrower.
_COUNTING = (torch.bool, torch.int32, torch.int64)

_FILLS = frozenset(("full", "full_like", "masked_fill", "new_full", "scalar_tensor", "where"))
_SUMS = frozenset(("add", "maximum", "minimum", "rsub", "sub"))
# The largest probability depends on how many terms of the softmax a mask hides.
_CARRIERS = _RESHAPES | _FILLS | _SUMS | _SOFTMAX | {"cat", "div", "mul", "neg", "stack"}
# exp(-30) is 1e-13: nothing is left of a term of a softmax. Finite scores do not reach 10^4.
_MASKING = -30.0
_HUGE = 1e4


class Origins:
    """The origin of every value of a graph, and the values that hold those of a mask."""

    def __init__(self, module: GraphModule):
        self._module = module
        self._origins: dict[Node, Origin] = {}
        self._masks: set[Node] = set()
        for node in module.graph.nodes:
            self._origins[node] = self._origin(node)
            if self._is_mask(node):
                self._masks.add(node)

    def of(self, node: Any) -> Origin:
        """That of the value of a node; FIXED for numbers."""
        return self._origins.get(node, Origin.FIXED)

    def masks(self, node: Any) -> bool:
        """Whether the range of a value depends on an attention mask: it holds the large negative
        numbers of one, or the probabilities of a softmax of them."""
        return node in self._masks

    # ---- origins -------------------------------------------------------------------------------

    def _origin(self, node: Node) -> Origin:
        value = ir.tensor_of(node)
        if node.op == "get_attr":
            return Origin.FIXED
        if node.op != "call_function":
            counts = value is None or value.dtype in _COUNTING
            return Origin.INTEGERS if counts else Origin.DATA
        tensors = [n for n in node.all_input_nodes if _is_tensor(n)]
        if ir.kind(node) in FACTORIES:
            return Origin.SIZES if ir.kind(node) in ("arange", "linspace") else Origin.FIXED
        origin = max(map(self.of, tensors), default=Origin.SIZES)
        if value is not None and value.dtype is torch.bool:
            return min(origin, Origin.INTEGERS)
        if self._is_data(node, origin):
            return Origin.DATA
        return Origin.FIXED if self._is_fixed(node, tensors) else max(origin, Origin.SIZES)

    def _is_data(self, node: Node, origin: Origin) -> bool:
        if origin == Origin.DATA or ir.kind(node) in LEARNED:
            return True
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            return True
        tags = getattr(node.target, "tags", ())
        return torch.Tag.nondeterministic_seeded in tags and ir.kind(node) not in DROPOUTS

    def _is_fixed(self, node: Node, tensors: list[Node]) -> bool:
        """Whether the range of a value that is not data follows from constants."""
        name = ir.kind(node)
        if name in _BOUNDED:
            return True
        if name in _INDEXING:
            return self.of(tensors[0]) == Origin.FIXED
        if not tensors or any(self.of(n) != Origin.FIXED for n in tensors):
            return False
        if name in _RESHAPES or not name:
            return True  # sizes that it takes are those of a shape
        is_pointwise = torch.Tag.pointwise in node.target.tags or name in ("cat", "stack")
        return is_pointwise and len(tensors) == len(node.all_input_nodes)

    # ---- masks ---------------------------------------------------------------------------------

    def _is_mask(self, node: Node) -> bool:
        if node.op == "get_attr":
            is_term = any(ir.kind(user) in _CARRIERS for user in node.users)
            return is_term and _constant_masks(ir.attribute(self._module, node.target))
        name = ir.kind(node)
        if name not in _CARRIERS or not _is_float(node):
            return False
        if any(self.masks(n) for n in node.all_input_nodes) or _adds_input_mask(node):
            return True
        numbers = [n for n in (*node.args, *node.kwargs.values()) if isinstance(n, (int, float))]
        if name in _FILLS:
            return any(abs(number) >= _HUGE for number in numbers)
        if name == "mul":  # (1 - mask) * -10000
            return any(number <= -_HUGE or number >= 1e9 for number in numbers)
        return False


def _is_tensor(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, (torch.Tensor, list, tuple)) or node.op == "get_attr"


def _is_float(node: Node) -> bool:
    value = ir.tensor_of(node)
    return value is not None and value.dtype.is_floating_point


def _constant_masks(value: Any) -> bool:
    """Whether a constant is a mask to be added: it has numbers that no score reaches, or just 0 and
    one that hides a term of a softmax (the -100 of shifted windows)."""
    if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point:
        return False
    if value.numel() == 0 or value.is_meta:
        return False
    low, high = (float(x) for x in torch.aminmax(value.detach()))
    if not low > -_HUGE:
        return True
    return high == 0 and low <= _MASKING and bool(((value == 0) | (value == low)).all())


def _adds_input_mask(node: Node) -> bool:
    """Whether a sum that ends in a softmax adds an input of the model that is good for nothing
    else: an attention mask."""
    if ir.kind(node) != "add" or not _ends_in_softmax(node):
        return False
    inputs = node.all_input_nodes
    return len(inputs) == 2 and sum(map(_is_mask_input, inputs)) == 1


def _is_mask_input(node: Node) -> bool:
    """Whether a value is an input of the model that is only moved, until it is added."""
    while ir.kind(node) in _RESHAPES and node.all_input_nodes:
        node = node.all_input_nodes[0]
    if node.op != "placeholder" or not _is_tensor(node):
        return False
    left = [node]
    while left:
        for user in left.pop().users:
            if ir.kind(user) in _RESHAPES:
                left.append(user)
            elif ir.kind(user) not in ("add", "sym_size") and user.op != "call_module":
                return False
    return True


def _ends_in_softmax(node: Node) -> bool:
    """Whether the values of a node come to a softmax through sums, masks and moves alone."""
    seen, left = set(), [node]
    while left:
        for user in left.pop().users:
            if ir.kind(user) in _SOFTMAX:
                return True
            if user not in seen and ir.kind(user) in _RESHAPES | _SUMS | _FILLS:
                seen.add(user)
                left.append(user)
    return False
