"""Observers: ranges of values from calibration data."""

import math
from typing import Any

import torch

from .._torchao import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    UniformQuantizationObserverBase,
)
from ..page import Edge

_BINS = 4096
# Smallest share of a bound that the search for the best range tries.
_MIN_SHARE = 0.1
_STEPS = 64
# Parts of a histogram in a report.
_SHOWN = 48
# Larger values count as this: a range of twice this width is still a float32.
_LARGEST = 2.0**126


class HistogramObserver(UniformQuantizationObserverBase):
    """Range of an activation with the least mean squared quantization error; with the qscheme
    torch.per_tensor_symmetric, of int16 values, the largest magnitude and zero point 0.

    Keeps 4096 bins over [-2^k, 2^k]. A value outside doubles the bins' width as often as needed,
    which merges pairs of bins exactly, so that the histogram does not depend on the order of the
    data; memory is fixed. One pass over each tensor and a search at the end.

    Not a finite number: ValueError. ``origin`` names the node in it.
    """

    origin = "x"
    # Scale and zero point of what it has seen so far, once they were asked for.
    _found: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        is_word = self.dtype is torch.int16
        wanted = torch.per_tensor_symmetric if is_word else torch.per_tensor_affine
        if self.qscheme is not wanted:
            raise ValueError(
                f"qnative.HistogramObserver: qscheme must be {wanted} for {self.dtype}, got "
                f"{self.qscheme}"
            )
        self.register_buffer("counts", torch.zeros(_BINS, dtype=torch.float64))
        self.register_buffer("limit", torch.tensor(0.0))
        self.register_buffer("min_val", torch.tensor(math.inf))
        self.register_buffer("max_val", torch.tensor(-math.inf))

    @property
    def calibrated(self) -> bool:
        """Whether it has seen a value."""
        return bool(self.min_val <= self.max_val)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() == 0:
            return x
        self._found = None
        values = x.detach().float()
        low, high = torch.aminmax(values)
        if not (low.isfinite() and high.isfinite()):
            raise ValueError(
                f"qnative: values to calibrate with must be finite, {self.origin} is in "
                f"[{float(low)}, {float(high)}]"
            )
        self.min_val.copy_(torch.minimum(self.min_val, low))
        self.max_val.copy_(torch.maximum(self.max_val, high))
        largest = max(abs(float(low)), abs(float(high)))
        if largest > _LARGEST:
            values = values.clamp(-_LARGEST, _LARGEST)
        self._grow(min(largest, _LARGEST))
        limit = float(self.limit)
        self.counts += torch.histc(values, _BINS, -limit, limit).double()
        return x

    def merge(self, other: "HistogramObserver") -> None:
        """Takes in what another one has seen: the result does not depend on who saw what."""
        if not other.calibrated:
            return
        limits, others = ((o.quant_min, o.quant_max, float(o.eps)) for o in (self, other))
        self._found = other._found if not self.calibrated and limits == others else None
        self.min_val.copy_(torch.minimum(self.min_val, other.min_val))
        self.max_val.copy_(torch.maximum(self.max_val, other.max_val))
        self._grow(float(other.limit))
        counts, limit = other.counts, float(other.limit)
        while limit < float(self.limit):
            counts, limit = _halved(counts), 2 * limit
        self.counts += counts

    def _grow(self, largest: float) -> None:
        """Doubles ``limit`` until it holds ``largest``."""
        if largest == 0:
            largest = torch.finfo(torch.float32).tiny
        limit = float(self.limit)
        if limit == 0:
            limit = 2.0 ** math.ceil(math.log2(largest))
        while limit < largest:
            self.counts.copy_(_halved(self.counts))
            limit *= 2
        self.limit.fill_(limit)

    def _values(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The centres of the bins that are in use, and how many values each has: float64."""
        width = 2 * float(self.limit) / _BINS
        used = self.counts.nonzero().squeeze(1)
        centers = (used.double() + 0.5) * width - float(self.limit)
        return centers.clamp(float(self.min_val), float(self.max_val)), self.counts[used]

    def _errors(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """Sum of squared errors for each range [low, high], float64 [ranges]."""
        limits = self.quant_min, self.quant_max
        scale = ((high - low) / (limits[1] - limits[0])).double().unsqueeze(1)
        zero_point = limits[0] - (low.double().unsqueeze(1) / scale).round()
        return self._squared_errors(scale, zero_point, limits)

    def _squared_errors(
        self, scale: torch.Tensor, zero_point: torch.Tensor, limits: tuple[int, int]
    ) -> torch.Tensor:
        centers, counts = self._values()
        codes = (centers / scale).round() + zero_point
        real = (codes.clamp(*limits) - zero_point) * scale
        return ((real - centers).square() * counts).sum(-1)

    def sqnr(
        self,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        limits: tuple[int, int] | None = None,
    ) -> float:
        """Signal to quantization noise in dB of what it has seen, for this scale and zero point.
        limits: the least and the largest code; None are its own."""
        centers, counts = self._values()
        limits = limits or (self.quant_min, self.quant_max)
        signal = float((centers.square() * counts).sum())
        noise = float(self._squared_errors(scale.double(), zero_point.double(), limits).sum())
        if signal == 0 or noise == 0:
            return math.inf if noise == 0 else -math.inf
        return 10 * math.log10(signal / noise)

    def share_beyond(self, limit: float) -> float:
        """The share of what it has seen that is larger than ``limit``, or below its negative."""
        centers, counts = self._values()
        return float(counts[centers.abs() > limit].sum() / counts.sum())

    def edge(self, observer: "HistogramObserver") -> Edge:
        """What it has seen, and the range that ``observer`` chose for it."""
        scale, zero_point = (value.item() for value in observer.calculate_qparams())
        least, most = float(self.min_val), float(self.max_val)
        centers, counts = self._values()
        width = (most - least) / _SHOWN or 1.0
        place = ((centers - least) / width).long().clamp(0, _SHOWN - 1)
        shown = torch.zeros(_SHOWN, dtype=torch.float64).index_add_(0, place, counts)
        return Edge(
            name=self.origin,
            dtype=str(observer.dtype).removeprefix("torch."),
            scale=scale,
            zero_point=int(zero_point),
            low=(observer.quant_min - zero_point) * scale,
            high=(observer.quant_max - zero_point) * scale,
            least=least,
            most=most,
            counts=[int(count) for count in shown],
        )

    def _search(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One bound after the other, until neither moves."""
        low, high = self.min_val.clamp(-_LARGEST, 0), self.max_val.clamp(0, _LARGEST)
        shares = torch.linspace(_MIN_SHARE, 1, _STEPS)
        lows, highs = low * shares, high * shares
        for _ in range(8):
            previous = low, high
            high = highs[self._errors(low.expand(_STEPS), highs).argmin()]
            low = lows[self._errors(lows, high.expand(_STEPS)).argmin()]
            if previous == (low, high):
                break
        return low, high

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.calibrated:
            raise ValueError(f"qnative: no calibration data reached {self.origin}")
        if self._found is None and self.dtype is torch.int16:
            largest = torch.maximum(-self.min_val, self.max_val).clamp(max=_LARGEST)
            scale = torch.clamp(largest / self.quant_max, min=float(self.eps)).reshape(1)
            self._found = scale, torch.zeros(1, dtype=torch.int32)
        if self._found is None:
            is_zero = bool(self.min_val == 0 and self.max_val == 0)
            low, high = (self.min_val, self.max_val) if is_zero else self._search()
            self._found = self._calculate_qparams(low, high)
        return self._found

    def extra_repr(self) -> str:
        return f"min_val={float(self.min_val)}, max_val={float(self.max_val)}"


class PerChannelWeightObserver(UniformQuantizationObserverBase):
    """Zero point 0 and one scale for each output channel (dimension ``ch_axis``), such that the
    largest positive weight is at most quant_max and the most negative one at least quant_min.

    torch's symmetric observers map max|w| to 127.5, which clips the largest positive weight.
    """

    origin = "weight"
    min_val: torch.Tensor
    max_val: torch.Tensor

    def __init__(self, ch_axis: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.ch_axis = ch_axis
        self.register_buffer("min_val", torch.tensor([]))
        self.register_buffer("max_val", torch.tensor([]))

    @property
    def calibrated(self) -> bool:
        return self.min_val.numel() > 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.detach().float().movedim(self.ch_axis, 0).flatten(1)
        low, high = rows.amin(1), rows.amax(1)
        if not torch.isfinite(low + high).all():
            raise ValueError(f"qnative: weights must be finite, {self.origin} is not")
        if self.calibrated:
            low, high = torch.minimum(low, self.min_val), torch.maximum(high, self.max_val)
        self.min_val, self.max_val = low, high
        return x

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.calibrated:
            raise ValueError(f"qnative: no calibration data reached {self.origin}")
        scale = torch.maximum(self.max_val / self.quant_max, self.min_val / self.quant_min)
        return scale.clamp_min(float(self.eps)), torch.zeros_like(scale, dtype=torch.int64)


def _halved(counts: torch.Tensor) -> torch.Tensor:
    """The counts of a histogram over twice the range."""
    halved = torch.zeros_like(counts)
    halved[_BINS // 4 : 3 * _BINS // 4] = counts.view(-1, 2).sum(1)
    return halved


# Observers of activations and of weights.
DEFAULTS = (HistogramObserver, PerChannelWeightObserver)
TRAINING_DEFAULTS = (
    FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
    # The range of a weight is known exactly: no average of past ranges.
    FakeQuantize.with_args(observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0),
)
