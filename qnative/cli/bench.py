"""``python -m qnative bench model.pt2``"""

import argparse
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from .._text import text_table
from ..program import Profile, Program
from .inputs import make_inputs


def latencies(call: Callable[[], Any], callers: int, seconds: float) -> list[float]:
    """Seconds of each call of ``callers`` threads."""
    times: list[list[float]] = [[] for _ in range(callers)]
    end = time.perf_counter() + seconds

    def measure(mine: list[float]) -> None:
        with torch.inference_mode():  # a mode of the thread
            start = time.perf_counter()
            while start < end:
                call()
                now = time.perf_counter()
                mine.append(now - start)
                start = now

    threads = [threading.Thread(target=measure, args=(mine,)) for mine in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(each for mine in times for each in mine)


def run(options: argparse.Namespace) -> int:
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    start = time.perf_counter()
    program = Program.load(options.file)
    loading = time.perf_counter() - start
    inputs = make_inputs(program, options)
    with torch.inference_mode():
        for _ in range(3):
            program(*inputs)
        profile = program.profile(*inputs)
    times = latencies(lambda: program(*inputs), options.callers, options.seconds)

    def percentile(share: float) -> str:
        return f"{times[min(len(times) - 1, int(share * len(times)))] * 1e6:,.1f}"

    memory = program.memory()
    shapes = ", ".join(str(list(x.shape)) for x in inputs if isinstance(x, torch.Tensor))
    print(f"{options.file}: {len(profile)} nodes, loaded in {loading * 1e3:.1f} ms")
    print(f"inputs {shapes}; {options.callers} callers, {torch.get_num_threads()} threads a call")
    shown = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)]
    row = (f"{len(times):,}", percentile(0.0), *(percentile(share) for _, share in shown))
    rate = len(times) / options.seconds
    columns = ("calls", "least us", *(f"{name} us" for name, _ in shown), "calls/s")
    print("\n".join(text_table(columns, [(*row, f"{rate:,.1f}")])))
    print(f"weights {memory.weights:,} bytes, planned memory {memory.arena:,} bytes")
    slowest = Profile(sorted(profile, key=lambda node: -node.us)[: options.nodes])
    print(slowest)
    return 0
