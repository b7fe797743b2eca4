"""Static float16: every op of the legacy native config runs in a kernel of qnative."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import BackendPatternConfig, get_test_only_legacy_native_backend_config
from qnative.backend_config.native import default_op_fp16_dtype_config
from support.checks import through_trace
from support.coverage.models import One, Two
from support.nets import kernels_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def quantize(function, inputs, *more_rows, **options):
    config = get_test_only_legacy_native_backend_config()
    for pattern in more_rows:
        row = BackendPatternConfig(pattern).add_dtype_config(default_op_fp16_dtype_config)
        config.set_backend_pattern_config(row)
    if not isinstance(function, nn.Module):
        function = (One if len(inputs) == 1 else Two)(function)
    options = {"recipe": "fp16", "backend_config": config, "strict": True, **options}
    return qnative.quantize(function.eval(), inputs, **options)


def torch_ops(quantized):
    names = [str(n.target) for n in quantized.graph.nodes if n.op == "call_function"]
    return [name for name in names if not name.startswith(("qnative.", "aten.to."))]


def check(quantized, function, inputs, kernels, bound=1e-3):
    """Exactly these kernels, close to float32, and the same bits from a TorchScript file."""
    assert kernels_of(quantized) == kernels
    assert not torch_ops(quantized)
    y, want = quantized(*inputs), function(*inputs)
    assert y.dtype == torch.float32 and torch.equal(y, y.half().float())
    assert (y - want).norm() <= bound * want.norm()
    loaded = through_trace(quantized, inputs, check_trace=False)
    assert torch.equal(loaded(*inputs), y)


def image():
    return torch.randn(2, 5, 8, 9)


BINARY = {
    "sum": (lambda x, y: x + y, ["add_fp16"]),
    "sum with alpha and relu": (lambda x, y: F.relu(torch.add(x, y, alpha=2)), ["add_fp16"]),
    "difference": (lambda x, y: torch.sub(x, y, alpha=0.5), ["add_fp16"]),
    "reversed difference": (lambda x, y: torch.rsub(x, y, alpha=2.0), ["add_fp16"]),
    "product and relu6": (lambda x, y: F.relu6(x * y), ["mul_fp16"]),
    "matmul and clamp": (lambda x, y: torch.matmul(x, y).clamp(-1, 2), ["matmul_fp16"]),
}


@pytest.mark.parametrize("name", BINARY)
def test_ops_of_two_tensors(name):
    torch.manual_seed(0)
    function, kernels = BINARY[name]
    inputs = (image()[..., :8], image()[..., :8])
    more = ["sub", "rsub"] if "difference" in name else []
    quantized = quantize(function, inputs, *more)
    check(quantized, function, inputs, kernels)


UNARY = {
    "x + 1.5": (lambda x: x + 1.5, ["pointwise_fp16"]),
    "add with alpha": (lambda x: torch.add(x, 0.5, alpha=3.0), ["pointwise_fp16"]),
    "relu(x * 0.3)": (lambda x: F.relu(x * 0.3), ["pointwise_fp16"] * 2),
    "1.5 - x": (lambda x: 1.5 - x, ["pointwise_fp16"]),
    "x // 0.5": (lambda x: x // 0.5, ["pointwise_fp16"]),
    "sigmoid": (torch.sigmoid, ["pointwise_fp16"]),
    "tanh": (torch.tanh, ["pointwise_fp16"]),
    "hardsigmoid": (F.hardsigmoid, ["pointwise_fp16"]),
    "relu": (F.relu, ["pointwise_fp16"]),
    "relu6": (F.relu6, ["pointwise_fp16"]),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 0.75), ["pointwise_fp16"]),
    "clamp": (lambda x: torch.clamp(x, max=0.5), ["pointwise_fp16"]),
    "softmax": (lambda x: F.softmax(x, 1), ["softmax_fp16"]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), ["max_pool2d"]),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False, divisor_override=5),
        ["avg_pool2d_fp16"],
    ),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2), ["avg_pool3d_fp16"]),
    "adaptive_avg_pool2d": (
        lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
        ["adaptive_avg_pool2d_fp16"],
    ),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), ["mean_fp16"]),
    "mean of all": (lambda x: x.mean(), ["mean_fp16"]),
    **{
        mode: (partial(F.interpolate, scale_factor=2, mode=mode), ["interpolate_fp16"])
        for mode in ("nearest", "bilinear", "bicubic")
    },
    "interpolate to a size": (
        lambda x: F.interpolate(x, (5, 11), mode="bilinear", align_corners=True),
        ["interpolate_fp16"],
    ),
}


@pytest.mark.parametrize("name", UNARY)
def test_ops_of_one_tensor(name):
    torch.manual_seed(0)
    function, kernels = UNARY[name]
    x = image().half().float()  # so that both take the floor of the same numbers
    more = {"1.5 - x": ["rsub"]}.get(name, [])
    check(quantize(function, (x,), *more), function, (x,), kernels)


def test_values_stay_float16_between_ops():
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            y = F.relu(self.a(x) + x * 0.5)
            return torch.stack([self.b(y).reshape(-1, 4, 2), y.view(-1, 4, 2)]).mean(0)

    model, x = Net(), torch.randn(3, 8)
    quantized = quantize(model, (x,))
    kernels = ["linear_fp16", "pointwise_fp16", "add_fp16", "linear_fp16", "mean_fp16"]
    assert kernels_of(quantized) == kernels
    casts = [n.args[1] for n in quantized.graph.nodes if "aten.to" in str(n.target)]
    assert casts.count(torch.float32) == 1 and set(casts) == {torch.float16, torch.float32}
    want = model(x).detach()
    assert (quantized(x) - want).norm() <= 2e-3 * want.norm()


def test_long_sums():
    torch.manual_seed(0)
    inputs = torch.randn(2, 40_000), torch.randn(40_000, 3)
    check(quantize(torch.matmul, inputs), torch.matmul, inputs, ["matmul_fp16"], 2e-3)


def test_one_tensor_is_cast_once():
    x = torch.randn(3, 4)
    quantized = quantize(lambda x: x * x, (x,))
    casts = [n.args[1] for n in quantized.graph.nodes if "aten.to" in str(n.target)]
    assert casts == [torch.float16, torch.float32]


def test_ops_that_no_config_asks_for_run_in_torch():
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    quantized = quantize(lambda x: F.layer_norm(x, [8]), (x,), "layer_norm")
    assert torch_ops(quantized) == ["aten.layer_norm.default"]
    assert (quantized(x) - F.layer_norm(x, [8])).norm() <= 2e-3 * x.norm()


@pytest.mark.parametrize("function", [lambda x: x // 1e300, lambda x: x + 1e300])
def test_numbers_beyond_float32_stay_float(function):
    x = torch.randn(3, 8)
    quantized = quantize(function, (x,), strict=False)
    assert not kernels_of(quantized)
    (row,) = quantized.report.float_rows
    assert row.reason == "its argument other is 1e+300"
