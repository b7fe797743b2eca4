"""Runs files of ``torch.export.save`` without compiling them: the fastest deployment in Python.

C++ programs run the same files with ``qnative/program.h``.
"""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

from ._text import text_table


class Node(NamedTuple):
    """A step of a program."""

    name: str
    target: str  # "torch.ops.qnative.linear.default"


class NodeCost(NamedTuple):
    """The time of a step of a program."""

    name: str
    target: str
    us: float  # the least of several runs
    share: float  # of the sum of all steps
    bytes: int  # of the tensors that it reads and writes
    kernel: str  # that takes most of the time, "gemm"; empty: one of torch, or not known
    isa: str  # that this machine runs it with, "avx512_vnni"
    limit: float  # the least time of its products and bytes on this machine, divided by us


class Profile(list[NodeCost]):
    """The costs of all steps in order; ``print(profile)`` shows them as a table."""

    def __str__(self) -> str:
        rows = [
            (
                *(row.name, row.target.removeprefix("torch.ops."), f"{row.us:.1f}"),
                *(f"{row.share:.1%}", f"{row.bytes:,}", f"{row.bytes / row.us / 1e3:.1f}"),
                *(row.kernel, row.isa, f"{row.limit:.0%}" if row.kernel else ""),
            )
            for row in self
        ]
        table = text_table(
            ("node", "op", "us", "share", "bytes", "GB/s", "kernel", "isa", "limit"), rows
        )
        return "\n".join([*table, f"{sum(row.us for row in self):.1f} us in {len(self)} nodes"])


class Memory(NamedTuple):
    """Bytes of a program."""

    weights: int  # in the file, which processes share
    arena: int  # for the values between inputs and outputs, of all calls at the same time


@dataclass(frozen=True)
class Input:
    """An argument of a call: a tensor, a number, or a constant that it may leave out."""

    name: str  # "x", or "d['a']" inside an argument
    kind: str  # "tensor", "int" or "constant"
    dtype: torch.dtype | None  # of a tensor
    sizes: tuple[int | str, ...]  # of a tensor: numbers, and symbols where the size is open
    constant: Any = None  # the only value that the program takes

    def __str__(self) -> str:
        if self.kind == "constant":
            return f"{self.name} = {self.constant!r}"
        if self.kind == "int":
            return f"{self.name}: int"
        sizes = ", ".join(str(size) for size in self.sizes)
        return f"{self.name}: {str(self.dtype).removeprefix('torch.')}[{sizes}]"


class Argument(NamedTuple):
    """An argument of the module that was exported."""

    name: str
    spec: pytree.TreeSpec
    default: tuple[Any, ...]  # the argument, where it has constants alone; else nothing


