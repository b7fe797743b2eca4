"""What calibration saw of a value, and the range that its codes have: a picture."""

from collections.abc import Callable
from dataclasses import dataclass, field

_WIDTH, _HEIGHT = 240, 60


@dataclass
class Edge:
    """A value that runs in 8 or 16 bits.

    name: of its node. dtype: of its codes, such as "uint8". scale, zero_point: real = (code -
    zero_point) * scale. low, high: the least and the greatest real value of the codes. least, most:
    those that calibration saw. counts: how many values it saw in each of as many equal parts of
    [least, most]; [] without calibration.
    """

    name: str
    dtype: str
    scale: float
    zero_point: int
    low: float
    high: float
    least: float
    most: float
    counts: list[int] = field(default_factory=list)


def figure(edge: Edge, escape: Callable[[object], str]) -> str:
    """The histogram in blue (heights: square roots), the range of the codes as a green band."""
    low, high = min(edge.low, edge.least), max(edge.high, edge.most)
    width = (high - low) or 1.0

    def x(value: float) -> float:
        return (value - low) / width * _WIDTH

    band = f'<rect class="range" x="{x(edge.low):.1f}" width="{x(edge.high) - x(edge.low):.1f}"/>'
    caption = (
        f"{escape(edge.name)}: {escape(edge.dtype)}, scale {edge.scale:.4g}, zero point "
        f"{edge.zero_point}; codes {edge.low:.4g} to {edge.high:.4g}, seen {edge.least:.4g} to "
        f"{edge.most:.4g}"
    )
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f'{band}<path class="bars" d="{_bars(edge, x)}"/></svg><figcaption>{caption}</figcaption>'
        "</figure>"
    )


def _bars(edge: Edge, x: Callable[[float], float]) -> str:
    if not edge.counts or not max(edge.counts):
        return ""
    step = (edge.most - edge.least) / len(edge.counts)
    most = max(edge.counts) ** 0.5
    path = [f"M{x(edge.least):.1f} {_HEIGHT}"]
    for i, count in enumerate(edge.counts):
        top = _HEIGHT - count**0.5 / most * (_HEIGHT - 2)
        path.append(f"V{top:.0f}H{x(edge.least + (i + 1) * step):.1f}")
    return "".join([*path, f"V{_HEIGHT}Z"])
