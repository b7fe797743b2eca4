"""Colours of a graph: by verdict, by error, by time."""

from typing import Any

_VERDICTS = {
    "quantized": "#bfe6bf",
    "fused": "#d6e4f7",
    "free": "#eeeeee",
    "float": "#f7c4ba",
}
_UNKNOWN = "#ffffff"
# dB where red ends and where green begins.
_BAD, _FINE = 15.0, 45.0

# What a graph can be coloured by, with values that explain the colours.
LEGEND: dict[str, list[tuple[str, Any]]] = {
    "verdict": [
        ("runs in 8 or 16 bits", "quantized"),
        ("part of another op", "fused"),
        ("only moves data", "free"),
        ("computes in floating point", "float"),
    ],
    "error": [("15 dB or less", 15.0), ("30 dB", 30.0), ("45 dB or more", 45.0)],
    "time": [("least", 0.0), ("half of the most", 0.5), ("most", 1.0)],
}


def color(by: str, value: Any) -> str:
    """by: a key of LEGEND. value: a verdict, dB, or the time as a share of the most."""
    if value is None:
        return _UNKNOWN
    if by == "verdict":
        return _VERDICTS.get(value, _UNKNOWN)
    good = (value - _BAD) / (_FINE - _BAD) if by == "error" else 1 - value
    return f"hsl({120 * min(max(good, 0.0), 1.0):.0f} 70% 78%)"
