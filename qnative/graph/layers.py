"""Linear, convolution and recurrent calls: their kinds, and the padding of convolutions."""

from collections.abc import Sequence
from typing import Any

# Kinds by the number of their dimensions.
CONVS = {f"conv{d}d": d for d in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{d}d": d for d in (1, 2, 3)}

RECURRENT = ("lstm", "gru", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")


def for_each_dimension(values: Any, dims: int) -> list[int]:
    """A number for each dimension, where one can stand for all."""
    values = [values] if isinstance(values, int) else list(values)
    return values * dims if len(values) == 1 else values


def conv_sides(args: dict[str, Any], weight_shape: Sequence[int]) -> list[int]:
    """The padding of a convolution, "same" and "valid" included, as the number of values before and
    after those of each dimension: [top, bottom, left, right]."""
    dims = len(weight_shape) - 2
    padding = args["padding"]
    if padding == "valid":
        return [0] * 2 * dims
    if padding != "same":
        return [side for side in for_each_dimension(padding, dims) for _ in range(2)]
    dilation = for_each_dimension(args["dilation"], dims)
    totals = [d * (k - 1) for d, k in zip(dilation, weight_shape[2:], strict=True)]
    return [side for total in totals for side in (total // 2, total - total // 2)]
