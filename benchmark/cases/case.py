"""A case, and the inputs, weights and parameters that cases share.

Only speeds are compared, so inputs stay in 0..127, where no engine of torch saturates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ENGINES = ("onednn", "x86", "fbgemm", "qnnpack")
SCALE, ZERO_POINT = 0.05, 64
Y_SCALE, Y_ZERO_POINT = 0.1, 32
X, Y = (SCALE, ZERO_POINT), (Y_SCALE, Y_ZERO_POINT, torch.uint8)
# After relu, as quantizers choose it; onnxruntime fuses relu for zero point 0 only.
Y_RELU = (Y_SCALE, 0, torch.uint8)
ops = torch.ops.qnative


@dataclass(frozen=True)
class Case:
    """functions: "qnative", "torch ...", "onnxruntime", "OpenVINO" and "fp32" -> one run.

    operations: multiplications and additions, or output elements for ops that have none.
    limit: "products" (int8 peak), "copy" (copying `moved` bytes) or "none".
    """

    op: str
    name: str
    operations: int
    functions: dict[str, Callable[[], Tensor]]
    limit: str = "products"
    moved: int = 0


def random_input(*shape: int) -> Tensor:
    x = torch.randint(0, 128, shape, dtype=torch.uint8)
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


def quantized(x: Tensor, scale: float = SCALE, zero_point: int = ZERO_POINT) -> Tensor:
    """The same bytes as a quint8 tensor."""
    return torch._make_per_tensor_quantized_tensor(x, scale, zero_point)


def engines() -> Iterator[str]:
    """Engines of this build of torch; each is the active one while the loop body packs."""
    before = torch.backends.quantized.engine
    for engine in ENGINES:
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
            yield engine
    torch.backends.quantized.engine = before


class Weight:
    """One weight in the form of each competitor."""

    def __init__(self, *shape: int):
        self.int8 = torch.randint(-64, 64, shape, dtype=torch.int8)
        self.scale = torch.rand(shape[0]) * 0.01 + 0.001
        self.zero_point = torch.zeros(shape[0], dtype=torch.int64)
        self.bias = torch.randn(shape[0])
        self.shape = list(shape)
        self.float = self.int8 * self.scale.reshape(-1, *[1] * (len(shape) - 1))
        self.quantized = torch._make_per_channel_quantized_tensor(
            self.int8, self.scale.double(), self.zero_point, 0
        )

    def pack(self, prepack: Callable, *args) -> Iterator[tuple[str, object]]:
        """(name, packed weight) of each engine of this build of torch."""
        for engine in engines():
            yield f"torch {engine}", prepack(self.quantized, self.bias, *args)
