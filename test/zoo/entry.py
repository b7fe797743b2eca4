"""A model of the zoo: how it is made, and what its inputs look like."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Input:
    """An argument of forward.

    shape: of one sample. other: of a sample of another size, if the model takes several. kind: what
    the values are, a key of `DRAW`. count: integers are below it.
    """

    shape: tuple[int, ...]
    kind: str = "noise"
    other: tuple[int, ...] | None = None
    count: int = 0

    def draw(self, batch: int, generator: torch.Generator, *, other: bool = False) -> Tensor:
        shape = self.other if other and self.other else self.shape
        return DRAW[self.kind]((batch, *shape), self.count, generator)

    @property
    def open_sizes(self) -> dict[int, Any]:
        """The batch, and every dimension that is different in `other`."""
        pairs = zip(self.shape, self.other or self.shape, strict=True)
        dims = [0] + [i for i, (a, b) in enumerate(pairs, 1) if a != b]
        return dict.fromkeys(dims, torch.export.Dim.AUTO)


def _noise(shape: tuple[int, ...], count: int, g: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=g)


def _image(shape: tuple[int, ...], count: int, g: torch.Generator) -> Tensor:
    """Smooth shapes with texture, normalized as photos are."""
    batch, channels, height, width = shape
    coarse = torch.randn(batch, channels, height // 16 + 2, width // 16 + 2, generator=g)
    smooth = F.interpolate(coarse, (height, width), mode="bilinear")
    return smooth + 0.2 * torch.randn(shape, generator=g)


def _audio(shape: tuple[int, ...], count: int, g: torch.Generator) -> Tensor:
    """Tones that swell and fade, and noise. The last dimension is time, at 16 kHz."""
    t = torch.arange(shape[-1]) / 16000
    pitch = 80 + 400 * torch.rand((*shape[:-1], 1), generator=g)
    swell = torch.sin(2 * torch.pi * 3 * t + pitch) > 0
    tones = sum(torch.sin(2 * torch.pi * pitch * k * t) / k for k in (1, 2, 3, 5))
    return 0.1 * swell * tones + 0.01 * torch.randn(shape, generator=g)


def _ids(shape: tuple[int, ...], count: int, g: torch.Generator) -> Tensor:
    return torch.randint(1, count, shape, generator=g)


def _mask(shape: tuple[int, ...], count: int, g: torch.Generator) -> Tensor:
    """Ones, and zeros at the end of every sample but the first, as padding gives."""
    lengths = torch.randint(shape[1] // 2, shape[1] + 1, (shape[0], 1), generator=g)
    lengths[0] = shape[1]
    return (torch.arange(shape[1]) < lengths).long()


def _positive(shape: tuple[int, ...], count: int, g: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=g)


DRAW = {
    "noise": _noise,
    "image": _image,
    "audio": _audio,
    "ids": _ids,
    "mask": _mask,
    "positive": _positive,
}


@dataclass(frozen=True)
class Entry:
    """A model: its name, the module that it needs beside torch, and a function that makes it.

    real: whether its package has trained weights; all others are random, with BatchNorm statistics
    of the inputs. keywords: names of the inputs, where forward takes them so. fixed: further
    arguments of forward.
    """

    name: str
    family: str
    package: str
    make: Callable[[], nn.Module]
    inputs: tuple[Input, ...]
    keywords: tuple[str, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()
    real: bool = False

    def draw(self, batch: int, seed: int, *, other: bool = False) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(each.draw(batch, generator, other=other) for each in self.inputs)

    @property
    def has_other_size(self) -> bool:
        return any(each.other for each in self.inputs)

    def open_sizes(self) -> dict[str, Any]:
        """dynamic_shapes of torch.export.export for the module that `build` returns."""
        return {"args": tuple(each.open_sizes for each in self.inputs)}

    def build(self) -> "Plain":
        """In evaluation mode, the same in every process."""
        torch.manual_seed(0)
        model = Plain(self.make(), self.keywords, dict(self.fixed))
        model.requires_grad_(False)
        if not self.real:
            settle(model, self.draw(8, 99))
        return model.eval()


class Plain(nn.Module):
    """A model that takes tensors by position and returns its tensors, in a tuple if several."""

    def __init__(self, model: nn.Module, keywords: tuple[str, ...], fixed: dict[str, Any]):
        super().__init__()
        self.model, self.keywords, self.fixed = model, keywords, fixed

    def forward(self, *args: Tensor) -> Any:
        if self.keywords:
            y = self.model(**dict(zip(self.keywords, args, strict=True)), **self.fixed)
        else:
            y = self.model(*args, **self.fixed)
        found = [leaf for leaf in pytree.tree_leaves(y) if isinstance(leaf, Tensor)]
        if not found and hasattr(y, "to_tuple"):
            found = [leaf for leaf in y.to_tuple() if isinstance(leaf, Tensor)]
        return found[0] if len(found) == 1 else tuple(found)


def settle(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Sets BatchNorm statistics to those of `inputs`; everything else stays in evaluation mode."""
    model.eval()
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    with torch.no_grad():
        for _ in range(2):
            model(*inputs)
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()
