"""docs/coverage.md: what runs every entry of the native configs.

``python test/python/coverage_doc.py`` runs all of them and writes it.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from coverage_entries import Entry, entries
from coverage_models import Call
from coverage_run import OK, Result, run
from torch import nn

import qnative
from qnative.backend_config import native

DOC = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"

HEAD = """\
# Coverage

Every pair of a pattern and a DTypeConfig in `get_native_backend_config()` ({native} pairs) and, marked "fp16", those that only
`get_test_only_legacy_native_backend_config()` has ({legacy}). `make docs` builds a model out of each pattern, quantizes it with this row alone, and
checks that the op that the row names is in the graph, that nothing computes in float in its place, that the result is as close to the float model as
its scales allow, and that the TorchScript file gives the same bits; `test/python/test_coverage.py` does the same, and that this page says so.

- op: `qnative::<op>`. *free*: the pattern moves, renames or measures data and runs as it is, on 8-bit data. *aten*: torch's own kernel, on float16 data.
- front end: *PT2E* is `qnative.quantize`, *FX* is `qnative.fx`, which modules for quantization-aware training need.

| pattern | dtypes | op | front end | result |
| --- | --- | --- | --- | --- |
"""

ARGUMENTS_HEAD = """
## Arguments that stay float

The ops that the rows name do not run these calls. They stay float, and the report gives the reason. (Static recipe.)

| call | stays float |
| --- | --- |
"""


def all_entries() -> list[Entry]:
    """Of the legacy config, which has those of the native one and more."""
    return entries(native.get_test_only_legacy_native_backend_config())


def line(entry: Entry, result: Result) -> str:
    *pattern, dtypes = entry.name.split(" ")
    said = result.status + (f": {result.detail}" if result.detail else "")
    op = entry.op if entry.op in ("free", "aten") else f"`{entry.op}`"
    return f"| `{' '.join(pattern)}` | {dtypes} | {op} | {result.front} | {said} |"


class _Computed(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(4, 1)

    def forward(self, x):
        weight = self.scale(x.mean((2, 3))).mean() * torch.ones(4, 4, 1, 1)
        return F.conv2d(x, weight)


_IMAGE = (torch.randn(2, 4, 6, 6),)
_PAIR = (torch.randn(2, 8), torch.rand(2, 8) + 0.5)
ARGUMENTS = {
    "`nn.Conv2d(padding_mode='reflect')`": (
        lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        _IMAGE,
    ),
    "`F.conv2d(x, weight)`, weight computed": (_Computed, _IMAGE),
    "`nn.MaxPool2d(return_indices=True)`": (
        lambda: nn.MaxPool2d(2, return_indices=True),
        _IMAGE,
    ),
    "`nn.BatchNorm2d(track_running_stats=False)`": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        _IMAGE,
    ),
    "`torch.clamp(x, min=y)`, a tensor": (
        lambda: Two(lambda x, y: torch.clamp(x, min=y)),
        _PAIR,
    ),
    "`x // y`, two tensors": (lambda: Two(lambda x, y: x // y), _PAIR),
    "`torch.mean(x, dtype=torch.float64)`": (
        lambda: One(lambda x: x.mean(1, dtype=torch.float64)),
        _PAIR[:1],
    ),
    "`x + y`, y of integers": (
        lambda: Two(lambda x, y: x + y),
        (_PAIR[0], torch.arange(8)),
    ),
    "`x.view(dtype)`": (lambda: One(lambda x: x.view(torch.int32)), _PAIR[:1]),
}


class One(Call):
    def forward(self, x):
        return self.function(x)


class Two(Call):
    def forward(self, x, y):
        return self.function(x, y)


def argument_line(call: str) -> str:
    make, inputs = ARGUMENTS[call]
    torch.manual_seed(0)
    report = qnative.quantize(make(), inputs, [inputs]).report
    reasons = dict.fromkeys(f"{row.op}: {row.reason}" for row in report.float_rows)
    return f"| {call} | {'; '.join(reasons) or 'nothing'} |"


def head(rows: list[Entry]) -> str:
    count = len(entries(native.get_native_backend_config()))
    return HEAD.format(native=count, legacy=len(rows) - count)


def main() -> int:
    rows = all_entries()
    lines, failed = [], 0
    for entry in rows:
        try:
            result = run(entry)
        except Exception as error:
            failed += 1
            print(f"{entry.name}: {error}", file=sys.stderr)
            result = Result(f"fails: {str(error).splitlines()[0]}")
        lines.append(line(entry, result))
        if result.status not in (OK,):
            print(lines[-1])
    arguments = [argument_line(call) for call in ARGUMENTS]
    DOC.write_text(
        head(rows) + "\n".join(lines) + "\n" + ARGUMENTS_HEAD + "\n".join(arguments) + "\n"
    )
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
