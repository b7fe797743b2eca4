"""Runs a model over calibration data, and improves the weights of the prepared one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.kinds import CONVS, LAYERS, TRANSPOSED
from ..graph.padding import conv_sides, for_each_dimension
from ..graph.parts import Parts
from ..graph.qdq import is_constant
from ..page import Edge
from . import rounding
from .observers import HistogramObserver
from .recurrent import Layer, Recorder, enough
from .rounding import InputMoments

# The arguments of one call of a model: one tensor, positional ones, or keyword ones.
Batch: TypeAlias = torch.Tensor | tuple[Any, ...] | list[Any] | dict[str, Any]
# Patches of an image, or rows of a matrix, that are sampled for the moments: more for layers with
# more inputs.
_MIN_PATCHES, _MAX_PATCHES = 32, 128
# With more inputs the moments take over 100 MB a layer: its weights are rounded to nearest.
_MAX_K = 5120


# The key of (codes, scale) in the meta of a node with 4-bit weights, see linear_4bit_unpack.
GROUPS = "qnative_groups"


class _Collector(torch.nn.Module):
    """Collects the input moments of a linear or convolution node during calibration."""

    def __init__(self, node: Node, weight: torch.Tensor, generator: torch.Generator):
        super().__init__()
        self.args = ir.bind(node)
        self.dims = CONVS.get(ir.kind(node), 0)
        self.shape, self.generator = tuple(weight.shape), generator
        k = weight.numel() // weight.shape[0]
        groups = self.args["groups"] if self.dims else 1
        self.patches = min(_MIN_PATCHES + k // 8, _MAX_PATCHES)
        self.moments = InputMoments.zeros(groups, k, second=k <= _MAX_K)

    def forward(self, x: torch.Tensor) -> None:
        if x.numel() == 0:
            return
        if not self.dims:
            limit = self.patches * (x.shape[0] if x.dim() > 1 else 1)
            self.moments.update(rounding.linear_patches(x, limit, self.generator))
            return
        args, x = self.args, x if x.dim() == self.dims + 2 else x.unsqueeze(0)
        patches = rounding.conv_patches(
            x,
            self.shape,
            for_each_dimension(args["stride"], self.dims),
            conv_sides(args, self.shape),
            for_each_dimension(args["dilation"], self.dims),
            args["groups"],
            self.patches * x.shape[0],
            self.generator,
        )
        self.moments.update(patches)


class _Probe(torch.nn.Module):
    """Observes a value, and each of its parts."""

    def __init__(self, name: str, parts: Parts | None):
        super().__init__()
        self.whole, self.parts = _observer(name), parts
        self.each = [_observer(name) for _ in parts.sizes] if parts else []

    def forward(self, x: torch.Tensor) -> None:
        self.whole(x)
        if self.parts is not None:
            for observer, part in zip(self.each, self.parts.split(x), strict=False):
                observer(part)


def _observer(name: str) -> HistogramObserver:
    """Any range of codes does: what an observer has seen is merged into those of a model."""
    observer = HistogramObserver(
        dtype=torch.uint8, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
    )
    observer.origin = name
    return observer


def calls(batches: Iterable[Batch]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The positional and keyword arguments of each batch."""
    for inputs in batches:
        if isinstance(inputs, dict):
            yield (), inputs
        else:
            yield tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,), {}


class Ranges(NamedTuple):
    """What calibration saw of a value. parts: its parts, and what it saw of each."""

    whole: HistogramObserver
    each: list[HistogramObserver]


