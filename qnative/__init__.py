"""qnative: PyTorch's native quantization backend as a LibTorch extension that stands on its own."""

from pathlib import Path

import torch

__version__ = "0.1.0"


def library_path() -> str:
    """The shared library, for ``torch.ops.load_library`` and for linkers."""
    return str(Path(__file__).resolve().parent / "lib" / "libqnative.so")


torch.ops.load_library(library_path())

from .backend_config import get_backend, register_backend  # noqa: E402  (the library comes first)
from .lowering import lower  # noqa: E402
from .matching import DryRun, dry_run  # noqa: E402
from .migration import Migration, MigrationError, migrate  # noqa: E402
from .recipes import quantize  # noqa: E402
from .report import NotQuantizedError, Report  # noqa: E402

__all__ = [
    "DryRun",
    "Migration",
    "MigrationError",
    "NotQuantizedError",
    "Quantizer",
    "Report",
    "dry_run",
    "get_backend",
    "library_path",
    "lower",
    "migrate",
    "quantize",
    "register_backend",
]


def __getattr__(name: str):
    # The Quantizer is a torchao class; everything else works without torchao.
    if name == "Quantizer":
        from .quantizer import Quantizer

        return Quantizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
