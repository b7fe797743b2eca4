"""Why a node makes the error that it makes."""

import math
from typing import NamedTuple

import torch
from torch.fx import Node

from ..graph import nodes as ir
from ..graph.kinds import ATTENTION, MOVES
from .codes import LOOKUP, operands, written
from .errors import Errors, Tally, decibels
from .graphs import Site

WRONG_SCALE = "wrong scale"
CONSTANT = "constant in calibration"
CLIPPED = "clipped range"
UNCALIBRATED = "uncalibrated"
WIDE = "range too wide"
MIXED = "mixed ranges in a cat"
OUTLIER = "one outlier channel"
SATURATED = "saturated activation"
DEAD = "dead channel"
WEIGHTS = "weight step"
SPREAD = "attention spread over many tokens"
ROUNDING = "rounding to 8 bits"
FLOAT_ISLAND = "float island"

# A scale is wrong for the data if one of its own would leave so many more dB.
_GAIN = 4.0
# How much larger than the median one channel, or than the smallest one operand of a cat, must be.
_LARGE = 8.0
# The share of a value, or of the mass of a softmax, beyond what its reader or scale resolves.
_MUCH = 0.25
# Where an activation has reached its ends; behind softmax e^-10 is nothing.
_ENDS = {"sigmoid": 6.0, "tanh": 3.0, "hardsigmoid": 3.0, "hardtanh": 1.0, "hardswish": 3.0}
_JOINS = ("cat", "concat", "concatenate", "stack")


class Cause(NamedTuple):
    name: str
    detail: str = ""


def cause_of(site: Site, errors: Errors) -> Cause:
    """The first that applies: a scale that its reader does not share, a range that does not fit the
    data, what the value or the op is, rounding."""
    tally = errors.tallies[site]
    if cause := _wrong_scale(site):
        return cause
    # What a node writes cannot have less error than its scale makes.
    scale = tally.clipped + tally.rounded
    if site.codes is None or tally.here > 4 * scale:
        return _of_the_op(site, tally)
    return _spread(site) or _of_the_range(site, tally, errors) or _of_the_value(site, tally, errors)


def _wrong_scale(site: Site) -> Cause | None:
    for name, source, codes in operands(site.node):
        writes = written(source)
        if writes is not None and writes.differs(codes):
            return Cause(
                WRONG_SCALE,
                f"{name} is read with scale {codes.scale:.4g} and zero point {codes.zero_point}, "
                f"{source.name} writes it with {writes.scale:.4g} and {writes.zero_point}",
            )
    return None


def _of_the_op(site: Site, tally: Tally) -> Cause:
    if ir.kind(_first(site)) == ATTENTION or ir.kind(site.value) == ATTENTION:
        return Cause(SPREAD, "the products or sums inside of the op lose more than its output does")
    if cause := _dead_channel(tally):
        return cause
    if ir.target_name(site.node) == LOOKUP:
        return Cause(ROUNDING, "a function of one 8-bit value")
    weighted = isinstance(site.node.target, torch._ops.OpOverload) and (
        "weight_scale" in ir.bind(site.node)
    )
    left = decibels(tally.signal, tally.here)
    if weighted:
        return Cause(WEIGHTS, f"8-bit weights leave {left:.0f} dB of the output")
    return Cause(ROUNDING, f"the op leaves {left:.0f} dB of its output")


def _spread(site: Site) -> Cause | None:
    """Whether the values of a softmax are below what a code resolves."""
    value = ir.tensor_of(site.value)
    if "softmax" not in ir.kind(_first(site)) or site.codes is None or value is None:
        return None
    length = value.shape[-1]
    if length * site.codes.scale <= 2:
        return None
    return Cause(SPREAD, f"{length} tokens share 1, a code is {site.codes.scale:.4g}")


def _dead_channel(tally: Tally) -> Cause | None:
    """Channels of which nothing is left, where most have something."""
    if tally.channels is None or tally.channels.shape[1] < 3:
        return None
    signal, noise = tally.channels
    left = signal / noise.clamp_min(1e-30)
    dead = ((left < 2) & (signal > 0)).nonzero().flatten().tolist()
    if not dead or float(left.median()) < 20 or len(dead) > len(left) // 4:
        return None
    return Cause(DEAD, f"nothing is left of channel {', '.join(map(str, dead[:8]))}")


