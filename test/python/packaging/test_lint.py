"""cmake/lint.py finds casts of sizes to 32 bits."""

import runpy
from pathlib import Path

import pytest

LINT = Path(__file__).parents[3] / "cmake/lint.py"
narrowing = runpy.run_path(str(LINT))["narrowing"]


@pytest.mark.parametrize(
    "line",
    [
        "*at++ = static_cast<int32_t>(begin + i * args_.x_stride);",
        "const auto n = static_cast<uint32_t>(groups);",
        "f(static_cast<int>(x.size(0)));",
    ],
)
def test_casts_of_sizes(line):
    assert narrowing(line) == [1]
    assert narrowing(f"// n < 2^31: kernels store it so.\n{line}") == []
    assert narrowing(f"{line}  // < 2^31") == []


@pytest.mark.parametrize(
    "line",
    [
        "acc += static_cast<uint32_t>(args.start[n]);",
        "return static_cast<int32_t>(sum);",
        "const auto n = static_cast<int64_t>(sizes.size());",
    ],
)
def test_other_casts(line):
    assert narrowing(line) == []
