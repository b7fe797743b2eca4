"""Valid calls of the ops, of which a few arguments are changed."""

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from support.opcheck import CASES
from support.strategies import strided

MAX_CHANGES = 3
DTYPES = (
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64),
)
FLOATS = (0.1, 1.0, 0.0, -0.0, -1.0, 1e-45, 1e-38, 1e-12, 1e12, 3e38, 1e300, -1e9, 2.0**-126)
FLOATS += (math.inf, -math.inf, math.nan)
# None that would be the size of an output which memory just holds.
INTS = (0, 1, 2, 3, 4, 5, 7, 16, 17, 64, 127, 128, 255, 256, -1, -2, -128, -129)
INTS += (2**45, 2**62, 2**63 - 1, -(2**63), -(2**31))
STRINGS = ("none", "relu", "relu6", "clamp", "gelu", "silu", "tanh", "same", "valid", "nearest")
STRINGS += ("bilinear", "bicubic", "", "Relu", "clamp\0", "\u00e9" * 50)
SIZES = (0, 1, 2, 3, 5, 16, 17, 33, 64, 65)
SPECIAL = (math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45, -0.0)


class Mutator:
    """Changes of one call; the same for the same seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def call(self) -> tuple[str, list[Any]]:
        """The name of an op, and arguments."""
        name = self.random.choice(sorted(CASES))
        args = list(self.random.choice(CASES[name]))
        args = tree_map_only(Tensor, self.contents, args)
        for _ in range(self.random.randint(0, MAX_CHANGES)):
            at = self.random.randrange(len(args))
            args[at] = self.change(args[at])
        if self.random.random() < 0.02:
            args = args[: self.random.randrange(len(args))]
        return name, args

    def contents(self, x: Tensor) -> Tensor:
        """Other numbers, unless they are sizes, offsets or what a pack op wrote."""
        if x.dtype not in (torch.uint8, torch.int8, torch.float32, torch.float16):
            return x
        if self.random.random() < 0.5 or _may_be_packed(x):
            return x.detach().clone()
        return self.filled(x)

    def filled(self, x: Tensor) -> Tensor:
        if not x.dtype.is_floating_point:
            low, high = self.random.choice([(-300, 300), (-128, 127), (0, 1), (0, 255)])
            values = torch.randint(low, high + 1, x.shape, generator=self.generator)
            return torch.empty_like(x).copy_(values)
        y = torch.empty_like(x).copy_(torch.randn(x.shape, generator=self.generator))
        y *= self.random.choice([1, 1, 1e-3, 1e3, 1e30])
        if y.numel() and self.random.random() < 0.3:
            place = [self.random.randrange(n) for n in y.shape]
            y[tuple(place)] = self.random.choice(SPECIAL)
        return y

    def change(self, value: Any) -> Any:
        if self.random.random() < 0.04:
            return self.anything()
        if isinstance(value, Tensor):
            return self.change_tensor(value)
        if isinstance(value, (list, tuple)):
            return self.change_list(list(value))
        if isinstance(value, bool):
            return not value
        if isinstance(value, float):
            return self.random.choice(FLOATS)
        if isinstance(value, int):
            return self.random.choice(INTS)
        if isinstance(value, str):
            return self.random.choice(STRINGS)
        if isinstance(value, torch.dtype):
            return self.random.choice(DTYPES)
        return self.anything()

    def anything(self) -> Any:
        kind = self.random.randrange(7)
        if kind == 0:
            return None
        if kind == 1:
            return self.random.choice(FLOATS)
        if kind == 2:
            return self.random.choice(INTS)
        if kind == 3:
            return self.random.choice(STRINGS)
        if kind == 4:
            return [self.random.choice(INTS) for _ in range(self.random.randrange(5))]
        if kind == 5:
            return [self.random.choice(FLOATS) for _ in range(self.random.randrange(5))]
        shape = [self.random.choice(SIZES[:5]) for _ in range(self.random.randrange(7))]
        return torch.zeros(shape, dtype=self.random.choice(DTYPES))

    def change_list(self, values: list[Any]) -> list[Any]:
        kind = self.random.randrange(5)
        if kind == 0 and values:
            del values[self.random.randrange(len(values))]
        elif kind == 1 and values:
            values.insert(0, values[-1])
        elif kind == 2:
            return []
        elif values:
            at = self.random.randrange(len(values))
            values[at] = self.change(values[at])
        return values

    def change_tensor(self, x: Tensor) -> Tensor:
        kind = self.random.randrange(9)
        if kind == 0 and not _may_be_packed(x):
            return self.filled(x)
        if kind in (1, 2):
            return strided(x, self.random.randrange(1, 6))
        if kind == 3:
            return x.to(self.random.choice(DTYPES))
        if kind == 4 and x.dim():
            return x.select(self.random.randrange(x.dim()), 0) if x.numel() else x.flatten()
        if kind == 5:
            return x.unsqueeze(self.random.randrange(x.dim() + 1))
        if kind in (6, 7) and x.dim():
            sizes = list(x.shape)
            sizes[self.random.randrange(x.dim())] = self.random.choice(SIZES)
            return self.filled(torch.empty(sizes, dtype=x.dtype))
        if kind == 8 and x.numel():
            at = self.random.randrange(x.dim() + 1)
            return x.unsqueeze(at).expand(*x.shape[:at], self.random.choice(SIZES), *x.shape[at:])
        return self.random.choice([x.to("meta"), x.detach().requires_grad_(x.is_floating_point())])


def _may_be_packed(x: Tensor) -> bool:
    """Other numbers in the padding of packed weights give any result: it is multiplied with what
    happens to lie behind x."""
    return x.dtype == torch.int8 and x.dim() == 1


def describe(value: Any) -> str:
    """One line that tells what an argument is."""
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind}{list(value.shape)}/{list(value.stride())}@{value.device.type}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(describe, value))}]"
    return repr(value)
