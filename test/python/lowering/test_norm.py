"""Normalizations, softmax and prelu: the lowered op, its error, save and load."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from support.checks import through_trace
from support.nets import kernels_of


class Call(nn.Module):
    """A function with parameters."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.values = nn.ParameterList(torch.rand(shape) + 0.5 for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.values)


class InPlace(nn.Module):
    """BatchNorm and an in-place relu."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x):
        return F.relu_(self.norm(x))


ROWS, SIGNAL, IMAGE, VOLUME = (50, 6), (4, 6, 9), (4, 6, 7, 5), (2, 6, 3, 4, 5)
STATS = {"track_running_stats": True}
# op of the graph -> name -> constructor and input shape
NETS = {
    "layer_norm": {
        "module": (lambda: nn.LayerNorm(6), ROWS),
        "without bias": (lambda: nn.LayerNorm((7, 5), bias=False), IMAGE),
        "without affine": (lambda: nn.LayerNorm(9, elementwise_affine=False), SIGNAL),
        "function": (lambda: Call(lambda x: F.layer_norm(x, (9,), eps=1e-3)), SIGNAL),
        "function with weight": (lambda: Call(lambda x, w: F.layer_norm(x, (6,), w), 6), ROWS),
    },
    "group_norm": {
        "module": (lambda: nn.GroupNorm(3, 6), IMAGE),
        "module 1d": (lambda: nn.GroupNorm(1, 6), SIGNAL),
        "without affine": (lambda: nn.GroupNorm(2, 6, affine=False), VOLUME),
        "function": (lambda: Call(lambda x, w, b: F.group_norm(x, 2, w, b), 6, 6), IMAGE),
    },
    "instance_norm": {
        "1d": (lambda: nn.InstanceNorm1d(6), SIGNAL),
        "2d": (lambda: nn.InstanceNorm2d(6, affine=True), IMAGE),
        "3d": (lambda: nn.InstanceNorm3d(6, affine=True), VOLUME),
        "1d with statistics": (lambda: nn.InstanceNorm1d(6, **STATS), SIGNAL),
        "2d with statistics": (lambda: nn.InstanceNorm2d(6, affine=True, **STATS), IMAGE),
        "3d with statistics": (lambda: nn.InstanceNorm3d(6, **STATS), VOLUME),
        "function": (lambda: Call(F.instance_norm), IMAGE),
    },
    "batch_norm": {
        "1d of rows": (lambda: nn.BatchNorm1d(6), ROWS),
        "1d": (lambda: nn.BatchNorm1d(6), SIGNAL),
        "2d": (lambda: nn.BatchNorm2d(6, affine=False), IMAGE),
        "3d": (lambda: nn.BatchNorm3d(6), VOLUME),
        "1d relu": (lambda: nn.Sequential(nn.BatchNorm1d(6), nn.ReLU()), SIGNAL),
        "2d relu": (lambda: nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()), IMAGE),
        "3d relu": (lambda: nn.Sequential(nn.BatchNorm3d(6), nn.ReLU()), VOLUME),
        "relu in place": (InPlace, IMAGE),
    },
    "softmax": {
        "last": (lambda: nn.Softmax(-1), SIGNAL),
        "channels": (lambda: nn.Softmax(1), IMAGE),
        "function": (lambda: Call(lambda x: F.softmax(x, 2)), VOLUME),
    },
    "prelu": {
        "several weights": (lambda: nn.PReLU(6), IMAGE),
        "several weights of rows": (lambda: nn.PReLU(6), ROWS),
        "function": (lambda: Call(F.prelu, 6), SIGNAL),
    },
    "lookup": {
        "one weight": (lambda: nn.PReLU(), IMAGE),
        "function": (lambda: Call(F.prelu, 1), ROWS),
    },
}
CASES = [
    pytest.param(op, *case, id=f"{op}-{name}")
    for op, table in NETS.items()
    for name, case in table.items()
]


def build(make):
    """A model in eval mode with different weights and statistics per channel."""
    torch.manual_seed(0)
    model = make().eval()
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point():
            spread = (0.5, 2.0) if name.endswith("var") else (-1.0, 1.5)
            nn.init.uniform_(value.data, *spread)
    return model


def quantize(model, shape, **options):
    batches = [torch.randn(shape) for _ in range(4)]
    return batches, qnative.quantize(model, (batches[0],), batches, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("op, make, shape", CASES)
def test_model(op, make, shape):
    model = build(make)
    batches, quantized = quantize(model, shape, strict=True)
    assert kernels_of(quantized) == [op]
    assert "batch size: dynamic" in quantized.report.notes
    loaded = through_trace(quantized, batches[0])
    for x in (*batches, torch.randn(7, *shape[1:])):
        with torch.no_grad():
            y, expected = quantized(x), model(x)
        assert torch.equal(loaded(x), y) and y.shape == expected.shape
        # Input and output are rounded to 1/256 of their ranges; the op amplifies the first error.
        error = (y - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        assert error < 0.03


@pytest.mark.parametrize("op, make, shape", CASES)
def test_without_the_op_it_stays_float(op, make, shape):
    """Shows that test_model can fail."""
    config = qnative.backend_config.BackendConfig("empty")
    _, quantized = quantize(build(make), shape, backend_config=config)
    assert not kernels_of(quantized) and quantized.report.float_rows


@pytest.mark.parametrize(
    "make, op",
    [(lambda: nn.LayerNorm(6), "layer_norm"), (lambda: nn.Softmax(1), "softmax")],
    ids=["layer_norm", "softmax"],
)
def test_float_output(make, op):
    """An output without 8-bit readers is not rounded."""
    _, ends = quantize(build(make), ROWS)
    (node,) = [n for n in ends.graph.nodes if f"qnative.{op}" in str(n.target)]
    assert node.args[-1] is torch.float32
    _, goes_on = quantize(build(lambda: nn.Sequential(make(), nn.Linear(6, 3))), ROWS)
    assert kernels_of(goes_on) == [op, "linear"]
    (node,) = [n for n in goes_on.graph.nodes if f"qnative.{op}" in str(n.target)]
    assert node.args[-1] is torch.uint8


def test_between_convolutions():
    """No quantize node in between; BatchNorm before a convolution is its own op."""
    model = build(
        lambda: nn.Sequential(
            *(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.GroupNorm(2, 8)),
            *(nn.PReLU(8), nn.Conv2d(8, 4, 1)),
        )
    )
    batches, quantized = quantize(model, IMAGE, strict=True)
    assert kernels_of(quantized) == ["batch_norm", "conv2d", "group_norm", "prelu", "conv2d"]
    targets = [str(node.target) for node in quantized.graph.nodes]
    assert sum("quantize_per_tensor" in target for target in targets) == 1
    with torch.no_grad():
        y, expected = quantized(batches[0]), model(batches[0])
    assert (y - expected).square().mean().sqrt() < 0.05 * expected.square().mean().sqrt()


@pytest.mark.parametrize(
    "make, shape, reason",
    [
        (
            lambda: nn.BatchNorm2d(6, track_running_stats=False),
            IMAGE,
            "it normalizes with the statistics of the batch",
        ),
        (
            lambda: Call(lambda x: F.layer_norm(x, (6,), x[0])),
            ROWS,
            "its weight is computed, not a constant",
        ),
        (
            lambda: Call(lambda x: F.softmax(x, 1, dtype=torch.float64)),
            ROWS,
            "its dtype argument is torch.float64",
        ),
    ],
    ids=["batch_norm", "layer_norm", "softmax"],
)
def test_reasons(make, shape, reason):
    _, quantized = quantize(build(make), shape)
    assert reason in [row.reason for row in quantized.report.float_rows]


def test_a_batch_norm_does_not_make_quantization_slow(monkeypatch):
    """convert_pt2e exports 96 training patterns if the graph has a batch norm."""
    from torchao.quantization.pt2e import qat_utils

    monkeypatch.setattr(qat_utils, "_get_aten_graph_module_for_pattern", None)
    x = torch.randn(IMAGE)
    quantized = qnative.quantize(nn.BatchNorm2d(6), (x,), [x])
    assert kernels_of(quantized) == ["batch_norm"]
