"""Overhead of a call on small tensors: from C++, TorchScript and Python.

    python -m benchmark.calls --output build/bench/calls.json

Each op beside torch's own int8 op and its float op, on 16 channels: argument checks, allocation of
the result and dispatch dominate. C++ calls the functions of qnative/ops.h and of ATen; TorchScript
runs a graph of 100 calls in a row; Python calls torch.ops. One thread.
"""

import argparse
import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import qnative  # noqa: F401
from benchmark.cases.case import quantized, random_input
from benchmark.timing import interleaved, summary, threads

PROGRAM = Path("build/release/benchmark/benchmark_calls")
CALLS, SIZE = 100, 16

# Expressions for both Python and TorchScript; 0 is uint8.
SOURCES = {
    "add": {
        "qnative": "torch.ops.qnative.add(x, 0.1, 5, b, 0.1, 5, 0.1, 5, 0)",
        "torch int8": "torch.ops.quantized.add(x, b, 0.1, 5)",
        "fp32": "torch.add(x, b)",
    },
    "linear": {
        "qnative": "torch.ops.qnative.linear("
        "x, 0.1, 5, w, scale, b, [16, 16], 0.1, 5, 0, 'relu', [])",
        "torch int8": "torch.ops.quantized.linear_relu(x, w, 0.1, 5)",
        "fp32": "torch._C._nn.linear(x, w, b)",
    },
    "conv2d": {
        "qnative": "torch.ops.qnative.conv2d(x, 0.1, 5, w, scale, b, [16, 16, 1, 1], [1, 1], "
        "[0, 0], [1, 1], 1, 0.1, 5, 0, 'relu', [])",
        "torch int8": "torch.ops.quantized.conv2d_relu(x, w, 0.1, 5)",
        "fp32": "torch.conv2d(x, w, b)",
    },
}
WEIGHT_SHAPES = {"linear": [SIZE, SIZE], "conv2d": [SIZE, SIZE, 1, 1]}
PACKED = "__torch__.torch.classes.quantized.{}PackedParamsBase"
PACKED_TYPES = {"linear": PACKED.format("Linear"), "conv2d": PACKED.format("Conv2d")}


def operands(op: str) -> dict[str, dict[str, object]]:
    """Implementation -> values of the names in its expressions."""
    x = random_input(1, SIZE, *([2, 2] if op == "conv2d" else []))
    if op == "add":
        return {
            "qnative": {"x": x, "b": x},
            "torch int8": {"x": quantized(x), "b": quantized(x)},
            "fp32": {"x": x.float(), "b": x.float()},
        }
    w = torch.randint(-64, 64, WEIGHT_SHAPES[op], dtype=torch.int8)
    geometry = [[1, 1], [0, 0], [1, 1], 1] if op == "conv2d" else []
    scale, b = torch.full((SIZE,), 0.1), torch.ones(SIZE)
    zero_points = torch.zeros(SIZE, dtype=torch.int64)
    quantized_w = torch._make_per_channel_quantized_tensor(w, scale.double(), zero_points, 0)
    mine = getattr(torch.ops.qnative, f"{op}_pack")(w, *geometry[3:])
    theirs = getattr(torch.ops.quantized, f"{op}_prepack")(quantized_w, b, *geometry)
    return {
        "qnative": {"x": x, "w": mine, "scale": scale, "b": b},
        "torch int8": {"x": quantized(x), "w": theirs},
        "fp32": {"x": x.float(), "w": w * 0.1, "b": b},
    }


def python_call(source: str, values: dict[str, object]) -> Callable[[], object]:
    return eval(f"lambda: {source}", {"torch": torch, **values})


def script_calls(source: str, values: dict[str, object], packed: str) -> Callable[[], object]:
    """CALLS calls in a row, each on the previous result. packed: type of torch's weights."""
    types = {k: "Tensor" if isinstance(v, torch.Tensor) else packed for k, v in values.items()}
    arguments = ", ".join(f"{name}: {kind}" for name, kind in types.items())
    body = f"    x = {source}\n" * CALLS
    function = torch.jit.CompilationUnit(f"def run({arguments}):\n{body}    return x\n").run
    operand_list = list(values.values())
    return lambda: function(*operand_list)


def measure_scripts(rounds: int) -> list[dict]:
    """Rows of caller, op and microseconds per call of each implementation."""
    rows = []
    for op, sources in SOURCES.items():
        values = operands(op)
        packed = PACKED_TYPES.get(op, "")
        ways = {
            "TorchScript": (CALLS, lambda s, v, packed=packed: script_calls(s, v, packed)),
            "Python": (1, python_call),
        }
        for way, (calls, make) in ways.items():
            functions = {k: make(source, values[k]) for k, source in sources.items()}
            low = {
                k: summary(v)["low_decile_ms"] for k, v in interleaved(functions, rounds).items()
            }
            rows.append({"way": way, "op": op} | {k: 1e3 * ms / calls for k, ms in low.items()})
    return rows


def read_program(report: dict) -> list[dict]:
    """The same for C++: the fastest repetition in the JSON of Google Benchmark."""
    rows = {}
    for result in report["benchmarks"]:
        _, implementation, op = result["run_name"].split("/")[:3]
        row = rows.setdefault(op, {"way": "C++", "op": op})
        row[implementation] = min(row.get(implementation, 1e9), result["real_time"] / 1e3)
    return list(rows.values())


def measure_program(program: Path = PROGRAM) -> list[dict]:
    """Empty if the program is not built (make build)."""
    if not program.exists():
        return []
    command = [program, "--benchmark_format=json", "--benchmark_repetitions=5"]
    command += ["--benchmark_min_time=0.1", "--benchmark_enable_random_interleaving=true"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    report["benchmarks"] = [r for r in report["benchmarks"] if r["run_type"] == "iteration"]
    return read_program(report)


def line(row: dict) -> str:
    times = (f"{row[k]:7.2f} us" if k in row else f"{'-':>10s}" for k in SOURCES["add"])
    return f"{row['way']:12s} {row['op']:8s} " + " ".join(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/bench/calls.json"))
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # torch deprecates its quantized dtypes
    with torch.inference_mode(), threads(1):
        rows = measure_program() + measure_scripts(args.rounds)
    print(f"{'from':12s} {'op':8s} " + " ".join(f"{k:>10s}" for k in SOURCES["add"]))
    for row in rows:
        print(line(row))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
