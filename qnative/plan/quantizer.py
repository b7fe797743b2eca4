"""A torchao PT2E quantizer that follows a BackendConfig."""

import difflib
from collections.abc import Callable, Iterable
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
from ..backend_config import BackendPatternConfig, DTypeConfig, DTypeWithConstraints
from ..backend_config.registry import AnyBackend, resolve
from ..calibration.observers import DEFAULTS, TRAINING_DEFAULTS
from ..graph.functional import make_functional
from ..graph.kinds import ATTENTION, LISTS, TRANSPOSED, WITH_NUMBER
from ..graph.nodes import bind, kind, module_path
from ..graph.qdq import STORAGE_DTYPES
from ..graph.rewrite import rewrite
from .capability import GETITEM, SAME, Capability, has_own_range, padding_of
from .choices import Choices
from .config_index import ConfigIndex, observation
from .constraints import NONE, Constraints, Limits
from .decision import FREE, LOOKUP, is_foreign
from .modes import RECIPES, STATIC, Recipe, check_group_size
from .plan import Plan
from .residual import widen

KEY = "quantization_annotation"
_SHARED = "OUTPUT_SHARE_OBSERVER_WITH_INPUT"


class Quantizer(TorchAOQuantizer):
    """Annotates the nodes that a BackendConfig has a row for and qnative an op.

    config: a ``qnative.backend_config.BackendConfig``, or upstream's, or the name of one (see
    ``register_backend``); None is "qnative". recipe: which dtypes of a row are taken, see
    ``qnative.quantize``, also for group_size. is_qat: for ``prepare_qat_pt2e``.
    activation_observer, weight_observer: classes of observers, with is_qat of fake quantization (or
    ``Observer.with_args(...)``); None are ours, with is_qat torchao's with moving averages.

    What the config says about a pattern decides:

    - Without a row the op stays float, unless it only moves data, as chunk and slice do: that is
      quantized as its input is. A row stands for the op, however it was called; relu, relu6,
      hardtanh and clamp become part of the op before them if there is a row for both, or for the
      pair.
    - dtype configs: the first static one with 8-bit activations, and int8 weights where there are
      weights. Bounds of values and scales are kept; ``scale_exact_match`` and
      ``zero_point_exact_match`` fix the scale and zero point. (Those that input and output have in
      common fix the output alone: upstream fixes the input of such ops too, which clips what enters
      a sigmoid to [0, 1).) If an observer breaks a constraint, the op stays float, with the reason
      in the report of the lowered model.
    - ops: a kernel of another library ("mylib::fused_op") runs the whole pattern, and comes before
      everything else; see ``plan/foreign.py``.
    - observation type: the output shares the input's observer, has its own, or nothing is observed.
      A sum or product with a number has its own, whatever the row says: upstream derives it from
      the input, and both are exact.

    Outputs that nothing uses in 8 bits stay float32 where the op can give that (linear, conv,
    matmul, layer_norm, softmax). Why a node was not annotated is in the report of the lowered
    model.
    """

    def __init__(
        self,
        config: AnyBackend = None,
        *,
        recipe: Recipe = "static",
        group_size: int | None = 32,
        is_qat: bool = False,
        activation_observer: Callable[..., torch.nn.Module] | None = None,
        weight_observer: Callable[..., torch.nn.Module] | None = None,
    ):
        super().__init__()
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
        check_group_size("qnative.Quantizer", group_size)
        self.group_size = group_size
        self.choices = Choices()  # qnative.quantize adds to them

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """In-place aten ops become out-of-place ones: a quantized copy would not see their
        writes. Computations with several spellings get the one that ops exist for."""
        make_functional(model.graph)
        has_attention = ConfigIndex(self.config).find(ATTENTION)
        rewrite(model, attention=bool(has_attention))
        return model

    @property
    def needs_calibration(self) -> bool:
        """Whether there is anything to observe; otherwise ``annotate`` and ``lower`` are enough."""
        return STATIC in self.modes

    def plan(self, model: GraphModule) -> Plan:
        """The decisions that ``annotate`` writes down."""
        plan = Plan(
            self.config, self.modes, model, self.is_qat, self.choices, group_size=self.group_size
        )
        return widen(plan.make())

    def annotate(self, model: GraphModule) -> GraphModule:
        self.write(self.plan(model))
        return model

    def write(self, plan: Plan) -> None:
        """Annotates the graph of a plan, whatever annotations it has."""
        _Annotation(self, plan).write()

    def keep_float(self, model: GraphModule, names: Iterable[str]) -> None:
        """Nodes of a graph, after ``transform_for_annotation``, stay float, each with what its op
        would run too. names: of nodes, as rows of a report have them, or of modules, for all nodes
        inside. ValueError for a name of neither."""
        names = tuple(names)
        if not names:
            return
        plan = self.plan(model)
        for name in names:
            found = {plan.owner(node) for node in plan.nodes if _is_named(node, name)}
            if not found:
                known = [node.name for node in plan.nodes] + [*map(module_path, plan.nodes)]
                near = ", ".join(difflib.get_close_matches(name, filter(None, set(known))))
                raise ValueError(
                    f"qnative: float_nodes has {name!r}, which names no node or module"
                    + (f"; similar names: {near}" if near else "")
                )
            parts = [node for node in plan.nodes if plan.owner(node) in found]
            self.choices.floats |= dict.fromkeys((n.name for n in parts), "float_nodes names it")

    def validate(self, model: GraphModule) -> None:
        """Nothing to do: only nodes that can run are annotated."""


