"""Runs a prepared model over calibration data and improves its weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.kinds import CONVS, LAYERS, TRANSPOSED
from ..graph.padding import conv_sides, for_each_dimension
from . import rounding
from .rounding import InputMoments

# Patches of an image, or rows of a matrix, that are sampled for the moments: more for layers with
# more inputs.
_MIN_PATCHES, _MAX_PATCHES = 32, 128
# With more inputs the moments take over 100 MB a layer: its weights are rounded to nearest.
_MAX_K = 5120


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


@dataclass
class _Layer:
    """A linear or convolution node of the prepared graph with a weight of its own."""

    node: Node
    weight: torch.nn.Parameter | torch.Tensor
    observer: torch.nn.Module
    collector: _Collector
    call: Node


class Calibration:
    """Feeds a prepared module, then improves its weights.

    prepared: the result of prepare_pt2e; its weights and biases are changed by ``finish``.
    collect_moments: whether to collect the inputs' moments, which ``finish`` needs for rounding and
    bias correction.
    """

    def __init__(self, prepared: GraphModule, collect_moments: bool):
        self.module = prepared
        self.notes: list[str] = []
        self.observers: dict[Node, torch.nn.Module] = {}
        for node in prepared.graph.nodes:
            if node.op == "call_module":
                module = ir.attribute(prepared, node.target)
                if hasattr(module, "calculate_qparams"):
                    module.origin = node.args[0].name
                    self.observers[node] = module
        self.layers = self._insert_collectors() if collect_moments else []
        self.batches = 0

    def feed(self, *args: Any, **kwargs: Any) -> None:
        """One batch through the model."""
        self.module(*args, **kwargs)
        self.batches += 1

    def finish(self, round_weights: bool, correct_bias: bool) -> None:
        """Ends the calibration. ValueError if there was no data, or not for every observer."""
        if self.batches == 0:
            raise ValueError("qnative: calibration is empty: it must give one batch or more")
        missing = sorted(
            observer.origin
            for observer in self.observers.values()
            if not getattr(observer, "calibrated", True)
        )
        if missing:
            raise ValueError(
                f"qnative: calibration gave no values (empty batches?) for {', '.join(missing)}"
            )
        for layer in self.layers:
            self.module.graph.erase_node(layer.call)
            delattr(self.module, layer.call.target)
            self._improve(layer, round_weights, correct_bias)
        self.module.recompile()

    def _insert_collectors(self) -> list[_Layer]:
        generator = torch.Generator().manual_seed(0)
        graph = self.module.graph
        layers: list[_Layer] = []
        weights = [ir.bind(node)["weight"] for node in graph.nodes if ir.kind(node) in LAYERS]
        sources = [_source(weight) for weight in weights]
        for node in list(graph.nodes):
            if ir.kind(node) not in LAYERS:
                continue
            observed = ir.bind(node)["weight"]
            source = _source(observed)
            # A weight that two layers share cannot fit the inputs of both.
            if observed not in self.observers or not source or sources.count(source) > 1:
                continue
            if ir.kind(node) in TRANSPOSED:
                self.notes.append(f"{node.name}: weights rounded to nearest, it is transposed")
                continue
            weight = ir.attribute(self.module, source)
            collector = _Collector(node, weight, generator)
            name = f"_qnative_collector_{len(layers)}"
            self.module.add_module(name, collector)
            with graph.inserting_before(node):
                call = graph.call_module(name, (ir.bind(node)["input"],))
            layers.append(_Layer(node, weight, self.observers[observed], collector, call))
        self.module.recompile()
        return layers

    def _improve(self, layer: _Layer, round_weights: bool, correct_bias: bool) -> None:
        weight, observer = layer.weight.detach(), layer.observer
        moments = layer.collector.moments
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
            self._correct_bias(layer.node, rounding.mean_error(weight, rounded, moments))
        weight.copy_(rounded)

    def _correct_bias(self, node: Node, error: torch.Tensor) -> None:
        """Gives the node a bias of its own: other nodes may share the present one."""
        args = ir.bind(node)
        bias = 0.0 if args["bias"] is None else ir.constant(self.module, args["bias"])
        name = f"{node.name}_corrected_bias"
        self.module.register_buffer(name, bias - error)
        with self.module.graph.inserting_before(node):
            new = self.module.graph.get_attr(name)
        node.args = (*node.args[:2], new, *node.args[3:])


def _source(weight: Any) -> str:
    """The attribute that is a weight, observed or not; "" for a weight that is computed."""
    while isinstance(weight, Node) and weight.op == "call_module" and weight.args:
        weight = weight.args[0]
    return str(weight.target) if isinstance(weight, Node) and weight.op == "get_attr" else ""
