"""Convolutions and transposed convolutions of all dimensions, lowered, with BatchNorm."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.graph.fold import fold_batch_norm
from support.checks import relative_error, through_trace
from support.nets import kernels_of

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
SIZES = {1: (23,), 2: (9, 10), 3: (5, 6, 7)}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def normed(layer, dims, *rest):
    """layer, a BatchNorm with random statistics, and the following modules."""
    channels = layer.out_channels if dims else layer.out_features
    norm = NORMS[dims or 1](channels)
    for tensor, low, high in (
        *((norm.running_mean, -1, 1), (norm.running_var, 0.5, 2)),
        *((norm.weight, -1.5, 1.5), (norm.bias, -1, 1)),
    ):
        nn.init.uniform_(tensor, low, high)
    return nn.Sequential(layer, norm, *rest)


# name: (dimensions, constructor, ops)
NETS = {
    **{
        f"conv{d}d_bn_relu": (
            d,
            lambda d=d: normed(CONVS[d](6, 10, 3, padding=1, bias=False), d, nn.ReLU()),
            [f"conv{d}d"],
        )
        for d in (1, 2, 3)
    },
    **{
        f"conv{d}d_groups": (
            d,
            lambda d=d: CONVS[d](6, 9, 2, stride=2, padding=2, dilation=2, groups=3),
            [f"conv{d}d"],
        )
        for d in (1, 3)
    },
    **{
        f"conv{d}d_same": (
            d,
            lambda d=d: nn.Sequential(CONVS[d](6, 6, 3, padding="same", groups=6), nn.ReLU6()),
            [f"conv{d}d"],
        )
        for d in (1, 3)
    },
    "conv1d_padded": (
        *(1, lambda: nn.Sequential(nn.ZeroPad1d((2, 1)), nn.Conv1d(6, 5, 4, padding=1))),
        ["conv1d"],
    ),
    "conv3d_padded": (
        *(3, lambda: nn.Sequential(nn.ZeroPad3d((2, 1, 0, 1, 1, 1)), nn.Conv3d(6, 5, 2))),
        ["conv3d"],
    ),
    **{
        f"conv_transpose{d}d": (
            d,
            lambda d=d: TRANSPOSED[d](6, 7, 3, stride=2, padding=1, output_padding=1),
            [f"conv_transpose{d}d"],
        )
        for d in (1, 2, 3)
    },
    **{
        f"conv_transpose{d}d_groups_bn_relu": (
            d,
            lambda d=d: normed(TRANSPOSED[d](6, 8, 2, stride=2, groups=2), d, nn.ReLU()),
            [f"conv_transpose{d}d"],
        )
        for d in (1, 2, 3)
    },
    "encoder_decoder": (
        2,
        lambda: nn.Sequential(
            normed(nn.Conv2d(6, 8, 3, stride=2, padding=1), 2, nn.ReLU()),
            normed(nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1), 2, nn.ReLU()),
        ),
        ["conv2d", "conv_transpose2d"],
    ),
}


def build(name):
    torch.manual_seed(0)
    dims, make, kernels = NETS[name]
    g = torch.Generator().manual_seed(0)
    batches = [torch.randn(8, 6, *SIZES[dims], generator=g) for _ in range(3)]
    return make().eval(), batches, kernels


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", NETS)
def test_net_is_quantized(name):
    model, batches, kernels = build(name)
    quantized = qnative.quantize(model, (batches[0],), batches, strict=True)
    assert kernels_of(quantized) == kernels
    norms = [row for row in quantized.report.rows if "batch_norm" in row.op]
    assert len(norms) == sum(isinstance(m, tuple(NORMS.values())) for m in model.modules())
    assert all(row.verdict == "fused" for row in norms)
    loaded = through_trace(quantized, batches[0][:3])
    for x in (batches[0], batches[1][:1]):
        with torch.no_grad():
            y, want = quantized(x), model(x)
            assert y.shape == want.shape
            # Two 8-bit tensors: an error of a few steps of 1/255 of the range.
            assert relative_error(y, want) < 0.03
            assert torch.equal(loaded(x), y)
    assert quantized(batches[0][:0]).shape == (0, *model(batches[0]).shape[1:])


@pytest.mark.parametrize("name", ["conv1d_groups", "conv_transpose2d_groups_bn_relu"])
def test_without_a_batch(name):
    model, batches, kernels = build(name)
    if "bn" in name:
        model = nn.Sequential(model[0], model[2])  # BatchNorm needs a batch
    singles = [x[0] for x in batches]
    options = {"dynamic_shapes": None, "strict": True}
    quantized = qnative.quantize(model, (singles[0],), singles, **options)
    assert kernels_of(quantized) == kernels
    with torch.no_grad():
        assert relative_error(quantized(singles[0]), model(singles[0])) < 0.03


def test_weights_of_transposed_convolutions_are_rounded_to_nearest():
    model, batches, _ = build("conv_transpose2d")
    report = qnative.quantize(model, (batches[0],), batches).report
    assert any("rounded to nearest, it is transposed" in note for note in report.notes)


LAYERS = {
    **{f"conv{d}d": (d, lambda d=d: CONVS[d](6, 4, 2, groups=2)) for d in (1, 2, 3)},
    **{
        f"conv_transpose{d}d": (d, lambda d=d: TRANSPOSED[d](6, 8, 2, groups=2, bias=False))
        for d in (1, 2, 3)
    },
    "linear": (0, lambda: nn.Linear(6, 5)),
}


def exported(model, *inputs):
    return torch.export.export(model, inputs).module()


def kinds_in(module):
    return [str(node.target) for node in module.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_batch_norm_is_folded(name, affine):
    torch.manual_seed(0)
    dims, make = LAYERS[name]
    model = normed(make(), dims).eval()
    if not affine:
        model[1].weight = model[1].bias = None
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(3, 6, *(SIZES[dims] if dims else ()))
    module = exported(model, x)
    with torch.no_grad():
        fold_batch_norm(module)
        assert not any("batch_norm" in target for target in kinds_in(module))
        # float32 sums in another order.
        torch.testing.assert_close(module(x), model(x), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class TwoReaders(nn.Module):
    """The layer's output is also used without BatchNorm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = normed(nn.Conv2d(6, 4, 1), 2)

    def forward(self, x):
        y = self.conv(x)
        return y + self.norm(y)


