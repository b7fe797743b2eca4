"""docs/coverage.md: what runs every entry of qnative's config and of the native ones.

``make docs`` runs all of them and writes it.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import get_qnative_backend_config, native
from support.coverage.entries import Entry, entries
from support.coverage.models import One, Two
from support.coverage.run import OK, Result, run

DOC = Path(__file__).resolve().parents[4] / "docs" / "coverage.md"

HEAD = """\
# Coverage

The kernel for each pair of a pattern and a DTypeConfig: {native} pairs of
`get_native_backend_config()`, {legacy} more of `get_test_only_legacy_native_backend_config()`, and
{own} more of `get_qnative_backend_config()`, which has native's rows too.
`make docs` writes this page. For each pair it builds a model from the pattern, quantizes it with
this row alone, and checks that

- the graph has the op that the row names once, and no op of torch computes in float32 or float16;
- the result is as close to the float model as its scales allow. For 8-bit activations it is at most
  one quantum from float arithmetic on the same 8-bit numbers, or, for modules of quantization-aware
  training, from the trained model with fake quantization;
- the saved TorchScript file gives the same bits.

`test/python/test_coverage.py` checks the same, and that this page is up to date.

- dtypes: *static* is 8 bits; *int16-input* and *int16-output* say which side is int16 instead.
- op: `qnative::<op>`. *free*: the pattern moves, renames or measures data, and runs unchanged on
  8-bit or float16 data. `torch.stack` must match scales in 8 bits; float16 has none.
- front end: *PT2E* is `qnative.quantize`; *FX* is `qnative.fx`, required by modules of
  quantization-aware training.

| pattern | dtypes | op | front end | result |
| --- | --- | --- | --- | --- |
"""

ARGUMENTS_HEAD = """
## Arguments that stay float

The ops of the rows cannot run these calls. They stay float, and the report of `qnative.quantize`
gives this reason; `strict=True` makes it an error.

| call | stays float |
| --- | --- |
"""


def all_entries() -> list[Entry]:
    """Entries of the legacy config, a superset of the native one, then those that only qnative's
    config has."""
    legacy = native_entries()
    names = {entry.name for entry in legacy}
    own = entries(get_qnative_backend_config())
    return legacy + [entry for entry in own if entry.name not in names]


def native_entries() -> list[Entry]:
    return entries(native.get_test_only_legacy_native_backend_config())


def line(entry: Entry, result: Result) -> str:
    *pattern, dtypes = entry.name.split(" ")
    said = result.status + (f": {result.detail}" if result.detail else "")
    op = entry.op if entry.op == "free" else f"`{entry.op}`"
    return f"| `{' '.join(pattern)}` | {dtypes} | {op} | {result.front} | {said} |"


def _image() -> torch.Tensor:
    return torch.randn(2, 4, 6, 6)


def _rows() -> torch.Tensor:
    return torch.rand(2, 8) + 0.5


def _tokens() -> torch.Tensor:
    return torch.randint(0, 12, (3, 5))


# call as written in the document: (model, functions that make its inputs)
def assigned(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y[:, 0] = 1
    return y


ARGUMENTS = {
    "`F.conv2d(x, weight)`, weight computed": (
        Two(F.conv2d),
        _image,
        lambda: torch.rand(4, 4, 1, 1),
    ),
    "`F.linear(x, weight)`, weight computed": (Two(F.linear), _rows, lambda: torch.rand(3, 8)),
    "`F.layer_norm(x, [8], weight)`, weight computed": (
        Two(lambda x, weight: F.layer_norm(x, [8], weight)),
        _rows,
        lambda: torch.rand(8),
    ),
    "`F.prelu(x, weight)`, weight computed": (Two(F.prelu), _image, lambda: torch.rand(4)),
    "`nn.BatchNorm2d(track_running_stats=False)`": (
        nn.BatchNorm2d(4, track_running_stats=False),
        _image,
    ),
    "`F.dropout(x)`, training": (One(F.dropout), _rows),
    "`nn.MaxPool2d(return_indices=True)`": (nn.MaxPool2d(2, return_indices=True), _image),
    "`F.interpolate(x, antialias=True)`": (
        One(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)),
        _image,
    ),
    "`torch.clamp(x, min=y)`, y a tensor": (Two(lambda x, y: torch.clamp(x, min=y)), _rows, _rows),
    "`x // y`, y a tensor": (Two(lambda x, y: x // y), _rows, _rows),
    "`x / y`, y a tensor": (Two(lambda x, y: x / y), _rows, _rows),
    "`x + y`, y of integers": (Two(lambda x, y: x + y), _rows, lambda: torch.arange(8)),
    "`torch.cat([x, y])`, y of float64": (
        Two(lambda x, y: torch.cat([x, y])),
        _rows,
        lambda: torch.rand(2, 8, dtype=torch.float64),
    ),
    "`x[:, 0] = 1`": (One(assigned), _rows),
    "`torch.matmul(x, y)`, 40000 products": (
        Two(torch.matmul),
        lambda: torch.rand(2, 40000),
        lambda: torch.rand(40000, 2),
    ),
    "`torch.mean(x, dtype=torch.float64)`": (
        One(lambda x: x.mean(1, dtype=torch.float64)),
        _rows,
    ),
    "`F.softmax(x, -1, dtype=torch.float64)`": (
        One(lambda x: F.softmax(x, -1, dtype=torch.float64)),
        _rows,
    ),
    "`nn.Embedding(max_norm=1)`": (nn.Embedding(12, 8, max_norm=1.0), _tokens),
    "`nn.Embedding(dtype=torch.float64)`": (nn.Embedding(12, 8, dtype=torch.float64), _tokens),
}


def argument_line(call: str) -> str:
    model, *make = ARGUMENTS[call]
    torch.manual_seed(0)
    inputs = tuple(function() for function in make)
    report = qnative.quantize(model, inputs, [inputs]).report
    reasons = dict.fromkeys(f"{row.op}: {row.reason}" for row in report.float_rows)
    return f"| {call} | {'; '.join(reasons) or 'nothing'} |"


def head(rows: list[Entry]) -> str:
    count, legacy = len(entries(native.get_native_backend_config())), len(native_entries())
    return HEAD.format(native=count, legacy=legacy - count, own=len(rows) - legacy)


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
