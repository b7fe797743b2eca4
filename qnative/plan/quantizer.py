"""A torchao PT2E quantizer that follows a BackendConfig."""

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .._torchao import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    SharedQuantizationSpec,
)
from .._torchao import Quantizer as TorchAOQuantizer
from ..calibration.observers import DEFAULTS, TRAINING_DEFAULTS
from ..graph.functional import make_functional
from ..graph.layers import TRANSPOSED
from ..graph.nodes import STORAGE_DTYPES, NoDtypes, Unsupported, bind, kind
from ..graph.sequence import next_of
from ..lowering.lower import NOT_FUSED, REASON
from . import constraints, custom, direct, table
from .config_index import ConfigIndex, choose_direct, kernel_of, observation, static_dtypes, text_of
from .direct import RECIPES, STATIC

_ANNOTATION = "quantization_annotation"
_NOT_OBSERVED = "INPUT_OUTPUT_NOT_OBSERVED"
_SHARED = "OUTPUT_SHARE_OBSERVER_WITH_INPUT"
# Into these prepare_qat_pt2e folds the BatchNorm after them.
_FOLDED_IN_TRAINING = ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")


class Quantizer(TorchAOQuantizer):
    """Annotates what a BackendConfig has a row for and qnative has an op for.

    config: a ``qnative.backend_config.BackendConfig``, or upstream's, or the name of one (see
    ``register_backend``); None is "native". recipe: which dtypes of a row are taken, see
    ``qnative.quantize``. is_qat: for ``prepare_qat_pt2e``. activation_observer, weight_observer:
    classes of observers, with is_qat of fake quantization (or ``Observer.with_args(...)``); None
    are ours, with is_qat torchao's with moving averages.

    What the config says about a pattern decides:

    - Without a row the op stays float, unless it only moves data, as chunk and slice do: that is
      quantized as its input is. A row stands for the op, however it was called; relu, relu6,
      hardtanh and clamp become part of the op before them if there is a row for both, or for the
      pair.
    - dtype configs: the first static one with 8-bit activations, and int8 weights where there are
      weights. Bounds of values and scales are kept; ``scale_exact_match`` and
      ``zero_point_exact_match`` fix the scale and zero point. (Those that input and output have in
      common fix the output alone: upstream fixes the input of such ops too, which clips what enters
      a sigmoid to [0, 1).) What an observer breaks all the same leaves the op float: the report of
      the lowered model has the reason.
    - ops: a kernel of another library ("mylib::fused_op") runs the whole pattern, and comes before
      everything else; see ``lowering/custom.py``.
    - observation type: the output shares the input's observer, has its own, or nothing is observed.
      A sum or product with a number has its own, whatever the row says: upstream derives it from
      the input, and both are exact.

    Outputs that nothing uses in 8 bits stay float32 where the op can give that (linear, conv,
    matmul, layer_norm, softmax). Why a node was not annotated is in the report of the lowered
    model.
    """

    def __init__(
        self,
        config: Any = None,
        *,
        recipe: str = "static",
        is_qat: bool = False,
        activation_observer: Any = None,
        weight_observer: Any = None,
    ):
        super().__init__()
        from ..backend_config import resolve

        config = resolve(config, "qnative.Quantizer")
        if recipe not in RECIPES:
            raise ValueError(
                f"qnative.Quantizer: unknown recipe {recipe!r}; valid: {', '.join(RECIPES)}"
            )
        self.config = config
        self.modes = RECIPES[recipe]
        self.is_qat = is_qat
        activations, weights = TRAINING_DEFAULTS if is_qat else DEFAULTS
        self.activation_observer = activation_observer or activations
        self.weight_observer = weight_observer or weights

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """In-place aten ops become out-of-place ones: a copy in between, such as a quantized one,
        would not see what they write."""
        make_functional(model.graph)
        model.recompile()
        return model

    @property
    def needs_calibration(self) -> bool:
        """Whether there is anything to observe; otherwise ``annotate`` and ``lower`` are enough."""
        return STATIC in self.modes

    def annotate(self, model: GraphModule) -> GraphModule:
        Annotation(self, model).run()
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to do: what cannot run was not annotated."""


class Annotation:
    """One pass over a graph: first which nodes are quantized, then how."""

    def __init__(self, quantizer: Quantizer, model: GraphModule):
        self.quantizer = quantizer
        self.nodes = [node for node in model.graph.nodes if node.op == "call_function"]
        self.index = ConfigIndex(quantizer.config)
        self.rows: dict[Node, list[Any]] = {}  # selected nodes and their rows of the config
        self.dtypes: dict[Node, Any] = {}  # their DTypeConfigs, but for those that only move data
        self.direct: dict[Node, Any] = {}  # row and DTypeConfig of those left to direct lowering
        self.fused: dict[Node, Node] = {}  # activation or padding -> the node it is part of
        self.ends: dict[Node, Node] = {}  # node -> the last one that is fused into it
        # Why modes and kernels of other libraries do not run a node.
        self.misses: dict[Node, list[str]] = {}

    def run(self) -> None:
        for node in self.nodes:
            if node in self.fused:
                continue
            self._choose(node)
        for node in self.nodes:
            if node in self.rows and not self._annotate(node):
                node.meta[REASON] = "it moves data that is not quantized"

    # ---- which nodes -----------------------------------------------------------------------

    def _choose(self, node: Node) -> None:
        """The first mode that works; if none does, why not the first that the config asks for."""
        if self._choose_kernel(node):
            return
        if self._follows_input(node):
            self.rows[node] = []
            return
        reasons = []
        for mode in self.quantizer.modes:
            try:
                rows, pair, activation = self._find(node)
                if mode == STATIC:
                    self._select(node, rows, pair, activation)
                else:
                    self._select_direct(mode, node, rows, pair, activation)
                return
            except Unsupported as error:
                reasons.append(error)
        asked = [reason for reason in reasons if not isinstance(reason, NoDtypes)]
        kernels = self.misses.get(node, [])
        node.meta[REASON] = kernels[0] if kernels else str((asked or reasons)[0])
        texts = list(map(str, reasons))
        if len(set(texts)) > 1:
            modes = zip(self.quantizer.modes, texts, strict=True)
            texts = [f"{mode}: {reason}" for mode, reason in modes]
        self.misses[node] = [*kernels, *dict.fromkeys(texts)]

    def _choose_kernel(self, node: Node) -> bool:
        """Whether another library's kernel runs a sequence that begins with this node."""
        if STATIC not in self.quantizer.modes:
            return False
        for kinds, row in self.index.kernels(node):
            try:
                self._select_kernel(node, kinds, row)
                return True
            except Unsupported as error:
                self.misses.setdefault(node, []).append(f"{' '.join(kinds)}: {error}")
        return False

    def _select_kernel(self, node: Node, kinds: tuple[str, ...], row: Any) -> None:
        node.meta[custom.KERNEL], dtypes = kernel_of(row, kinds)
        try:
            constraints.check_possible(dtypes, text_of(row.pattern))
            op = table.check(node)
        except Unsupported:
            del node.meta[custom.KERNEL]
            raise
        self.rows[node], self.dtypes[node] = [row], dtypes
        for part in table.fused_into(op, node)[0]:
            self.fused[part] = self.fused.get(node, node)
            self.ends[node] = part

    def _follows_input(self, node: Node) -> bool:
        """Whether a node only moves data, and no config could say more about it."""
        if STATIC not in self.quantizer.modes or self.index.find(kind(node)):
            return False
        if node.target is operator.getitem:
            return node.args[0] in self.rows
        if kind(node) not in table.MOVES:
            return False
        try:
            table.check(node)
        except Unsupported:
            return False
        return True

    def _find(self, node: Node) -> tuple[list[Any], list[Any], Node | None]:
        """The rows for a node, those for it with the activation after it, and that activation."""
        name = kind(node)
        norm = self._norm_after(node)
        activation, node.meta[NOT_FUSED] = table.activation_after(norm or node)
        rows = self.index.find(name)
        pair = self.index.find(name, kind(activation)) if activation is not None else []
        if not rows and not pair:
            if name in table.MOVES:
                table.check(node)
            op = str(node.target) if not name else f"aten.{name}"
            raise Unsupported(f"the config {self.index.name!r} has no row for {op}")
        return rows, pair, activation

    def _norm_after(self, node: Node) -> Node | None:
        """The BatchNorm that becomes part of a layer. Without training there is none: it did."""
        if not self.quantizer.is_qat or kind(node) not in _FOLDED_IN_TRAINING:
            return None
        return next_of(node, ("batch_norm",))[0]

    def _select_direct(
        self, mode: str, node: Node, rows: list[Any], pair: list[Any], activation: Node | None
    ) -> None:
        """Leaves the node to direct lowering."""
        chosen = choose_direct(mode, node, rows or pair)
        op = direct.check(mode, node)
        self.direct[node] = chosen
        node.meta[direct.MODE] = mode
        activation, _ = direct.activation_after(op, node)
        if activation is not None:
            self.fused[activation] = node

    def _select(
        self, node: Node, rows: list[Any], pair: list[Any], activation: Node | None
    ) -> None:
        name = kind(node)
        op = table.row(node)
        weighted = op is not None and op.role == table.WEIGHTED
        static_dtypes(rows or pair, weighted)
        op = table.check(node)
        if all(observation(row) == _NOT_OBSERVED for row in rows or pair):
            raise Unsupported(f"the config {self.index.name!r} does not observe {name}")
        fuses = op.fuses and activation is not None
        fuses = fuses and (pair or self.index.find(kind(activation)))
        if not fuses and not rows:
            raise Unsupported(
                f"the config {self.index.name!r} has rows for {name} in sequences only"
            )
        rows = pair if fuses and pair else rows
        row, dtypes = static_dtypes(rows, weighted)
        constraints.check_possible(dtypes, text_of(row.pattern))
        self.dtypes[node], self.rows[node] = dtypes, rows
        for part in (self._norm_after(node), activation if fuses else None):
            if part is not None:
                self.fused[part] = node
                self.ends[node] = part
        pad, _ = table.zero_padding(node)
        if pad is not None and all(user is node for user in pad.users):
            self.fused[pad] = node
            self.rows.pop(pad, None)
            pad.meta.pop(REASON, None)

    def _end(self, node: Node) -> Node:
        return self.ends.get(node, node)

    def _takes_quantized(self, node: Node) -> bool:
        """Whether a node reads its inputs in 8 bits."""
        node = self.fused.get(node, node)
        if node not in self.rows:
            return False
        if _op(node).role == table.FREE:
            return any(map(self._takes_quantized, node.users))
        return True

    def gives_quantized(self, node: Any) -> bool:
        """Whether the value of a node is quantized by the op that makes it."""
        node = self.fused.get(node, node)
        if node not in self.rows:
            return False
        op, end = _op(node), self._end(node)
        if op.role == table.FREE:
            return self._takes_quantized(node) and self.gives_quantized(_first(node, op))
        return not op.float_output or any(map(self._takes_quantized, end.users))

    def chosen(self, node: Node) -> tuple[Any, Any] | None:
        """The row of the config and the DTypeConfig that quantize a node."""
        dtypes = self.dtypes.get(node)
        rows = self.rows.get(node, [])
        return next(((row, dtypes) for row in rows if dtypes in list(row.dtype_configs)), None)

    # ---- how -------------------------------------------------------------------------------

    def _annotate(self, node: Node) -> bool:
        """False for an op that only moves data which is float anyway."""
        op, rows = _op(node), self.rows[node]
        if op.role == table.FREE:
            return self._annotate_move(node, op)
        dtypes = self.dtypes[node]
        row, _ = self.chosen(node)
        constraints.remember(node, dtypes, text_of(row.pattern))
        inputs = self._input_specs(node, op, dtypes)
        end, output = self._end(node), None
        if self.gives_quantized(node):
            output = self._output_spec(node, op, rows[0], dtypes, inputs)
        pad, _ = table.zero_padding(node)
        if self.fused.get(pad) is node:
            source = bind(pad)["self"]
            padded = {source: self._edge(source, pad, dtypes)}
            _set(pad, padded, None)
            inputs.pop(pad)
        if end is node:
            _set(node, inputs, output)
        else:
            _set(node, inputs, None)
            _set(end, {}, output)
        return True

    def _annotate_move(self, node: Node, op: table.Op) -> bool:
        if not self.gives_quantized(node):
            return False
        source = _first(node, op)
        if op is table.GETITEM:
            _set(node, {}, SharedQuantizationSpec((_first(source, _op(source)), source)))
        else:
            shared = SharedQuantizationSpec((source, node))
            output = None if kind(node) in table.LISTS else shared
            if table.has_own_range(op, node):
                output = self._activation_spec(self._made(source))
            _set(node, {source: SharedQuantizationSpec(source)}, output)
        return True

    def _input_specs(self, node: Node, op: table.Op, dtypes: Any) -> dict[Node, Any]:
        args, specs = bind(node), {}
        for name in op.tensors:
            argument = args[name]
            for source in argument if isinstance(argument, (list, tuple)) else [argument]:
                if name == "weight":
                    axis = 1 if kind(node) in TRANSPOSED else 0
                    specs[source] = self._weight_spec(dtypes.weight_dtype_with_constraints, axis)
                else:
                    specs[source] = self._edge(source, node, dtypes)
        return specs

    def _edge(self, source: Node, user: Node, dtypes: Any) -> Any:
        """How ``user`` reads ``source``: as the op that makes it quantized it, if it did and that
        is what the row of ``user`` takes."""
        limits = constraints.of_dtypes(dtypes).get("input", constraints.Constraints())
        wanted = dtypes.input_dtype_with_constraints
        if self.gives_quantized(source) and self._fits(source, wanted.dtype, limits):
            return SharedQuantizationSpec(source)
        return self._fixed_spec(wanted) if limits.fixed else self._activation_spec(wanted)

    def _fits(self, source: Node, dtype: torch.dtype, limits: constraints.Constraints) -> bool:
        """Whether what is demanded of an input is demanded of the op that makes it."""
        made = self._made(source)
        if STORAGE_DTYPES[made.dtype] is not STORAGE_DTYPES[dtype]:
            return False
        return limits in (constraints.Constraints(), constraints.Constraints.of(made))

    def _made(self, source: Node) -> Any:
        """What the op promises whose output this is, moved or not."""
        node = self.fused.get(source, source)
        while _op(node).role == table.FREE:
            node = self.fused.get(_first(node, _op(node)), _first(node, _op(node)))
        return self.dtypes[node].output_dtype_with_constraints

    def _fixed_spec(self, wanted: Any) -> FixedQParamsQuantizationSpec:
        dtype, least, most, _ = _limits(wanted)
        return FixedQParamsQuantizationSpec(
            dtype,
            wanted.scale_exact_match,
            wanted.zero_point_exact_match,
            least,
            most,
            torch.per_tensor_affine,
        )

    def _output_spec(
        self, node: Node, op: table.Op, row: Any, dtypes: Any, inputs: dict[Node, Any]
    ) -> Any:
        wanted = dtypes.output_dtype_with_constraints
        if constraints.Constraints.of(wanted).fixed:
            return self._fixed_spec(wanted)
        source = _first(node, op)
        if op.role in (table.SAME, table.FREE) or self._shares(node, op, row, inputs):
            for other in list(inputs)[1:]:
                inputs[other] = SharedQuantizationSpec((source, node))
            return SharedQuantizationSpec((source, node))
        return self._activation_spec(wanted)

    def _shares(self, node: Node, op: table.Op, row: Any, inputs: dict[Node, Any]) -> bool:
        """Whether output and inputs have one observer. Not where an input is fixed: what fits the
        others need not fit into its range."""
        with_number = kind(node) in table.WITH_NUMBER and op.role == table.LOOKUP
        if observation(row) != _SHARED or with_number:
            return False
        return not any(
            isinstance(_root(spec), FixedQParamsQuantizationSpec) for spec in inputs.values()
        )

    def _activation_spec(self, wanted: Any) -> QuantizationSpec:
        dtype, least, most, options = _limits(wanted)
        observer = self.quantizer.activation_observer
        return QuantizationSpec(
            dtype=dtype,
            observer_or_fake_quant_ctr=_with_args(observer, **options),
            quant_min=least,
            quant_max=most,
            qscheme=torch.per_tensor_affine,
        )

    def _weight_spec(self, wanted: Any, axis: int) -> QuantizationSpec:
        dtype, least, most, options = _limits(wanted)
        observer = self.quantizer.weight_observer
        return QuantizationSpec(
            dtype=dtype,
            observer_or_fake_quant_ctr=_with_args(observer, ch_axis=axis, **options),
            quant_min=least,
            quant_max=most,
            qscheme=torch.per_channel_symmetric,
            ch_axis=axis,
        )


