"""Convolutions of float images, lowered straight from the float graph: recipe "dynamic"."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import qnative
from support.checks import relative_error, through_trace
from support.nets import kernels_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
SIZES = {1: (23,), 2: (9, 10), 3: (5, 6, 7)}


def with_norm(layer, dims, *rest):
    """The layer, a BatchNorm with random statistics, and the following modules."""
    norm = NORMS[dims](layer.out_channels)
    nn.init.uniform_(norm.running_mean, -1, 1)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.uniform_(norm.weight, -1.5, 1.5)
    return nn.Sequential(layer, norm, *rest)


def quantize(model, *inputs, **options):
    return qnative.quantize(model, inputs, recipe="dynamic", **options)


def check(model, x, kernels, others=()):
    """The whole model runs in these kernels; all deployments agree."""
    model = model.eval()
    quantized = quantize(model, x, strict=not others)
    assert kernels_of(quantized) == kernels
    assert [row.op for row in quantized.report.float_rows] == list(others)
    assert not list(quantized.parameters())
    y, want = quantized(x), model(x).detach()
    assert y.dtype == torch.float32 and y.shape == want.shape
    assert relative_error(y, want) < 0.03
    assert torch.equal(through_trace(quantized, x)(x), y)
    both = quantized(torch.cat([x, 3 * x]))
    if not others:  # torch's float ops round differently in larger tensors
        assert torch.equal(both, torch.cat([y, quantized(3 * x)]))
    assert relative_error(both[: len(x)], y) < 1e-6
    return quantized


def arguments(quantized, op):
    return [list(n.args) for n in quantized.graph.nodes if f"{op}_dynamic" in str(n.target)]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolution_batch_norm_and_activation_become_one_op(dims):
    torch.manual_seed(0)
    x = torch.randn(2, 6, *SIZES[dims])
    for activation, name in ((nn.ReLU(), "relu"), (nn.GELU(), "gelu"), (nn.SiLU(), "silu")):
        model = with_norm(CONVS[dims](6, 10, 3, padding=1), dims, activation)
        quantized = check(model, x, [f"conv{dims}d_dynamic"])
        assert arguments(quantized, f"conv{dims}d")[0][-1] == name
        model = with_norm(TRANSPOSED[dims](6, 10, 3, 2, 1, 1, 2), dims, activation)
        check(model, x, [f"conv_transpose{dims}d_dynamic"])


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_geometry(dims):
    torch.manual_seed(1)
    x = torch.randn(2, 6, *SIZES[dims])
    conv = CONVS[dims]
    check(conv(6, 9, 2, stride=2, padding=2, dilation=2, groups=3), x, [f"conv{dims}d_dynamic"])
    check(conv(6, 9, 3, padding="same", dilation=2), x, [f"conv{dims}d_dynamic"])
    check(conv(6, 9, 3, padding="valid", bias=False), x, [f"conv{dims}d_dynamic"])


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_depthwise_convolutions_fuse_bounds_alone(dims):
    torch.manual_seed(2)
    x, op = torch.randn(2, 6, *SIZES[dims]), f"conv{dims}d_dynamic"
    conv = CONVS[dims](6, 6, 3, padding=1, groups=6)
    check(nn.Sequential(conv, nn.ReLU6()), x, [op])
    check(nn.Sequential(conv, nn.SiLU()), x, [op], ["aten.silu"])
    check(with_norm(conv, dims, nn.SiLU()), x, [op], ["aten.silu"])


def test_zeros_around_an_image_are_padding():
    torch.manual_seed(3)
    x = torch.randn(2, 6, 9, 10)
    model = nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(6, 5, 3, padding=1))
    quantized = check(model, x, ["conv2d_dynamic"])
    assert arguments(quantized, "conv2d")[0][6] == [3, 4, 1, 2]
    assert [row.verdict for row in quantized.report.rows] == ["fused", "quantized"]
    ones = nn.Sequential(nn.ConstantPad2d(1, 1.0), nn.Conv2d(6, 5, 3))
    quantized = check(ones, x, ["conv2d_dynamic"])
    assert "pad" in str(quantized.code)


@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, parametrizations.weight_norm, parametrizations.spectral_norm]
)
def test_weight_normalization_is_folded(norm):
    """As the positions of wav2vec2 have it: dim=2."""
    torch.manual_seed(4)
    conv = nn.Conv1d(16, 16, 8, padding=4, groups=4)
    options = {} if norm is parametrizations.spectral_norm else {"dim": 2}
    with torch.no_grad():
        model = nn.Sequential(norm(conv.eval(), **options), nn.GELU()).eval()
    quantized = check(model, torch.randn(2, 16, 30), ["conv1d_dynamic"])
    assert {name.split(".")[-1] for name, _ in quantized.named_buffers()} <= {
        *("weight", "weight_scale", "bias", "weight_1", "bias_1"),
    }


def test_other_sizes():
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv1d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv1d(8, 4, 3)).eval()
    quantized = quantize(model, torch.randn(2, 1, 40))
    x = torch.randn(5, 1, 40)
    assert relative_error(quantized(x), model(x).detach()) < 0.03


def test_a_shared_convolution_is_packed_once():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    quantized = check(Shared(), torch.randn(2, 3, 8, 8), ["conv2d_dynamic"] * 2)
    weights = [name for name in quantized.state_dict() if "weight" in name]
    assert len(weights) == 2  # and its scale


def test_calls_that_stay_float():
    class Computed(nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = nn.Parameter(weight)

        def forward(self, x):
            return F.conv1d(x, self.weight.to(x.dtype) * x.mean())

    def reason(model, x):
        (row,) = [r for r in quantize(model, x).report.rows if r.op.startswith("aten.conv")]
        assert row.verdict == "float"
        return row.reason

    x = torch.randn(2, 3, 9)
    assert "its weight is computed" in reason(Computed(torch.randn(4, 3, 2)), x)
    double = nn.Conv1d(3, 4, 2).double()
    assert "its argument input is torch.float64" in reason(double, x.double())
    long = nn.Conv1d(3, 4, 21932)
    assert "it sums 65796 products" in reason(long, torch.randn(1, 3, 21932))
    infinite = nn.Conv1d(3, 4, 2)
    nn.init.constant_(infinite.weight, torch.inf)
    assert "its weight is not finite" in reason(infinite, x)


def test_native_has_no_dynamic_convolutions():
    """It is upstream's config."""
    model, x = nn.Conv2d(3, 4, 3).eval(), torch.randn(2, 3, 8, 8)
    (row,) = quantize(model, x, backend_config="native").report.rows
    assert row.verdict == "float" and "no dynamic_int8 dtypes" in row.reason


