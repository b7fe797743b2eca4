"""Other spellings of what ops exist for, rewritten in place: rows of configs and ops then need one
form of each computation. A node that is rewritten keeps its name."""

import math
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from . import nodes as ir
from .attention import fuse_attention
from .constants import fold_constants
from .einsum import einsum
from .rms_norm import fuse_rms_norm

_ATEN = torch.ops.aten
_MATMULS = ("matmul", "mm", "bmm")
_VIEWS = ("view", "reshape", "_unsafe_view")


def rewrite(module: GraphModule, *, attention: bool) -> None:
    """Rewrites a graph without in-place ops:

    - ``addmm``, ``addmv``, ``baddbmm`` and ``einsum`` of two tensors as products and sums;
    - products with a constant matrix on the right as linear layers;
    - x * sigmoid(x) as silu, and GPT-2's gelu and Llama's norm, written out, as gelu and rms_norm;
    - with ``attention``, softmax between two products as scaled_dot_product_attention.

    Casts to the dtype that a value has already are removed.
    """
    graph = module.graph
    graph.eliminate_dead_code(ir.has_effect)
    for node in list(graph.nodes):
        if ir.kind(node) == "_assert_tensor_metadata":
            graph.erase_node(node)  # of a cast: the dtype that export saw
        elif ir.kind(node) in ("to", "type_as"):
            _remove_cast(node)
    fuse_rms_norm(graph)
    if attention:
        fuse_attention(graph)
    has_einsum = False
    for node in list(graph.nodes):
        name = ir.kind(node)
        if name in ("addmm", "addmv", "baddbmm"):
            _sum_and_product(module, node)
        elif name == "einsum":
            has_einsum = True
            einsum(node)
        elif name in ("mul", "tanh"):
            _activation(node)
    if has_einsum:
        fold_constants(module)  # a constant operand, arranged as a matrix
    for node in list(graph.nodes):
        if ir.kind(node) in _MATMULS:
            _as_linear(module, node, None)
    graph.eliminate_dead_code(ir.has_effect)
    module.recompile()


def _remove_cast(node: Node) -> None:
    before, after, args = ir.tensor_of(node.args[0]), ir.tensor_of(node), ir.bind(node)
    if before is None or after is None or before.dtype is not after.dtype:
        return
    plain = "memory_format" not in args  # type_as
    plain |= "dtype" in args and "device" not in args and args.get("memory_format") is None
    if plain and not args.get("copy"):
        node.replace_all_uses_with(node.args[0])
        node.graph.erase_node(node)


# ---- products ------------------------------------------------------------------------------------


def _sum_and_product(module: GraphModule, node: Node) -> None:
    """beta * input + alpha * (a @ b)"""
    args = ir.bind(node)
    bias, (a, b) = args["self"], (args[name] for name in _operands(node))
    beta, alpha = args["beta"], args["alpha"]
    if beta == alpha == 1 and _as_linear(module, node, bias):
        return
    with node.graph.inserting_before(node):
        product = ir.call(node, _ATEN.matmul.default, a, b)
        if alpha != 1:
            product = ir.call(node, _ATEN.mul.Tensor, product, alpha)
        if beta not in (0, 1):
            bias = ir.call(node, _ATEN.mul.Tensor, bias, beta)
    if beta == 0:  # as in torch, even if the input is not a number
        node.replace_all_uses_with(product)
    else:
        node.target, node.args, node.kwargs = _ATEN.add.Tensor, (product, bias), {}


def _operands(node: Node) -> tuple[str, str]:
    names = [a.name for a in node.target._schema.arguments if str(a.type) == "Tensor"]
    return tuple(names[-2:])


def _as_linear(module: GraphModule, node: Node, bias: Node | None) -> bool:
    """Whether a product with a constant matrix on the right became a linear layer."""
    a, b = (ir.bind(node)[name] for name in _operands(node))
    if not isinstance(b, Node) or b.op != "get_attr" or ir.is_written(b):
        return False
    weight, x = ir.attribute(module, b.target), ir.tensor_of(a)
    if weight.dim() != 2 or weight.dtype is not torch.float32 or x is None or x.dim() < 2:
        return False
    if isinstance(a, Node) and a.op == "get_attr":
        return False
    if bias is not None and not _is_bias(module, bias, weight.shape[1]):
        return False
    with node.graph.inserting_before(node):
        transposed = node.graph.get_attr(_transposed(module, b.target, weight))
    node.target, node.args, node.kwargs = _ATEN.linear.default, (a, transposed, bias), {}
    _remove_views(node)
    return True


