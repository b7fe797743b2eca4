"""Calls one op after the other and writes down what it is about to do: ``calls`` looks after it."""

import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from fuzz.mutate import Mutator
from support.isas import overload
from support.opcheck import CASES

NAMES = sorted(CASES)
# The seed of the call that runs now; calls, accepted and refused ones of each op.
HEADER, COUNTERS = struct.Struct("q"), struct.Struct("3q")
SIZE = HEADER.size + len(NAMES) * COUNTERS.size

FINISHED = -1  # instead of a seed
MAX_COMPARED = 2**24  # elements of a result

# Errors of torch, before an op of ours runs; also of lists with tensors instead of numbers.
FOREIGN = (
    "isIntList() INTERNAL ASSERT FAILED",
    "scalar.isIntegral( false) INTERNAL ASSERT FAILED",
    "Expected a value of type",
    "expected at most",
    "is missing value for argument",
    "Cannot input a tensor of dimension",
    "Could not run 'qnative::",
    "Can't detach views",
    "can't allocate memory",
    "value cannot be converted to type",
    "Overflow when unpacking long",
    "Unsupported value kind",
    "too large",
    "There were no tensor arguments to this function",
    "tensor does not have a device",
)


class Finding(Exception):
    """Something that no call may do."""


class Record:
    """Memory that outlives the process."""

    def __init__(self, path: Path):
        if not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), SIZE)
        self._findings = path.with_suffix(".findings")

    def found(self, seed: int, name: str, what: object) -> None:
        text = f"seed {seed}: qnative::{name}: {what}"
        print(text, flush=True)
        with self._findings.open("a") as file:
            file.write(text + "\n")

    def findings(self) -> list[str]:
        return self._findings.read_text().splitlines() if self._findings.exists() else []

    @property
    def seed(self) -> int:
        return HEADER.unpack_from(self.memory)[0]

    @seed.setter
    def seed(self, value: int) -> None:
        HEADER.pack_into(self.memory, 0, value)

    def counters(self) -> dict[str, tuple[int, int, int]]:
        rows = COUNTERS.iter_unpack(self.memory[HEADER.size :])
        return dict(zip(NAMES, rows, strict=True))

    def count(self, name: str, accepted: bool) -> None:
        at = HEADER.size + NAMES.index(name) * COUNTERS.size
        calls, good, bad = COUNTERS.unpack_from(self.memory, at)
        COUNTERS.pack_into(self.memory, at, calls + 1, good + accepted, bad + (not accepted))


def check(name: str, args: list[Any]) -> bool:
    """Calls an op; whether it accepts the arguments. Raises Finding for an error that does not name
    the op, for inputs that change, results that differ from call to call, and a Meta result of
    another form."""
    op = overload(name)
    before = [_bits(x) for x in tree_leaves(args) if isinstance(x, Tensor)]
    try:
        result = op(*args)
    except MemoryError:
        return False
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        _check_error(str(error))
        return False
    if [_bits(x) for x in tree_leaves(args) if isinstance(x, Tensor)] != before:
        raise Finding("an argument was changed")
    if sum(x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)) > MAX_COMPARED:
        return True
    if [_bits(x) for x in tree_leaves(op(*args))] != [_bits(x) for x in tree_leaves(result)]:
        raise Finding("a second call gives other bits")
    if torch.Tag.dynamic_output_shape not in op.tags and not _has_meta(args):
        _check_meta(op, args, result)
    return True


def _has_meta(args: list[Any]) -> bool:
    return any(isinstance(x, Tensor) and x.is_meta for x in tree_leaves(args))


def _check_meta(op: Callable[..., Any], args: list[Any], result: Any) -> None:
    try:
        meta = op(*tree_map_only(Tensor, _on_meta, args))
    except Exception as error:
        if "Cast error details" in str(error):  # a tensor instead of a number
            return
        raise Finding(f"Meta refuses what CPU accepts: {error}") from error
    for x, y in zip(tree_leaves(meta), tree_leaves(result), strict=True):
        if not isinstance(x, Tensor):
            continue
        if (x.dtype, x.shape, x.stride()) != (y.dtype, y.shape, y.stride()):
            raise Finding(
                f"Meta gives {x.dtype}{list(x.shape)}{x.stride()}, CPU {y.dtype}{list(y.shape)}"
                f"{y.stride()}"
            )


def _on_meta(x: Tensor) -> Tensor:
    # x.to("meta") gives an expanded tensor other strides.
    if x.layout != torch.strided:
        return x.to("meta")
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _check_error(text: str) -> None:
    line = text.splitlines()[0] if text else ""
    if any(known in text for known in FOREIGN):
        return
    if "INTERNAL ASSERT" in text or "std::" in line:
        raise Finding(f"an internal error: {line}")
    if not line.startswith("qnative::"):
        raise Finding(f"an error that does not name the op: {line}")


def _bits(x: Any) -> Any:
    if not isinstance(x, Tensor) or x.is_meta or x.layout != torch.strided:
        return x if not isinstance(x, Tensor) else None
    dense = torch.empty(x.shape, dtype=x.dtype).copy_(x.detach())
    return dense.view(-1).view(torch.uint8).numpy().tobytes()


def run(record: Record, first: int, step: int, seconds: float) -> None:
    """Calls with the seeds first, first + step, ... Findings are
    printed and kept, with their seeds."""
    torch.set_num_threads(1)
    end = time.monotonic() + seconds
    seed = first
    while time.monotonic() < end:
        record.seed = seed
        name, args = Mutator(seed).call()
        try:
            record.count(name, check(name, args))
        except Finding as finding:
            record.count(name, accepted=False)
            record.found(seed, name, finding)
        seed += step
    record.seed = FINISHED
