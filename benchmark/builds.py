"""Two builds of qnative against each other: does a change cost time, are the bits the same?

    git worktree add ../before REVISION && make -C ../before build
    python -m benchmark.builds ../before .

Each build runs in a process of its own, both pinned to the same core, in blocks of 50 hot calls in
turns. Ratios are new / old: of the fastest calls, and the median over pairs of blocks.
"""

import argparse
import hashlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

CALLS = 50  # of a block
SMALL = 200  # calls of a small op that are timed as one


def random_bytes(dtype: torch.dtype, *sizes: int) -> Tensor:
    g = torch.Generator().manual_seed(sum(sizes))
    low = torch.iinfo(dtype).min
    return torch.randint(low, low + 256, sizes, dtype=dtype, generator=g)


def op_calls() -> dict[str, Callable[[], Tensor]]:
    """Calls of 16 channels: dispatch, checks and allocation dominate."""
    qnative = torch.ops.qnative
    qparams, y = (0.1, 5), (0.1, 5, torch.uint8)
    x, other = random_bytes(torch.uint8, 1, 16), random_bytes(torch.uint8, 16)
    image = random_bytes(torch.uint8, 1, 16, 2, 2)
    scale, bias = torch.full((16,), 0.1), torch.ones(16)
    linear = qnative.linear_pack(random_bytes(torch.int8, 16, 16))
    conv = qnative.conv2d_pack(random_bytes(torch.int8, 16, 16, 1, 1), 1)
    geometry = ([1, 1], [0, 0], [1, 1], 1)
    return {
        "add": lambda: qnative.add(x, *qparams, other, *qparams, *y),
        "linear": lambda: qnative.linear(
            x, *qparams, linear, scale, bias, [16, 16], *y, "relu", []
        ),
        "conv2d": lambda: qnative.conv2d(
            image, *qparams, conv, scale, bias, [16, 16, 1, 1], *geometry, *y, "relu", []
        ),
    }


def network_calls() -> dict[str, Callable[[], Tensor]]:
    import qnative
    from benchmark import networks

    made = {
        "EfficientNet-lite0": networks.efficientnet(1),
        "MiniLM, 128 tokens": networks.sentence_encoder(128),
    }
    calls = {}
    for name, network in made.items():
        model = qnative.quantize(
            network.model,
            network.inputs,
            network.calibration[:32] or None,
            recipe=network.recipe,
            backend_config="native",
        )
        calls[name] = lambda model=model, inputs=network.inputs: model(*inputs)
    return calls


def first_tensor(output: object) -> Tensor:
    return output if isinstance(output, Tensor) else first_tensor(output[0])


def import_build(root: Path) -> None:
    """qnative of `root`; the networks and their data are those of this checkout."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    importlib.import_module("benchmark.networks")
    sys.path[0] = str(root)
    import qnative

    if not Path(qnative.__file__).is_relative_to(root):
        raise RuntimeError(f"qnative must come from {root}, got {qnative.__file__}")


@torch.inference_mode()
def serve(core: int, with_networks: bool) -> None:
    """Prints a digest of each output, then the seconds of a block for each line 'name'."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    calls = op_calls()
    repeats = dict.fromkeys(calls, SMALL)
    with torch.inference_mode(False):
        calls |= network_calls() if with_networks else {}
    outputs = {name: first_tensor(call()).contiguous() for name, call in calls.items()}
    digests = {n: hashlib.sha256(y.numpy().tobytes()).hexdigest() for n, y in outputs.items()}
    print(json.dumps(digests), flush=True)
    for line in sys.stdin:
        call, repeat = calls[line.strip()], repeats.get(line.strip(), 1)
        call()  # brings its data back into the caches
        seconds = []
        for _ in range(CALLS):
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            seconds.append((time.perf_counter() - start) / repeat)
        print(json.dumps(seconds), flush=True)


@dataclass
class Build:
    process: subprocess.Popen
    digests: dict[str, str]

    @classmethod
    def start(cls, root: Path, core: int, with_networks: bool) -> "Build":
        command = [sys.executable, __file__, "--serve", str(core)]
        process = subprocess.Popen(
            command + ["--networks"] * with_networks,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of torch and torchao
            text=True,
        )
        return cls(process, {})

    def read(self) -> object:
        while line := self.process.stdout.readline():
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise RuntimeError(f"{' '.join(self.process.args)} stopped")

    def block(self, name: str) -> list[float]:
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return self.read()


def compare(old: Path, new: Path, blocks: int, with_networks: bool) -> list[dict[str, object]]:
    core = max(os.sched_getaffinity(0))
    builds = [Build.start(root.resolve(), core, with_networks) for root in (old, new)]
    for build in builds:
        build.digests = build.read()
    rows = []
    for name, digest in builds[0].digests.items():
        times = [[], []]
        for i in range(blocks):
            for which in (0, 1) if i % 2 else (1, 0):
                times[which].append(builds[which].block(name))
        fastest = [min(map(min, blocks_of)) for blocks_of in times]
        pairs = [statistics.median(b) / statistics.median(a) for a, b in zip(*times, strict=True)]
        row = {
            "name": name,
            "old_us": 1e6 * fastest[0],
            "fastest": fastest[1] / fastest[0],
            "median": statistics.median(pairs),
            "bits": "equal" if builds[1].digests[name] == digest else "differ",
        }
        print("{name}: {fastest:.3f} {median:.3f} of {old_us:.2f} us, bits {bits}".format(**row))
        rows.append(row)
    for build in builds:
        build.process.stdin.close()
        build.process.wait()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmark.builds", description=__doc__)
    parser.add_argument("old", type=Path, nargs="?", help="the root of a checkout that is built")
    parser.add_argument("new", type=Path, nargs="?")
    parser.add_argument("--blocks", type=int, default=14)
    parser.add_argument("--networks", action="store_true", help="EfficientNet and MiniLM too")
    parser.add_argument("--output", type=Path, help="JSON")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        warnings.filterwarnings("ignore")
        import_build(Path.cwd())
        return serve(args.serve, args.networks)
    if args.new is None:
        parser.error("two checkouts are wanted: old and new")
    rows = compare(args.old, args.new, args.blocks, args.networks)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