def _transposed(module: GraphModule, target: str, weight: torch.Tensor) -> str:
    """The name of a buffer with the transposed weight; layers that share a weight share it."""
    value = weight.detach().t().contiguous()
    name = f"{target.replace('.', '_')}_transposed"
    while (other := getattr(module, name, None)) is not None:
        if isinstance(other, torch.Tensor) and torch.equal(other, value):
            return name
        name += "_"
    module.register_buffer(name, value)
    return name


def _remove_views(linear: Node) -> None:
    """linear(x.view(-1, K)).view(*x.shape[:-1], N) is linear(x)."""
    if len(linear.users) != 1:
        return
    before, (after,) = linear.args[0], linear.users
    if ir.kind(before) not in _VIEWS or ir.kind(after) not in _VIEWS:
        return
    x, y, rows = (ir.tensor_of(n) for n in (before.args[0], after, linear))
    if x is None or y is None or rows is None or x.dim() < 2:
        return
    wanted = (*x.shape[:-1], rows.shape[-1])
    same_k = _equal(x.shape[-1], before.meta["val"].shape[-1])
    if same_k and len(wanted) == y.dim() and all(map(_equal, wanted, y.shape)):
        linear.args = (before.args[0], *linear.args[1:])
        linear.meta["val"] = y
        after.replace_all_uses_with(linear)
        linear.graph.erase_node(after)


def _equal(a: Any, b: Any) -> bool:
    return statically_known_true(a == b)


def _is_bias(module: GraphModule, bias: Any, channels: int) -> bool:
    if not isinstance(bias, Node) or bias.op != "get_attr" or ir.is_written(bias):
        return False
    return tuple(ir.attribute(module, bias.target).shape) == (channels,)


# ---- activations ---------------------------------------------------------------------------------


def _activation(node: Node) -> None:
    """x * sigmoid(x), and 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))."""
    if ir.kind(node) == "mul":
        for x, gate in _both_ways(node):
            if ir.kind(gate) == "sigmoid" and gate.args[0] is x:
                node.target, node.args, node.kwargs = _ATEN.silu.default, (x,), {}
                return
        return
    x = _argument_of_gelu(node.args[0])
    end = None if x is None else _end_of_gelu(node, x)
    if end is not None:
        end.target, end.args = _ATEN.gelu.default, (x,)
        end.kwargs = {"approximate": "tanh"}


def _both_ways(node: Any) -> list[tuple[Any, Any]]:
    """The operands of a call in both orders; [] if it has no two."""
    args = ir.bind(node)
    a, b = args.get("self"), args.get("other")
    return [(a, b), (b, a)]


def _times(node: Any, number: float) -> Any:
    """x of number * x, else None."""
    if ir.kind(node) != "mul":
        return None
    for x, factor in _both_ways(node):
        if isinstance(factor, (int, float)) and math.isclose(factor, number, rel_tol=1e-6):
            return x
    return None


def _argument_of_gelu(node: Any) -> Any:
    """x of sqrt(2 / pi) * (x + 0.044715 * x ** 3), else None."""
    cubic = _times(node, math.sqrt(2 / math.pi))
    if ir.kind(cubic) != "add" or ir.bind(cubic)["alpha"] != 1:
        return None
    for x, term in _both_ways(cubic):
        power = _times(term, 0.044715)
        if ir.kind(power) == "pow" and ir.bind(power).get("exponent") == 3 and power.args[0] is x:
            return x
    return None


def _end_of_gelu(tanh: Node, x: Node) -> Node | None:
    """The last node of 0.5 * x * (1 + tanh(...)), if nothing else reads what is between."""
    if len(tanh.users) != 1:
        return None
    (plus,) = tanh.users
    if ir.kind(plus) != "add" or 1 not in plus.args or len(plus.users) != 1:
        return None
    (end,) = plus.users
    if ir.kind(end) != "mul":
        return None
    halves = [_times(other, 0.5) for _, other in _both_ways(end) if other is not plus]
    return end if halves and halves[0] is x else None
