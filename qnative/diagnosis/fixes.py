"""What helps, tried: the model is quantized again with each fix, and measured."""

import math
from collections.abc import Callable
from typing import Any

import torch

from ..calibration.measure import Measure
from ..graph.sizes import unguarded
from ..lowering.module import QuantizedModule
from ..quantization import quantize
from ..report import Output
from .causes import CLIPPED, CONSTANT, UNCALIBRATED, WIDE, WRONG_SCALE
from .diagnosis import Finding
from .times import Times, measure_times

# A node in float is worth it if it brings so many dB more than quantizing again does.
_WORTH = 1.0
# What comes of the data, or is no choice of ``quantize``.
_OF_CALIBRATION = (WRONG_SCALE, CONSTANT, CLIPPED, UNCALIBRATED, WIDE)
_AGAIN = "qnative.quantize(model, example_inputs, calibration=data)"


class Trials:
    """model, example, calibration, options: of ``quantize``. kept: the data to measure with.
    outputs: what the model to improve has."""

    def __init__(
        self,
        model: torch.nn.Module,
        example: tuple[Any, ...],
        calibration: list[Any],
        options: dict[str, Any],
        kept: Measure,
        outputs: list[Output],
    ):
        self.notes: list[str] = []
        self._kept, self._before = kept, worst(outputs)
        self._again: QuantizedModule | None = None

        def make(float_nodes: tuple[str, ...] = ()) -> QuantizedModule:
            nodes = (*options.get("float_nodes", ()), *float_nodes)
            return quantize(*(model, example, calibration), **{**options, "float_nodes": nodes})

        self._make: Callable[..., QuantizedModule] = make
        self._example = example

    def run(self, findings: list[Finding]) -> None:
        """Gives each finding the fix that brings most, the simpler one if both bring the same."""
        if not findings:
            return
        try:
            again = self._gain(self._quantized_again())
        except Exception as error:  # of the model, of the data: the findings stand without fixes
            self.notes.append(f"fixes were not tried: {_line(error)}")
            return
        self.notes.append(f"quantized again with this data: {again:+.1f} dB at the worst output")
        for finding in findings:
            if finding.cause in _OF_CALIBRATION and again > _WORTH:
                finding.fix, finding.gain = _AGAIN, again
                continue
            finding.fix = f"qnative.quantize(..., float_nodes=[{finding.row!r}])"
            try:
                finding.gain = self._gain(self._make((finding.row,)))
            except ValueError:
                # An input of the model is no node: its range can only be measured again.
                finding.fix, finding.gain = _AGAIN, again
            except Exception as error:
                finding.error = f"not tried: {_line(error)}"
            if finding.gain is not None and again > _WORTH and finding.gain < again + _WORTH:
                finding.fix, finding.gain = _AGAIN, again

    def run_slow(self, slow: list[Finding], times: Times | None) -> None:
        """What quantizing again without ``float_nodes`` brings, in microseconds of a call."""
        if not slow or times is None:
            return
        try:
            after = measure_times(self._quantized_again(), self._example, {})
        except Exception as error:
            self.notes.append(f"fixes of float regions were not tried: {_line(error)}")
            return
        for finding in slow:
            finding.fix, finding.gain = _AGAIN, times.whole - after.whole

    def _quantized_again(self) -> QuantizedModule:
        if self._again is None:
            self._again = self._make()
        return self._again

    def _gain(self, module: QuantizedModule) -> float:
        with torch.no_grad(), unguarded(module):
            after = worst(self._kept.compare(module))
        return 0.0 if math.isinf(after) and math.isinf(self._before) else after - self._before


def worst(outputs: list[Output]) -> float:
    """The dB of the worst output or part of one."""
    return min((db for output in outputs for db in output.places.values()), default=math.inf)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
