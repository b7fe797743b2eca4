"""Hypothesis strategies of the property tests. Tensors come from a drawn seed, which shrinks well
and is faster than drawing elements."""

import torch
import torch.nn.functional as F
from hypothesis import settings
from hypothesis import strategies as st
from torch._prims_common import suggest_memory_format

from support.reference import RANGES

EXAMPLES = 200
# The same examples in every run: a failure in CI is reproducible.
repeatable = settings(derandomize=True, deadline=None, max_examples=EXAMPLES, print_blob=False)

seeds = st.integers(0, 2**32 - 1)
dtypes_8bit = st.sampled_from([torch.uint8, torch.int8])
dtypes_any = st.sampled_from([torch.uint8, torch.int8, torch.int16])
scales = st.one_of(st.floats(1e-3, 1e2), st.sampled_from([1e-9, 2.0**-7, 1.0, 1e6]))
activations = st.sampled_from(
    [("none", []), ("relu", []), ("relu6", []), ("clamp", [-1.5, 2.25]), ("clamp", [0.5, 0.5])]
)
layouts = st.integers(0, 5)  # kinds of strided()


@st.composite
def qparams(draw, dtype):
    low, high = RANGES[dtype]
    if dtype == torch.int16:
        return draw(scales), 0
    return draw(scales), draw(st.sampled_from([low, high, 0, 1, 37, high - 3]))


@st.composite
def pools(draw, rank):
    """A shape [N, C, ...] with `rank` spatial dimensions; (kernel_size, stride, padding) of a
    window that fits; dilation; output_size of an adaptive pool."""
    kernel, stride, output_size, size = (
        draw(st.lists(st.integers(1, most), min_size=rank, max_size=rank)) for most in (4, 3, 9, 7)
    )
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    dilation = [draw(st.integers(1, 2)) for _ in kernel]
    size = [max(n, (k - 1) * d + 1) for n, k, d in zip(size, kernel, dilation, strict=True)]
    shape = [draw(st.integers(0, 2)), draw(st.integers(1, 40)), *size]
    return shape, (kernel, stride, padding), dilation, output_size


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def integers(shape, dtype, g: torch.Generator) -> torch.Tensor:
    """Full range; a quarter of the tensors hold only the extremes."""
    low, high = RANGES[dtype]
    x = torch.randint(low, high + 1, shape, dtype=dtype, generator=g)
    if torch.randint(4, (1,), generator=g) == 0:
        x = torch.where(x < (low + high) // 2, low, high).to(dtype)
    return x


def strided(x: torch.Tensor, kind: int) -> torch.Tensor:
    """The same values with other strides."""
    if kind == 1 and x.dim() >= 3:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if kind == 2 and x.dim():
        return x.repeat_interleave(2, dim=-1)[..., ::2]
    if kind == 3 and x.dim() >= 2:
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if kind == 4 and x.dim():  # inside a larger tensor, at an odd address
        return torch.nn.functional.pad(x, (1, 1))[..., 1:-1]
    if kind == 5 and x.dim():
        return x.movedim(0, -1).contiguous().movedim(-1, 0)
    return x


def has_format_of(y: torch.Tensor, x: torch.Tensor, rank: int) -> bool:
    """Whether y has the memory format of x, for any rank, with or without batch."""

    def image(t: torch.Tensor) -> torch.Tensor:
        batch = t if t.dim() == rank + 2 else t[None]
        return batch.unsqueeze(2) if rank == 1 else batch

    return image(y).is_contiguous(memory_format=suggest_memory_format(image(x)))


def fitting_scale(k: int, x_scale: float, w_scale: float) -> float:
    """A y_scale under which sums of k products of full-range values use the whole output range."""
    return max(x_scale * w_scale * 74 * 74 * k**0.5 / 64, 1e-30)


def significant_strides(x):
    return [stride for size, stride in zip(x.shape, x.stride(), strict=True) if size > 1]


@st.composite
def broadcastable(draw):
    shape = draw(st.lists(st.integers(0, 7), max_size=5))
    other = [size if draw(st.booleans()) else 1 for size in shape]
    other = other[draw(st.integers(0, len(other))) :]
    return (shape, other) if draw(st.booleans()) else (other, shape)


FUNCTIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
}


MODES = {
    1: ["nearest", "nearest-exact", "linear"],
    2: ["nearest", "nearest-exact", "bilinear", "bicubic"],
    3: ["nearest", "nearest-exact", "trilinear"],
}
