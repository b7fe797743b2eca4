"""Steps that many tests take: save and load, compare, run Python in a new process."""

import io
import os
import subprocess
import sys

import torch


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Root mean square of the error over that of ``want``; both float32."""
    assert got.shape == want.shape and got.dtype == want.dtype == torch.float32
    return float((got - want).norm() / want.norm())


def through_trace(model: torch.nn.Module, inputs, **options) -> torch.jit.ScriptModule:
    """The traced model, saved to a file and loaded from it; the options are those of trace."""
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, inputs, **options), file)
    file.seek(0)
    return torch.jit.load(file)


def python(*arguments, cwd=None, **environment: str) -> subprocess.CompletedProcess:
    """A new Python process that shows no warnings; the caller looks at its exit status."""
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def sqnr(got: torch.Tensor, want: torch.Tensor) -> float:
    """Signal to quantization noise in dB."""
    noise = (got.double() - want.double()).square().sum()
    return (10 * torch.log10(want.double().square().sum() / noise)).item()
