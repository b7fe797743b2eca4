"""qnative.convert: models with upstream's stubs and observers, beside upstream's own convert."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn.quantized import FloatFunctional

import qnative
from support.checks import through_trace
from support.nets import kernels_of

# torch deprecates eager quantization, quantized dtypes and TorchScript; its x86 qconfig uses
# 7 bits.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)


class Net(nn.Module):
    """Every construct of eager mode quantization, with functions between the modules."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.conv, self.norm, self.relu = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        )
        self.other, self.last = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(16, 8, 1)
        self.add, self.mul, self.cat = FloatFunctional(), FloatFunctional(), FloatFunctional()
        self.hidden, self.active, self.fc = nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 5)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(self.quant(x))))
        y = self.add.add_relu(x, F.relu(self.other(x)))
        y = self.cat.cat([F.max_pool2d(y, 2), F.avg_pool2d(self.mul.mul(x, y), 2)], 1)
        y = F.hardtanh(self.last(y), -1.0, 1.5)
        y = F.adaptive_avg_pool2d(y, 1).flatten(1)
        y = self.dequant(self.fc(self.active(self.hidden(y))))
        return torch.softmax(y, -1)


def images(count=4, batch=8):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(batch, 3, 12, 12, generator=g) for _ in range(count)]


FUSED = [["conv", "norm", "relu"], ["hidden", "active"]]


def prepared(model, qconfig=None, data=None):
    model.qconfig = ao.get_default_qconfig("x86") if qconfig is None else qconfig
    result = ao.prepare(model)
    for x in images() if data is None else data:
        result(x)
    return result


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = Net().eval()
    nn.init.uniform_(model.norm.running_var, 0.5, 2.0)
    return ao.fuse_modules(model, FUSED)


@pytest.fixture(scope="module")
def observed(net):
    return prepared(net)


def error(got, want):
    return float((got - want).norm() / want.norm())


@torch.no_grad()
def test_everything_runs_in_8_bits_and_as_close_as_upstream(net, observed):
    converted = qnative.convert(observed, (images()[0],))
    assert not converted.report.float_rows, converted.report
    assert kernels_of(converted) == [
        *("conv2d", "conv2d", "lookup", "add", "max_pool2d", "mul", "avg_pool2d", "cat"),
        *("conv2d", "lookup", "adaptive_avg_pool2d", "linear", "linear", "softmax"),
    ]
    theirs = ao.convert(observed)
    for batch in (1, 8):
        x = images(1, batch)[0]
        assert error(converted(x), net(x)) < max(0.05, 1.2 * error(theirs(x), net(x)))


def test_it_runs_traced_and_exported(observed):
    converted = qnative.convert(observed, (images()[0],))
    x = images(1, 3)[0]
    loaded = through_trace(converted, images()[0])
    assert torch.equal(loaded(x), converted(x))
    shapes = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(converted, (images()[0],), dynamic_shapes=shapes)
    assert torch.equal(program.module()(x), converted(x))


def test_the_prepared_model_is_as_before(observed):
    before = str(observed), {k: v.clone() for k, v in observed.state_dict().items()}
    x = images()[0]
    qnative.convert(observed, (x,))
    assert str(observed) == before[0]
    assert all(torch.equal(v, before[1][k]) for k, v in observed.state_dict().items())


class Wrapped(nn.Module):
    """A module between the stubs."""

    def __init__(self, inner, function=None):
        super().__init__()
        self.quant, self.inner, self.dequant = ao.QuantStub(), inner, ao.DeQuantStub()
        self.function = function or (lambda x: x)

    def forward(self, x):
        return self.dequant(self.function(self.inner(self.quant(x))))