class TwoNorms(nn.Module):
    """One layer before two BatchNorms."""

    def __init__(self):
        super().__init__()
        self.conv, self.a = normed(nn.Conv1d(6, 6, 1), 1)
        self.b = normed(nn.Conv1d(6, 6, 1), 1)[1]

    def forward(self, x):
        return self.b(self.conv(F.relu(self.a(self.conv(x)))))


def test_a_layer_with_another_reader_is_not_folded():
    torch.manual_seed(0)
    model, x = TwoReaders().eval(), torch.randn(2, 6, 5, 5)
    module = exported(model, x)
    with torch.no_grad():
        fold_batch_norm(module)
        assert torch.equal(module(x), model(x))
    assert any("batch_norm" in target for target in kinds_in(module))


def test_a_layer_may_have_several_norms():
    torch.manual_seed(0)
    model, x = TwoNorms().eval(), torch.randn(2, 6, 9)
    module = exported(model, x)
    with torch.no_grad():
        fold_batch_norm(module)
        assert not any("batch_norm" in target for target in kinds_in(module))
        torch.testing.assert_close(module(x), model(x), rtol=1e-5, atol=1e-5)


def test_channels_of_linear_and_norm_differ_in_three_dimensions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)).eval()
    nn.init.uniform_(model[1].running_mean)
    x = torch.randn(2, 5, 6)
    module = exported(model, x)
    with torch.no_grad():
        fold_batch_norm(module)
        assert torch.equal(module(x), model(x))


@pytest.mark.parametrize("recipe", ["dynamic", "dynamic_fp16"])
def test_direct_recipes_fold_too(recipe):
    torch.manual_seed(0)
    model, x = normed(nn.Linear(16, 8), 0, nn.ReLU()).eval(), torch.randn(5, 16)
    quantized = qnative.quantize(model, (x,), recipe=recipe, strict=True)
    assert [row.verdict for row in quantized.report.rows] == ["quantized", "fused", "fused"]
    with torch.no_grad():
        assert relative_error(quantized(x), model(x)) < 0.03
