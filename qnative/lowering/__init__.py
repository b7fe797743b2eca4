"""From a graph of dequantize -> aten -> quantize to a graph of qnative ops."""

from .lower import lower

__all__ = ["lower"]
