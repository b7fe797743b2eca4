"""The op that runs a call, and its inputs and output: the quantized arguments, the nodes that
become part of it, the kind of its output.

qnative's config says which op a kind of call runs in; the rest follows from the op's schema.
"""

import functools
import operator
from dataclasses import dataclass

import torch
from torch.fx import Node

from ..backend_config import (
    get_qnative_backend_config,
    get_test_only_legacy_native_backend_config,
    unite,
)
from ..graph.activation import function_name
from ..graph.constants import FACTORIES
from ..graph.kinds import (
    ATTENTION,
    CONVS,
    ELEMENTWISE,
    INTERPOLATIONS,
    LAYERS,
    LISTS,
    MOVES,
    PADS,
    TRANSPOSED,
    WITH_NUMBER,
)
from ..graph.nodes import (
    Unsupported,
    bind,
    is_call,
    is_number,
    is_real,
    kind,
    target_name,
    tensor_of,
)
from ..graph.padding import zero_padding
from ..graph.qdq import DEQUANTIZE, is_constant
from ..graph.sequence import activation_after, follow
from . import foreign
from .checks import DIRECT_CHECKS, STATIC_CHECKS, finite_numbers, pads_with_number
from .config_index import ConfigIndex, named_op
from .decision import ATEN, FREE, LOOKUP, POINTWISE_FP16, Decision, decision_of, is_foreign
from .modes import DYNAMIC_INT8, FP16, STATIC, Dtypes

# ---- which op -----------------------------------------------------------------------------------


@functools.cache
def _all_rows() -> ConfigIndex:
    """qnative's config with the rows in float16 that upstream keeps for tests."""
    legacy = get_test_only_legacy_native_backend_config()
    return ConfigIndex(unite(get_qnative_backend_config(), legacy))


@functools.cache
def named(name: str, mode: str) -> str:
    """The op that qnative's config names for a kind, whatever its arguments; "" if it has no row
    for it."""
    for row in _all_rows().find(name):
        for config in row.dtype_configs:
            if Dtypes.of(config).fit(mode):
                return named_op(row, config)
    if mode == STATIC:
        return LOOKUP if name in ELEMENTWISE else FREE if name in MOVES else ""
    return ""


def op_of(node: Node, mode: str) -> str:
    """The op that runs a node in a mode. Unsupported if there is none."""
    name = kind(node)
    op = named(name, mode)
    has_number = name in WITH_NUMBER and not isinstance(bind(node).get("other"), Node)
    if mode == STATIC:
        # Arithmetic with a number and a prelu with one weight are functions of one value.
        if has_number or (op == "prelu" and _has_one_weight(node)):
            return LOOKUP
        if op and name != "div":
            return op
        raise Unsupported(f"qnative has no op for {node.target}")
    if mode == FP16 and name not in LAYERS | LISTS | {"div"}:
        if function_name(node) or (op and has_number):
            return POINTWISE_FP16
        op = op or (ATEN if named(name, STATIC) else "")
    if not op or name == "div":
        raise Unsupported(f"qnative has no {mode} op for {node.target}")
    return name if op == "rnn_tanh_cell" else op


def _has_one_weight(node: Node) -> bool:
    weight = tensor_of(bind(node)["weight"])
    return weight is not None and weight.numel() == 1


# ---- inputs and outputs --------------------------------------------------------------------------

# Roles of static ops; LOOKUP and FREE are two more.
WEIGHTED = "weighted"  # input, weight and bias
COMPUTE = "compute"  # its output has quantization parameters of its own
SAME = "same"  # its output has its input's quantization parameters

# They return float32 if nothing reads their output in 8 bits.
_FLOAT_OUTPUT = {
    *("linear", "matmul", "attention", "layer_norm", "rms_norm", "softmax"),
    *(*CONVS, *TRANSPOSED),
}
# Ops that take and return int16 besides 8 bits. Depthwise convolutions do not return it.
INT16_INPUTS = {"add", "mul", "cat", "layer_norm", "rms_norm"}
INT16_OUTPUTS = {*INT16_INPUTS, "linear", *CONVS, *TRANSPOSED}


@dataclass(frozen=True)
class Capability:
    """role: see above; "" in modes without calibration. tensors: the arguments that are read in
    quantized form. fuses: a relu, relu6, hardtanh or clamp after it becomes part of it. functions:
    gelu and other functions too. float_output: it can return float32. kernel: another library's,
    which runs the nodes after it too."""

    role: str
    tensors: tuple[str, ...]
    fuses: bool = False
    functions: bool = False
    float_output: bool = False
    kernel: foreign.Kernel | None = None


GETITEM = Capability(FREE, ("self",))


def capability(node: Node, decision: Decision) -> Capability:
    """The capability of the op of a decision. Unsupported if the op does not compute what the node
    does."""
    if node.target is operator.getitem:
        return GETITEM
    if is_foreign(decision.op):
        kernel = foreign.kernel(node, decision)
        role = WEIGHTED if kernel.weighted else COMPUTE
        return Capability(role, foreign.tensors(kernel, node), kernel=kernel)
    if decision.op != (op := op_of(node, decision.mode)):
        raise Unsupported(f"{node.target} runs in {op}, not in {decision.op} as its row says")
    return _static(node, op) if decision.mode == STATIC else _direct(node, decision)


