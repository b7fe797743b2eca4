"""Throughput and latency of the servers, by the number of clients.

    python -m examples.serving.load --seconds 5

Starts each server in turn on this machine and calls it from clients that send the next image as
soon as they have the answer. The client runs on the same cores.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from examples.efficientnet import cpp_program, data
from examples.serving.runtimes import RUNTIMES, SIZE

CPP = "qnative C++"
SOURCE = Path(__file__).parent / "cpp"
START_SECONDS = 600  # the first start quantizes the network


def images() -> list[bytes]:
    """The centres of the photos, as the servers want them."""
    crops = [(data.centre(photo), photo) for photo in data.load_photos().values()]
    pixels = [square.network_input(photo) * data.STD + data.MEAN for square, photo in crops]
    return [x.round().byte().permute(1, 2, 0).numpy().tobytes() for x in pixels]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command(name: str, folder: Path, port: int, workers: int) -> list[str]:
    model = RUNTIMES[name if name in RUNTIMES else "qnative"].prepare(folder)
    if name == CPP:
        server = cpp_program.build(folder / "cpp", SOURCE) / "server"
        return [str(part) for part in (server, model, port, workers)]
    options = ["--runtime", name, "--folder", folder, "--port", port, "--workers", workers]
    return [sys.executable, "-m", "examples.serving.server", *map(str, options)]


@contextlib.contextmanager
def running(command: list[str], url: str) -> Iterator[None]:
    """The server, as soon as it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_wait(process, url))
        yield
    finally:
        process.terminate()
        process.wait()


async def _wait(process: subprocess.Popen, url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(10 * START_SECONDS):
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} stopped with code {process.returncode}")
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url + "/health") as answer:
                    answer.raise_for_status()
                    return
            await asyncio.sleep(0.1)
    raise TimeoutError(f"{process.args} does not answer")


async def _client(
    session: aiohttp.ClientSession, url: str, bodies: list[bytes], end: float
) -> list[float]:
    """Seconds of each request until `end`."""
    seconds = []
    for i in range(sys.maxsize):
        start = time.perf_counter()
        if start >= end:
            break
        async with session.post(url + "/classify", data=bodies[i % len(bodies)]) as answer:
            answer.raise_for_status()
            await answer.read()
        seconds.append(time.perf_counter() - start)
    return seconds


async def measure(url: str, bodies: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Requests per second, and percentiles of their milliseconds."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await _client(session, url, bodies, time.perf_counter() + 0.5)  # warms up
        start = time.perf_counter()
        calls = [_client(session, url, bodies, start + seconds) for _ in range(clients)]
        latencies = [x for each in await asyncio.gather(*calls) for x in each]
        elapsed = time.perf_counter() - start
    milliseconds = [1e3 * value for value in latencies]
    percentiles = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {
        "per_second": len(latencies) / elapsed,
        "p50_ms": percentiles[49],
        "p99_ms": percentiles[98],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--folder", type=Path, default=Path("build/serving"))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    bodies = images()
    assert all(len(body) == SIZE * SIZE * 3 for body in bodies)
    installed = [name for name in RUNTIMES if name == "qnative" or importlib.util.find_spec(name)]
    print("| server | clients | requests/s | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |")
    for name in [CPP, *installed]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with running(command(name, args.folder, port, args.workers), url):
            for clients in args.clients:
                row = asyncio.run(measure(url, bodies, clients, args.seconds))
                print(
                    f"| {name} | {clients} | {row['per_second']:.0f} | {row['p50_ms']:.1f} "
                    f"| {row['p99_ms']:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
