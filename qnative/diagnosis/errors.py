"""The error of each node: made there, or inherited from the nodes before it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node
from torch.utils import _pytree as pytree

from ..calibration.observers import HistogramObserver
from .codes import operands
from .graphs import Pair, Site, rerun, run


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise)."""
    if noise == 0:
        return math.inf
    if signal == 0 or not math.isfinite(noise):
        return -math.inf
    return 10 * math.log10(signal / noise)


@dataclass
class Tally:
    """What was measured at a node, over all batches. Sums of squares of real numbers:

    signal: of the float value. total: of the error in the quantized model. here: of the error that
    the node makes of inputs without error, beyond the rounding of its inputs. inherited: of the
    error that the float node makes of the inputs of the quantized model. clipped, rounded: of the
    error of the scale alone, outside and inside of the range of its codes. channels: of the signal
    and of ``here``, for each channel. largest: absolute values, for each channel.
    """

    signal: float = 0.0
    total: float = 0.0
    here: float = 0.0
    inherited: float = 0.0
    clipped: float = 0.0
    rounded: float = 0.0
    channels: torch.Tensor | None = None
    largest: torch.Tensor | None = None
    dtype: torch.dtype = torch.float32
    operands: dict[str, list[float]] = field(default_factory=dict)
    # Noise at the outputs, as a share of their signal, if this node alone made its error.
    alone: float = 0.0
    seen: HistogramObserver = field(
        default_factory=lambda: HistogramObserver(
            dtype=torch.uint8, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
        )
    )


@dataclass
class Errors:
    """The tallies of all sites. total: noise at the outputs as a share of their signal."""

    pair: Pair
    tallies: dict[Site, Tally]
    total: float = 0.0


def measure(pair: Pair, batches: Iterable[list[Any]]) -> Errors:
    """batches: the values of the placeholders of each. The noise of single nodes at the outputs is
    that of the first one."""
    errors = Errors(pair, {site: Tally() for site in pair.sites})
    with torch.no_grad():
        for i, inputs in enumerate(batches):
            _Batch(errors, inputs).run(with_outputs=i == 0)
    return errors


class _Batch:
    def __init__(self, errors: Errors, inputs: list[Any]):
        self.errors, self.pair, self.inputs = errors, errors.pair, inputs
        self.tallies = errors.tallies
        self.main = self.pair.main_sites()
        self.floats = run(self.pair.float_graph, inputs)
        self.made: dict[Site, torch.Tensor] = {}  # the error of each site

    def run(self, with_outputs: bool) -> None:
        values = run(self.pair.quantized, self.inputs)
        clean = self._clean()
        reference = self._floats_of(lambda site, _: self._own(site, clean[site.node]))
        inherited = self._floats_of(lambda site, _: site.real(values[site.node]))
        for site in self.pair.sites:
            want = self.floats[site.value]
            if not _is_real(want) or not want.numel():
                continue
            before = want if site.is_rounding else reference[site.value]
            self.made[site] = site.real(clean[site.node]) - before
            tally = self.tallies[site]
            tally.signal += _power(want)
            tally.total += _power(site.real(values[site.node]) - want)
            tally.here += _power(self.made[site])
            arrived = want if site.is_rounding else inherited[site.value]
            tally.inherited += _power(arrived - want)
            self._scale(site, tally, want, clean[site.node])
            self._operands(site, tally, values, clean)
        if with_outputs:
            self._alone(values)

    def _own(self, site: Site, like: torch.Tensor) -> torch.Tensor:
        """The float value with the rounding of a site."""
        return site.real(site.rounded(self.floats[site.value], like))

    def _clean(self) -> dict[Node, Any]:
        """What each quantized node makes of inputs that have no error but rounding."""
        sites = {site.node: site for site in self.pair.sites}
        made: dict[Node, Any] = {}

        def change(node: Node, value: Any) -> Any:
            made[node] = value
            site = sites.get(node)
            if site is None or not isinstance(value, torch.Tensor):
                return value
            real = self.floats[site.value]
            return site.rounded(real, value) if _is_real(real) else value

        run(self.pair.quantized, self.inputs, change)
        return made

    def _floats_of(self, value_of: Any) -> dict[Node, Any]:
        """What each float node makes of the values that ``value_of`` gives for the sites."""
        made: dict[Node, Any] = {}

        def change(node: Node, value: Any) -> Any:
            made[node] = value
            site = self.main.get(node)
            if site is None or not _is_real(value):
                return value
            return value_of(site, value)

        run(self.pair.float_graph, self.inputs, change)
        return made

    def _scale(self, site: Site, tally: Tally, want: torch.Tensor, made: torch.Tensor) -> None:
        tally.dtype = made.dtype
        wide = want.float()
        tally.seen(torch.nan_to_num(wide))
        axis = 1 if want.dim() in (2, 4, 5) else want.dim() - 1
        if want.dim() > 0:
            rows = [x.movedim(axis, 0).flatten(1).double() for x in (wide, self.made[site])]
            channels = torch.stack([row.square().sum(1) for row in rows])
            largest = rows[0].abs().amax(1)
            if tally.channels is None or tally.largest is None:
                tally.channels, tally.largest = channels, largest
            elif tally.channels.shape == channels.shape:
                tally.channels += channels
                tally.largest = torch.maximum(tally.largest, largest)
        if site.codes is None:
            return
        low, high = site.codes.range(made.dtype)
        error = self._own(site, made) - wide
        outside = (wide < low) | (wide > high)
        tally.clipped += _power(error[outside])
        tally.rounded += _power(error[~outside])

    def _operands(
        self, site: Site, tally: Tally, values: dict[Node, Any], clean: dict[Node, Any]
    ) -> None:
        """Signal and error of each 8-bit operand: rounded alone, and as it arrives."""
        for name, source, codes in operands(site.node):
            value, row = self.pair.links.get(source, (None, ""))
            if value is None or not _is_real(want := self.floats[value]):
                continue
            own = codes.real(codes.of(want, clean[source].dtype)) - want
            arrived = codes.real(values[source]) - want
            sums = tally.operands.setdefault(f"{name} ({row})", [0.0, 0.0, 0.0])
            for i, x in enumerate((want, own, arrived)):
                sums[i] += _power(x)

    def _alone(self, values: dict[Node, Any]) -> None:
        graph = self.pair.float_graph
        (output,) = graph.graph.find_nodes(op="output")
        (quantized_output,) = self.pair.quantized.graph.find_nodes(op="output")
        self.errors.total = _noise(values[quantized_output], self.floats[output])
        for site, error in self.made.items():
            if not bool(error.any()):
                continue
            value = self.floats[site.value] + error
            changed = rerun(graph, self.floats, site.value, value)
            self.tallies[site].alone = _noise(changed[output], self.floats[output])


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _power(x: torch.Tensor) -> float:
    wide = x.double()
    return float(wide[wide.isfinite()].square().sum())


def _noise(got: Any, want: Any) -> float:
    """Of the worst output, as a share of its signal."""
    worst = 0.0
    pairs = zip(pytree.tree_leaves(got), pytree.tree_leaves(want), strict=True)
    for have, wanted in pairs:
        if _is_real(wanted) and wanted.numel() and (signal := _power(wanted)):
            worst = max(worst, _power(have.float() - wanted.float()) / signal)
    return worst
