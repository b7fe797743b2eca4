"""The plan of a graph: which config rows quantize which nodes."""

import operator
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from torch.fx import GraphModule, Node

from ..backend_config import BackendConfig, BackendPatternConfig, DTypeConfig, DTypeWithConstraints
from ..backend_config.kinds import Kinds, text_of
from ..graph.kinds import CONVS, JOINS, LAYERS, MOVES, PERIODIC, RECURRENT, TRANSPOSED
from ..graph.nodes import NoDtypes, Unsupported, bind, kind, tensor_of
from ..graph.origins import Origins
from ..graph.sequence import activation_after, next_of
from . import constraints, decide
from .capability import Capability, capability, check, fused_into, is_free, op_of, padding_of
from .choices import Choices
from .config_index import ConfigIndex, Rows, observation, static_dtypes
from .decision import FLOAT, FREE, UNDECIDED, Decision, is_foreign, remember
from .modes import DYNAMIC_FP16, DYNAMIC_INT4, DYNAMIC_INT8, STATIC

_Found: TypeAlias = tuple[BackendPatternConfig, DTypeConfig, Decision]
_NOT_OBSERVED = "INPUT_OUTPUT_NOT_OBSERVED"
# Into these prepare_qat_pt2e folds the BatchNorm after them.
_FOLDED_IN_TRAINING = ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")


