"""Which single ops spoil an output: found by simulating the quantization of a graph without them.

The noise of many edges adds up, and no op is to blame for it. A fault is one op, a chain of them or
all of one kind, that costs much of an output alone: a difference of large numbers, a range that
suits few of its values, the sums of a residual stream."""

import math
from collections import defaultdict

import torch
from torch.fx import GraphModule, Node

from ..calibration.measure import Measure
from ..calibration.run import Ranges
from ..graph import nodes as ir
from ..graph.kinds import CONVS, LAYERS, TRANSPOSED
from ..graph.sequence import canonical
from ..report import POOR, Output
from .guard import Look, guard, quantized_values
from .quantizer import KEY, Quantizer, root

# What an op costs of the poorest output, in dB, to be a fault.
_FAULT = 5.0
# So many ops, those with the noisiest edges, are tried one by one.
_SINGLES = 32
_ROUNDS = 8


def remove_faults(
    module: GraphModule, quantizer: Quantizer, ranges: dict[str, Ranges], measure: Measure
) -> None:
    """While an output or a part of one is poor, adds the op that costs most of it to those that the
    quantizer avoids."""
    for _ in range(_ROUNDS):
        simulation = _Simulation(module, Look(quantizer, quantizer.plan(module), ranges, {}))
        found = simulation.fault(measure)
        if not found:
            return
        quantizer.choices.avoided |= found
        guard(module, quantizer, ranges)


class _FakeQuantize(torch.nn.Module):
    """Rounds to 8 bits and back, while ``active``."""

    def __init__(self, scale: torch.Tensor, zero_point: torch.Tensor, low: int, high: int):
        super().__init__()
        self.args = float(scale), int(zero_point), low, high
        self.active = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, *self.args) if self.active else x


class _Simulation:
    """A float graph with the noise of the edges of an annotated one."""

    def __init__(self, module: GraphModule, look: Look):
        self._look = look
        self._module = GraphModule(module, ir.copy_graph(module.graph))
        self._noise: dict[Node, list[_FakeQuantize]] = {}
        copies = {node.name: node for node in self._module.graph.nodes}
        for node in look.nodes:
            self._noise[node] = []
            for source, spec in quantized_values(node):
                if source is not node:
                    self._insert(node, spec, copies[source.name], copies[node.name])
            end = look.plan.end(node)
            output = end.meta[KEY].output_qspec
            if output is not None and not look.plan.capability(node).float_output:
                self._insert(node, output, copies[end.name], None)
        self._module.recompile()

    def _insert(self, node: Node, spec: object, value: Node, reader: Node | None) -> None:
        """Noise on a value, for one reader or for all."""
        shared = root(spec)
        scale, zero_point = self._look.scale(spec)
        noise = _FakeQuantize(scale, zero_point, shared.quant_min, shared.quant_max)
        name = f"_qnative_noise_{sum(map(len, self._noise.values()))}"
        self._noise[node].append(noise)
        self._module.add_module(name, noise)
        with self._module.graph.inserting_after(value):
            noisy = self._module.graph.call_module(name, (value,))
        if reader is not None:
            reader.replace_input_with(value, noisy)
        else:
            value.replace_all_uses_with(noisy, lambda user: user is not noisy)

    def fault(self, measure: Measure) -> dict[str, str]:
        """The ops to avoid, each with the reason; {} if no output is poor, or none
        is to blame."""
        poorest, before = _poorest(measure.compare(self._module, 1))
        if before >= POOR:
            return {}
        every = self._candidates()
        best, gain = self._best([every], measure, poorest, before)
        if gain < _FAULT:
            return {}
        singles = [[node] for node in every[:_SINGLES]]
        for groups in (singles, self._chains(singles), _by_kind(every)):
            best, gain = self._best(groups, measure, poorest, before)
            if gain >= _FAULT:
                break
        else:
            return {}
        why = f"8 bits here would cost {gain:.0f} dB of {poorest}"
        ends = [self._look.plan.end(node) for node in best]
        return {node.name: why for node in (*best, *ends)}

    def _best(
        self, groups: list[list[Node]], measure: Measure, poorest: str, before: float
    ) -> tuple[list[Node], float]:
        """The group of ops without whose noise the poorest output gains most, and how much."""
        best: list[Node] = []
        gain = 0.0
        for group in groups:
            for node in group:
                self._set(node, False)
            without = _places(measure.compare(self._module, 1))[poorest] - before
            for node in group:
                self._set(node, True)
            if without > gain:
                best, gain = group, without
        return best, gain

    def _set(self, node: Node, active: bool) -> None:
        for noise in self._noise[node]:
            noise.active = active

    def _candidates(self) -> list[Node]:
        """The ops with the noisiest edges, noisiest first. Convolutions run in no other mode."""
        found = {}
        for node in self._noise:
            if ir.kind(node) not in CONVS and ir.kind(node) not in TRANSPOSED:
                found[node] = min(self._sqnr(node), default=math.inf)
        return sorted(found, key=lambda node: found[node])

    def _chains(self, singles: list[list[Node]]) -> list[list[Node]]:
        """The candidates joined where one is the only reader of another."""
        chain_of = {group[0]: group[:] for group in singles}
        for node in list(chain_of):
            reader = self._reader(node)
            if reader in chain_of and chain_of[reader] is not chain_of[node]:
                joined = [*chain_of[node], *chain_of[reader]]
                chain_of |= dict.fromkeys(joined, joined)
        unique = {id(chain): chain for chain in chain_of.values()}
        return [chain for chain in unique.values() if len(chain) > 1]

    def _reader(self, node: Node) -> Node | None:
        """The only op that reads what the op of a node computes, moved or not."""
        plan = self._look.plan
        users = list(plan.end(node).users)
        while len(users) == 1 and plan.is_static(users[0]) and users[0] not in self._noise:
            users = list(users[0].users)
        return users[0] if len(users) == 1 else None

    def _sqnr(self, node: Node) -> list[float]:
        look = self._look
        return [look.sqnr(look.ranges[x.name].whole, spec) for x, spec in quantized_values(node)]


def _by_kind(nodes: list[Node]) -> list[list[Node]]:
    """All sums, all products and so on; not layers, which have the most arithmetic."""
    kinds = defaultdict(list)
    for node in nodes:
        if ir.kind(node) not in LAYERS:
            kinds[canonical(ir.kind(node))].append(node)
    return list(kinds.values())


def _places(outputs: list[Output]) -> dict[str, float]:
    return {place: sqnr for output in outputs for place, sqnr in output.places.items()}


def _poorest(outputs: list[Output]) -> tuple[str, float]:
    return min(_places(outputs).items(), key=lambda item: item[1], default=("", math.inf))
