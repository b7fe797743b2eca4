"""Constraints of a DTypeConfig on scales, zero points and ranges."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from ..backend_config import DTypeConfig, DTypeWithConstraints
from ..graph.nodes import Unsupported
from ..graph.qdq import STORAGE_DTYPES

_NAMES = (
    "quant_min_lower_bound",
    "quant_max_upper_bound",
    "scale_min_lower_bound",
    "scale_max_upper_bound",
    "scale_exact_match",
    "zero_point_exact_match",
)


def _float32(value: Any) -> Any:
    """Bounds are rounded to float32, as scales are."""
    return None if value is None else float(torch.tensor(float(value), dtype=torch.float32))


@dataclass(frozen=True)
class Constraints:
    """The numbers of a DTypeWithConstraints; None does not constrain."""

    quant_min_lower_bound: float | None = None
    quant_max_upper_bound: float | None = None
    scale_min_lower_bound: float | None = None
    scale_max_upper_bound: float | None = None
    scale_exact_match: float | None = None
    zero_point_exact_match: int | None = None

    @classmethod
    def of(cls, dtype: DTypeWithConstraints) -> "Constraints":
        """dtype: a DTypeWithConstraints of qnative or upstream. Bounds that no scale and no value
        of the dtype can break are left out."""
        values = {name: getattr(dtype, name) for name in _NAMES}
        if storage := STORAGE_DTYPES.get(dtype.dtype):
            info, low, high = torch.iinfo(storage), *_NAMES[:2]
            if values[low] is not None and values[low] <= info.min:
                values[low] = None
            if values[high] is not None and values[high] >= info.max:
                values[high] = None
        least = values["scale_min_lower_bound"]
        if least is not None and least <= 0:
            values["scale_min_lower_bound"] = None
        return cls(**values)

    @property
    def fixed(self) -> tuple[float, int] | None:
        """The scale and zero point, if both are given."""
        scale, zero_point = self.scale_exact_match, self.zero_point_exact_match
        return None if scale is None or zero_point is None else (scale, zero_point)

    def quant_range(self, dtype: torch.dtype) -> tuple[int, int]:
        """The smallest and the largest value of a storage dtype that keep the bounds."""
        info, low, high = torch.iinfo(dtype), self.quant_min_lower_bound, self.quant_max_upper_bound
        return (
            info.min if low is None else math.ceil(low),
            info.max if high is None else math.floor(high),
        )

    def without_fixed(self) -> "Constraints":
        return Constraints(*(getattr(self, name) for name in _NAMES[:4]))

    def broken(self, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> str:
        """Says which constraint these parameters (numbers or tensors) break; "" if none."""
        scale, zero_point = torch.as_tensor(scale).float(), torch.as_tensor(zero_point)
        if why := self.range_broken(quant_min, quant_max):
            return why
        low, high = _float32(self.scale_min_lower_bound), _float32(self.scale_max_upper_bound)
        least, most = float(scale.min()), float(scale.max())
        if low is not None and not least >= low:
            return f"has scale {least:g}, below scale_min_lower_bound {low:g}"
        if high is not None and not most <= high:
            return f"has scale {most:g}, above scale_max_upper_bound {high:g}"
        if self.fixed:
            exact, zero = _float32(self.scale_exact_match), self.zero_point_exact_match
            if least != exact or most != exact:
                other = least if least != exact else most
                return f"has scale {other:g}, scale_exact_match is {exact:g}"
            if bool((zero_point != zero).any()):
                other = int(zero_point[zero_point != zero].flatten()[0])
                return f"has zero point {other}, zero_point_exact_match is {zero}"
        return ""

    def broken_by_observer(self, observer: Any) -> str:
        """Says which constraint an observer or fake quantization cannot keep, whatever data it
        sees; "" if none."""
        low, high = getattr(observer, "quant_min", None), getattr(observer, "quant_max", None)
        if low is not None and high is not None and (why := self.range_broken(low, high)):
            return why
        inner = getattr(observer, "activation_post_process", observer)
        eps, least = getattr(inner, "eps", None), _float32(self.scale_min_lower_bound)
        if least is not None and eps is not None and float(eps) < least:
            return f"has eps {float(eps):g}, below scale_min_lower_bound {least:g}"
        if self.fixed:
            if not type(inner).__name__.startswith("FixedQParams"):
                scale, zero = self.scale_exact_match, self.zero_point_exact_match
                return (
                    f"has {type(inner).__name__}, but scale and zero point are fixed to "
                    f"({scale:g}, {zero}): it takes a FixedQParamsObserver"
                )
            exact = Constraints(
                scale_exact_match=self.scale_exact_match,
                zero_point_exact_match=self.zero_point_exact_match,
            )
            return exact.broken(inner.scale, inner.zero_point, 0, 0)
        return ""

    def range_broken(self, quant_min: int, quant_max: int) -> str:
        low, high = self.quant_min_lower_bound, self.quant_max_upper_bound
        if low is not None and quant_min < low:
            return f"has quant_min {quant_min}, below quant_min_lower_bound {low:g}"
        if high is not None and quant_max > high:
            return f"has quant_max {quant_max}, above quant_max_upper_bound {high:g}"
        return ""


NONE = Constraints()


@dataclass(frozen=True)
class Limits:
    """The constraints on the input, the output and the weight of a DTypeConfig."""

    input: Constraints = NONE
    output: Constraints = NONE
    weight: Constraints = NONE

    @classmethod
    def of(cls, dtypes: DTypeConfig) -> "Limits":
        """dtypes: a DTypeConfig of qnative or upstream.

        Fixed parameters that input and output have in common are those of the output: upstream
        gives both to sigmoid, tanh and hardsigmoid, but their input has its own range.
        """
        input, output, weight = (
            Constraints.of(getattr(dtypes, f"{role}_dtype_with_constraints"))
            for role in ("input", "output", "weight")
        )
        if input.fixed and _fixed(input) == _fixed(output):
            input = input.without_fixed()
        return cls(input, output, weight)


NO_LIMITS = Limits()


def _fixed(limits: Constraints) -> tuple[float | None, int | None]:
    return limits.scale_exact_match, limits.zero_point_exact_match


def _refuse(role: str, why: str, row: str) -> None:
    raise Unsupported(f"its {role} {why} (row {row})")


def check_possible(dtypes: DTypeConfig, row: str) -> None:
    """Unsupported if no scale, zero point or range can keep the constraints of a DTypeConfig. row:
    the pattern of its row, in words."""
    for role in ("input", "output", "weight"):
        dtype = getattr(dtypes, f"{role}_dtype_with_constraints")
        if dtype.dtype not in STORAGE_DTYPES:
            continue
        limits, info = Constraints.of(dtype), torch.iinfo(STORAGE_DTYPES[dtype.dtype])
        low, high = limits.quant_min_lower_bound, limits.quant_max_upper_bound
        low, high = info.min if low is None else low, info.max if high is None else high
        if limits.fixed:
            scale, zero = limits.fixed
            if not (0 < scale < math.inf and low <= zero <= high):
                why = f"is fixed to ({scale:g}, {zero}), which cannot be a scale and a zero point"
                _refuse(role, f"{why} in [{low:g}, {high:g}]", row)
        elif not low <= 0 <= high:
            why = f"is limited to [{low:g}, {high:g}]: observers need a 0 among the values"
            _refuse(role, why, row)


def check_run_time(dtypes: DTypeConfig, row: str) -> None:
    """Unsupported if a DTypeConfig constrains an input that is quantized at run time: that takes
    the whole range of its dtype and the scale of its values."""
    limits = Limits.of(dtypes).input
    info = torch.iinfo(STORAGE_DTYPES.get(dtypes.input_dtype, torch.uint8))
    if why := limits.range_broken(info.min, info.max):
        _refuse("input", f"is quantized at run time and {why}", row)
    names = [name for name in _NAMES[2:] if getattr(limits, name) is not None]
    if names:
        why = f"is quantized at run time with the scale of its values: nothing keeps {names[0]}"
        _refuse("input", f"{why} {getattr(limits, names[0]):g}", row)
