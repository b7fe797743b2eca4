"""dequantize -> aten op [-> activation] -> quantize becomes one qnative op."""

import operator
from typing import Any

from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.activation import NO_BOUNDS, activation_bounds
from ..graph.functional import make_functional
from ..graph.nodes import Unsupported
from ..graph.sizes import guard, keep_sizes_open
from ..plan import constraints, custom, direct, table
from ..report import FLOAT, FREE, FUSED, QUANTIZED, NotQuantizedError, Report, Row
from . import emit, qdq
from . import half as emit_half
from .join import join_linears

# Keys of a node's meta: why the Quantizer left it float, and why its activation is an op by itself.
REASON = "qnative_reason"
NOT_FUSED = "qnative_not_fused"


def lower(module: GraphModule, *, strict: bool = False) -> GraphModule:
    """A converted PT2E module as one whose arithmetic runs in ``qnative::*`` ops.

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
    report = Report(list(lowering.rows.values()))
    if strict and report.float_rows:
        raise NotQuantizedError(report)
    result = lowering.result()
    attach_report(result, report)
    return result


def attach_report(module: GraphModule, report: Report, strict: bool = False) -> None:
    """``module.report``, which deepcopy keeps as well. NotQuantizedError if strict and a node stays
    float."""
    if strict and report.float_rows:
        raise NotQuantizedError(report)
    module.report = report
    module.meta.setdefault("_user_preserved_attributes", {})["report"] = report


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
    if any(map(_is_annotated, module.graph.nodes)):
        return
    if any(ir.target_name(node).startswith("qnative.") for node in module.graph.nodes):
        raise ValueError("qnative.lower: module is lowered already")
    raise ValueError(f"qnative.lower: module is a float model without quantize nodes: {how}")


def _is_annotated(node: Node) -> bool:
    return ir.is_decomposed(node) or REASON in node.meta or direct.MODE in node.meta


class _Lowering:
    """The copied graph and a row for each of its nodes."""

    def __init__(self, module: GraphModule):
        self.module = module
        self.graph = ir.copy_graph(module.graph)
        taken = {n.target for n in self.graph.nodes if n.op in ("get_attr", "call_module")}
        self.constants = emit.Constants(self.graph, taken)
        self.rows: dict[Node, Row] = {}
        self.direct: dict[Node, Row] = {}  # of calls that took the place of a float node
        self.pads: dict[Node, Node] = {}

    def run(self) -> None:
        make_functional(self.graph)
        for node in self.graph.nodes:
            if node.op == "call_function" and not ir.is_decomposed(node):
                row = Row(node.name, ir.module_path(node), ir.op_name(node), FLOAT)
                if row.op.startswith("qnative."):  # of a module of qnative.nn
                    row.verdict, row.kernel = QUANTIZED, row.op
                self.rows[node] = row
        self._remove_dropout()
        qdq.collapse(self.module, self.constants)
        for node, row in self.rows.items():
            if row.verdict != FLOAT:
                continue
            try:
                if direct.MODE in node.meta:
                    self._lower_directly(node, row)
                else:
                    self._lower_node(node, row)
            except Unsupported as error:
                row.reason = node.meta.get(REASON, str(error))
        qdq.collapse(self.module, self.constants)
        self._explain_float_nodes()
        qdq.rewrite(self.module, self.constants)
        self._join_linears()
        keep_sizes_open(self.graph)

    def result(self) -> GraphModule:
        """A module of its own with the attributes that the graph uses, and no others."""
        attributes: dict[str, Any] = {}
        for node in self.graph.nodes:
            if node.op in ("get_attr", "call_module"):
                value = self.constants.values.get(node.target)
                if value is None:
                    value = guard(node.target, ir.attribute(self.module, node.target))
                attributes[node.target] = value
        self.graph.lint()
        return GraphModule(attributes, self.graph, type(self.module).__name__)

    def _remove_dropout(self) -> None:
        for node, row in self.rows.items():
            if ir.kind(node) in table.DROPOUTS and not ir.bind(node)["train"]:
                node.replace_all_uses_with(ir.bind(node)["input"])
                self.graph.erase_node(node)  # impure: no dead code elimination takes it
                row.verdict, row.reason = FREE, "removed: it does nothing outside of training"

    def _lower_directly(self, node: Node, row: Row) -> None:
        op, last = direct.check(node.meta[direct.MODE], node), node
        site = emit.CallSite(self.module, self.constants, node, ir.bind(node), {}, NO_BOUNDS, None)
        activation, row.reason = direct.activation_after(op, node)
        if activation is not None:
            site.function, last = direct.function_name(activation), activation
            if not site.function:
                site.bounds = activation_bounds(activation)
            fused = self.rows[activation]
            fused.verdict, fused.reason = FUSED, f"activation of {row.name}"
        with self.graph.inserting_before(last):
            new = op.emit(site)
        qdq.replace(last, new)
        self.direct[new] = row
        for dead in dict.fromkeys((last, node)):
            if not dead.users:
                self.graph.erase_node(dead)  # lstm and gru are impure: they could drop out
        row.verdict, row.kernel = QUANTIZED, ir.op_name(emit_half.without_cast(new))
        row.float_bytes, row.packed_bytes = site.float_bytes, site.packed_bytes

    def _join_linears(self) -> None:
        for joined in join_linears(self.constants):
            first, *others = (self.direct[call] for call in joined.calls)
            first.packed_bytes += joined.extra_bytes
            for row in others:
                row.reason = "; ".join(filter(None, (f"one op with {first.name}", row.reason)))

    def _lower_node(self, node: Node, row: Row) -> None:
        if custom.REFUSED in node.meta:
            raise Unsupported(node.meta[custom.REFUSED])
        op = table.check(node)
        if not node.users:
            raise Unsupported("nothing uses it")
        if all(table.zero_padding(user)[0] is node for user in node.users):
            raise Unsupported("the convolution after it stays float")
        site = self._site(op, node)
        if ir.kind(node) in table.LISTS:
            new = self._emit_list(op, site)
        elif op.role in (table.FREE, table.SAME) and not table.has_own_range(op, node):
            new = self._emit_same(op, site)
        else:
            new = self._emit_requantized(op, site, row)
        row.verdict = FREE if op.role == table.FREE else QUANTIZED
        row.kernel = ir.op_name(new)
        row.float_bytes, row.packed_bytes = site.float_bytes, site.packed_bytes

    def _site(self, op: table.Op, node: Node) -> emit.CallSite:
        args, pad = ir.bind(node), ()
        if op.role == table.WEIGHTED:
            if not ir.is_call(args["weight"], ir.DEQUANTIZE | ir.DEQUANTIZE_CHANNEL):
                raise Unsupported("its weight is not quantized")
            constraints.check_weight(self.module, node, args["weight"])
            pad_node, pad = table.zero_padding(node)
            if pad_node is not None:
                args["input"] = ir.bind(pad_node)["self"]
                self.pads[pad_node] = node
        tensors = (name for name in op.tensors if name != "weight")
        x = {name: self._quantized(args[name]) for name in tensors}
        constraints.check(node, "input", *_qparams_of(x))
        return emit.CallSite(self.module, self.constants, node, args, x, NO_BOUNDS, None, pad)

    def _quantized(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return [self._quantized(item) for item in argument]
        if not ir.is_call(argument, ir.DEQUANTIZE):
            raise Unsupported(f"its input {argument} is not quantized")
        return emit.Quantized(argument.args[0], ir.qparams(self.module, argument))

    def _emit_same(self, op: table.Op, site: emit.CallSite) -> Node:
        """The op on 8-bit data; whoever wants real numbers dequantizes what comes out."""
        dequantize = site.args[op.tensors[0]]
        constraints.check(site.node, "output", *_qparams_of(site.x))
        with self.graph.inserting_before(site.node):
            new = op.emit(site)
            new.meta["val"] = ir.tensor_of(site.node)  # of its shape, if not of its dtype
            real = self.graph.call_function(
                dequantize.target, (new, *dequantize.args[1:]), dequantize.kwargs
            )
        qdq.replace(site.node, real)
        return new

    def _emit_list(self, op: table.Op, site: emit.CallSite) -> Node:
        """The same for an op that gives a list, of which every item is dequantized."""
        users = list(site.node.users)
        if not all(user.target is operator.getitem for user in users):
            raise Unsupported("its output is used as a list")
        dequantize = site.args[op.tensors[0]]
        with self.graph.inserting_before(site.node):
            new = op.emit(site)
        for user in users:
            with self.graph.inserting_before(user):
                item = self.graph.call_function(operator.getitem, (new, user.args[1]))
                item.meta["val"] = ir.tensor_of(user)
                real = self.graph.call_function(
                    dequantize.target, (item, *dequantize.args[1:]), dequantize.kwargs
                )
            qdq.replace(user, real)
            self.rows[user].verdict = FREE
        return new

    def _emit_requantized(self, op: table.Op, site: emit.CallSite, row: Row) -> Node:
        """The op with its activation, ending in each of the quantizations of its output, or in
        float32 where something uses it as such."""
        last = site.node
        fused, why_not = table.fused_into(op, last)
        if fused:
            last = fused[-1]
            site.bounds = NO_BOUNDS if op.kernel else activation_bounds(last)
        quantizes = [user for user in last.users if ir.is_call(user, ir.QUANTIZE)]
        others = [user.name for user in last.users if user not in quantizes]
        if others and not op.float_output:
            raise Unsupported(f"its output is used in float by {', '.join(others)}")
        outputs = [] if others else [ir.qparams(self.module, end) for end in quantizes]
        constraints.check(site.node, "output", *outputs)
        for end in [last] if others else quantizes:
            site.y = None if others else ir.qparams(self.module, end)
            with self.graph.inserting_before(end):
                new = op.emit(site)
            qdq.replace(end, new)
        row.reason = why_not or site.node.meta.get(NOT_FUSED, "")
        for node in fused:
            part = "part" if op.kernel else "activation"
            self.rows[node].verdict, self.rows[node].reason = FUSED, f"{part} of {row.name}"
        return new

    def _explain_float_nodes(self) -> None:
        self.graph.eliminate_dead_code(lambda n: n.op == "call_module" or n.is_impure())
        alive = set(self.graph.nodes)
        for node, row in self.rows.items():
            if row.verdict != FLOAT:
                continue
            if node not in alive:
                into = self.pads.get(node)
                row.verdict = FUSED if into else FREE
                row.reason = f"padding of {into.name}" if into else "removed: nothing uses it"
            elif table.is_free(node, ir.DEQUANTIZE):
                row.verdict, row.kernel, row.reason = FREE, row.op, ""


def _qparams_of(x: dict[str, Any]) -> list[ir.QParams]:
    """Of every quantized argument, those in lists too."""
    lists = [value if isinstance(value, list) else [value] for value in x.values()]
    return [value.qparams for values in lists for value in values]
