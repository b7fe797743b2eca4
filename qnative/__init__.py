"""qnative: PyTorch's native quantization backend as a LibTorch extension that stands on its own."""

import importlib
from typing import TYPE_CHECKING

from ._library import is_starting_command, library_path, load

if TYPE_CHECKING:
    from . import backend_config, calibration, eager, fx, nn, report, testing
    from .backend_config import get_backend, register_backend
    from .diagnosis import Diagnosis, diagnose
    from .eager import convert, quantize_dynamic
    from .lowering.lower import lower
    from .lowering.module import QuantizedModule
    from .migration import Migration, MigrationError, migrate
    from .plan.dry_run import DryRun, dry_run
    from .plan.protect import protect
    from .plan.quantizer import Quantizer
    from .program import Program
    from .quantization import quantize
    from .report import NotQuantizedError, Report
    from .saving import save

__version__ = "0.2.0"

__all__ = [
    "Diagnosis",
    "DryRun",
    "Migration",
    "MigrationError",
    "NotQuantizedError",
    "Program",
    "QuantizedModule",
    "Quantizer",
    "Report",
    "backend_config",
    "calibration",
    "convert",
    "diagnose",
    "dry_run",
    "eager",
    "fx",
    "get_backend",
    "library_path",
    "lower",
    "migrate",
    "nn",
    "protect",
    "quantize",
    "quantize_dynamic",
    "register_backend",
    "report",
    "save",
    "testing",
]

# The module of each name, which is imported when the name is first used: all of them take seconds,
# and some need torchao.
_MODULES = {
    "Diagnosis": "diagnosis",
    "DryRun": "plan.dry_run",
    "Migration": "migration",
    "MigrationError": "migration",
    "NotQuantizedError": "report",
    "Program": "program",
    "QuantizedModule": "lowering.module",
    "Quantizer": "plan.quantizer",
    "Report": "report",
    "convert": "eager",
    "diagnose": "diagnosis",
    "dry_run": "plan.dry_run",
    "get_backend": "backend_config",
    "lower": "lowering.lower",
    "migrate": "migration",
    "protect": "plan.protect",
    "quantize": "quantization",
    "quantize_dynamic": "eager",
    "register_backend": "backend_config",
    "save": "saving",
}

if not is_starting_command():
    load()

if not TYPE_CHECKING:  # mypy would take every name for one of ours

    def __getattr__(name):
        if name in _MODULES:
            value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        elif name in __all__:
            value = importlib.import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
