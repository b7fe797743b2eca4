"""From a graph of dequantize -> aten -> quantize to a graph of qnative ops."""

from .lower import lower
from .module import QuantizedModule

__all__ = ["QuantizedModule", "lower"]
