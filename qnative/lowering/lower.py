"""dequantize -> aten op [-> activation] -> quantize becomes one qnative op."""

import operator
from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .. import report
from ..graph import nodes as ir
from ..graph.activation import NO_BOUNDS, activation_bounds, function_name
from ..graph.functional import make_functional
from ..graph.kinds import DROPOUTS, LISTS
from ..graph.nodes import Unsupported
from ..graph.qdq import DEQUANTIZE, QUANTIZE, QParams, is_decomposed, qparams, sources
from ..graph.sizes import guard, keep_sizes_open
from ..plan.capability import (
    INT16_INPUTS,
    INT16_OUTPUTS,
    SAME,
    WEIGHTED,
    Capability,
    check,
    fused_into,
    has_own_range,
    is_free,
    padding_of,
)
from ..plan.decide import by_graph
from ..plan.decision import FLOAT, FREE, UNDECIDED, Decision, decision_of, is_foreign
from ..plan.modes import FP16, STATIC
from ..report import Report, Row
from . import qdq
from .call_site import CallSite, Context, Quantized
from .emitters import emitter
from .half import in_half
from .join import join_linears
from .module import VALUE, QuantizedModule
from .weights import check_weight


def lower(module: GraphModule, *, strict: bool = False) -> QuantizedModule:
    """Turns a converted PT2E module into one that computes in ``qnative::*`` ops.

    module: what ``convert_pt2e`` returned; it is not changed. Weights are packed and, with biases,
    become buffers; no float copy of them stays. Every other quantize and dequantize node becomes
    the qnative one. The result has ``.report``, one row for each node.

    strict: raise NotQuantizedError when a node stays float.

    Raises TypeError if ``module`` is not a GraphModule, and ValueError if it is not converted, is
    lowered already, or uses a ``quantized_decomposed`` op that qnative does not have.
    """
    _check_converted(module)
    lowering = _Lowering(module)
    lowering.run()
    result = lowering.result()
    result.set_report(Report(list(lowering.rows.values())), strict=strict)
    return result


def _check_converted(module: Any) -> None:
    how = (
        "export it, prepare_pt2e(exported, qnative.Quantizer()), calibrate, convert_pt2e; or call "
        "qnative.quantize"
    )
    if not isinstance(module, GraphModule):
        raise TypeError(
            "qnative.lower: module must be the GraphModule that convert_pt2e returned, got "
            f"{type(module).__name__}. If it is a float model: {how}"
        )
    for node in module.graph.nodes:
        if node.op == "call_module" and hasattr(
            ir.attribute(module, node.target), "calculate_qparams"
        ):
            raise ValueError(
                f"qnative.lower: module has observers ({node.name}): call convert_pt2e first"
            )
    if any(is_decomposed(node) or decision_of(node) for node in module.graph.nodes):
        return
    if any(ir.target_name(node).startswith("qnative.") for node in module.graph.nodes):
        raise ValueError("qnative.lower: module is lowered already")
    raise ValueError(f"qnative.lower: module is a float model without quantize nodes: {how}")


