"""The error of a quantized model, for each of its outputs and each part of one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph
from torch.utils import _pytree as pytree

from ..graph.parts import Parts, parts_of
from ..report import Output

# Calibration batches that are kept to measure with: so many, of so many bytes together. One is kept
# in any case.
_BATCHES = 4
_BYTES = 1 << 26


class Measure:
    """Compares a quantized model with the float model, batch by batch.

    graph: that of the float model, which says what its outputs are made of.
    """

    def __init__(self, graph: Graph):
        parts = parts_of(graph)
        self._parts = [parts.get(node) for node in _outputs(graph)]
        self._kept: list[tuple[Any, Any, Any]] = []
        self._bytes = 0

    def keep(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Keeps a copy of a call and of what the float model returned."""
        self._kept.append(pytree.tree_map_only(torch.Tensor, _copy, (args, kwargs, result)))

    def sample(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """The same, unless it has enough."""
        size = sum(leaf.nbytes for leaf in _tensors((args, kwargs, result)))
        if self._kept and (len(self._kept) >= _BATCHES or self._bytes + size > _BYTES):
            return
        self._bytes += size
        self.keep(args, kwargs, result)

    def compare(self, model: Callable[..., Any], calls: int | None = None) -> list[Output]:
        """The outputs of ``model`` for the calls that were kept, or the first of them, and how far
        they are off."""
        sums: dict[str, _Sums] = {}
        for args, kwargs, wanted in self._kept[:calls]:
            got = pytree.tree_leaves(model(*args, **kwargs))
            leaves, _ = pytree.tree_flatten_with_path(wanted)
            known = self._parts if len(self._parts) == len(leaves) else [None] * len(leaves)
            for (path, want), have, parts in zip(leaves, got, known, strict=True):
                if isinstance(want, torch.Tensor) and want.numel():
                    name = f"output{pytree.keystr(path)}"
                    sums.setdefault(name, _Sums(parts)).add(have, want)
        return [each.output(name) for name, each in sums.items()]


def _outputs(graph: Graph) -> list[Any]:
    (node,) = graph.find_nodes(op="output")
    return pytree.tree_leaves(node.args)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _copy(x: torch.Tensor) -> torch.Tensor:
    return x.detach().clone()


class _Sums:
    """Sums of squares of an output and of its error; of integers, how many there are and differ."""

    def __init__(self, parts: Parts | None):
        self.parts, self.is_integer = parts, False
        self.whole = [0.0, 0.0]
        self.each = [[0.0, 0.0] for _ in parts.sizes] if parts else []

    def add(self, got: torch.Tensor, want: torch.Tensor) -> None:
        self.is_integer = not (want.is_floating_point() or want.is_complex())
        self._add(self.whole, got, want)
        if self.parts:
            pairs = zip(self.each, self.parts.split(got), self.parts.split(want), strict=False)
            for sums, part, wanted in pairs:
                self._add(sums, part, wanted)

    def _add(self, sums: list[float], got: torch.Tensor, want: torch.Tensor) -> None:
        if self.is_integer:
            sums[0] += want.numel()
            sums[1] += float((got != want).sum())
            return
        kept = want.isfinite()  # masked scores are infinite on both sides
        wide = torch.complex128 if want.is_complex() else torch.float64
        got, want = got[kept].to(wide), want[kept].to(wide)
        sums[0] += float(want.abs().square().sum())
        sums[1] += float((got - want).abs().square().sum())

    def output(self, name: str) -> Output:
        if self.is_integer:
            return Output(name, agreement=1 - self.whole[1] / self.whole[0])
        places = self.parts.places if self.parts else []
        parts = {p: _decibels(*sums) for p, sums in zip(places, self.each, strict=True)}
        return Output(name, _decibels(*self.whole), parts=parts)


def _decibels(signal: float, noise: float) -> float:
    if noise == 0 or not math.isfinite(signal):
        return math.inf
    if signal == 0 or not math.isfinite(noise):
        return -math.inf
    return 10 * math.log10(signal / noise)
