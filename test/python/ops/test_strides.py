"""Views whose elements lie more than 2^31 elements apart give the results of dense tensors, on
every instruction set: support/far.py, in a process that may crash."""

import os
import subprocess
import sys

import pytest

from qnative._info import ISAS


@pytest.mark.parametrize("isa", ISAS)
def test_far_apart(isa):
    done = subprocess.run(
        [sys.executable, "-m", "support.far"],
        env={**os.environ, "QNATIVE_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr[-2000:])
    if lines[0] != f"isa {isa}":
        pytest.skip(f"this machine has no {isa}")
    wrong = [line for line in lines[1:] if not line.endswith(" ok")]
    assert not wrong
    assert len(lines) > 2000  # calls
