"""Observers, rounding of weights and bias correction."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.calibration import rounding
from qnative.calibration.observers import HistogramObserver, PerChannelWeightObserver
from support.nets import Tied, kernels_of

UINT8 = {"dtype": torch.uint8, "quant_min": 0, "quant_max": 255}
INT8 = {"dtype": torch.int8, "quant_min": -128, "quant_max": 127}


def observe(*tensors, **kwargs):
    observer = HistogramObserver(**(UINT8 | kwargs))
    for tensor in tensors:
        observer(tensor)
    scale, zero_point = observer.calculate_qparams()
    return scale.item(), zero_point.item()


def error_of(x, scale, zero_point, least=0, most=255):
    codes = ((x / scale).round() + zero_point).clamp(least, most)
    return ((codes - zero_point) * scale - x).square().mean().item()


@pytest.mark.parametrize("kind", [UINT8, INT8])
@pytest.mark.parametrize("make", [torch.randn, torch.rand, lambda n: torch.randn(n).exp()])
def test_histogram_observer_beats_the_full_range(make, kind):
    torch.manual_seed(0)
    x = make(20000)
    scale, zero_point = observe(x, **kind)
    low, high = min(x.min().item(), 0.0), x.max().item()
    full = (high - low) / 255
    limits = kind["quant_min"], kind["quant_max"]
    full_error = error_of(x, full, limits[0] - round(low / full), *limits)
    # Bins are at least 1/2048 of the range: a bound is off by less than one bin.
    assert error_of(x, scale, zero_point, *limits) <= full_error * 1.01
    assert 0.09 * full < scale <= full * 1.001


@pytest.mark.parametrize(("count", "share"), [(1000, 1.1), (30_000, 1.1), (1_000_000, 0.6)])
def test_histogram_observer_clips_outliers(count, share):
    """The more values there are, the more an outlier is clipped."""
    torch.manual_seed(0)
    x = torch.randn(count)
    x[0] = 60.0
    scale, zero_point = observe(x)
    highs = torch.linspace(1, 60, 100).tolist()
    low = x.min().item()
    tried = [(high - low) / 255 for high in highs]
    errors = [error_of(x, step, -round(low / step)) for step in tried]
    # Both searches are grids.
    assert error_of(x, scale, zero_point) <= 1.03 * min(errors)
    assert scale < share * 60 / 255


def test_histogram_does_not_depend_on_the_order():
    torch.manual_seed(0)
    parts = [torch.randn(1000) * 2.0**i for i in range(-6, 7, 3)]
    forward, backward = (HistogramObserver(**UINT8) for _ in range(2))
    for part in parts:
        forward(part)
    for part in reversed(parts):
        backward(part)
    assert forward.limit == backward.limit and forward.counts.sum() == 5000
    # Merging bins moves no value to another bin; only values on a bin's edge may differ.
    assert (forward.counts - backward.counts).abs().sum() <= 4


@pytest.mark.parametrize("value", [0.0, 3.5, -3.5, 1e-30, 1e30])
def test_constant_activations(value):
    scale, zero_point = observe(torch.full((10,), value))
    assert scale > 0 and 0 <= zero_point <= 255
    assert error_of(torch.full((10,), value), scale, zero_point) <= max(abs(value) / 250, 1e-6) ** 2


def test_the_largest_numbers_have_a_range():
    largest = torch.finfo(torch.float32).max
    scale, zero_point = observe(torch.tensor([-largest, 0.0, 1.0, largest]), torch.ones(3))
    assert 1e35 < scale < largest and 0 <= zero_point <= 255
    assert observe(torch.full((9,), -largest))[1] == 255


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_must_be_finite(bad):
    with pytest.raises(ValueError, match="must be finite"):
        HistogramObserver(**UINT8)(torch.tensor([1.0, bad]))


def test_observers_need_data():
    observer = HistogramObserver(**UINT8)
    observer(torch.empty(0, 3))
    with pytest.raises(ValueError, match="no calibration data reached x"):
        observer.calculate_qparams()
    with pytest.raises(ValueError, match="no calibration data reached weight"):
        PerChannelWeightObserver(**INT8).calculate_qparams()


def test_histogram_observer_is_affine():
    with pytest.raises(ValueError, match="per_tensor_affine"):
        HistogramObserver(**UINT8, qscheme=torch.per_tensor_symmetric)


def test_weight_observer_uses_all_codes():
    weight = torch.tensor([[-1.0, 0.5], [0.25, 2.54], [0.0, 0.0]])
    observer = PerChannelWeightObserver(**INT8, qscheme=torch.per_channel_symmetric)
    observer(weight)
    scale, zero_point = observer.calculate_qparams()
    assert scale[:2].tolist() == pytest.approx([1 / 128, 2.54 / 127])
    assert scale[2] > 0 and not zero_point.any()


@pytest.mark.parametrize(
    ("shape", "weight_shape", "stride", "padding", "dilation", "groups"),
    [
        ((2, 3, 7, 8), (4, 3, 3, 2), (2, 1), (1, 1, 0, 0), (1, 2), 1),
        ((2, 6, 5, 5), (6, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 6),
        ((1, 4, 6, 6), (6, 2, 2, 2), (2, 2), (0, 1, 0, 1), (1, 1), 2),
        ((2, 4, 9), (6, 2, 3), (2,), (0, 2), (2,), 2),
        ((2, 3, 4, 5, 6), (4, 3, 2, 3, 2), (2, 1, 1), (1, 0, 0, 2, 1, 1), (1, 2, 1), 1),
    ],
)
def test_patches_are_what_convolutions_multiply(
    shape, weight_shape, stride, padding, dilation, groups
):
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(weight_shape)
    generator = torch.Generator().manual_seed(0)
    rest = (weight_shape, stride, padding, dilation, groups)
    patches = rounding.conv_patches(x, *rest, 10**6, generator)
    dims = len(stride)
    padded = F.pad(x, [p for i in reversed(range(dims)) for p in padding[2 * i : 2 * i + 2]])
    conv = getattr(F, f"conv{dims}d")
    want = conv(padded, weight, None, stride, 0, dilation, groups)
    got = weight.reshape(groups, weight_shape[0] // groups, -1) @ patches
    assert torch.allclose(got.flatten(0, 1), want.transpose(0, 1).flatten(1), atol=1e-5)
    assert rounding.conv_patches(x, *rest, 5, generator).shape == (*patches.shape[:2], 5)


def test_rows_are_what_linear_multiplies():
    x = torch.randn(2, 3, 5)
    generator = torch.Generator().manual_seed(0)
    patches = rounding.linear_patches(x, 100, generator)
    assert torch.equal(patches, x.view(6, 5).t().unsqueeze(0))
    assert rounding.linear_patches(x, 4, generator).shape == (1, 5, 4)


def rounding_case(groups, n, k, seed=0):
    """A weight, its scale, and correlated inputs."""
    torch.manual_seed(seed)
    weight, scale = torch.randn(n, k), torch.full((n,), 0.4)
    mix = torch.randn(groups, k, k) @ torch.diag(torch.linspace(0.05, 2, k))
    inputs = mix @ torch.randn(groups, k, 4000) + torch.randn(groups, k, 1)
    moments = rounding.InputMoments.zeros(groups, k)
    moments.update(inputs[:, :, :1500])
    moments.update(inputs[:, :, 1500:])
    return weight, scale, inputs, moments


def output_error(weight, rounded, bias_error, inputs):
    groups = inputs.shape[0]
    difference = (rounded - weight).reshape(groups, -1, weight.shape[1]) @ inputs
    return (difference.flatten(0, 1) - bias_error.unsqueeze(1)).square().mean().item()


@pytest.mark.parametrize(("groups", "n", "k"), [(1, 16, 200), (8, 8, 9), (2, 6, 70)])
def test_rounding_keeps_outputs(groups, n, k):
    weight, scale, inputs, moments = rounding_case(groups, n, k)
    nearest = rounding.nearest(weight, scale, -128, 127)
    rounded = rounding.round_weight(weight, scale, -128, 127, moments)
    codes = rounded / 0.4
    assert torch.allclose(codes, codes.round(), atol=1e-4)
    errors = [
        output_error(weight, value, rounding.mean_error(weight, value, moments), inputs)
        for value in (nearest, rounded)
    ]
    assert errors[1] < 0.6 * errors[0]
    # The bias absorbs the mean error exactly.
    assert errors[0] < output_error(weight, nearest, torch.zeros(n), inputs)


def test_rounding_finds_the_best_of_all():
    """Two weights, strongly correlated inputs: the best of the 4 roundings is known."""
    weight, scale = torch.tensor([[0.45, 0.45]]), torch.ones(1)
    base = torch.randn(1, 1, 5000, generator=torch.Generator().manual_seed(0))
    moments = rounding.InputMoments.zeros(1, 2)
    moments.update(torch.cat([base, base * 1.01], 1))
    rounded = rounding.round_weight(weight, scale, -128, 127, moments)
    assert rounded.sum() == 1  # nearest gives 0 + 0 and loses 0.9 of the input


def test_rounding_stays_in_range():
    weight, _, _, moments = rounding_case(1, 4, 30)
    scale = weight.abs().amax(1) / 3
    codes = rounding.round_weight(weight, scale, -2, 3, moments) / scale.unsqueeze(1)
    assert codes.min() >= -2.001 and codes.max() <= 3.001


@pytest.mark.parametrize(
    ("mean", "deviation"),
    [(1e4, 1e-3), (1.0, 0.0), (1e20, 1.0)],
    ids=["steady", "constant", "huge"],
)
def test_inputs_whose_variation_float32_cannot_hold(mean, deviation):
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 40, generator=g)
    scale = weight.abs().amax(1) / 127
    moments = rounding.InputMoments.zeros(1, 40)
    for _ in range(4):
        moments.update(mean + deviation * torch.randn(1, 40, 100, generator=g))
    rounded = rounding.round_weight(weight, scale, -128, 127, moments)
    assert (rounded / scale.unsqueeze(1)).round().sub(
        rounded / scale.unsqueeze(1)
    ).abs().max() < 1e-4
    # At most a few steps.
    assert ((rounded - weight).abs() <= 4 * scale.unsqueeze(1)).all()


def test_inputs_that_are_always_zero():
    weight, scale, _, _ = rounding_case(1, 4, 10)
    moments = rounding.InputMoments.zeros(1, 10)
    moments.update(torch.zeros(1, 10, 50))
    rounded = rounding.round_weight(weight, scale, -128, 127, moments)
    assert torch.allclose(rounded, rounding.nearest(weight, scale, -128, 127))


def sqnr(got, want):
    return 10 * math.log10(want.square().sum() / (got - want).square().sum())


class Deep(nn.Module):
    """Depthwise and pointwise layers with weights of very different magnitude, as in MobileNets."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU6()]
        for _ in range(4):
            layers += [nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU6()]
            layers += [nn.Conv2d(16, 16, 1), nn.ReLU6()]
        self.layers = nn.Sequential(*layers)
        with torch.no_grad():
            for conv in self.layers:
                if isinstance(conv, nn.Conv2d):
                    conv.weight *= torch.randn_like(conv.weight).exp()
                    conv.weight *= 1.5 / conv.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    def forward(self, x):
        return self.layers(x).mean((2, 3))


