"""Linear layers lowered straight from the float graph, and static products of activations."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import get_test_only_legacy_native_backend_config
from support.checks import relative_error, through_trace
from support.nets import kernels_of

OPS = {
    "dynamic": "linear_dynamic",
    "dynamic_fp16": "linear_dynamic_fp16",
    "fp16": "linear_fp16",
}
# Relative errors: int8 activations and weights; 11-bit weights; 11-bit activations too.
ERRORS = {"dynamic": 0.03, "dynamic_fp16": 1e-3, "fp16": 2e-3}


class FeedForward(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.a, self.b, self.activation = (
            nn.Linear(48, 96),
            nn.Linear(96, 48, bias=False),
            activation,
        )

    def forward(self, x):
        return self.b(self.activation(self.a(x)))


def quantize(model, inputs, recipe, **options):
    """Quantizes; float16 activations need the legacy config."""
    config = get_test_only_legacy_native_backend_config() if recipe == "fp16" else None
    return qnative.quantize(model, inputs, recipe=recipe, backend_config=config, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("recipe", OPS)
@pytest.mark.parametrize(
    "activation, name, args",
    [
        (F.relu, "relu", []),
        (F.relu6, "relu6", []),
        (lambda x: F.hardtanh(x, -0.5, 0.75), "clamp", [-0.5, 0.75]),
        (F.gelu, "gelu", []),
        (lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh", []),
        (F.silu, "silu", []),
        (torch.sigmoid, "sigmoid", []),
        (torch.tanh, "tanh", []),
        (F.hardswish, "hardswish", []),
    ],
)
def test_linear_and_its_activation_become_one_op(recipe, activation, name, args):
    torch.manual_seed(0)
    model, x = FeedForward(activation).eval(), torch.randn(5, 7, 48)
    quantized = quantize(model, (x,), recipe, strict=True)
    assert kernels_of(quantized) == [OPS[recipe]] * 2
    calls = [n for n in quantized.graph.nodes if OPS[recipe] in str(n.target)]
    assert [v for v in calls[0].args if isinstance(v, str)] == [name]
    if args:
        assert calls[0].args[-1] == args
    assert not list(quantized.parameters())
    y, want = quantized(x), model(x).detach()
    assert y.dtype == torch.float32
    assert relative_error(y, want) < ERRORS[recipe]
    assert torch.equal(through_trace(quantized, x)(x), y)


@pytest.mark.parametrize("config", [None, "native"])
def test_fp16_is_float16_weights_where_a_config_has_no_float16_activations(config):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.LSTM(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.fc(self.rnn(x)[0])

    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(5, 3, 8)
    quantized = qnative.quantize(model, (x,), recipe="fp16", backend_config=config)
    assert kernels_of(quantized) == ["lstm", "linear_dynamic_fp16"]
    assert relative_error(quantized(x), model(x).detach()) < 1e-3


def test_float16_stays_between_fp16_layers():
    torch.manual_seed(0)
    model, x = FeedForward(F.gelu).eval(), torch.randn(5, 48)
    quantized = quantize(model, (x,), "fp16")
    casts = [n.args[1] for n in quantized.graph.nodes if str(n.target) == "aten.to.dtype"]
    assert casts == [torch.float16, torch.float32]


def test_half_model_needs_no_casts():
    torch.manual_seed(0)
    model, x = FeedForward(F.relu).eval().half(), torch.randn(5, 48).half()
    quantized = quantize(model, (x,), "fp16", strict=True)
    assert not any("aten.to" in str(n.target) for n in quantized.graph.nodes)
    y = quantized(x)
    assert y.dtype == torch.float16
    assert relative_error(y.float(), model.float()(x.float()).detach()) < 2e-3


def test_activation_with_another_reader_is_not_fused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            y = self.fc(x)
            return F.gelu(y) + y

    torch.manual_seed(0)
    model, x = Twice(), torch.randn(3, 8)
    quantized = qnative.quantize(model, (x,), recipe="dynamic")
    (call,) = (n for n in quantized.graph.nodes if "linear_dynamic" in str(n.target))
    assert "gelu" not in call.args
    assert relative_error(quantized(x), model(x).detach()) < 0.03


def test_channels_of_zeros_and_shared_weights():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.fc.weight.data[3] = 0

        def forward(self, x):
            return self.fc(self.fc(x))

    torch.manual_seed(0)
    model, x = Shared(), torch.randn(3, 8)
    quantized = qnative.quantize(model, (x,), recipe="dynamic", strict=True)
    assert sum("weight_scale" in name for name in quantized.state_dict()) == 1
    assert relative_error(quantized(x), model(x).detach()) < 0.05


def sparse(g):
    w = torch.randn(40, 96, generator=g)
    return w * (torch.rand(40, 96, generator=g) < 0.05)


def peaked(g):
    w = torch.randn(40, 96, generator=g)
    w[3, 5], w[9, 5] = 30, -20
    return w


@pytest.mark.parametrize("magnitude", [1e-37, 1e-25, 1.0, 1e30])
@pytest.mark.parametrize("make", [sparse, peaked, lambda g: torch.zeros(40, 96)])
def test_spread_weights_are_the_weights(make, magnitude):
    w = make(torch.Generator().manual_seed(0)) * magnitude
    packed, scale, repeated = torch.ops.qnative.linear_dynamic_pack(w)
    codes = torch.ops.qnative.linear_unpack(packed, [40, 96 + len(repeated)])
    assert codes.dtype == torch.int8 and len(repeated) <= 96 / 16
    assert (scale > 0).all() and (make is not peaked or set(repeated) == {5})
    whole = codes[:, :96].double()
    for r, k in enumerate(repeated):
        whole[:, k] += codes[:, 96 + r]
    error = (whole * scale.double()[:, None] - w.double()).abs()
    assert (error <= 0.5001 * scale.double()[:, None]).all()


@pytest.mark.parametrize(
    "activation, args",
    [(nn.Identity(), ("none", [])), (nn.ReLU6(), ("relu6", [])), (nn.GELU(), ("gelu", []))],
    ids=lambda value: type(value).__name__,
)
def test_one_large_weight_costs_the_others_no_precision(activation, args):
    torch.manual_seed(0)
    linear, x = nn.Linear(384, 40), torch.randn(200, 384)
    with torch.no_grad():
        linear.weight[0, 7] = 20 * linear.weight.std()
        x[:, 7] = 0
    quantized = quantize(nn.Sequential(linear, activation), (x,), "dynamic")
    (call,) = (n for n in quantized.graph.nodes if "linear_dynamic" in str(n.target))
    assert call.args[4:] == ([40, 386], *args, [7, 7])
    with torch.no_grad():
        error = (quantized(x) - activation(linear(x)))[:, 0].square().mean()
        row = linear.weight[0]
        step = row.max() / 127
        plain = activation(x @ ((row / step).round() * step) + linear.bias[0])
        assert 4 * error < (plain - activation(linear(x))[:, 0]).square().mean()


class Attention(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.q, self.k, self.product = nn.Linear(16, 16), nn.Linear(16, 16), product

    def forward(self, x):
        return self.product(self.q(x), self.k(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "product",
    [
        lambda q, k: torch.matmul(q, k.transpose(-1, -2)),
        lambda q, k: torch.bmm(q, k.mT),
        lambda q, k: F.relu(q @ k.mT),
        lambda q, k: (q @ k.mT) / 4 + 1.5,
    ],
)
def test_static_products(product):
    torch.manual_seed(0)
    model = Attention(product).eval()
    batches = [torch.randn(4, 6, 16) for _ in range(8)]
    quantized = qnative.quantize(model, (batches[0],), batches, strict=True)
    assert "matmul" in kernels_of(quantized)
    assert relative_error(quantized(batches[0]), model(batches[0]).detach()) < 0.05
    traced = through_trace(quantized, batches[0])
    assert torch.equal(traced(batches[1]), quantized(batches[1]))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x - y,
        lambda x, y: torch.sub(x, y, alpha=0.5),
        lambda x, y: torch.rsub(x, y, alpha=2.0),
        lambda x, y: F.relu(x - y),
        lambda x, y: 1.5 - x,
        lambda x, y: x - 1.5,
        lambda x, y: 1.5 + x,
        lambda x, y: torch.add(x, 0.5, alpha=3.0),
        lambda x, y: 2 * x,
        lambda x, y: x / 3,
    ],
)
def test_arithmetic(function):
    class Op(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x):
            return function(F.hardtanh(self.a(x)), F.hardtanh(self.b(x)))

    torch.manual_seed(0)
    model, batches = Op().eval(), [torch.randn(32, 16) for _ in range(8)]
    quantized = qnative.quantize(model, (batches[0],), batches, strict=True)
    assert relative_error(quantized(batches[0]), model(batches[0]).detach()) < 0.03
