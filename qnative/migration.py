"""Models of PyTorch's old quantization, saved as TorchScript, as models of qnative."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ._archive import check_archive
from ._text import text_table

MOVED = "moved"
FLOAT = "float"
KEPT = "kept"


@dataclass(frozen=True)
class MigrationRow:
    """The result for one node.

    method: the method whose graph has it. node: name of its first output. op: its kind. verdict:
    "moved", "float" (``dynamic=True`` found it, but cannot quantize it) or "kept" (it still needs
    torch's old quantization). kernel: what runs it now. reason: why it was not moved. source: file
    and line of the code that it came from, if the model has them.
    """

    method: str
    node: str
    op: str
    verdict: str
    kernel: str
    reason: str
    source: str


@dataclass
class Migration:
    """The result of ``migrate``; ``print`` shows it as a table.

    module: the model as it is now. rows: in the order of the nodes; float nodes that nobody asked
    about have none. max_difference, mean_difference: of all elements of what the model returned
    before and after for ``example_inputs``; None without them.
    """

    module: torch.jit.ScriptModule
    rows: list[MigrationRow] = field(default_factory=list)
    max_difference: float | None = None
    mean_difference: float | None = None

    @property
    def kept(self) -> list[MigrationRow]:
        """Nodes that still need torch's old quantization."""
        return [row for row in self.rows if row.verdict == KEPT]

    @property
    def complete(self) -> bool:
        """Nothing was kept."""
        return not self.kept

    def summary(self) -> str:
        """One or two lines: how many nodes of each verdict, and how far the outputs differ."""
        counts = [f"{sum(r.verdict == v for r in self.rows)} {v}" for v in (MOVED, FLOAT, KEPT)]
        lines = [f"{len(self.rows)} nodes: {', '.join(counts)}"]
        if self.max_difference is not None:
            lines.append(
                f"outputs differ by {self.max_difference:.6g} at most, "
                f"{self.mean_difference:.6g} on average"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        head = ("method", "node", "op", "verdict", "kernel or reason", "source")
        cells = [
            (r.method, r.node, r.op, r.verdict, r.kernel or r.reason, r.source) for r in self.rows
        ]
        return "\n".join([*text_table(head, cells), self.summary()])


class MigrationError(RuntimeError):
    """Some nodes cannot be moved; nothing was written. migration: what could be done."""

    def __init__(self, what: str, migration: Migration):
        self.migration = migration
        lines = [
            f"  {row.method} %{row.node} {row.op}"
            + (f" ({row.source})" if row.source else "")
            + f": {row.reason}"
            for row in migration.kept
        ]
        super().__init__(
            f"qnative.migrate: {what} has {len(lines)} node(s) that cannot be moved:\n"
            + "\n".join(lines)
        )


def migrate(
    model: str | os.PathLike[str] | torch.jit.ScriptModule,
    output: str | os.PathLike[str] | None = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    dynamic: bool | torch.dtype = False,
    allow_partial: bool = False,
) -> Migration:
    """Rewrites a TorchScript model that uses torch's quantized ops, tensors and packed weights to
    qnative ops over plain tensors.

    model: a TorchScript file, or a scripted or traced module; neither changes. It is frozen in
        evaluation mode.
    output: the file to write; it appears only when it is complete, and may be the input file.
    example_inputs: arguments of one call, on which the model is compared before and after.
    dynamic: also quantizes the weights of float linear, LSTM, GRU, cell and embedding nodes. True:
        int8, but float16 for cells: rounding errors of many steps add up in their state. torch.int8
        or torch.float16: that dtype; embedding tables always have 8 bits.
    allow_partial: nodes that cannot be moved stay, instead of a MigrationError that lists them.

    Loading a TorchScript file runs code that it contains: only do so with files that you trust.
    """
    ops = torch.ops.qnative_migrate
    if isinstance(model, torch.jit.ScriptModule):
        what, module = "the module", model._c
    else:
        what = os.fspath(model)
        if os.path.isfile(what):
            check_archive(what, " as a TorchScript file")
        module = ops.load(what)
    dtype = dynamic if isinstance(dynamic, torch.dtype) else None
    if dtype not in (None, torch.int8, torch.float16):
        raise ValueError(
            f"qnative.migrate: dynamic must be a bool, torch.int8 or torch.float16, got {dtype}"
        )
    inputs = None if example_inputs is None else tuple(example_inputs)
    try:
        result, rows, difference = ops.run(module, bool(dynamic), dtype, inputs)
    except RuntimeError as error:
        raise RuntimeError(f"{what}: {error}") from error
    migration = Migration(
        torch.jit._recursive.wrap_cpp_module(result), [MigrationRow(*row) for row in rows]
    )
    if difference:
        migration.max_difference, migration.mean_difference = difference[:2]
    if migration.kept and not allow_partial:
        raise MigrationError(what, migration)
    if output is not None:
        ops.save(result, str(Path(output)))
    return migration
