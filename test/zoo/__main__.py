"""Runs the zoo, each model in a process of its own: python -m zoo [NAME ...].

A model with a file in the folder is not run again; delete its file to do so. A crash, a timeout and
running out of memory are results as well.
"""

import argparse
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoo.entry import Entry
from zoo.record import worst
from zoo.table import ENTRIES, SMALL

ROOT = Path(__file__).parents[2]
SECONDS, GIGABYTES = 240, 12


def run(entry: Entry, folder: Path, core: int | None = None, seconds: int = SECONDS) -> dict:
    """Measures a model, on one core if given, and writes its record to `folder`."""
    file, log = folder / f"{entry.name}.json", folder / f"{entry.name}.log"
    partial = folder / f"{entry.name}.partial"
    partial.unlink(missing_ok=True)
    command = [sys.executable, "-m", "zoo.measure", entry.name, str(partial)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "test")))
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "PYTHONPATH": paths}
    start, problem = time.monotonic(), None
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command, stdout=output, stderr=output, timeout=seconds, env=environment,
                preexec_fn=lambda: _limit(core),
            )  # fmt: skip
            if done.returncode < 0:
                problem = f"crash: {signal.Signals(-done.returncode).name}"
            elif done.returncode > 1:
                problem = f"crash: exit status {done.returncode}"
        except subprocess.TimeoutExpired:
            problem = f"timeout: {seconds} s"
    record = json.loads(partial.read_text()) if partial.exists() else {"name": entry.name}
    if problem:
        record["error"] = f"{problem} in stage {record.get('stage', 'start')}"
    elif not partial.exists():
        record["error"] = log.read_text().strip().splitlines()[-1]
    record |= {"family": entry.family, "package": entry.package}
    record["seconds"] = round(time.monotonic() - start, 1)
    file.write_text(json.dumps(record, indent=1))
    partial.unlink(missing_ok=True)
    return record


def _limit(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))


def line(record: dict) -> str:
    """The result in a line: for each recipe int8's share, the worst SQNR and the speed."""
    parts = [f"{record['name']:32}{record['seconds']:6.0f} s"]
    for recipe, result in record.get("recipes", {}).items():
        if "error" in result:
            parts.append(f"{recipe}: {result['error'][:80]}")
        elif "sqnr" in result:
            share, speed = result.get("int8_share"), result.get("speedup")
            least = worst(result["sqnr"])
            texts = (
                f"{share:.1%}" if share is not None else "?",
                f"{least:.1f} dB" if least is not None else "?",
                f"{speed:.2f}x" if speed is not None else "?",
            )
            parts.append(f"{recipe}: {', '.join(texts)}")
    return "  ".join(parts + ([record["error"][:100]] if "error" in record else []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--folder", type=Path, default=Path("build/zoo"))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="limit for each model")
    parser.add_argument("--small", action="store_true", help="the models that CI runs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    names = arguments.names or (SMALL if arguments.small else ENTRIES)
    if unknown := [name for name in names if name not in ENTRIES]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(ENTRIES)}")
    names = [name for name in names if not (arguments.folder / f"{name}.json").exists()]
    cores: queue.Queue[int] = queue.Queue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def measure(name: str) -> None:
        core = cores.get()
        try:
            record = run(ENTRIES[name], arguments.folder, core, arguments.seconds)
            print(line(record), flush=True)
        finally:
            cores.put(core)

    # One model on each core: all of them use a single thread.
    with ThreadPoolExecutor(cores.qsize()) as pool:
        for _ in pool.map(measure, names):
            pass


if __name__ == "__main__":
    main()