@pytest.mark.parametrize(
    ("make", "shape", "kernel"),
    [
        (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9), "conv1d"),
        (lambda: nn.Conv3d(4, 6, 3), (2, 4, 5, 5, 5), "conv3d"),
        (lambda: nn.ConvTranspose1d(4, 6, 3), (2, 4, 9), "conv_transpose1d"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 9, 8), "conv_transpose2d"),
        *(
            (lambda mode=mode: nn.Conv2d(4, 6, 3, 2, 2, padding_mode=mode), (2, 4, 9, 8), "conv2d")
            for mode in ("zeros", "reflect", "replicate", "circular")
        ),
        (lambda: nn.Linear(4, 6, bias=False), (2, 3, 4), "linear"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)), (2, 4), "linear"),
        (lambda: nn.BatchNorm2d(4), (2, 4, 5, 5), "batch_norm"),
        (lambda: nn.LayerNorm(4), (2, 3, 4), "layer_norm"),
        (lambda: nn.GroupNorm(2, 4), (2, 4, 5, 5), "group_norm"),
        (lambda: nn.Hardswish(), (2, 4), "lookup"),
        (lambda: nn.ELU(), (2, 4), "lookup"),
        (lambda: nn.Sigmoid(), (2, 4), "lookup"),
        (lambda: nn.Softmax(-1), (2, 4), "softmax"),
        (lambda: nn.PReLU(4), (2, 4, 5), "prelu"),
    ],
)
@pytest.mark.parametrize("backend", ["x86", "qnnpack"])
@torch.no_grad()
def test_modules(make, shape, kernel, backend):
    torch.manual_seed(0)
    model = Wrapped(make()).eval()
    qconfig = ao.get_default_qconfig(backend)
    if isinstance(model.inner, nn.ConvTranspose1d | nn.ConvTranspose2d):
        # Upstream's prepare rejects per-channel scales.
        qconfig = ao.QConfig(qconfig.activation, ao.default_weight_observer)
    data = [torch.randn(shape) for _ in range(8)]
    converted = qnative.convert(prepared(model, qconfig, data), (data[0],), strict=True)
    assert kernels_of(converted) == [kernel]
    assert error(converted(data[0]), model(data[0])) < 0.05


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.relu(x).transpose(1, 2).contiguous(),
        lambda x: F.interpolate(x, scale_factor=2.0, mode="linear"),
        lambda x: F.pad(x, (1, 2), mode="reflect"),
        lambda x: F.pad(x, (1, 2), mode="replicate"),
        lambda x: F.pad(x, (1, 2), mode="circular"),
        lambda x: F.pad(x, (1, 2)),
        lambda x: F.hardswish(x),
        lambda x: torch.sigmoid(x).chunk(2, 1)[1],
        lambda x: F.leaky_relu(x, 0.2).mean(2),
        lambda x: FloatFunctional().mul_scalar(x, -2.5),
        lambda x: FloatFunctional().add_scalar(x, 0.75),
    ],
)
@torch.no_grad()
def test_functions_between_the_modules(function):
    torch.manual_seed(0)
    model = Wrapped(nn.Conv1d(4, 6, 3), function).eval()
    data = [torch.randn(2, 4, 9) for _ in range(8)]
    converted = qnative.convert(prepared(model, data=data), (data[0],), strict=True)
    assert kernels_of(converted)[0] == "conv1d"
    assert error(converted(data[0]), model(data[0])) < 0.05


@torch.no_grad()
def test_quantization_aware_training():
    torch.manual_seed(0)
    model = Net().train()
    model.qconfig = ao.get_default_qat_qconfig("x86")
    model = ao.prepare_qat(ao.fuse_modules_qat(model, FUSED))
    for x in images(16):
        model(x)
    model.eval()
    converted = qnative.convert(model, (images()[0],))
    assert not converted.report.float_rows, converted.report
    assert error(converted(images()[0]), model(images()[0])) < 0.05