class Plan:
    """The decision about every call of a graph, made from the rows of a config.

    modes: those that a node may run in, best first. is_qat: whether BatchNorm stays until the model
    is trained. choices: what measurements decided. group_size: see Decision.
    """

    def __init__(
        self,
        config: BackendConfig,
        modes: tuple[str, ...],
        model: GraphModule,
        is_qat: bool,
        choices: Choices | None = None,
        group_size: int | None = 32,
    ):
        self.index, self.modes, self.is_qat = ConfigIndex(config), modes, is_qat
        self._choices, self._group_size = choices or Choices(), group_size
        self.nodes = [node for node in model.graph.nodes if node.op == "call_function"]
        self._graph, self.origins = model.graph, Origins(model)
        self.decisions: dict[Node, Decision] = {}
        # Row and DTypeConfig of the nodes that have their own.
        self.rows: dict[Node, tuple[BackendPatternConfig, DTypeConfig]] = {}
        self._capabilities: dict[Node, Capability] = {}
        self._dtypes: dict[tuple[int, str], tuple[BackendPatternConfig, DTypeConfig]] = {}
        self._found: dict[tuple[int, str, str], _Found] = {}
        self._possible: dict[int, DTypeConfig] = {}
        self._owners: dict[Node, Node] = {}  # fused activation or padding -> node
        self._ends: dict[Node, Node] = {}  # node -> last node fused into it

    def make(self) -> "Plan":
        """Decides about every node; the graph's nodes keep their decisions."""
        for node in self.nodes:
            if node not in self._owners:
                self._choose(node)
        for node in reversed(self.nodes):
            if kind(node) in JOINS and self._joins_floats(node):
                self.decisions[node] = Decision(FLOAT, FREE, reason="nothing reads it in 8 bits")
        idle = [node for node in self.nodes if self._moves_floats(node)]
        for node in idle:
            self.decisions[node] = Decision(reason="it moves data that is not quantized")
        for node in self.nodes:
            if self.decisions[node].mode == UNDECIDED and not self.decisions[node].part_of:
                self._find_free(node)
        for node, decision in self.decisions.items():
            remember(node, decision)
        return self

    # ---- questions -----------------------------------------------------------------------------

    def is_static(self, node: Any) -> bool:
        """Whether a node runs on 8-bit values with calibrated scales, in an op of its own."""
        decision = self.decisions.get(node)
        return decision is not None and decision.mode == STATIC

    def capability(self, node: Node) -> Capability:
        """That of the op of a node that has one of its own."""
        if node not in self._capabilities:
            self._capabilities[node] = capability(node, self.decisions[node])
        return self._capabilities[node]

    def owner(self, node: Node) -> Node:
        """The node whose op runs ``node``: itself, or the one that it is fused into."""
        return self._owners.get(node, node)

    def end(self, node: Node) -> Node:
        """The last of the nodes that the op of a node runs."""
        return self._ends.get(node, node)

    def source(self, node: Node) -> Node:
        """The first input of a node."""
        if node.target is operator.getitem:
            return node.args[0]
        argument = bind(node)[self.capability(node).tensors[0]]
        return argument[0] if isinstance(argument, (list, tuple)) else argument

    def takes_quantized(self, node: Node) -> bool:
        """Whether a node reads its inputs in 8 bits."""
        node = self.owner(node)
        if not self.is_static(node):
            return False
        if self.capability(node).role == FREE:
            return any(map(self.takes_quantized, node.users))
        return True

    def gives_quantized(self, node: Any) -> bool:
        """Whether the value of a node is quantized by the op that makes it."""
        node = self._owners.get(node, node)
        if not self.is_static(node):
            return False
        found = self.capability(node)
        if found.role == FREE:
            return self.takes_quantized(node) and self.gives_quantized(self.source(node))
        return not found.float_output or any(map(self.takes_quantized, self.end(node).users))

    def promised(self, node: Node) -> DTypeWithConstraints:
        """The output DTypeWithConstraints of the op that computes a node's value."""
        node = self.owner(node)
        while self.capability(node).role == FREE:
            node = self.owner(self.source(node))
        return self.rows[node][1].output_dtype_with_constraints

    def observed(self) -> list[Node]:
        """The values whose ranges decide scales, in graph order: those that nodes in 8 bits read
        and give, without weights."""
        found: set[Node] = set()
        for node in filter(self.is_static, self.nodes):
            found |= set(self._read(node))
            if self.gives_quantized(node):
                found.add(self.end(node))
        return [node for node in self._graph.nodes if node in found and tensor_of(node) is not None]

    def recurrent(self) -> list[Node]:
        """The recurrent nodes with int8 weights."""
        return [
            node
            for node in self.nodes
            if kind(node) in RECURRENT and self.decisions[node].mode == DYNAMIC_INT8
        ]

    def dynamic_convolutions(self) -> list[Node]:
        """The convolutions that are quantized at run time, transposed or not."""
        return [
            node
            for node in self.nodes
            if kind(node) in CONVS | TRANSPOSED and self.decisions[node].mode == DYNAMIC_INT8
        ]

    def _read(self, node: Node) -> Iterator[Node]:
        if node.target is operator.getitem:
            return
        args = bind(node)
        for name in self.capability(node).tensors:
            if name != "weight":
                argument = args[name]
                yield from argument if isinstance(argument, (list, tuple)) else [argument]
        pad, _ = padding_of(node)
        if pad is not None:
            yield bind(pad)["self"]

    # ---- which nodes ---------------------------------------------------------------------------

    def _choose(self, node: Node) -> None:
        """Takes the first mode that works. If none does, the reason is that of the first mode that
        the config asks for."""
        if (decision := decide.by_origin(node, self.origins)) is not None:
            self.decisions[node] = decision
            return
        if node.name in self._choices.floats:
            self.decisions[node] = Decision(FLOAT, reason=self._choices.floats[node.name])
            return
        foreign_misses: list[str] = []
        if STATIC in self.modes and node.name not in self._choices.avoided:
            for kinds, row in self.index.kernels(node):
                try:
                    self._select_kernel(node, kinds, row)
                    return
                except Unsupported as error:
                    foreign_misses.append(f"{' '.join(kinds)}: {error}")
            if self._follows_input(node):
                self.decisions[node] = Decision(STATIC, FREE)
                return
        activation, not_fused = activation_after(self._norm_after(node) or node)
        reasons: list[Unsupported] = []
        half = (DYNAMIC_FP16,) if node.name in self._choices.half else ()
        for mode in (*half, *self.modes):
            try:
                rows, pair = self._rows_for(node, activation)
                if mode == STATIC and node.name in self._choices.avoided:
                    raise Unsupported(self._choices.avoided[node.name])
                if mode == STATIC:
                    self._select(node, rows, pair, activation, not_fused)
                else:
                    self._select_direct(node, mode, rows or pair, not_fused)
                return
            except Unsupported as error:
                reasons.append(error)
        self.decisions[node] = self._undecided(foreign_misses, reasons, not_fused)
        if node.name in self._choices.avoided:
            self.decisions[node] = Decision(FLOAT, reason=self._choices.avoided[node.name])

    def _undecided(
        self, foreign_misses: list[str], reasons: list[Unsupported], not_fused: str
    ) -> Decision:
        asked = [reason for reason in reasons if not isinstance(reason, NoDtypes)]
        reason = foreign_misses[0] if foreign_misses else str((asked or reasons)[0])
        texts = list(map(str, reasons))
        if len(set(texts)) > 1:
            texts = [f"{mode}: {text}" for mode, text in zip(self.modes, texts, strict=True)]
        misses = (*foreign_misses, *dict.fromkeys(texts))
        return Decision(reason=reason, not_fused=not_fused, misses=misses)

    def _select_kernel(self, node: Node, kinds: Kinds, row: BackendPatternConfig) -> None:
        decision, config = decide.by_kernel(node, kinds, row)
        self.decisions[node], self.rows[node] = decision, (row, config)
        for part in fused_into(self.capability(node), node)[0]:
            self._fuse(part, node)

    def _follows_input(self, node: Node) -> bool:
        """Whether a node only moves quantized data and the config has no row for it."""
        if self.index.find(kind(node)):
            return False
        if node.target is operator.getitem:
            return self.is_static(node.args[0])
        if kind(node) not in MOVES:
            return False
        try:
            check(node, decide.by_graph(node))
        except Unsupported:
            return False
        return True

    def _norm_after(self, node: Node) -> Node | None:
        """The BatchNorm that training folds into a layer; without training it is folded before."""
        if not self.is_qat or kind(node) not in _FOLDED_IN_TRAINING:
            return None
        return next_of(node, ("batch_norm",))[0]

    def _rows_for(self, node: Node, activation: Node | None) -> tuple[Rows, Rows]:
        """The rows for a node, and those for it with the activation after it."""
        name = kind(node)
        rows = self.index.find(name)
        pair = self.index.find(name, kind(activation)) if activation is not None else []
        if not rows and not pair:
            if name in MOVES:
                check(node, decide.by_graph(node))
            op = str(node.target) if not name else f"aten.{name}"
            raise Unsupported(f"the config {self.index.name!r} has no row for {op}")
        return rows, pair

    def _select_direct(self, node: Node, mode: str, rows: Rows, not_fused: str) -> None:
        decision = decide.by_mode(node, mode, rows)
        if mode == DYNAMIC_INT4:
            decision = replace(decision, group_size=self._group_size)
        self.decisions[node] = replace(decision, not_fused=not_fused)
        for part in fused_into(self.capability(node), node)[0]:
            self._fuse(part, node)
        if mode == DYNAMIC_INT8:
            self._own_padding(node)

    def _select(
        self,
        node: Node,
        rows: Rows,
        pair: Rows,
        activation: Node | None,
        not_fused: str,
    ) -> None:
        name = kind(node)
        _, _, decision = self._by_rows(node, rows or pair)
        fuses = check(node, decision).fuses and activation is not None
        if all(observation(row) == _NOT_OBSERVED for row in rows or pair):
            raise Unsupported(f"the config {self.index.name!r} does not observe {name}")
        fuses = fuses and bool(pair or self.index.find(kind(activation)))
        if not fuses and not rows:
            raise Unsupported(
                f"the config {self.index.name!r} has rows for {name} in sequences only"
            )
        if name in PERIODIC and not self.is_static(self.owner(bind(node)["self"])):
            raise Unsupported("its angles are not computed in 8 bits, which hold few turns")
        row, config, decision = self._by_rows(node, pair if fuses and pair else rows)
        self._check_possible(row, config)
        parts = [self._norm_after(node), activation if fuses else None]
        fused = tuple(kind(part) for part in parts if part is not None)
        self.decisions[node] = replace(decision, fused=fused, not_fused=not_fused)
        self.rows[node] = row, config
        for part in filter(None, parts):
            self._fuse(part, node)
        self._own_padding(node)

    def _own_padding(self, node: Node) -> None:
        pad, _ = padding_of(node)
        if pad is not None and all(user is node for user in pad.users):
            self._owners[pad] = node
            self.decisions[pad] = Decision(part_of=node.name)
            self.rows.pop(pad, None)

    def _by_rows(self, node: Node, rows: Rows) -> _Found:
        """The first of these rows that quantizes a node statically, and the decision."""
        of_rows = id(rows), kind(node)  # the index keeps the rows
        if of_rows not in self._dtypes:
            self._dtypes[of_rows] = static_dtypes(rows, kind(node) in LAYERS)
        key = *of_rows, op_of(node, STATIC)
        if key not in self._found:
            row, config = self._dtypes[of_rows]
            self._found[key] = row, config, decide.by_row(node, STATIC, row, config)
        return self._found[key]

    def _check_possible(self, row: BackendPatternConfig, config: DTypeConfig) -> None:
        if id(config) not in self._possible:
            constraints.check_possible(config, text_of(row.pattern))
            self._possible[id(config)] = config  # kept alive: its id is the key

    def _fuse(self, part: Node, node: Node) -> None:
        self._owners[part], self._ends[node] = node, part
        self.decisions[part] = Decision(part_of=node.name)

    # ---- nodes without a row -------------------------------------------------------------------

    def _joins_floats(self, node: Node) -> bool:
        """Whether one scale for all that a node joins would serve no reader. Inputs of the model
        are joined as the row says."""
        if not self.is_static(node) or is_foreign(self.decisions[node].op):
            return False
        if all(source.op == "placeholder" for source in node.all_input_nodes):
            return False
        return not any(map(self.takes_quantized, self.end(node).users))

    def _moves_floats(self, node: Node) -> bool:
        is_move = self.is_static(node) and self.capability(node).role == FREE
        return is_move and not self.gives_quantized(node)

    def _find_free(self, node: Node) -> None:
        """Marks a node that needs no op because it computes nothing."""
        if kind(node) == "zeros" and all(map(self._begins_with_zeros, node.users)):
            self.decisions[node] = Decision(op=FREE, reason="removed: nothing uses it")
        elif is_free(node) and not any(map(self.gives_quantized, node.all_input_nodes)):
            self.decisions[node] = replace(self.decisions[node], op=FREE, reason="")

    def _begins_with_zeros(self, node: Node) -> bool:
        """Whether a node is a quantized recurrent op: it needs no tensor for a state of zeros."""
        decision = self.decisions.get(node)
        return decision is not None and decision.is_quantized and decision.mode != STATIC
