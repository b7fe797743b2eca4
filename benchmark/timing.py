"""Interleaved latencies: every round runs each competitor, so that load slows all alike."""

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
    """Sets torch's number of threads; a single thread is pinned to one core."""
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
    """Mean milliseconds per call over `calls` calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) * 1e3 / calls


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, title: str = ""
) -> dict[str, list[float]]:
    """Name -> milliseconds per call in each round; short calls are averaged within the round.

    Stops before `rounds` rounds after LONGEST_SECONDS. title: of the progress bar, if any.
    """
    calls = {}
    for name, function in functions.items():
        for _ in range(WARMUP_RUNS):
            function()
        calls[name] = math.ceil(SHORTEST_MEASUREMENT_MS / measure(function, 1))
    latencies = {name: [] for name in functions}
    end = time.perf_counter() + LONGEST_SECONDS
    # None: only on a terminal.
    for _ in tqdm(range(rounds), desc=title, leave=False, disable=None if title else True):
        for name, function in functions.items():
            function()  # brings its data back into the caches
            latencies[name].append(measure(function, calls[name]))
        if time.perf_counter() > end:
            break
    return latencies


def summary(latencies: list[float]) -> dict[str, float]:
    """The low decile estimates the latency on a quiet machine."""
    ordered = sorted(latencies)
    return {
        "median_ms": statistics.median(ordered),
        "low_decile_ms": ordered[len(ordered) // 10],
        "fastest_ms": ordered[0],
    }
