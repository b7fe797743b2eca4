"""Latencies of competitors that a busy machine slows down alike: every round runs each of them once."""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from tqdm import tqdm

WARMUP_RUNS = 5


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


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, calls: int = 1, title: str = ""
) -> dict[str, list[float]]:
    """Milliseconds of one call, `rounds` measurements for each name; a measurement averages `calls` calls."""
    for function in functions.values():
        for _ in range(WARMUP_RUNS):
            function()
    latencies = {name: [] for name in functions}
    for _ in tqdm(range(rounds), desc=title, leave=False, disable=not title):
        for name, function in functions.items():
            function()  # its own data back into the caches that the others filled
            start = time.perf_counter()
            for _ in range(calls):
                function()
            latencies[name].append((time.perf_counter() - start) * 1e3 / calls)
    return latencies


def summary(latencies: list[float]) -> dict[str, float]:
    """Milliseconds. The low decile is what a machine shared with others would show if it were quiet."""
    ordered = sorted(latencies)
    return {
        "median_ms": round(statistics.median(ordered), 4),
        "low_decile_ms": round(ordered[len(ordered) // 10], 4),
        "fastest_ms": round(ordered[0], 4),
    }