class Program:
    """A model that ``torch.export`` has captured, ready to run::

        program = qnative.Program.load("model.pt2")  # or qnative.Program(exported_program)
        y = program(x)

    A call takes the arguments of the module that was exported and gives what
    ``torch.export.load(path).module()`` gives, bit for bit, without gradients. Any number of
    threads may call one program at the same time; the GIL is released while it runs. Calls of a
    program that changes its buffers wait for each other.

    Errors of a call: TypeError for arguments that are missing or not known, ValueError for inputs
    of another dtype, shape or value than the program takes, RuntimeError from operators.
    """

    def __init__(self, exported_program: torch.export.ExportedProgram) -> None:
        """The program of ``torch.export.export``. Weights are copied: later changes of the
        module are not seen."""
        buffer = io.BytesIO()
        torch.export.save(exported_program, buffer)
        contents = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        self._set(torch.classes.qnative.Program.load_bytes(contents, ""))

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: str = "") -> "Program":
        """Reads a file of ``torch.export.save`` (torch 2.13 to 2.15). Its weights stay in the
        file, which is mapped into memory: replace it to update it, do not overwrite it while it is
        in use. ``model``: which one, where the file has several.

        ValueError for files that are damaged or no archive of torch.export, that need operators of
        libraries which are not loaded, or have unsupported content (pickled weights, custom
        objects, other devices); the message names the record or node. Operators are called as the
        file says: load files as you would run code.
        """
        path = os.fspath(path)
        os.stat(path)  # FileNotFoundError, PermissionError
        program = cls.__new__(cls)
        program._set(torch.classes.qnative.Program.load(path, model))
        return program

    def _set(self, loaded: Any) -> None:
        self._loaded = loaded
        self._run = loaded.run  # looking a method up takes longer than many calls
        self._run_leaves = loaded.run_leaves
        self.inputs = tuple(
            Input(name, kind, like.dtype if kind == "tensor" else None, tuple(sizes), constant)
            for name, kind, like, sizes, constant in loaded.inputs()
        )
        self._outputs = loaded.outputs()
        in_spec, out_spec = (pytree.treespec_loads(spec) for spec in loaded.specs())
        self._out_spec = out_spec
        self._arguments = self._read_arguments(in_spec)
        self._positional = len(in_spec.children()[0].children())
        kinds = {leaf.kind for leaf in self.inputs} | {kind for kind, _ in self._outputs}
        self._has_tensors_only = kinds <= {"tensor"}
        # Most programs have arguments without structure and one result.
        self._is_flat = all(argument.spec.is_leaf() for argument in self._arguments)
        self._gives_one = out_spec.is_leaf()

    def _read_arguments(self, in_spec: pytree.TreeSpec) -> tuple[Argument, ...]:
        specs = [spec for part in in_spec.children() for spec in part.children()]
        arguments = []
        first = 0
        for name, spec in zip(self._loaded.argument_names(), specs, strict=True):
            leaves = self.inputs[first : first + spec.num_leaves]
            first += spec.num_leaves
            is_constant = all(leaf.kind == "constant" for leaf in leaves)
            default = [leaf.constant for leaf in leaves]
            arguments.append(
                Argument(name, spec, (pytree.tree_unflatten(default, spec),) if is_constant else ())
            )
        return tuple(arguments)

    @property
    def nodes(self) -> list[Node]:
        """The steps, in the order in which they run."""
        return [Node(*node) for node in self._loaded.nodes()]

    @property
    def signature(self) -> str:
        """Inputs, with dtypes and sizes: ``(x: float32[s77, 3, 224, 224]) -> Tensor``."""
        inputs = ", ".join(str(leaf) for leaf in self.inputs)
        marks = [kind if kind != "constant" else value for kind, value in self._outputs]
        return f"({inputs}) -> {pytree.tree_unflatten(marks, self._out_spec)}"

    @property
    def metadata(self) -> dict[str, Any]:
        """What ``qnative.save`` put into the file: versions, the report of the model, and what
        else it was given."""
        return json.loads(self._loaded.metadata() or "{}")

    def memory(self) -> Memory:
        """Bytes of the weights and of the planned memory. The first call with given sizes plans the
        results of qnative's operators; later calls find them in one buffer."""
        return Memory(*self._loaded.memory())

    def profile(self, *args: Any, rounds: int = 20, **kwargs: Any) -> Profile:
        """The time of each node in a call with these arguments: the minimum of ``rounds`` calls.

        ``limit``: products at the speed of a large linear layer, bytes at that of a copy of as
        many; the first profile measures both, in 0.1 s, for the number of threads of torch.
        """
        leaves = self._flatten(args, kwargs)
        self._check_types(leaves)
        costs = self._loaded.profile(tuple(leaves), rounds)
        total = sum(us for us, *_ in costs) or 1.0
        return Profile(
            NodeCost(*node, us, us / total, *rest)
            for node, (us, *rest) in zip(self.nodes, costs, strict=True)
        )

    def warmup(self, *sizes: Sequence[Sequence[int]]) -> None:
        """Plans memory, and makes kernels and threads start, before the first call that counts.

        Each of ``sizes`` has the sizes of every tensor of a call, in the order of ``inputs``; the
        tensors are zeros. Without any, the sizes must not be open.
        """
        tensors = [leaf for leaf in self.inputs if leaf.kind == "tensor"]
        calls: Sequence[Any] = sizes or [[leaf.sizes for leaf in tensors]]
        for each in calls:
            zeros = iter(
                [
                    torch.zeros(tuple(shape), dtype=leaf.dtype)
                    for leaf, shape in zip(tensors, each, strict=True)
                ]
            )
            leaves = [
                next(zeros) if leaf.kind == "tensor" else 0 if leaf.kind == "int" else leaf.constant
                for leaf in self.inputs
            ]
            for _ in range(2):  # one plans, one uses the plan
                self._run_leaves(tuple(leaves))

    def __repr__(self) -> str:
        return f"qnative.Program{self.signature}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        is_flat = self._is_flat and not kwargs and len(args) == len(self._arguments)
        leaves = args if is_flat else self._flatten(args, kwargs)
        try:
            if self._has_tensors_only:
                outputs = self._run(leaves)
            else:
                outputs = self._run_leaves(tuple(leaves))
        except RuntimeError:
            self._check_types(leaves)
            raise
        return outputs[0] if self._gives_one else pytree.tree_unflatten(outputs, self._out_spec)

    def _flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        if len(args) > self._positional:
            raise TypeError(
                f"qnative.Program takes {self._positional} positional arguments, got {len(args)}"
            )
        leaves: list[Any] = []
        for i, (name, spec, default) in enumerate(self._arguments):
            if i < len(args):
                value = args[i]
            elif name in kwargs:
                value = kwargs[name]
            elif default:
                value = default[0]
            else:
                raise TypeError(f"qnative.Program: argument {name!r} is missing")
            try:
                leaves += spec.flatten_up_to(value)
            except ValueError as error:
                raise ValueError(f"qnative.Program: argument {name!r}: {error}") from None
        unknown = kwargs.keys() - {argument.name for argument in self._arguments[len(args) :]}
        if unknown:
            known = ", ".join(argument.name for argument in self._arguments)
            raise TypeError(
                f"qnative.Program: {sorted(unknown)[0]!r} is given twice or no argument; "
                f"the arguments are {known}"
            )
        return leaves

    def _check_types(self, leaves: Sequence[Any]) -> None:
        for leaf, given in zip(self.inputs, leaves, strict=False):
            if leaf.kind == "tensor" and not isinstance(given, torch.Tensor):
                raise TypeError(
                    f"qnative.Program: input {leaf.name!r}: wanted a tensor, "
                    f"got {type(given).__name__}"
                )