class Calibration:
    """Runs a float graph over data and collects what its quantization needs.

    module: the float graph. values: the nodes whose ranges are needed. parts: the values that are
    made of parts. recurrent: the nodes whose calls are needed. collect_moments: whether to collect
    the moments of the layers' inputs, which ``finish`` needs for rounding and bias correction.
    """

    def __init__(
        self,
        module: GraphModule,
        values: Iterable[Node],
        parts: dict[Node, Parts],
        recurrent: Iterable[Node],
        collect_moments: bool,
    ):
        self.notes: list[str] = []
        self.edges: list[Edge] = []  # of the prepared module, after ``finish``
        self.batches = 0
        self._probes: dict[str, _Probe] = {}
        self._collectors: dict[str, _Collector] = {}
        self._module = GraphModule(module, ir.copy_graph(module.graph))
        copies = {node.name: node for node in self._module.graph.nodes}
        for i, value in enumerate(values):
            probe = _Probe(value.name, parts.get(value))
            self._probes[value.name] = probe
            if value.op == "get_attr":
                probe(ir.attribute(module, value.target))
            else:
                self._insert(f"_qnative_probe_{i}", probe, copies[value.name])
        self._recorders = {node: Recorder(node) for node in recurrent}
        for i, (node, recorder) in enumerate(self._recorders.items()):
            name, copy = f"_qnative_recorder_{i}", copies[node.name]
            self._module.add_module(name, recorder)
            with self._module.graph.inserting_before(copy):
                self._module.graph.call_module(name, copy.args, copy.kwargs)
        if collect_moments:
            self._insert_collectors()
        self._module.recompile()

    def feed(self, *args: Any, **kwargs: Any) -> Any:
        """One batch through the float model, whose output it returns."""
        self.batches += 1
        return self._module(*args, **kwargs)

    def ranges(self) -> dict[str, Ranges]:
        """What was seen of each value, by the name of its node. ValueError if there was no data,
        or none for a value."""
        if self.batches == 0:
            raise ValueError("qnative: calibration is empty: it must give one batch or more")
        missing = sorted(n for n, probe in self._probes.items() if not probe.whole.calibrated)
        if missing:
            raise ValueError(
                f"qnative: calibration gave no values (empty batches?) for {', '.join(missing)}"
            )
        return {name: Ranges(probe.whole, probe.each) for name, probe in self._probes.items()}

    def improve_recurrent(self, module: GraphModule, round_weights: bool) -> dict[str, float]:
        """Rounds the weights of the recurrent nodes of the float graph. Returns how many dB int8
        weights leave of their outputs, where that is not enough, by name."""
        poor = {}
        for node, recorder in self._recorders.items():
            layer = Layer(module, node, recorder.calls)
            if not enough(left := layer.improve(round_weights)):
                poor[node.name] = left
        return poor

    def finish(self, prepared: GraphModule, round_weights: bool, correct_bias: bool) -> None:
        """Gives the observers of a prepared module what they would have seen, and improves its
        weights and biases.

        prepared: the result of prepare_pt2e for the float graph.
        """
        observers = self._fill(prepared)
        self.edges = self._edges(observers)
        for node in list(prepared.graph.nodes):
            collector = self._collectors.get(node.name)
            if collector is None or ir.bind(node)["weight"] not in observers:
                continue
            observer = observers[ir.bind(node)["weight"]]
            layer = _Rounded(prepared, node, observer, collector.moments)
            self._improve(layer, round_weights, correct_bias)
        prepared.recompile()

    def round_groups(
        self,
        module: GraphModule,
        sizes: dict[Node, int | None],
        round_weights: bool,
        correct_bias: bool,
    ) -> None:
        """Rounds the 4-bit weights of nodes of the float graph, whose groups have these sizes (None
        is a whole row), and corrects their biases. The nodes remember codes and scales under
        ``GROUPS``."""
        for node, group_size in sizes.items():
            collector = self._collectors.get(node.name)
            if collector is None:
                continue
            layer = _Rounded(module, node, None, collector.moments)
            if not layer.weight.isfinite().all():
                continue
            weight, moments = layer.weight.detach().float(), collector.moments
            size = group_size or weight.shape[1]
            packed = torch.ops.qnative.linear_4bit_pack(weight, size)
            codes, scale = torch.ops.qnative.linear_4bit_unpack(packed, weight.shape, size)
            step = scale.float().repeat_interleave(size, 1)[:, : weight.shape[1]]
            if round_weights and moments.second is not None:
                rounded = rounding.round_weight(weight, step, -8, 7, moments)
                codes = (rounded / step).round().to(torch.int8)
            elif round_weights:
                self.notes.append(f"{node.name}: weights rounded to nearest, many inputs each")
            if correct_bias:
                layer.correct_bias(rounding.mean_error(weight, codes * step, moments))
            node.meta[GROUPS] = (codes, scale)
        module.recompile()

    def _fill(self, prepared: GraphModule) -> dict[Node, torch.nn.Module]:
        """The observers of a prepared module by their calls."""
        observers = {}
        for node in prepared.graph.nodes:
            if node.op != "call_module":
                continue
            observer = ir.attribute(prepared, node.target)
            if not hasattr(observer, "calculate_qparams"):
                continue
            observers[node], source = observer, _observed(node)
            observer.origin = source.name
            if isinstance(observer, HistogramObserver):
                observer.merge(self._probes[source.name].whole)
            else:
                observer(ir.constant(prepared, source) if is_constant(source) else torch.zeros(1))
        return observers

    def _edges(self, observers: dict[Node, torch.nn.Module]) -> list[Edge]:
        """What was seen of each value, once for each range that its observers chose."""
        found: dict[tuple[str, float, int], Edge] = {}
        for node, observer in observers.items():
            name = _observed(node).name
            if isinstance(observer, HistogramObserver) and name in self._probes:
                edge = self._probes[name].whole.edge(observer)
                found.setdefault((name, edge.scale, edge.zero_point), edge)
        return list(found.values())

    def _insert(self, name: str, probe: torch.nn.Module, value: Node) -> None:
        self._module.add_module(name, probe)
        with self._module.graph.inserting_after(value):
            self._module.graph.call_module(name, (value,))

    def _insert_collectors(self) -> None:
        generator = torch.Generator().manual_seed(0)
        layers = [node for node in self._module.graph.nodes if ir.kind(node) in LAYERS]
        sources = [_attribute_of(ir.bind(node)["weight"]) for node in layers]
        for i, (node, source) in enumerate(zip(layers, sources, strict=True)):
            # A weight that two layers share cannot fit the inputs of both.
            if not source or sources.count(source) > 1:
                continue
            if ir.kind(node) in TRANSPOSED:
                self.notes.append(f"{node.name}: weights rounded to nearest, it is transposed")
                continue
            collector = _Collector(node, ir.attribute(self._module, source), generator)
            self._collectors[node.name] = collector
            name = f"_qnative_collector_{i}"
            self._module.add_module(name, collector)
            with self._module.graph.inserting_before(node):
                self._module.graph.call_module(name, (ir.bind(node)["input"],))

    def _improve(self, layer: "_Rounded", round_weights: bool, correct_bias: bool) -> None:
        weight, observer, moments = layer.weight.detach(), layer.observer, layer.moments
        scale = observer.calculate_qparams()[0].float().expand(weight.shape[0])
        limits = observer.quant_min, observer.quant_max
        if round_weights and moments.second is None:
            k = moments.first.shape[1]
            self.notes.append(f"{layer.node.name}: weights rounded to nearest, {k} inputs each")
        if round_weights and moments.second is not None:
            rounded = rounding.round_weight(weight, scale, *limits, moments)
        else:
            rounded = rounding.nearest(weight, scale, *limits)
        if correct_bias:
            layer.correct_bias(rounding.mean_error(weight, rounded, moments))
        weight.copy_(rounded)


