"""Files written by one torch and read by another give the same bits.

    python test/torch_versions.py first/bin/python second/bin/python

Both have qnative installed. Each writes a TorchScript, a .pt2 and a safetensors file of every model
with its input and output, and reads the files of both.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn


class Convolutions(nn.Module):
    """Static: only qnative ops compute."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, 2), nn.Conv2d(16, 16, 3, padding=1)
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x) + x)
        return self.last(self.pool(x).flatten(1))


class Tokens(nn.Module):
    """Dynamic: a table, recurrent layers and a linear layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100, 20)
        self.lstm = nn.LSTM(20, 18, 2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(36, 18)
        self.last = nn.Linear(18, 5)

    def forward(self, tokens):
        return self.last(self.gru(self.lstm(self.table(tokens))[0])[0])


def models():
    """(name, model, example, input of other sizes, the same structure with other weights); the last
    is None for the static model, whose code holds its activation scales."""
    import qnative

    torch.manual_seed(0)
    images = [torch.randn(4, 3, 16, 16) for _ in range(4)]
    static = qnative.quantize(Convolutions().eval(), (images[0],), images)
    yield "static", static, images[0], torch.randn(3, 3, 16, 16), None
    spec = {nn.Embedding: torch.quint8}
    spec |= dict.fromkeys((nn.LSTM, nn.GRU, nn.Linear), torch.qint8)
    dynamic, other = (qnative.quantize_dynamic(Tokens(), spec) for _ in range(2))
    tokens = [torch.randint(0, 100, (2, 7)), torch.randint(0, 100, (3, 11))]
    yield "dynamic", dynamic, *tokens, other


@torch.no_grad()
def write(folder: Path) -> None:
    from safetensors.torch import save_model

    for name, model, example, x, other in models():
        sizes = range(2) if name == "dynamic" else range(1)
        shapes = (dict.fromkeys(sizes, torch.export.Dim.AUTO),)
        program = torch.export.export(model, (example,), dynamic_shapes=shapes)
        torch.export.save(program, folder / f"{name}.pt2")
        torch.jit.save(torch.jit.trace(model, example), folder / f"{name}.pt")
        if other is not None:
            save_model(model, str(folder / f"{name}.safetensors"))
        torch.save([x, model(x)], folder / f"{name}.data")


@torch.no_grad()
def read(folder: Path) -> None:
    from safetensors.torch import load_model

    for name, *_, other in models():
        x, y = torch.load(folder / f"{name}.data", weights_only=True)
        read_back = {
            "TorchScript": torch.jit.load(folder / f"{name}.pt"),
            "torch.export": torch.export.load(folder / f"{name}.pt2").module(),
        }
        if other is not None:
            load_model(other, folder / f"{name}.safetensors")
            read_back["safetensors"] = other
        for form, model in read_back.items():
            if not torch.equal(model(x), y):
                raise SystemExit(f"torch {torch.__version__}: {name}, {form}: other bits")


def both(pythons: list[str]) -> None:
    """Every python reads what every python wrote."""
    with tempfile.TemporaryDirectory() as folder:
        for step in ("write", "read"):
            for python in pythons:
                for i in [pythons.index(python)] if step == "write" else range(len(pythons)):
                    path = Path(folder) / str(i)
                    path.mkdir(exist_ok=True)
                    subprocess.run([python, __file__, f"--{step}", path], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="*", help="interpreters, each with a torch and qnative")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.write or options.read:
        (write if options.write else read)(options.write or options.read)
        print(f"torch {torch.__version__}: {'wrote' if options.write else 'read'} every file")
    elif len(options.pythons) < 2:
        parser.error("at least two interpreters wanted")
    else:
        both(options.pythons)


if __name__ == "__main__":
    sys.exit(main())