class _Lowering:
    """The copied graph and a row for each of its nodes."""

    def __init__(self, module: GraphModule):
        self.module = module
        self.graph = ir.copy_graph(module.graph)
        taken = {n.target for n in self.graph.nodes if n.op in ("get_attr", "call_module")}
        self.context = Context(module, self.graph, taken)
        self.rows: dict[Node, Row] = {}
        self.direct: dict[Node, Row] = {}  # of calls that took the place of a float node
        self.pads: dict[Node, Node] = {}

    def run(self) -> None:
        make_functional(self.graph)
        qdq.check(self.module, self.graph.nodes)
        for node in self.graph.nodes:
            if node.op == "call_function" and not is_decomposed(node):
                where, op = ir.module_path(node), ir.op_name(node)
                row = Row(node.name, where, op, report.FLOAT, inputs=sources(node))
                if row.op.startswith("qnative."):  # of a module of qnative.nn
                    row.verdict, row.kernel = report.QUANTIZED, row.op
                self.rows[node] = row
        self._remove_dropout()
        qdq.collapse(self.context)
        for node, row in self.rows.items():
            if row.verdict == report.FLOAT:
                self._lower(node, row)
        qdq.collapse(self.context)
        self._explain_float_nodes()
        qdq.rewrite(self.context)
        self._join_linears()
        keep_sizes_open(self.graph)

    def result(self) -> QuantizedModule:
        """The lowered module, with only the attributes that its graph uses."""
        attributes: dict[str, Any] = {}
        for node in self.graph.nodes:
            if node.op in ("get_attr", "call_module"):
                value: Any = self.context.tensors.get(node.target)
                if value is None:
                    value = guard(node.target, ir.attribute(self.module, node.target))
                attributes[node.target] = value
        self.graph.lint()
        return QuantizedModule(attributes, self.graph, type(self.module).__name__)

    def _remove_dropout(self) -> None:
        for node, row in self.rows.items():
            if ir.kind(node) in DROPOUTS and not ir.bind(node)["train"]:
                node.replace_all_uses_with(ir.bind(node)["input"])
                self.graph.erase_node(node)  # impure: no dead code elimination takes it
                row.verdict = report.FREE
                row.reason = "removed: it does nothing outside of training"

    def _lower(self, node: Node, row: Row) -> None:
        """Lowers a node by its decision or, if it has none, by the quantization around it."""
        planned = decision_of(node) or Decision()
        try:
            if planned.mode == FLOAT:
                raise Unsupported(planned.reason)
            decision = planned
            if planned.mode == UNDECIDED:
                decision = replace(by_graph(node), not_fused=planned.not_fused)
            found = check(node, decision)
            if decision.mode == STATIC:
                self._lower_static(node, row, decision, found)
            else:
                self._lower_directly(node, row, decision, found)
        except Unsupported as error:
            row.reason = planned.reason or str(error)
            if planned.mode == FLOAT:
                row.verdict = planned.verdict

    def _fuse(self, site: CallSite, found: Capability) -> tuple[tuple[Node, ...], str]:
        """The nodes after a node that its op runs too, and why an activation is not among them.
        Sets the activation of the site."""
        fused, why_not = fused_into(found, site.node)
        if fused and not found.kernel:
            site.function = function_name(fused[-1])
            site.bounds = NO_BOUNDS if site.function else activation_bounds(fused[-1])
        return fused, why_not

    def _note(self, site: CallSite, new: Node, row: Row, fused: tuple[Node, ...] = ()) -> None:
        """Fills in the row of a node that was lowered, and of those fused into it."""
        new.meta[VALUE] = (row.name, (site.node, *fused)[-1].name)
        row.verdict, row.kernel = site.decision.verdict, ir.op_name(new)
        row.float_bytes, row.packed_bytes = site.float_bytes, site.packed_bytes
        part = "part" if is_foreign(site.decision.op) else "activation"
        for node in fused:
            self.rows[node].verdict, self.rows[node].reason = report.FUSED, f"{part} of {row.name}"

    # ---- modes without calibration -------------------------------------------------------------

    def _lower_directly(self, node: Node, row: Row, decision: Decision, found: Capability) -> None:
        args, pad = self._padded(node, ir.bind(node))
        x = {name: Quantized(args[name], None) for name in found.tensors}
        site = CallSite(self.context, node, decision, args, x, pad=pad)
        fused, row.reason = self._fuse(site, found)
        last, emit = (node, *fused)[-1], emitter(decision.op)
        with self.graph.inserting_before(last):
            new = in_half(site, emit) if decision.mode == FP16 else emit(site)
        qdq.replace(last, new)
        self.direct[new] = row
        for dead in dict.fromkeys((last, node)):
            if not dead.users:
                self.graph.erase_node(dead)  # lstm and gru are impure: they could drop out
        self._note(site, self.context.halves.get(new, new), row, fused)

    def _join_linears(self) -> None:
        for joined in join_linears(self.context):
            first, *others = (self.direct[call] for call in joined.calls)
            first.packed_bytes += joined.extra_bytes
            for row in others:
                row.reason = "; ".join(filter(None, (f"one op with {first.name}", row.reason)))

    # ---- static 8 bits -------------------------------------------------------------------------

    def _lower_static(self, node: Node, row: Row, decision: Decision, found: Capability) -> None:
        if not node.users:
            raise Unsupported("nothing uses it")
        if all(padding_of(user)[0] is node for user in node.users):
            raise Unsupported("the convolution after it stays float")
        site = self._site(node, decision, found)
        fused: tuple[Node, ...] = ()
        if ir.kind(node) in LISTS:
            new = self._emit_list(site)
        elif found.role in (FREE, SAME) and not has_own_range(node):
            new = self._emit_same(site)
        else:
            fused, why_not = self._fuse(site, found)
            new = self._emit_requantized(site, found, (node, *fused)[-1])
            int16 = "its output is int16" if site.y and site.y.dtype is torch.int16 else ""
            row.reason = "; ".join(filter(None, (why_not or decision.not_fused, int16)))
        self._note(site, new, row, fused)

    def _site(self, node: Node, decision: Decision, found: Capability) -> CallSite:
        args = ir.bind(node)
        pad: tuple[int, ...] = ()
        if found.role == WEIGHTED:
            check_weight(self.context, decision, args["weight"])
            args, pad = self._padded(node, args)
        tensors = (name for name in found.tensors if name != "weight")
        x = {name: self._quantized(args[name]) for name in tensors}
        _check_int16("input", _qparams_of(x), decision.op, {*INT16_INPUTS, FREE})
        decision.check("input", *_qparams_of(x))
        return CallSite(self.context, node, decision, args, x, pad=pad)

    def _padded(self, node: Node, args: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
        """The arguments of a node, with what the aten.pad before it pads in its place, and that
        padding."""
        pad_node, pad = padding_of(node)
        if pad_node is None:
            return args, ()
        self.pads[pad_node] = node
        return {**args, "input": ir.bind(pad_node)["self"]}, pad

    def _quantized(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return [self._quantized(item) for item in argument]
        if not ir.is_call(argument, DEQUANTIZE):
            raise Unsupported(f"its input {argument} is not quantized")
        return Quantized(argument.args[0], qparams(self.module, argument))

    def _emit_same(self, site: CallSite) -> Node:
        """The op on 8-bit data, with a dequantize node for readers of real numbers."""
        site.decision.check("output", *_qparams_of(site.x))
        with self.graph.inserting_before(site.node):
            new = emitter(site.decision.op)(site)
            new.meta["val"] = ir.tensor_of(site.node)  # of its shape, if not of its dtype
            real = self._dequantized_as(site, new)
        qdq.replace(site.node, real)
        return new

    def _emit_list(self, site: CallSite) -> Node:
        """The same for an op that returns a list; each item is dequantized."""
        users = list(site.node.users)
        if not all(user.target is operator.getitem for user in users):
            raise Unsupported("its output is used as a list")
        with self.graph.inserting_before(site.node):
            new = emitter(site.decision.op)(site)
        for user in users:
            with self.graph.inserting_before(user):
                item = self.graph.call_function(operator.getitem, (new, user.args[1]))
                item.meta["val"] = ir.tensor_of(user)
                real = self._dequantized_as(site, item)
            qdq.replace(user, real)
            self.rows[user].verdict = report.FREE
        return new

    def _dequantized_as(self, site: CallSite, value: Node) -> Node:
        """A value dequantized as the input of a node is."""
        name = next(iter(site.x))
        dequantize = site.args[name]
        args = (value, *dequantize.args[1:])
        return self.graph.call_function(dequantize.target, args, dequantize.kwargs)

    def _emit_requantized(self, site: CallSite, found: Capability, last: Node) -> Node:
        """One call for each quantization of the output, or one with float32 output if a reader
        takes real numbers."""
        if not last.users:
            raise Unsupported(f"nothing uses {last.name}")
        quantizes = [user for user in last.users if ir.is_call(user, QUANTIZE)]
        others = [user.name for user in last.users if user not in quantizes]
        if others and not found.float_output:
            raise Unsupported(f"its output is used in float by {', '.join(others)}")
        outputs = [] if others else [qparams(self.module, end) for end in quantizes]
        _check_int16("output", outputs, site.decision.op, INT16_OUTPUTS)
        site.decision.check("output", *outputs)
        for end in [last] if others else quantizes:
            site.y = None if others else qparams(self.module, end)
            with self.graph.inserting_before(end):
                new = emitter(site.decision.op)(site)
            new.meta[VALUE] = (site.node.name, last.name)
            qdq.replace(end, new)
        return new

    def _explain_float_nodes(self) -> None:
        self.graph.eliminate_dead_code(ir.has_effect)
        alive = set(self.graph.nodes)
        for node, row in self.rows.items():
            if row.verdict != report.FLOAT:
                continue
            if node not in alive:
                into = self.pads.get(node)
                row.verdict = report.FUSED if into else report.FREE
                row.reason = f"padding of {into.name}" if into else "removed: nothing uses it"
            elif is_free(node):
                row.verdict, row.kernel, row.reason = report.FREE, row.op, ""


def _check_int16(role: str, values: list[QParams], op: str, allowed: set[str]) -> None:
    """Unsupported for int16 values of an op that has none."""
    has_words = any(value.dtype is torch.int16 for value in values)
    if has_words and op not in allowed and not is_foreign(op):
        raise Unsupported(f"its {role} is int16, which qnative.{op} does not have")


def _qparams_of(x: dict[str, Any]) -> list[QParams]:
    """Those of every quantized argument, those in lists too."""
    lists = [value if isinstance(value, list) else [value] for value in x.values()]
    return [value.qparams for values in lists for value in values]
