"""qnative: PyTorch's native quantization backend as a LibTorch extension that stands on its own."""

from ._library import library_path, load

__version__ = "0.1.0"

load()

from . import nn  # noqa: E402  (the library comes first)
from .backend_config import get_backend, register_backend  # noqa: E402
from .eager.dynamic import quantize_dynamic  # noqa: E402
from .eager.static import convert  # noqa: E402
from .lowering import QuantizedModule, lower  # noqa: E402
from .migration import Migration, MigrationError, migrate  # noqa: E402
from .plan.dry_run import DryRun, dry_run  # noqa: E402
from .program import Program  # noqa: E402
from .quantize import quantize  # noqa: E402
from .report import NotQuantizedError, Report  # noqa: E402
from .saving import save  # noqa: E402

__all__ = [
    "DryRun",
    "Migration",
    "MigrationError",
    "NotQuantizedError",
    "Program",
    "QuantizedModule",
    "Quantizer",
    "Report",
    "convert",
    "dry_run",
    "get_backend",
    "library_path",
    "lower",
    "migrate",
    "nn",
    "quantize",
    "quantize_dynamic",
    "register_backend",
    "save",
]


def __getattr__(name: str) -> object:
    # The Quantizer is a torchao class: import works without torchao.
    if name == "Quantizer":
        from .plan.quantizer import Quantizer

        return Quantizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
