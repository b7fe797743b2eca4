"""Latencies of competitors that a busy machine slows down alike: every round runs each of them."""

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from tqdm import tqdm

WARMUP_RUNS = 5
SHORTEST_MEASUREMENT_MS = 0.2
LONGEST_SECONDS = 40


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """torch runs on `count` threads; one thread is pinned to one core."""
    before, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    torch.set_num_threads(count)
    if count == 1:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(before)


def measure(function: Callable[[], object], calls: int) -> float:
    """Milliseconds of one of `calls` calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) * 1e3 / calls


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, title: str = ""
) -> dict[str, list[float]]:
    """Name -> milliseconds of a call in each round; short calls are averaged within the round.

    Ends before `rounds` rounds when they take too long. title: of the progress bar, if any.
    """
    calls = {}
    for name, function in functions.items():
        for _ in range(WARMUP_RUNS):
            function()
        calls[name] = math.ceil(SHORTEST_MEASUREMENT_MS / measure(function, 1))
    latencies = {name: [] for name in functions}
    end = time.perf_counter() + LONGEST_SECONDS
    # None: drawn only on a terminal.
    for _ in tqdm(range(rounds), desc=title, leave=False, disable=None if title else True):
        for name, function in functions.items():
            function()  # its own data back into the caches that the others filled
            latencies[name].append(measure(function, calls[name]))
        if time.perf_counter() > end:
            break
    return latencies


def summary(latencies: list[float]) -> dict[str, float]:
    """The low decile is what a machine shared with others would show if it were quiet."""
    ordered = sorted(latencies)
    return {
        "median_ms": statistics.median(ordered),
        "low_decile_ms": ordered[len(ordered) // 10],
        "fastest_ms": ordered[0],
    }
