"""Every deployment of a quantized model, a function each:

    python -m examples.deploy --output build/deploy

makes a small text classifier, quantizes it in eager mode, writes each kind of file and checks that
it gives the same bits.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import qnative

LIBRARY_ONLY = Path(__file__).with_name("library_only.py")


def save_torchscript(model: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    """For torch.jit.load, in Python or C++. Sizes of a trace are not checked: batch and sequence
    may be of any length."""
    torch.jit.save(torch.jit.trace(model, inputs), path)


def save_exported(model: nn.Module, inputs: tuple[Tensor, ...], shapes: Any, path: Path) -> None:
    """For qnative.Program.load, qnative/program.h and torch.export.load. shapes: which sizes are
    open, as torch.export's dynamic_shapes."""
    qnative.save(model, path, inputs, dynamic_shapes=shapes)


def save_package(model: nn.Module, inputs: tuple[Tensor, ...], shapes: Any, path: Path) -> None:
    """Machine code by AOTInductor, for torch._inductor.aoti_load_package or, in C++,
    torch::inductor::AOTIModelPackageLoader. All but qnative's ops is compiled for the
    instruction set of this machine."""
    with torch.no_grad():
        program = torch.export.export(model, inputs, dynamic_shapes=shapes)
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def save_weights(model: nn.Module, path: Path) -> None:
    """All packed weights and scales, as safetensors."""
    from safetensors.torch import save_model

    save_model(model, path)


def load_weights(model: nn.Module, path: Path) -> None:
    """model: one of the same structure, as quantize_dynamic makes it of an untrained model."""
    from safetensors.torch import load_model

    load_model(model, path)


def run_with_the_library_alone(model: Path, inputs: tuple[Tensor, ...], folder: Path) -> Any:
    """The result of a process that has libqnative.so, but not the Python package."""
    x, y = folder / "inputs.pt", folder / "outputs.pt"
    torch.save(list(inputs), x)
    command = [sys.executable, LIBRARY_ONLY, qnative.library_path(), model, x, y]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return torch.load(y)


class Classifier(nn.Module):
    """Token by token: of any batch and length."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100, 32)
        self.rnn = nn.LSTM(32, 48, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(96, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc(self.rnn(self.table(tokens))[0])


def quantized_classifier(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    what = {nn.Embedding: torch.quint8, nn.LSTM: torch.qint8, nn.Linear: torch.qint8}
    return qnative.quantize_dynamic(Classifier(), what)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/deploy"))
    parser.add_argument("--no-compiler", action="store_true", help="leave out what needs g++")
    options = parser.parse_args(arguments)
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model = quantized_classifier()
    example, other = torch.randint(0, 100, (3, 8)), torch.randint(0, 100, (5, 13))
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 1: auto},)
    expected = model(other)

    def report(what: str, y: Tensor) -> None:
        print(f"{what:45}{'the same bits' if torch.equal(y, expected) else 'OTHER BITS'}")

    files = ["model.pt", "model.pt2"]
    save_torchscript(model, (example,), folder / "model.pt")
    save_exported(model, (example,), shapes, folder / "model.pt2")
    if not options.no_compiler:
        report("torch.compile", torch.compile(model, dynamic=True, fullgraph=True)(other))
        save_package(model, (example,), shapes, folder / "model.aoti.pt2")
        files.append("model.aoti.pt2")
    for name in files:
        y = run_with_the_library_alone(folder / name, (other,), folder)
        report(f"{name}, library alone", y)
    report("model.pt2, Program", qnative.Program.load(folder / "model.pt2")(other))
    save_weights(model, folder / "model.safetensors")
    untrained = quantized_classifier(seed=1)
    load_weights(untrained, folder / "model.safetensors")
    report("model.safetensors", untrained(other))


if __name__ == "__main__":
    main()