def _op(node: Node) -> table.Op:
    return table.GETITEM if node.target is operator.getitem else table.row(node)


def _first(node: Node, op: table.Op) -> Node:
    if op is table.GETITEM:
        return node.args[0]
    argument = bind(node)[op.tensors[0]]
    return argument[0] if isinstance(argument, (list, tuple)) else argument


def _root(spec: Any) -> Any:
    """The spec at the end of a chain of shared ones."""
    while isinstance(spec, SharedQuantizationSpec):
        shared = spec.edge_or_node
        source, user = shared if isinstance(shared, tuple) else (None, shared)
        annotation = user.meta[_ANNOTATION]
        spec = annotation.output_qspec if source is None else annotation.input_qspec_map[source]
    return spec


def _set(node: Node, inputs: dict[Node, Any], output: Any) -> None:
    node.meta[_ANNOTATION] = QuantizationAnnotation(inputs, output, _annotated=True)


def _with_args(observer: Any, **options: Any) -> Any:
    """One ``with_args`` of all arguments: torchao does not see the class behind two."""
    if isinstance(observer, type):
        return observer.with_args(**options)
    return observer.p.func.with_args(**{**observer.p.keywords, **options})


def _limits(wanted: Any) -> tuple[torch.dtype, int, int, dict[str, float]]:
    """Storage dtype, smallest and largest value, and keyword arguments for the observer."""
    dtype = STORAGE_DTYPES[wanted.dtype]
    limits = constraints.Constraints.of(wanted)
    eps = limits.scale_min_lower_bound
    return dtype, *limits.quant_range(dtype), {} if eps is None else {"eps": float(eps)}