def test_calibrated_rounding_and_bias_correction_reduce_the_error():
    torch.manual_seed(0)
    model = Deep().eval()
    images = [F.avg_pool2d(torch.randn(4, 3, 40, 40), 5, 1, 2) * 3 for _ in range(12)]
    results = {}
    with torch.no_grad():
        want = torch.cat([model(x) for x in images[8:]])
        for rounding_mode, bias in (("nearest", False), ("nearest", True), ("calibrated", True)):
            quantized = qnative.quantize(
                model,
                (images[0],),
                images[:8],
                weight_rounding=rounding_mode,
                bias_correction=bias,
            )
            got = torch.cat([quantized(x) for x in images[8:]])
            results[rounding_mode, bias] = sqnr(got, want)
    assert results["nearest", True] > results["nearest", False]
    assert results["calibrated", True] > results["nearest", True]


def test_shared_weights_are_rounded_to_nearest():
    torch.manual_seed(0)
    model = Tied()
    quantized = qnative.quantize(model, (torch.randn(4, 6),), [torch.randn(4, 6)] * 3)
    (packed,) = (value for value in quantized.state_dict().values() if value.dtype is torch.int8)
    codes = torch.ops.qnative.linear_unpack(packed, [6, 6])
    scale = torch.maximum(model.fc.weight.amax(1) / 127, model.fc.weight.amin(1) / -128)
    assert torch.equal(codes, (model.fc.weight / scale.unsqueeze(1)).round().to(torch.int8))
    assert kernels_of(quantized) == ["linear", "linear"]


