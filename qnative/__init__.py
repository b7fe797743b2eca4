"""qnative: PyTorch's native quantization backend as a LibTorch extension that stands on its own."""

from pathlib import Path

import torch

__version__ = "0.1.0"


def library_path() -> str:
    """The shared library, for ``torch.ops.load_library`` and for linkers."""
    return str(Path(__file__).resolve().parent / "lib" / "libqnative.so")


torch.ops.load_library(library_path())
