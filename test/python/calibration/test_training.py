"""Quantization-aware training in PT2E: prepare_qat_pt2e, training steps, lowering."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchao.quantization.pt2e import (
    FakeQuantize,
    FakeQuantizeBase,
    MovingAveragePerChannelMinMaxObserver,
    disable_observer,
    move_exported_model_to_eval,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

import qnative
from support.nets import kernels_of

X = torch.randn(4, 4, 9, 9, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Each kind of layer that absorbs the next BatchNorm, with and without relu."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)
        self.second, self.last_norm = nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.up_norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        x = self.last_norm(self.second(x)) + x[:, :, 1:-1, 1:-1]
        x = F.relu(self.up_norm(self.up(x)))
        return self.linear(x.mean((2, 3)))


def trained(quantizer, model=None, steps=10):
    torch.manual_seed(0)
    batch = ({0: torch.export.Dim.AUTO},)
    model = (model or Net()).train()
    exported = torch.export.export(model, (X,), dynamic_shapes=batch).module()
    prepared = prepare_qat_pt2e(exported, quantizer)
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (prepared(X) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 2
    return move_exported_model_to_eval(prepared)


@pytest.fixture(scope="module")
def prepared():
    return trained(qnative.Quantizer(is_qat=True))


def test_lowered_model_equals_fake_quantization(prepared):
    simulated = copy.deepcopy(prepared).apply(disable_observer)
    lowered = qnative.lower(convert_pt2e(copy.deepcopy(prepared)))
    assert not lowered.report.float_rows, str(lowered.report)
    assert kernels_of(lowered) == ["conv2d", "conv2d", "add", "conv_transpose2d", "mean", "linear"]
    with torch.no_grad():
        want, got = simulated(X), lowered(X)
        # The output is not quantized; earlier, a tie may round differently.
        assert (got - want).abs().max() < 0.02 * want.abs().max()
        assert lowered(X[:1]).shape == (1, 3)
    traced = torch.jit.trace(lowered, X)
    assert torch.equal(traced(X[:3]), lowered(X[:3]))


def test_training_sees_the_quantization(prepared):
    """Weights are quantized too; nothing between a layer, its BatchNorm and its activation is."""
    fakes = [m for m in prepared.modules() if isinstance(m, FakeQuantizeBase)]
    weights = {tuple(m.scale.shape) for m in fakes if m.qscheme == torch.per_channel_symmetric}
    assert weights == {(6,), (4,), (3,)}
    activations = [m for m in fakes if m.qscheme == torch.per_tensor_affine]
    # The input, the first and second convolution, the sum and the transposed convolution; the mean
    # shares that of its input.
    assert len({id(m) for m in activations}) == 5


def test_custom_fake_quantization():
    """Its with_args and the row's arguments reach torchao in one call, with the channel axis."""
    own = FakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=0.5
    )
    prepared = trained(qnative.Quantizer(is_qat=True, weight_observer=own), steps=6)
    fakes = [m for m in prepared.modules() if isinstance(m, FakeQuantize)]
    constants = {getattr(m.activation_post_process, "averaging_constant", None) for m in fakes}
    assert 0.5 in constants and 1.0 not in constants
    lowered = qnative.lower(convert_pt2e(prepared))
    assert not lowered.report.float_rows, str(lowered.report)