def test_merged_histograms_are_those_of_all_values():
    torch.manual_seed(0)
    parts = [torch.randn(3000) * 2.0**i for i in (-4, 3, 0)]
    whole, merged = HistogramObserver(**UINT8), HistogramObserver(**UINT8)
    for part in parts:
        whole(part)
        one = HistogramObserver(**UINT8)
        one(part)
        one.calculate_qparams()
        merged.merge(one)
        merged.calculate_qparams()  # is not kept when more comes
    merged.merge(HistogramObserver(**UINT8))  # has seen nothing
    assert merged.limit == whole.limit and (merged.counts - whole.counts).abs().sum() <= 4
    assert merged.calculate_qparams()[0] == pytest.approx(whole.calculate_qparams()[0], rel=0.01)
    # Other limits give other scales.
    narrow = HistogramObserver(**(UINT8 | {"quant_max": 127}))
    narrow.merge(whole)
    assert narrow.calculate_qparams()[0] > 1.5 * whole.calculate_qparams()[0]


def test_signal_to_noise_of_a_histogram():
    torch.manual_seed(0)
    x = torch.randn(20000)
    observer = HistogramObserver(**UINT8)
    observer(x)
    for scale, zero_point in ((0.03, 128), (0.3, 128), (0.03, 0)):
        wanted = 10 * math.log10(x.square().mean().item() / error_of(x, scale, zero_point))
        got = observer.sqnr(torch.tensor(scale), torch.tensor(zero_point))
        assert got == pytest.approx(wanted, abs=0.1)