def test_a_static_recipe_takes_them_where_8_bits_must_not_be_calibrated():
    from qnative.plan.quantizer import Quantizer

    model, x = nn.Conv2d(3, 4, 3).eval(), torch.randn(2, 3, 8, 8)
    exported = torch.export.export(model, (x,)).module()
    quantizer = Quantizer()
    quantizer.choices.avoided["conv2d"] = "it loses its signal"
    (decision,) = quantizer.plan(exported).decisions.values()
    assert (decision.mode, decision.op) == ("dynamic_int8", "conv2d_dynamic")


def test_fx():
    from torch.ao.quantization import QConfigMapping, default_dynamic_qconfig

    from qnative.fx import convert_fx, prepare_fx

    torch.manual_seed(6)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    x = torch.randn(2, 3, 8, 8)
    mapping = QConfigMapping().set_global(default_dynamic_qconfig)
    quantized = convert_fx(prepare_fx(model, mapping, (x,)))
    assert kernels_of(quantized) == ["conv2d_dynamic"] * 2
    assert torch.equal(quantized(x), quantize(model, x)(x))


class Normed(nn.Module):
    """What it returns does not depend on the mean of its input."""

    def __init__(self):
        super().__init__()
        self.conv, self.next = nn.Conv1d(1, 4, 3), nn.Conv1d(4, 4, 1)
        self.linear = nn.Linear(18, 4)

    def forward(self, x):
        return self.linear(F.instance_norm(self.next(self.conv(x))))


@pytest.mark.parametrize("mean", [0.0, 300.0])
def test_they_stay_float_where_they_alone_lose_an_output(mean):
    torch.manual_seed(7)
    model, x = Normed().eval(), torch.randn(2, 1, 20) + mean
    quantized = quantize(model, x)
    rows = [row for row in quantized.report.rows if row.op.startswith("aten.conv1d")]
    assert len(rows) == 2
    if mean:
        assert all(row.verdict == "float" for row in rows)
        assert all("in 8 bits, convolutions leave an output" in row.reason for row in rows)
        assert "linear_dynamic" in kernels_of(quantized)
    else:
        assert all(row.verdict == "quantized" for row in rows)
    assert min(output.sqnr for output in quantized.report.outputs) > 20