@dataclass
class _Rounded:
    """A linear or convolution node of a prepared graph with a weight of its own."""

    module: GraphModule
    node: Node
    observer: Any
    moments: InputMoments

    @property
    def weight(self) -> torch.Tensor:
        return ir.attribute(self.module, _attribute_of(ir.bind(self.node)["weight"]))

    def correct_bias(self, error: torch.Tensor) -> None:
        """Gives the node a bias of its own: other nodes may share the present one."""
        args = ir.bind(self.node)
        bias = 0.0 if args["bias"] is None else ir.constant(self.module, args["bias"])
        name = f"{self.node.name}_corrected_bias"
        self.module.register_buffer(name, bias - error)
        with self.module.graph.inserting_before(self.node):
            new = self.module.graph.get_attr(name)
        self.node.args = (*self.node.args[:2], new, *self.node.args[3:])


def _observed(node: Any) -> Any:
    """The value behind the calls of observers."""
    while isinstance(node, Node) and node.op == "call_module" and node.args:
        node = node.args[0]
    return node


def _attribute_of(weight: Any) -> str:
    """The attribute that is a weight, observed or not; "" for a weight that is computed."""
    weight = _observed(weight)
    return str(weight.target) if isinstance(weight, Node) and weight.op == "get_attr" else ""
