"""Fixtures of several test files."""

import os
import subprocess

# Waiting threads must sleep: on a machine with more processes than cores, spinning slows small ops
# down a thousandfold. libgomp reads this when torch loads it; child processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

from examples.efficientnet import cpp_program


@pytest.fixture(scope="session")
def cpp_programs(tmp_path_factory):
    """The folder of the programs of examples/cpp; they compile slowly."""
    return cpp_program.build(tmp_path_factory.mktemp("cpp"))


@pytest.fixture
def run_in_cpp(cpp_programs, tmp_path):
    """run(model file, *inputs) -> output of the C++ program."""

    def run(model, *inputs):
        torch.save(list(inputs), tmp_path / "x.pt")
        command = [cpp_programs / "run", model, tmp_path / "x.pt", tmp_path / "y.pt"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return torch.load(tmp_path / "y.pt")

    return run
