"""Builds examples/cpp, or another CMake project, against the installed qnative package; runs it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

import qnative

SOURCE = Path(__file__).resolve().parents[1] / "cpp"


def build(folder: Path, source: Path = SOURCE, target: str = "all") -> Path:
    """Configures the CMake project `source` and builds `target` in `folder`, which it returns."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cmake = shutil.which("cmake", path=tools)
    if cmake is None:
        raise RuntimeError("cmake not found: pip install cmake")
    configure = [cmake, "-S", source, "-B", folder]
    configure += [f"-DCMAKE_PREFIX_PATH={Path(qnative.library_path()).parents[1]}"]
    configure += [f"-DQNATIVE_TORCH_DIR={Path(torch.__file__).parent}"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([cmake, "--build", folder, "--target", target, "--parallel"], check=True)
    return folder


def run(program: Path, model: Path, photo: Path, *options: object) -> str:
    """Returns the output of the program; an error of it is a subprocess.CalledProcessError."""
    command = [str(part) for part in (program, model, photo, *options)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def logits(program: Path, model: Path, photo: Path) -> Tensor:
    """Returns the network's result there, [1, classes]."""
    path = photo.with_suffix(".logits")
    run(program, model, photo, "--logits", path)
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32)[None]


def latency(program: Path, model: Path, photo: Path, threads: int, runs: int) -> float:
    """Median milliseconds of `runs` runs. A pinned caller pins the program too."""
    output = run(program, model, photo, "--threads", threads, "--benchmark", runs)
    return float(re.search(r"median ([\d.]+) ms", output)[1])
