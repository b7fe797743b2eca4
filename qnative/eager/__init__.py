"""Eager mode: ``quantize_dynamic``, and ``convert`` for models with upstream's observers."""

from .dynamic import MAPPING, quantize_dynamic
from .static import convert

__all__ = ["MAPPING", "convert", "quantize_dynamic"]