class _Annotation:
    """Writes the annotations that make torchao observe what a plan needs."""

    def __init__(self, quantizer: Quantizer, plan: Plan):
        self.quantizer, self.plan = quantizer, plan

    def write(self) -> None:
        for node in self.plan.nodes:
            node.meta.pop(KEY, None)
        for node in self.plan.nodes:
            if self.plan.is_static(node):
                self._annotate(node)

    def _annotate(self, node: Node) -> None:
        found = self.plan.capability(node)
        if found.role == FREE:
            self._annotate_move(node, found)
            return
        row, config = self.plan.rows[node]
        inputs = self._input_specs(node, found, config)
        end, output = self.plan.end(node), None
        if self.plan.gives_quantized(node):
            output = self._output_spec(node, found, row, config, inputs)
        pad, _ = padding_of(node)
        if pad is not None and self.plan.owner(pad) is node:
            source = bind(pad)["self"]
            _set(pad, {source: self._edge(source, pad, config)}, None)
            inputs.pop(pad)
        if end is node:
            _set(node, inputs, output)
        else:
            _set(node, inputs, None)
            _set(end, {}, output)

    def _annotate_move(self, node: Node, found: Capability) -> None:
        source = self.plan.source(node)
        if found is GETITEM:
            _set(node, {}, SharedQuantizationSpec((self.plan.source(source), source)))
            return
        shared = SharedQuantizationSpec((source, node))
        output = None if kind(node) in LISTS else shared
        if has_own_range(node):
            output = self._activation_spec(self.plan.promised(source))
        _set(node, {source: SharedQuantizationSpec(source)}, output)

    def _input_specs(self, node: Node, found: Capability, config: DTypeConfig) -> dict[Node, Any]:
        args, specs = bind(node), {}
        for name in found.tensors:
            argument = args[name]
            for source in argument if isinstance(argument, (list, tuple)) else [argument]:
                if name == "weight":
                    axis = 1 if kind(node) in TRANSPOSED else 0
                    specs[source] = self._weight_spec(config.weight_dtype_with_constraints, axis)
                else:
                    specs[source] = self._edge(source, node, config)
        return specs

    def _edge(self, source: Node, user: Node, config: DTypeConfig) -> Any:
        """The quantization of ``source`` as an input of ``user``: that of its producer, if the row
        of ``user`` takes it."""
        limits, wanted = Limits.of(config).input, config.input_dtype_with_constraints
        if self.plan.gives_quantized(source) and self._fits(source, user, wanted.dtype, limits):
            return SharedQuantizationSpec(source)
        return _fixed_spec(wanted) if limits.fixed else self._activation_spec(wanted)

    def _fits(
        self, source: Node, user: Node, dtype: torch.dtype | None, limits: Constraints
    ) -> bool:
        """Whether the producer of ``source`` guarantees ``user`` this dtype and these limits."""
        promised = self.plan.promised(source)
        given, wanted = STORAGE_DTYPES[promised.dtype], STORAGE_DTYPES[dtype]
        # Ops of ours that take int16 take 8 bits too.
        takes_less = wanted is torch.int16 and not is_foreign(self.plan.decisions[user].op)
        if given is not wanted and not takes_less:
            return False
        return limits in (NONE, Constraints.of(promised))

    def _output_spec(
        self,
        node: Node,
        found: Capability,
        row: BackendPatternConfig,
        config: DTypeConfig,
        inputs: dict[Node, Any],
    ) -> Any:
        wanted = config.output_dtype_with_constraints
        if Constraints.of(wanted).fixed:
            return _fixed_spec(wanted)
        source = self.plan.source(node)
        if node.name in self.quantizer.choices.apart or wanted.dtype is torch.int16:
            return self._activation_spec(wanted)
        if found.role == SAME or _shares(node, found, row, inputs):
            for other in list(inputs)[1:]:
                inputs[other] = SharedQuantizationSpec((source, node))
            return SharedQuantizationSpec((source, node))
        return self._activation_spec(wanted)

    def _activation_spec(self, wanted: DTypeWithConstraints) -> QuantizationSpec:
        dtype, least, most, options = _limits(wanted)
        observer = self.quantizer.activation_observer
        return QuantizationSpec(
            dtype=dtype,
            observer_or_fake_quant_ctr=_with_args(observer, **options),
            quant_min=least,
            quant_max=most,
            qscheme=torch.per_tensor_symmetric if dtype is torch.int16 else torch.per_tensor_affine,
        )

    def _weight_spec(self, wanted: DTypeWithConstraints, axis: int) -> QuantizationSpec:
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


