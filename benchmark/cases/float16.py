"""Cases of ops from float16 to float16, beside torch's own float16 and float32."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.cases.case import Case, ops

# (qnative, torch in float16 and float32), functions of x.
FLOAT16: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "add_fp16": (lambda x: ops.add_fp16(x, x), lambda x: x + x),
    "mul_fp16": (lambda x: ops.mul_fp16(x, x), lambda x: x * x),
    "sigmoid_fp16": (lambda x: ops.pointwise_fp16(x, "sigmoid"), torch.sigmoid),
    "gelu_fp16": (lambda x: ops.pointwise_fp16(x, "gelu"), F.gelu),
    "softmax_fp16": (lambda x: ops.softmax_fp16(x, -1), lambda x: torch.softmax(x, -1)),
    "matmul_fp16": (
        lambda x: ops.matmul_fp16(x, x.transpose(-2, -1)),
        lambda x: x @ x.transpose(-2, -1),
    ),
    "max_pool2d_fp16": (
        lambda x: ops.max_pool2d(x, [3, 3], [2, 2], [1, 1]),
        lambda x: F.max_pool2d(x, 3, 2, 1),
    ),
    "avg_pool2d_fp16": (
        lambda x: ops.avg_pool2d_fp16(x, [2, 2], [2, 2], [0, 0], False, True, None),
        lambda x: F.avg_pool2d(x, 2, 2),
    ),
    "adaptive_avg_pool2d_fp16": (
        lambda x: ops.adaptive_avg_pool2d_fp16(x, [1, 1]),
        lambda x: F.adaptive_avg_pool2d(x, 1),
    ),
    "mean_fp16": (lambda x: ops.mean_fp16(x, [2, 3], False), lambda x: x.mean([2, 3])),
    "interpolate_fp16": (
        lambda x: ops.interpolate_fp16(x, None, [2.0], "bilinear", False),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    ),
}


def float16(op: str, batch: int, channels: int, height: int, width: int) -> Case:
    """Images in channels_last; softmax along rows, matmul of x and its transpose."""
    x = torch.randn(batch, channels, height, width).half()
    if op not in ("softmax_fp16", "matmul_fp16"):
        x = x.contiguous(memory_format=torch.channels_last)
    float_x = x.float()
    mine, theirs = FLOAT16[op]
    y = mine(x)
    operations = 2 * y.numel() * width if op == "matmul_fp16" else y.numel()
    functions = {
        "qnative": lambda: mine(x),
        "torch half": lambda: theirs(x),
        "fp32": lambda: theirs(float_x),
    }
    limit = "none" if op == "matmul_fp16" else "copy"
    shape = f"{batch}x{channels}x{height}x{width}"
    return Case(op, shape, operations, functions, limit, x.nbytes + y.nbytes)
