"""Sequences of aten ops in a graph, by kind."""

from collections.abc import Iterable
from typing import Any

from torch.fx import Node

from .activation import activation_bounds
from .kinds import BOUNDED
from .nodes import Unsupported, kind

# Kind -> the kind whose rows of a config apply to it: another name or a special case of one
# computation. nn.RNNCell has both nonlinearities.
_KIN = {
    "sub": "add",
    "rsub": "add",
    "div": "mul",
    "bmm": "matmul",
    "mm": "matmul",
    "mv": "matmul",
    "concat": "cat",
    "concatenate": "cat",
    "absolute": "abs",
    "negative": "neg",
    "arccos": "acos",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "clamp_max": "clamp",
    "clamp_min": "clamp",
    "rnn_relu_cell": "rnn_tanh_cell",
}


def canonical(name: str) -> str:
    """The kind that rows of configs name: F.interpolate is exported as upsample_<mode>, and a
    difference is a sum."""
    if name.startswith(("upsample_", "_upsample_")):
        return "interpolate"
    return _KIN.get(name, name)


def is_kind(node: Any, wanted: str) -> bool:
    """Whether rows for ``wanted`` apply to a node: nn.ReLU6 is exported as a hardtanh."""
    name = kind(node)
    if name == "hardtanh" and wanted == "relu6":
        try:
            return activation_bounds(node) == (0.0, 6.0)
        except Unsupported:
            return False
    return bool(name) and wanted in (name, canonical(name))


def next_of(node: Node, wanted: Iterable[str]) -> tuple[Node | None, str]:
    """The only reader of ``node``, if it is of one of these kinds. Otherwise None, and the reason
    if one of several readers is of these kinds."""
    found = [user for user in node.users if any(is_kind(user, name) for name in wanted)]
    if not found:
        return None, ""
    if len(node.users) > 1:
        others = ", ".join(user.name for user in node.users if user is not found[0])
        return None, f"{found[0].name} is not fused: {node.name} is used by {others} too"
    return found[0], ""


def follow(node: Node, kinds: tuple[str, ...]) -> tuple[tuple[Node, ...], str]:
    """The nodes of a sequence that begins with ``node``, and why it ended early; "" if the last
    one has no reader of the next kind."""
    nodes, why_not = [node], ""
    for wanted in kinds[1:]:
        following, why_not = next_of(nodes[-1], (wanted,))
        if following is None:
            break
        nodes.append(following)
    return tuple(nodes), why_not


def activation_after(node: Node) -> tuple[Node | None, str]:
    """The clamping activation that can be fused into ``node``. Otherwise None, and the reason if
    one follows."""
    activation, why_not = next_of(node, BOUNDED)
    if activation is None:
        return None, why_not
    try:
        activation_bounds(activation)
    except Unsupported as error:
        return None, f"{activation.name} is not fused: {error}"
    return activation, ""