def test_embedding_and_dynamic_layers():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.first = nn.Embedding(20, 8), nn.Linear(8, 6)
            self.quant, self.fc, self.dequant = ao.QuantStub(), nn.Linear(6, 3), ao.DeQuantStub()

        def forward(self, x):
            return self.dequant(self.fc(self.quant(self.first(self.table(x)))))

    torch.manual_seed(0)
    model = Mixed().eval()
    model.table.qconfig = ao.float_qparams_weight_only_qconfig
    model.first.qconfig = ao.default_dynamic_qconfig
    x = torch.randint(0, 20, (5, 4))
    converted = qnative.convert(prepared(model, data=[x]), (x,), strict=True)
    assert kernels_of(converted) == ["embedding_8bit", "linear_dynamic", "linear"]
    assert [row.kernel for row in converted.report.rows] == [
        *("qnative.embedding_8bit", "qnative.linear_dynamic", "qnative.linear")
    ]
    assert error(converted(x), model(x)) < 0.05


@torch.no_grad()
def test_lstm_with_calibration():
    """Upstream's prepare replaces it by linear layers and FloatFunctionals, step by step."""

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
            self.rnn = nn.LSTM(8, 6)

        def forward(self, x):
            return self.dequant(self.rnn(self.quant(x))[0])

    torch.manual_seed(0)
    model, data = Recurrent().eval(), [torch.randn(3, 4, 8) for _ in range(8)]
    converted = qnative.convert(prepared(model, data=data), (data[0],))
    # Three steps; the initial zeros passed no stub.
    assert kernels_of(converted).count("linear") == 5
    assert sum(row.op == "aten.linear" for row in converted.report.float_rows) == 1
    assert error(converted(data[0]), model(data[0])) < 0.05


def test_tensors_without_a_stub_stay_float():
    model = nn.Sequential(nn.Linear(4, 4), ao.QuantStub(), nn.Linear(4, 4), ao.DeQuantStub())
    data = [torch.randn(8, 4)]
    observed = prepared(model.eval(), data=data)
    converted = qnative.convert(observed, (data[0],))
    (row,) = converted.report.float_rows
    assert row.module == "0" and "is not quantized" in row.reason
    with pytest.raises(qnative.NotQuantizedError, match=r"aten.linear"):
        qnative.convert(observed, (data[0],), strict=True)


def test_a_module_without_a_qconfig_stays_float():
    model = Wrapped(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))).eval()
    model.inner[1].qconfig = None
    data = [torch.randn(8, 4)]
    converted = qnative.convert(prepared(model, data=data), (data[0],))
    assert [row.module for row in converted.report.float_rows] == ["inner.1"]


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_errors(observed):
    x = torch.randn(2, 4)
    with pytest.raises(TypeError, match=r"example_inputs must be a tuple .* got Tensor"):
        qnative.convert(observed, images()[0])
    with pytest.raises(ValueError, match=r"no observers: call torch.ao.quantization.prep"):
        qnative.convert(nn.Linear(4, 4), (x,))
    with pytest.raises(ValueError, match=r"module 'inner' has seen no data: run the prepared"):
        model = Wrapped(nn.Linear(4, 4)).eval()
        model.qconfig = ao.get_default_qconfig("x86")
        fresh = ao.prepare(model)
        fresh.quant(x)
        qnative.convert(fresh, (x,))
    model = Wrapped(nn.Sequential(nn.Linear(4, 4), Branch())).eval()
    with pytest.raises(RuntimeError, match=r"torch.export rejects(.|\n)*in module 'inner.1'"):
        qnative.convert(prepared(model, data=[x]), (x,))
    model = Wrapped(nn.Linear(4, 4)).eval()
    wrong = ao.QConfig(ao.MinMaxObserver, ao.MinMaxObserver)
    with pytest.raises(ValueError, match=r"module 'inner': its weight must be qint8, got torch"):
        qnative.convert(prepared(model, wrong, [x]), (x,))
    model = nn.Sequential(nn.Embedding(3, 4), Wrapped(nn.Linear(4, 4))).eval()
    model.qconfig = ao.get_default_qconfig("x86")
    model[0].qconfig = ao.float_qparams_weight_only_qconfig
    nn.init.constant_(model[0].weight, torch.inf)
    with pytest.raises(ValueError, match="module '0': its weight has values that are not finite"):
        qnative.convert(ao.prepare(model), (torch.tensor([[0, 1]]),))
