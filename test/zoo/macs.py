"""Multiplications of an exported graph, node by node."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node


def macs(graph_module: GraphModule) -> dict[str, int]:
    """Name -> multiply-accumulates of every product in the graph: convolutions, linear layers,
    matrix products, attention and recurrent layers. Open sizes count as in the example."""
    found = {}
    for node in graph_module.graph.nodes:
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
            namespace, name = node.target.namespace, node.target._schema.name.split("::")[1]
            count = _COUNTERS.get(name)
            if namespace == "aten" and count:
                found[node.name] = count(node)
    return found


def _sizes(value: Any) -> list[int]:
    tensor = value.meta["val"] if isinstance(value, Node) else value
    return [s.node.hint if isinstance(s, torch.SymInt) else int(s) for s in tensor.shape]


def _output(node: Node) -> list[int]:
    value = node.meta["val"]
    return _sizes(value[0] if isinstance(value, (tuple, list)) else value)


def _convolution(node: Node) -> int:
    """Each output is a sum over a window of the weight, [out, in / groups, *window]."""
    return math.prod(_output(node)) * math.prod(_sizes(node.args[1])[1:])


def _transposed(node: Node) -> int:
    """Each input is multiplied by a window of the weight, [in, out / groups, *window]."""
    return math.prod(_sizes(node.args[0])) * math.prod(_sizes(node.args[1])[1:])


def _product(node: Node) -> int:
    return math.prod(_output(node)) * _sizes(node.args[0])[-1]


def _added_product(node: Node) -> int:
    return math.prod(_output(node)) * _sizes(node.args[1])[-1]


def _attention(node: Node) -> int:
    """Scores [L, S] over E features, and their products with v, [S, Ev]."""
    q, k, v = (_sizes(node.args[i]) for i in range(3))
    return math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def _recurrent(node: Node) -> int:
    """Every step multiplies each matrix of the layers once."""
    steps = math.prod(_sizes(node.args[0])[:-1])
    parameters = next(arg for arg in node.args[1:] if isinstance(arg, Sequence) and len(arg) > 2)
    shapes = [_sizes(each) for each in parameters]
    return steps * sum(math.prod(shape) for shape in shapes if len(shape) == 2)


def _einsum(node: Node) -> int:
    """Every combination of the indices."""
    sizes: dict[str, int] = {}
    terms = node.args[0].replace(" ", "").split("->")[0].split(",")
    for term, value in zip(terms, node.args[1], strict=True):
        shape = _sizes(value)
        head, tail = term.split("...") if "..." in term else (term, "")
        sizes |= zip(head, shape, strict=False)
        sizes |= zip(reversed(tail), reversed(shape), strict=False)
        if "..." in term:
            rest = shape[len(head) : len(shape) - len(tail)]
            sizes["..."] = max(sizes.get("...", 1), math.prod(rest))
    return math.prod(sizes.values()) if len(terms) > 1 else 0


_COUNTERS = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), _added_product),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    "scaled_dot_product_attention": _attention,
    "einsum": _einsum,
}
