"""The ops use torch's threads, and the number of threads does not change a bit.

Python cannot see which thread ran what, but the first parallel region of a process creates the
OpenMP pool: a forked child that runs one op shows whether the op had a parallel region.
"""

import multiprocessing

import pytest
import torch

from support.threads import CASES, data, serve


@pytest.fixture(scope="module")
def forks():
    """A connection to a process that runs each request in a fork of itself."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    theirs.close()
    yield ours
    ours.close()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("name", CASES)
def test_threads_are_used(forks, name):
    forks.send((name, [1, 3]))
    assert forks.recv() == [0, 2]


@pytest.mark.parametrize("name", CASES)
def test_threads_change_no_bit(name):
    before = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(CASES[name](data()))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], result) for result in results[1:])
