"""Every op on views whose elements lie more than 2^31 elements apart: a program of its own, since
what it looks for may crash.

Index arithmetic in 32 bits shows only there, where small random shapes never are. The views lie in
virtual memory of which only those pages are touched that have elements.
"""

import itertools
import mmap
from collections.abc import Iterator

import torch
from torch.utils._pytree import tree_leaves

from support.isas import best_isa, overload
from support.opcheck import CASES, conv_args, s8, u8

FAR = 2**31 + 64  # elements
SIZE = 2**44  # bytes of virtual memory
MAP_NORESERVE = 0x4000  # of Linux; mmap names it from Python 3.13 on


def place(x: torch.Tensor, strides: list[int]) -> torch.Tensor:
    """A copy of x with these strides, in memory of its own."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    memory = mmap.mmap(-1, SIZE, flags=flags)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=x.dtype).as_strided(x.shape, strides).copy_(x)


def convolutions() -> Iterator[tuple]:
    """Calls with whole groups of four channels, which are read in place."""
    x = u8(2, 8, 4, 5)
    for kernel, groups in itertools.product([(1, 1), (1, 2), (3, 1), (2, 3)], [1, 2, 8]):
        yield conv_args(x, s8(16, 8 // groups, *kernel), groups, [0])
        yield conv_args(x, s8(16, 8 // groups, *kernel), groups, [0], stride=(2, 1))


def far_strides(x: torch.Tensor) -> Iterator[tuple[str, list[int]]]:
    """(name, strides): neighbours along one dimension are far apart, and the others dense with any
    one of them inside; or all elements are far apart."""
    for far in (d for d in range(x.dim()) if x.size(d) > 1):
        rest = [d for d in reversed(range(x.dim())) if d != far]
        for inner in rest or [far]:
            order = sorted(rest, key=lambda d: d != inner)
            yield f"{far} far, {inner} inside", dense(x, order, 1, {far: FAR})
    if x.numel() * FAR * x.element_size() <= SIZE:
        yield "all far", dense(x, list(range(x.dim()))[::-1], FAR, {})


def dense(x: torch.Tensor, order: list[int], step: int, given: dict[int, int]) -> list[int]:
    for d in order:
        given[d] = step
        step *= x.size(d)
    return [given[d] for d in range(x.dim())]


def positions(args) -> Iterator[tuple[int, int | None]]:
    """Where tensors of more than one element are: in args, or in a list there."""
    for i, value in enumerate(args):
        for j, x in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if torch.is_tensor(x) and x.numel() > 1:
                yield i, j


def replaced(args, i: int, j: int | None, x: torch.Tensor):
    value = x if j is None else [*args[i][:j], x, *args[i][j + 1 :]]
    return [*args[:i], value, *args[i + 1 :]]


def outcome(name: str, args) -> list[torch.Tensor] | str:
    try:
        results = tree_leaves(overload(name)(*args))
        return [torch.as_tensor(y).contiguous() for y in results]
    except RuntimeError as error:
        return str(error)


def is_right(want, got) -> bool:
    if isinstance(got, str):  # a packed weight is contiguous, and an error is fine for another
        return got == want or "contiguous" in got
    return all(
        torch.equal(*(t.view(-1).view(torch.uint8) for t in pair))
        for pair in zip(want, got, strict=True)
    )


def main() -> None:
    """Prints every call before it is made, then `wrong` if its result is."""
    print("isa", best_isa())
    for name, cases in {**CASES, "conv2d": [*CASES["conv2d"], *convolutions()]}.items():
        for number, args in enumerate(cases):
            want = outcome(name, args)
            for i, j in positions(args):
                x = args[i] if j is None else args[i][j]
                for layout, strides in far_strides(x):
                    print(name, number, i, j, layout, end=" ", flush=True)
                    got = outcome(name, replaced(args, i, j, place(x, strides)))
                    print("ok" if is_right(want, got) else f"wrong {got}")


if __name__ == "__main__":
    main()
