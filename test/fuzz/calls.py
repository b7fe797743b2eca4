"""Calls every op with random arguments: none may crash, hang, or fail without its name.

    python -m fuzz.calls --minutes 1 --seed 0
    python -m fuzz.calls --replay 123456

Each worker is a process. If it dies, or one call takes more than HANG_SECONDS of processor time,
the call is a finding and a new worker goes on with the next one. `make fuzz` runs this under ASan
and UBSan. Exits with 1 if there are findings.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from fuzz.mutate import Mutator, describe
from fuzz.worker import FINISHED, Record, check, run

HANG_SECONDS = 60  # of one call, sanitizers included
POLL_SECONDS = 0.5
MEMORY = 8 << 30  # of address space above what is there, without sanitizers


def work(path: Path, first: int, step: int, seconds: float) -> None:
    if "ASAN_OPTIONS" not in os.environ:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    run(Record(path), first, step, seconds)


class Worker:
    def __init__(self, path: Path, number: int, step: int, end: float):
        self.path, self.step, self.end = path, step, end
        self.record = Record(path)
        self.start(number)

    def start(self, first: int) -> None:
        seconds = max(self.end - time.monotonic(), 0)
        self.record.seed = first
        context = multiprocessing.get_context("fork")
        arguments = (self.path, first, self.step, seconds)
        self.process = context.Process(target=work, args=arguments)
        self.process.start()
        self.seen, self.since = first, 0.0

    def cpu_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def watch(self) -> bool:
        """Whether it goes on."""
        seed, used = self.record.seed, self.cpu_seconds()
        if self.process.is_alive():
            if seed != self.seen:
                self.seen, self.since = seed, used
            if used - self.since < HANG_SECONDS or seed == FINISHED:
                return True
            self.process.kill()
            self.found(seed, f"runs for more than {HANG_SECONDS} s")
        elif seed == FINISHED:
            return False
        else:
            self.found(seed, f"ended the process with {self.process.exitcode}")
        self.process.join()
        if time.monotonic() > self.end:
            return False
        self.start(seed + self.step)
        return True

    def found(self, seed: int, what: str) -> None:
        self.record.found(seed, Mutator(seed).call()[0], what)


def fuzz(
    seconds: float, seed: int, workers: int, folder: Path
) -> tuple[dict[str, tuple[int, int, int]], list[str]]:
    """Calls, accepted ones and refused ones of each op; and the findings."""
    end = time.monotonic() + seconds
    running = every = [Worker(folder / f"{i}", seed + i, workers, end) for i in range(workers)]
    while running:
        time.sleep(POLL_SECONDS)
        running = [worker for worker in running if worker.watch()]
    rows = [worker.record.counters() for worker in every]
    total = {n: tuple(map(sum, zip(*(row[n] for row in rows), strict=True))) for n in rows[0]}
    return total, [finding for worker in every for finding in worker.record.findings()]


def replay(seed: int) -> None:
    name, args = Mutator(seed).call()
    print(f"qnative::{name}", *map(describe, args), sep="\n  ", flush=True)
    print("accepted" if check(name, args) else "refused")


def main() -> int | None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--replay", type=int, metavar="SEED", help="one call, in this process")
    args = parser.parse_args()
    if args.replay is not None:
        return replay(args.replay)
    with tempfile.TemporaryDirectory() as folder:
        rows, findings = fuzz(60 * args.minutes, args.seed, args.workers, Path(folder))
    print(f"{'op':32} {'calls':>10} {'accepted':>10} {'refused':>10}")
    for name, row in sorted(rows.items()):
        print(f"{name:32} {row[0]:10,} {row[1]:10,} {row[2]:10,}")
    total = tuple(map(sum, zip(*rows.values(), strict=True)))
    print(f"{'all':32} {total[0]:10,} {total[1]:10,} {total[2]:10,}")
    print(f"{len(findings)} findings", *findings, sep="\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
