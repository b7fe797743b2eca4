"""What calibration measured decides what must not run in 8 bits.

An op whose operands share a scale, a fixed scale, or one scale for values that are made of parts
can leave nothing of a small operand or part, which the error of the whole hides. Such ops run in
another mode or stay float.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .._torchao import FixedQParamsQuantizationSpec
from ..calibration.observers import HistogramObserver
from ..calibration.run import Ranges
from ..graph.nodes import kind
from ..graph.origins import LEARNED, Origin
from ..graph.parts import Parts, parts_of, stay_apart
from .decision import FREE
from .plan import Plan
from .quantizer import KEY, Quantizer, root

# A signal keeps less than this many dB above the noise of 8 bits (noise of several ops adds up) ...
_LEAST = 30.0
# ... and a scale of its own would keep so many more.
_GAIN = 5.0
# Each round finds ops that the last one made readers of float values.
_ROUNDS = 50


def guard(module: GraphModule, quantizer: Quantizer, ranges: dict[str, Ranges]) -> None:
    """Adds to the choices of a quantizer the nodes that must not run in 8 bits, given what
    calibration saw of the values of a float graph."""
    parts = parts_of(module.graph)
    for _ in range(_ROUNDS):
        plan = quantizer.plan(module)
        quantizer.write(plan)
        avoided, apart = Look(quantizer, plan, ranges, parts).run()
        choices = quantizer.choices
        if avoided.keys() <= choices.avoided.keys() and apart <= choices.apart:
            return
        choices.avoided |= avoided
        choices.apart |= apart


class Look:
    """One look at an annotated graph."""

    def __init__(
        self,
        quantizer: Quantizer,
        plan: Plan,
        ranges: dict[str, Ranges],
        parts: dict[Node, Parts],
    ):
        self.plan, self.ranges, self.parts = plan, ranges, parts
        self.quantizer = quantizer
        self._members: dict[int, tuple[Any, dict[Node, None]]] = {}
        for node in plan.nodes:
            for value, spec in quantized_values(node):
                _, values = self._members.setdefault(id(root(spec)), (root(spec), {}))
                values[value] = None
        self._scales: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def nodes(self) -> list[Node]:
        """Those with an op of their own that runs in 8 bits and is not free."""
        static = filter(self.plan.is_static, self.plan.nodes)
        return [node for node in static if self.plan.capability(node).role != FREE]

    def run(self) -> tuple[dict[str, str], set[str]]:
        """Nodes to avoid with the reasons, and nodes whose inputs keep their own scales."""
        avoided: dict[str, str] = {}
        apart: set[str] = set()
        for node in self.nodes:
            if why := self._why_not(node):
                end = self.plan.end(node)
                avoided |= {each.name: why for each in (node, end)}
            elif self._harms_others(node):
                apart.add(node.name)
        return avoided, apart

    def _why_not(self, node: Node) -> str:
        """Why a node should not run in 8 bits, or ""."""
        annotation = node.meta[KEY]
        for source, spec in annotation.input_qspec_map.items():
            if source.name not in self.ranges:
                continue
            if self._is_zero(source):
                return f"{source.name} is 0 in all of the calibration data"
            if why := self._lost_parts(source, node, spec):
                return why
        end = self.plan.end(node)
        output = end.meta[KEY].output_qspec
        if output is None:
            return ""
        is_fixed = isinstance(root(output), FixedQParamsQuantizationSpec)
        if is_fixed and (why := self._loses(end.name, self.ranges[end.name].whole, output)):
            return why
        if self.plan.capability(node).float_output:
            return ""  # it gives float32 as soon as its readers take that
        return self._lost_parts(end, None, output)

    def _is_zero(self, source: Node) -> bool:
        """Whether an input of the model, or what it computes of inputs before any layer, was always
        0. (Behind a layer that is no accident: a residual branch may begin with weights of 0.)"""
        whole = self.ranges[source.name].whole
        if whole.min_val != 0 or whole.max_val != 0:
            return False
        return self.plan.origins.of(source) == Origin.DATA and not _is_behind_a_layer(source)

    def _lost_parts(self, value: Node, reader: Node | None, spec: Any) -> str:
        """What is lost of the parts of a value that stay apart in ``reader``."""
        parts = self.parts.get(value)
        if parts is None or (reader and not stay_apart(value, reader, self.parts)):
            return ""
        seen = self.ranges[value.name].each
        for place, each in zip(parts.places, seen, strict=False):
            if each.calibrated and (why := self._loses(f"{value.name}{place}", each, spec)):
                return why
        return ""

    def _loses(self, name: str, seen: HistogramObserver, spec: Any) -> str:
        """What 8 bits with the scale of ``spec`` leave of a value, if a scale of its own would
        leave more; or ""."""
        here = self.sqnr(seen, spec)
        if here >= _LEAST:
            return ""
        own = seen.sqnr(*seen.calculate_qparams())
        if own < here + _GAIN:
            return ""
        return f"8 bits would leave {here:.0f} dB of {name}, with a scale of its own {own:.0f} dB"

    def _harms_others(self, node: Node) -> bool:
        """Whether an op that joins values takes the scale from one that others read too."""
        output = self.plan.end(node).meta[KEY].output_qspec
        operands = node.meta[KEY].input_qspec_map
        if output is None or len(operands) < 2 or node.name in self.quantizer.choices.apart:
            return False
        shared = [x for x, spec in operands.items() if root(spec) is root(output)]
        for source in shared if len(shared) > 1 else []:
            others = [user for user in source.users if user is not node]
            if others and self._loses(source.name, self.ranges[source.name].whole, output):
                return True
        return False

    def sqnr(self, seen: HistogramObserver, spec: Any) -> float:
        """Signal to noise in dB of a value in the quantization of ``spec``."""
        limits = root(spec).quant_min, root(spec).quant_max
        return seen.sqnr(*self.scale(spec), limits)

    def scale(self, spec: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point of all values that share an observer."""
        key = id(root(spec))
        if key not in self._scales:
            shared, values = self._members[key]
            if isinstance(shared, FixedQParamsQuantizationSpec):
                self._scales[key] = torch.tensor(shared.scale), torch.tensor(shared.zero_point)
            else:
                self._scales[key] = self._union(shared, list(values)).calculate_qparams()
        return self._scales[key]

    def _union(self, spec: Any, values: list[Node]) -> HistogramObserver:
        """An observer that has seen all of these values."""
        seen = [self.ranges[value.name].whole for value in values]
        limits = spec.quant_min, spec.quant_max
        if len(seen) == 1 and limits == (seen[0].quant_min, seen[0].quant_max):
            return seen[0]
        union = HistogramObserver(
            dtype=spec.dtype,
            quant_min=spec.quant_min,
            quant_max=spec.quant_max,
            qscheme=spec.qscheme,
        )
        for each in seen:
            union.merge(each)
        return union


def _is_behind_a_layer(node: Node) -> bool:
    seen, left = {node}, [node]
    while left:
        if kind(each := left.pop()) in LEARNED:
            return True
        left += [source for source in each.all_input_nodes if source not in seen]
        seen.update(each.all_input_nodes)
    return False


def quantized_values(node: Node) -> Iterator[tuple[Node, Any]]:
    """The values that an annotated node reads and gives in 8 bits, without weights."""
    annotation = node.meta.get(KEY)
    if annotation is None:
        return
    for source, spec in annotation.input_qspec_map.items():
        if getattr(root(spec), "qscheme", None) != torch.per_channel_symmetric:
            yield source, spec
    if annotation.output_qspec is not None:
        yield node, annotation.output_qspec