def _of_the_range(site: Site, tally: Tally, errors: Errors) -> Cause | None:
    """A range that does not fit what the data has."""
    codes, seen = site.codes, tally.seen
    if codes is None or not seen.calibrated:
        return None
    if tally.dtype is torch.int16:  # steps of 16 bits cost nothing, values beyond the range do
        return _of_what_is_clipped(site, tally, errors, "")
    if tally.dtype not in (torch.uint8, torch.int8):
        return None
    zero_point = codes.zero_point + (128 if tally.dtype is torch.int8 else 0)
    now = seen.sqnr(torch.tensor(codes.scale), torch.tensor(zero_point))
    own = seen.sqnr(*seen.calculate_qparams())
    if own < now + _GAIN:
        return None
    left = f": {now:.0f} dB are left, {own:.0f} with a range of its own"
    detail = _ranges(site, tally) + left
    if (codes.scale, codes.zero_point) in ((1.0, 0), (1.0, 128)):
        return Cause(UNCALIBRATED, detail)
    if cause := _of_what_is_clipped(site, tally, errors, left):
        return cause
    if _joined(site.value) is not None or ir.kind(_first(site)) in _JOINS:
        return Cause(MIXED, detail)
    return Cause(WIDE, detail)


def _of_what_is_clipped(site: Site, tally: Tally, errors: Errors, left: str) -> Cause | None:
    """Whether most of the error is that of values beyond the range. left: what is added to it."""
    if tally.clipped <= tally.rounded:
        return None
    edges = [edge for edge in errors.pair.report.edges if edge.name == site.value.name]
    detail = _ranges(site, tally) + left
    if any(edge.least == edge.most for edge in edges):
        return Cause(CONSTANT, f"it was always {edges[0].least:.4g}; {detail}")
    return Cause(CLIPPED, detail)


def _ranges(site: Site, tally: Tally) -> str:
    assert site.codes is not None and tally.dtype is not None
    low, high = site.codes.range(tally.dtype)
    seen = tally.seen
    return (
        f"its codes reach from {low:.4g} to {high:.4g}, the data from {float(seen.min_val):.4g} to "
        f"{float(seen.max_val):.4g}"
    )


def _of_the_value(site: Site, tally: Tally, errors: Errors) -> Cause:
    if cause := _mixed(site, errors) or _saturated(site, tally):
        return cause
    if tally.largest is not None and tally.largest.numel() >= 3:
        median, most = float(tally.largest.median()), float(tally.largest.max())
        if median > 0 and most > _LARGE * median:
            channel = int(tally.largest.argmax())
            return Cause(
                OUTLIER,
                f"channel {channel} has values up to {most:.4g}, half of them below {median:.4g}",
            )
    return Cause(ROUNDING, f"its scale leaves {decibels(tally.signal, tally.rounded):.0f} dB")


def _mixed(site: Site, errors: Errors) -> Cause | None:
    """Whether a cat joins values of unlike size."""
    join = _first(site) if ir.kind(_first(site)) in _JOINS else _joined(site.value)
    if join is None:
        return None
    sizes = []
    for source in ir.bind(join)["tensors"]:
        tallies = [errors.tallies[each] for each in errors.pair.sites if each.value is source]
        sizes += [max(abs(float(t.seen.min_val)), abs(float(t.seen.max_val))) for t in tallies[:1]
                  if t.seen.calibrated]  # fmt: skip
    if len(sizes) < 2 or max(sizes) < _LARGE * min(sizes):
        return None
    texts = ", ".join(f"{size:.4g}" for size in sizes)
    return Cause(MIXED, f"{join.name} joins values up to {texts}")


def _joined(value: Node) -> Node | None:
    """The cat that reads a value, moved or not."""
    for user in value.users:
        if ir.kind(user) in _JOINS:
            return user
        if ir.kind(user) in MOVES and (found := _joined(user)) is not None:
            return found
    return None


def _saturated(site: Site, tally: Tally) -> Cause | None:
    """Whether an activation reads a value whose range is mostly beyond its ends."""
    for user in site.value.users:
        end = _ENDS.get(ir.kind(user))
        if end is None:
            continue
        share = tally.seen.share_beyond(end)
        largest = max(abs(float(tally.seen.min_val)), abs(float(tally.seen.max_val)))
        if share > _MUCH and largest > 4 * end:
            return Cause(
                SATURATED,
                f"{share:.0%} of what {user.name} reads is beyond {end:g}, up to {largest:.4g}",
            )
    return None


def _first(site: Site) -> Node:
    """The node of the float graph that gives a site's row its name."""
    for node in site.value.graph.nodes:
        if node.name == site.row:
            return node
    return site.value


def share(part: float, whole: float) -> float:
    return part / whole if whole and math.isfinite(whole) else 0.0