def check(node: Node, decision: Decision) -> Capability:
    """The capability of the op of a decision; Unsupported if it cannot run this call."""
    if not isinstance(node.target, torch._ops.OpOverload):
        raise Unsupported(f"qnative has no op for {node.target}")
    found = capability(node, decision)
    if decision.mode in (STATIC, FP16) and decision.op not in DIRECT_CHECKS:
        _check_on_quantized(node, decision, found)
    elif own := DIRECT_CHECKS.get(decision.op):
        own(node, bind(node))
    return found


def _check_on_quantized(node: Node, decision: Decision, found: Capability) -> None:
    """Checks of ops that run on 8-bit or float16 values instead of float32 ones."""
    args = bind(node)
    for name in found.tensors:
        for tensor in args[name] if isinstance(args[name], (list, tuple)) else [args[name]]:
            value = tensor_of(tensor)
            if is_number(tensor):
                raise Unsupported(f"its argument {name} is a number that the model computes")
            if value is not None and value.dtype is not torch.float32:
                raise Unsupported(f"its argument {name} is {value.dtype}, not torch.float32")
    if found.kernel is not None:
        foreign.check(found.kernel, node)
    else:
        # Ops on float16 values have the limits of those on 8-bit values, but for sums in int32.
        op = op_of(node, STATIC)
        if op in STATIC_CHECKS and not (op == "matmul" and decision.mode == FP16):
            STATIC_CHECKS[op](node, args)
    if all(map(is_constant, node.all_input_nodes)):
        raise Unsupported("it computes a constant")
    if decision.mode == FP16:
        finite_numbers(args)


def _static(node: Node, op: str) -> Capability:
    if op in (FREE, LOOKUP):
        # The table of a sum or product with a number can have the bounds of a relu after it too.
        return Capability(op, _tensor_arguments(node, 1), fuses=kind(node) in WITH_NUMBER)
    overload = getattr(torch.ops.qnative, op).default
    names = {argument.name for argument in overload._schema.arguments}
    tensors = _tensor_arguments(node, max(len(foreign.quantized_inputs(overload)), 1))
    role = COMPUTE
    if kind(node) in LAYERS:
        role, tensors = WEIGHTED, (*tensors, "weight")
    elif "y_scale" not in names or "nearest" in INTERPOLATIONS.get(kind(node), ""):
        role = SAME
    return Capability(role, tensors, "activation" in names, float_output=op in _FLOAT_OUTPUT)


def _direct(node: Node, decision: Decision) -> Capability:
    name = kind(node)
    if name == "linear":
        return Capability("", ("input",), fuses=True, functions=True)
    if decision.mode == DYNAMIC_INT8 and name in LAYERS:
        return Capability("", ("input",), fuses=True, functions=not _is_depthwise(node))
    if name == ATTENTION:
        return Capability("", _tensor_arguments(node, 3))
    if decision.mode != FP16:
        return Capability("", ())
    op = named(name, STATIC)
    fuses = op not in (FREE, LOOKUP) and _static(node, op).fuses
    return Capability("", _static(node, op_of(node, STATIC)).tensors, fuses)


def _is_depthwise(conv: Node) -> bool:
    """Whether a convolution reads one input channel for each output channel."""
    args = bind(conv)
    weight = tensor_of(args["weight"])
    if weight is None or args["groups"] == 1:
        return False
    inputs = weight.shape[0] // args["groups"] if kind(conv) in TRANSPOSED else weight.shape[1]
    return inputs == 1


def _tensor_arguments(node: Node, count: int) -> tuple[str, ...]:
    """The first arguments of an aten op that are tensors, or lists of tensors."""
    arguments = node.target._schema.arguments
    names = [a.name for a in arguments if str(a.type) in ("Tensor", "List[Tensor]")]
    return tuple(names[:count])


# ---- neighbours ----------------------------------------------------------------------------------


def fused_into(found: Capability, node: Node) -> tuple[tuple[Node, ...], str]:
    """The nodes after ``node`` that become part of it, and why an activation does not."""
    if found.kernel is not None:
        nodes, why_not = follow(node, found.kernel.kinds)
        return nodes[1:], why_not
    if not found.fuses:
        return (), ""
    activation, why_not = activation_after(node)
    if activation is None and found.functions and len(node.users) == 1:
        (user,) = node.users
        if function_name(user):
            return (user,), ""
    return (() if activation is None else (activation,)), why_not


def padding_of(node: Node) -> tuple[Node | None, tuple[int, ...]]:
    """The aten.pad before a convolution that its op does too, and two numbers for each dimension,
    last one first. Kernels of other libraries take their inputs as they are."""
    decision = decision_of(node)
    if decision is not None and is_foreign(decision.op):
        return None, ()
    return zero_padding(node)


def has_own_range(node: Node) -> bool:
    """Whether a move adds values that may lie outside of the range of its input."""
    return kind(node) in PADS and pads_with_number(bind(node))


def is_free(node: Node) -> bool:
    """Whether a node that stays as it is computes nothing in floating point: it works on integers
    or sizes, makes a constant, or moves data that was not dequantized for it."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and not is_real(value):
        return True
    if kind(node) in FACTORIES:
        return True
    if isinstance(value, (int, torch.SymInt, bool, torch.SymBool)) or value is None:
        return True
    if target_name(node) == "getitem":
        return True
    return _moves(node) and not any(is_call(x, DEQUANTIZE) for x in node.all_input_nodes)


def _moves(node: Node) -> bool:
    """Whether a node moves values without changing them."""
    if named(kind(node), STATIC) != FREE:
        return False
    try:
        STATIC_CHECKS[FREE](node, bind(node))
    except Unsupported:
        return False
    return True