def _is_named(node: Node, name: str) -> bool:
    module = module_path(node)
    return name in (node.name, module) or module.startswith(f"{name}.")


def _fixed_spec(wanted: DTypeWithConstraints) -> FixedQParamsQuantizationSpec:
    dtype, least, most, _ = _limits(wanted)
    return FixedQParamsQuantizationSpec(
        dtype,
        wanted.scale_exact_match,
        wanted.zero_point_exact_match,
        least,
        most,
        torch.per_tensor_affine,
    )


def _shares(
    node: Node, found: Capability, row: BackendPatternConfig, inputs: dict[Node, Any]
) -> bool:
    """Whether output and inputs share an observer. Not with a fixed input: the others need not fit
    its range."""
    with_number = kind(node) in WITH_NUMBER and found.role == LOOKUP
    if observation(row) != _SHARED or with_number:
        return False
    return not any(isinstance(root(spec), FixedQParamsQuantizationSpec) for spec in inputs.values())


def root(spec: Any) -> Any:
    """The spec at the end of a chain of shared ones."""
    while isinstance(spec, SharedQuantizationSpec):
        shared = spec.edge_or_node
        source, user = shared if isinstance(shared, tuple) else (None, shared)
        annotation = user.meta[KEY]
        spec = annotation.output_qspec if source is None else annotation.input_qspec_map[source]
    return spec


def _set(node: Node, inputs: dict[Node, Any], output: Any) -> None:
    node.meta[KEY] = QuantizationAnnotation(inputs, output, _annotated=True)


def _with_args(observer: Any, **options: Any) -> Any:
    """Merges the arguments into one ``with_args``: torchao cannot see the class behind two."""
    if isinstance(observer, type):
        return observer.with_args(**options)  # type: ignore[attr-defined]
    return observer.p.func.with_args(**{**observer.p.keywords, **options})


def _limits(wanted: DTypeWithConstraints) -> tuple[torch.dtype, int, int, dict[str, float]]:
    """Storage dtype, smallest and largest value, and keyword arguments for the observer."""
    dtype = STORAGE_DTYPES[wanted.dtype]
    limits = Constraints.of(wanted)
    eps = limits.scale_min_lower_bound
    return dtype, *limits.quant_range(dtype), {} if eps is None else {"eps": float(eps)}
