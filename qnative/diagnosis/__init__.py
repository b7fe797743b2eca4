"""Finds where a quantized model loses accuracy and time, why, and what helps."""

from .diagnosis import Diagnosis, Finding, Node, Operand
from .side_by_side import diagnose

__all__ = ["Diagnosis", "Finding", "Node", "Operand", "diagnose"]
