"""Limits of one core of this machine, measured by the kernel benchmarks."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmark.cases.case import Case

PROGRAM = Path("build/release/benchmark/benchmark_kernels")


@dataclass(frozen=True)
class Limits:
    """dot: int8 operations per second; copy: bytes of a buffer -> bytes per second."""

    dot: float
    copy: dict[int, float]

    def share(self, case: Case, milliseconds: float) -> float | None:
        """Percent of the limit that a case reaches; None if it has no limit."""
        if case.limit == "products":
            return 100 * case.operations / (milliseconds / 1e3) / self.dot
        if case.limit == "copy":
            size = max((s for s in self.copy if s <= case.moved), default=min(self.copy))
            return 100 * case.moved / (milliseconds / 1e3) / self.copy[size]
        return None


def read(report: dict, isa: str | None = None) -> Limits:
    """Reads the JSON of Google Benchmark. isa: instruction set of dot, by default the best."""
    rows = {row["name"].removesuffix("/iterations:1"): row for row in report["benchmarks"]}
    dots = f"limit/dot/{isa or ''}"
    dot = [row["ops/s"] for name, row in rows.items() if name.startswith(dots)]
    copy = {
        int(name.rsplit("/", 1)[1]): row["bytes/s"]
        for name, row in rows.items()
        if name.startswith("limit/copy/")
    }
    return Limits(max(dot), copy)


def measure(program: Path = PROGRAM, isa: str | None = None) -> Limits | None:
    """None if the program is not built (make build)."""
    if not program.exists():
        return None
    command = [program, "--benchmark_filter=^limit/", "--benchmark_format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return read(json.loads(done.stdout), isa)
