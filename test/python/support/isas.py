"""torch.ops.qnative on every instruction set at once.

A process chooses its kernels once, so each QNATIVE_ISA that is not the process's own has a child.
Every call of OPS is made in all of them, and each gives the same bits and strides, or the call
fails: the formula of a test is computed once, and holds on every ISA. `sweep` counts the calls.
"""

import collections
import functools
import inspect
import io
import itertools
import multiprocessing
import multiprocessing.connection
import os
import pickle

import torch

from qnative._info import ISAS, kernel_isas
from support.strategies import EXAMPLES, repeatable

CALLS = collections.Counter()


def rebuilt(data: bytes, dtype: torch.dtype, *view) -> torch.Tensor:
    flat = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0).byte()
    return torch.empty(0, dtype=dtype).set_(flat.untyped_storage(), *view)


class Pickler(pickle.Pickler):
    """Pickles tensors with their strides, faster than torch.save."""

    def reducer_override(self, value):
        if type(value) is not torch.Tensor:
            return NotImplemented
        view = (value.storage_offset(), tuple(value.shape), value.stride())
        data = torch.empty(0, dtype=torch.uint8).set_(value.untyped_storage()).numpy().tobytes()
        return rebuilt, (data, value.dtype, *view)


def dumps(value) -> bytes:
    file = io.BytesIO()
    Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


def overload(name: str):
    packet, _, rest = name.partition(".")
    return getattr(getattr(torch.ops.qnative, packet), rest or "default")


def best_isa() -> str | None:
    """The ISA of this process: the best that the machine has and QNATIVE_ISA allows."""
    return max(kernel_isas().values(), key=ISAS.index, default=None)


def serve(isa: str, connection) -> None:
    os.environ["QNATIVE_ISA"] = isa
    torch.set_num_threads(1)
    connection.send(best_isa())
    while True:
        try:
            request = connection.recv_bytes()
        except EOFError:  # the tests are over
            return
        name, args, kwargs = pickle.loads(request)
        try:
            answer = overload(name)(*args, **kwargs)
        except Exception as error:  # errors are answers too
            answer = str(error)
        connection.send_bytes(dumps(answer))


def child(isa: str) -> multiprocessing.connection.Connection:
    """A connection to a process that answers calls with its results on `isa`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=serve, args=(isa, theirs), daemon=True).start()
    theirs.close()
    return ours


@functools.cache
def children() -> dict:
    """ISA -> connection, for every other ISA that the machine has."""
    own = best_isa()
    started = {isa: child(isa) for isa in ISAS if isa != own}
    return {isa: connection for isa, connection in started.items() if connection.recv() == isa}


def as_tuple(value) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def same(y, z) -> bool:
    if not isinstance(y, torch.Tensor):
        return y == z
    if not isinstance(z, torch.Tensor) or (y.dtype, y.shape) != (z.dtype, z.shape):
        return False
    bits = [t.contiguous().view(-1).view(torch.uint8) for t in (y, z)]
    return y.stride() == z.stride() and torch.equal(*bits)


def call(name: str, *args, **kwargs):
    CALLS[name] += 1
    request = dumps((name, args, kwargs))
    for connection in children().values():
        connection.send_bytes(request)
    try:
        y = overload(name)(*args, **kwargs)
    finally:
        answers = {isa: pickle.loads(c.recv_bytes()) for isa, c in children().items()}
    for isa, answer in answers.items():
        ours, theirs = as_tuple(y), as_tuple(answer)
        assert len(ours) == len(theirs) and all(map(same, ours, theirs)), (isa, name, answer, y)
    return y


class Namespace:
    """OPS.conv2d(...) and OPS.conv2d.padding(...), as in torch.ops."""

    def __init__(self, name: str = ""):
        self.name = name

    def __getattr__(self, name: str) -> "Namespace":
        return Namespace(f"{self.name}.{name}".lstrip("."))

    def __call__(self, *args, **kwargs):
        return call(self.name, *args, **kwargs)


OPS = Namespace()


def sweep(*names: str):
    """Decorates a property test; fails if it calls an op less than EXAMPLES times. Names may hold
    {parameters} of the test."""

    def decorate(test):
        test = repeatable(test)

        @functools.wraps(test)
        def run(**parameters):
            before = CALLS.copy()
            test(**parameters)
            for op in {name.format(**parameters) for name in names}:
                count = CALLS[op] - before[op]
                assert count >= EXAMPLES, f"only {count} cases of {op}"

        run.swept = names
        return run

    return decorate


def swept_ops(module: dict) -> set[str]:
    """The ops named by the sweeps among a module's globals, for all parameters."""
    ops = set()
    for test in filter(inspect.isfunction, module.values()):
        names = getattr(test, "swept", ())
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        axes = [[(mark.args[0], value) for value in mark.args[1]] for mark in marks]
        for values in itertools.product(*axes):
            ops |= {name.format(**dict(values)) for name in names}
    return ops
