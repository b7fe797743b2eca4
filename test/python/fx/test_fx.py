"""qnative.fx: upstream's prepare_fx, and a convert_fx that ends in qnative ops."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.ao import quantization as ao

import qnative
from qnative import fx
from qnative.backend_config import get_native_backend_config
from support.checks import relative_error, through_trace
from support.nets import kernels_of

IMAGES = (torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1)),)
ROWS = (torch.randn(6, 8, generator=torch.Generator().manual_seed(2)),)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def quantize(model, inputs=IMAGES, mapping=None, **options):
    prepared = fx.prepare_fx(model, mapping, inputs, **options)
    prepared(*inputs)
    return fx.convert_fx(prepared, backend_config=options.get("backend_config"))


def run(module, inputs=IMAGES):
    with torch.no_grad():
        return module(*inputs)


def output_scale(quantized):
    (value,) = next(iter(reversed(quantized.graph.nodes))).all_input_nodes
    assert "dequantize_per_tensor" in str(value.target)
    return value.args[1]


def check(model, inputs=IMAGES, kernels=None, mapping=None, bound=0.02, **options):
    """Checks that everything is quantized and close to the float model. 2 %: three roundings to
    1/255 of 6 standard deviations (0.7 %) in each of two layers."""
    model = model.eval()
    quantized = quantize(model, inputs, mapping, **options)
    assert not quantized.report.float_rows, str(quantized.report)
    assert relative_error(run(quantized, inputs), run(model, inputs)) < bound
    if kernels is not None:
        assert kernels_of(quantized) == kernels
    return quantized


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(32, 5)
        self.act = nn.Hardswish()
        norm = self.first[1]
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.first(x)
        x = self.pool(F.relu(self.second(x) + x))
        return self.act(self.linear(torch.flatten(x, 1)))


def test_it_agrees_with_pt2e():
    model = Residual().eval()
    quantized = check(model)
    # FX has neither calibrated rounding nor bias correction.
    plain = {"weight_rounding": "nearest", "bias_correction": False}
    other = qnative.quantize(model, IMAGES, [IMAGES], **plain)
    assert kernels_of(quantized) == kernels_of(other)
    scale = output_scale(quantized)
    assert scale == pytest.approx(output_scale(other), rel=1e-5)
    assert (run(quantized) - run(other)).abs().max() <= scale * 1.001


SCALAR = {
    "add": lambda x: F.relu(x + 0.25),
    "reversed": lambda x: F.relu(0.25 + x),
    "function": lambda x: torch.relu(torch.add(x, 0.25)),
    "method": lambda x: x.add(0.25).relu(),
    "mul": lambda x: F.relu(x * -3),
    "sub": lambda x: F.relu(x - 0.25),
    "div": lambda x: F.relu(x / 3),
    "alone": lambda x: x + 0.25,
}


@pytest.mark.parametrize("config", [None, "native"])
@pytest.mark.parametrize("name", SCALAR)
def test_arithmetic_with_a_number(name, config):
    """Upstream's add_relu takes a number too; here it is one table."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3)

        def forward(self, x):
            return SCALAR[name](self.conv(x))

    torch.manual_seed(0)
    model = Model().eval()
    prepared = fx.prepare_fx(model, None, IMAGES, backend_config=config)
    prepared(*IMAGES)
    quantized = fx.convert_fx(prepared, strict=True)
    kernels = kernels_of(quantized)
    assert kernels[0] == "conv2d" and set(kernels[1:]) == {"lookup"}
    fused = name in ("add", "reversed", "function", "mul")
    assert len(kernels) == 2 if fused or name == "alone" else len(kernels) <= 3
    assert relative_error(run(quantized), run(model).detach()) < 0.03


def test_batches_of_other_sizes_and_saved_files():
    quantized = check(Residual())
    assert "batch size: dynamic" in quantized.report.notes
    loaded = through_trace(quantized, IMAGES)
    for batch in (1, 4, 7):
        x = (torch.randn(batch, 4, 8, 8),)
        assert torch.equal(run(loaded, x), run(quantized, x))
        assert torch.equal(run(copy.deepcopy(quantized), x), run(quantized, x))


def test_models_are_not_changed():
    model = Residual().train()
    before = copy.deepcopy(model.state_dict())
    prepared = fx.prepare_fx(model, None, IMAGES)
    prepared(*IMAGES)
    first, second = fx.convert_fx(prepared), fx.convert_fx(prepared)
    assert torch.equal(run(first), run(second))
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


class Call(nn.Module):
    """A function of an input and, if ``shape`` is given, of a weight."""

    def __init__(self, function, shape=None):
        super().__init__()
        self.function = function
        self.weight = None if shape is None else nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return self.function(x) if self.weight is None else self.function(x, self.weight)


class Named(nn.Module):
    """torch.fx treats modules of torch.nn as leaves only inside other modules."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        y = self.inner(x)
        return y[0] if isinstance(self.inner, nn.LSTM) else y


TOKENS = (torch.arange(15).reshape(3, 5) % 12,)
SEQUENCES = (torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(3)),)


def norm_with_statistics():
    norm = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


# Models that upstream's convert_fx rejects or gets wrong.
UPSTREAM_FAILS = {
    "prelu": (lambda: nn.PReLU(4), IMAGES, "prelu"),
    "add with alpha": (lambda: Call(lambda x: torch.add(x, F.hardswish(x), alpha=2)), ROWS, "add"),
    "mean of a bag": (lambda: nn.EmbeddingBag(12, 8, mode="mean"), TOKENS, "embedding_bag_8bit"),
    "max of a bag": (lambda: nn.EmbeddingBag(12, 8, mode="max"), TOKENS, "embedding_bag_8bit"),
    "statistics": (norm_with_statistics, IMAGES, "instance_norm"),
    "int stride": (
        lambda: Call(lambda x, w: F.conv2d(x, w, stride=2, padding=1), (6, 4, 3, 3)),
        IMAGES,
        "conv2d",
    ),
    "int stride, transposed": (
        lambda: Call(lambda x, w: F.conv_transpose2d(x, w, stride=2), (4, 6, 3, 3)),
        IMAGES,
        "conv_transpose2d",
    ),
    "same padding": (lambda: nn.Conv2d(4, 6, 4, padding="same"), IMAGES, "conv2d"),
    "projection": (lambda: nn.LSTM(8, 6, proj_size=3), SEQUENCES, "lstm"),
    "bicubic": (
        lambda: Call(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
        IMAGES,
        "interpolate",
    ),
    "view": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3), Call(lambda x: x.view(x.size(0), -1))),
        IMAGES,
        "conv2d",
    ),
    "sigmoid_": (
        lambda: nn.Sequential(nn.Linear(8, 6), Call(lambda x: x.sigmoid_())),
        ROWS,
        "lookup",
    ),
}


@pytest.mark.parametrize("name", UPSTREAM_FAILS)
def test_models_that_upstream_rejects(name):
    make, inputs, kernel = UPSTREAM_FAILS[name]
    quantized = check(Named(make()), inputs, bound=0.015)
    assert kernels_of(quantized)[-1] == kernel


# ---- modules -----------------------------------------------------------------------------------


class Shared(nn.Module):
    """One convolution under two names, called three times; one relu for all."""

    def __init__(self, **options):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, **options)
        self.same = self.conv
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv(self.relu(self.same(self.relu(self.conv(x))))))


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_shared_modules(mode):
    quantized = check(Shared(padding_mode=mode), bound=0.03)
    assert kernels_of(quantized).count("conv2d") == 3
    packed = [name for name in quantized.state_dict() if name.endswith(".weight")]
    assert len(packed) == 1, "a weight used three times is packed once"


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_nonzero_padding_modes(d, mode):
    conv = getattr(nn, f"Conv{d}d")
    model = nn.Sequential(nn.Hardswish(), conv(4, 6, 3, padding=1, padding_mode=mode), nn.ReLU())
    inputs = (torch.randn(2, 4, *[6] * d),)
    check(model, inputs, ["lookup", f"conv{d}d"])


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(6, 4, 3, 3)), nn.Parameter(torch.randn(6))
        self.w2, self.b2 = nn.Parameter(torch.randn(5, 6)), nn.Parameter(torch.randn(5))
        self.w3, self.b3 = nn.Parameter(torch.rand(5)), nn.Parameter(torch.randn(5))

    def forward(self, x):
        x = F.conv2d(input=x, weight=self.w1, bias=self.b1, padding=1)
        x = F.linear(x.mean((2, 3)), weight=self.w2, bias=self.b2)
        return F.layer_norm(x, [5], weight=self.w3, bias=self.b3)


def test_weights_as_keyword_arguments():
    check(Keywords(), kernels=["conv2d", "mean", "linear", "layer_norm"], bound=0.04)


@pytest.mark.parametrize(
    ("norm", "kernel"),
    [
        (lambda: nn.LayerNorm([4, 8, 8], elementwise_affine=False), "layer_norm"),
        (lambda: nn.GroupNorm(2, 4, affine=False), "group_norm"),
        (lambda: nn.InstanceNorm2d(4, affine=False), "instance_norm"),
        (lambda: nn.BatchNorm2d(4, affine=False), "batch_norm"),
    ],
)
def test_norms_without_weights(norm, kernel):
    model = nn.Sequential(nn.Hardswish(), norm())
    if kernel == "group_norm":  # the native config has a row for the function only
        model = nn.Sequential(nn.Hardswish(), Call(lambda x: F.group_norm(x, 2)))
    check(model, kernels=["lookup", kernel])


def test_recurrent_and_embedding_modules_by_default():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.lstm, self.out = nn.Embedding(20, 8), nn.LSTM(8, 6), nn.Linear(6, 4)

        def forward(self, tokens):
            return self.out(self.lstm(self.table(tokens))[0])

    tokens = (torch.randint(0, 20, (5, 3)),)
    check(Tagger(), tokens, ["embedding_8bit", "lstm", "linear"])


class Countdown(nn.Module):
    """torch.fx cannot trace it, torch.export can."""

    def forward(self, x):
        while x.shape[-1] > 4:
            x = x[..., ::2] * torch.tensor(2.0)
        return x


def test_a_leaf_that_fx_cannot_trace_stays_float():
    model = nn.Sequential(nn.Linear(8, 8), Countdown(), nn.Linear(4, 3)).eval()
    with pytest.raises(RuntimeError, match="upstream rejects Sequential: TraceError"):
        quantize(model, ROWS)
    custom = ao.fx.custom_config.PrepareCustomConfig().set_non_traceable_module_classes([Countdown])
    quantized = quantize(model, ROWS, prepare_custom_config=custom)
    assert kernels_of(quantized) == ["linear", "linear"]
    assert [row.op for row in quantized.report.float_rows] == ["aten.mul.Tensor"]
    assert quantized.report.float_rows[0].module == "1"
    assert relative_error(run(quantized, ROWS), run(model, ROWS)) < 0.02


# ---- qconfigs and backend configs --------------------------------------------------------------


def test_a_module_without_qconfig_stays_float():
    mapping = fx.default_qconfig_mapping().set_module_name("1", None)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    quantized = quantize(model, ROWS, mapping)
    (row,) = quantized.report.float_rows
    assert (row.module, row.op) == ("1", "aten.linear")
    assert row.reason == "its weight is not quantized"
    prepared = fx.prepare_fx(model, mapping, ROWS)
    prepared(*ROWS)
    with pytest.raises(qnative.NotQuantizedError, match=r"aten\.linear"):
        fx.convert_fx(prepared, strict=True)


def test_upstreams_default_mapping():
    """7-bit activations, which get 8 bits here; per-channel weights."""
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    check(
        model,
        mapping=ao.get_default_qconfig_mapping("x86"),
        kernels=["conv2d", "linear"],
        bound=0.04,
    )


class SharedScales(nn.Module):
    """Ops that have no form for activations of 7 bits."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.pool, self.norm = nn.MaxPool2d(2), nn.LayerNorm(3)
        self.softmax = nn.Softmax(-1)

    def forward(self, x):
        y = self.pool(torch.cat([self.first(x), self.second(x)], 1))
        y = F.interpolate(self.norm(y), scale_factor=2.0, mode="bilinear")
        return self.softmax(F.avg_pool2d(y, 2))


@pytest.mark.parametrize("engine", ["x86", "fbgemm"])
@pytest.mark.parametrize("is_qat", [False, True])
def test_reduced_ranges_are_widened(engine, is_qat):
    torch.manual_seed(0)
    get = ao.get_default_qat_qconfig_mapping if is_qat else ao.get_default_qconfig_mapping
    mapping, x = get(engine), torch.randn(8, 4, 6, 6)
    before = mapping.global_qconfig
    mapping.set_object_type(nn.LayerNorm, ao.QConfig(before.activation, ao.PlaceholderObserver))
    prepare = fx.prepare_qat_fx if is_qat else fx.prepare_fx
    prepared = prepare(SharedScales(), mapping, (x,))
    assert mapping.global_qconfig is before
    prepared(x)
    found = [m for m in prepared.modules() if hasattr(m, "quant_max")]
    assert found and all(m.quant_max != 127 or m.dtype is torch.qint8 for m in found)
    report = fx.convert_fx(prepared).report
    assert not report.float_rows, str(report)


def test_the_default_config_has_more_than_native():
    """Rows of ours run; those that FX has no form of leave their ops in float."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.silu = nn.Linear(8, 8), nn.Linear(8, 8), nn.SiLU()

        def forward(self, x):
            y = F.gelu(self.first(x)) - self.silu(self.second(x))
            return torch.relu(torch.sub(y, torch.abs(y) / 2)).view_as(x) + 1

    torch.manual_seed(0)
    quantized = check(Net(), ROWS)
    assert not quantized.report.float_rows, str(quantized.report)
    prepared = fx.prepare_fx(Net(), None, ROWS, backend_config="native")
    prepared(*ROWS)
    assert "aten.silu" in {row.op for row in fx.convert_fx(prepared).report.float_rows}

    class Attention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    (row,) = quantize(Attention(), (torch.randn(2, 3, 8),)).report.float_rows
    assert row.op == "aten.scaled_dot_product_attention"


def test_a_chosen_range_is_not_widened():
    narrow = ao.MinMaxObserver.with_args(quant_min=0, quant_max=63)
    mapping = ao.get_default_qconfig_mapping("x86")
    mapping.set_global(ao.QConfig(narrow, mapping.global_qconfig.weight))
    prepared = fx.prepare_fx(nn.Sequential(nn.Linear(8, 5)), mapping, ROWS)
    assert {m.quant_max for m in prepared.modules() if hasattr(m, "quant_max")} == {63}


def test_weights_with_one_scale():
    weight = ao.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    activation = fx.default_qconfig_mapping().global_qconfig.activation
    mapping = ao.QConfigMapping().set_global(ao.QConfig(activation=activation, weight=weight))
    quantized = check(nn.Sequential(nn.Linear(8, 5), nn.ReLU()), ROWS, ["linear"], mapping)
    scale = quantized.state_dict()["0.weight_scale"]
    assert scale.shape == (5,) and len(scale.unique()) == 1


@pytest.mark.parametrize(
    ("qconfig", "kernel", "bound"),
    [
        (ao.default_dynamic_qconfig, "linear_dynamic", 0.02),
        (ao.float16_dynamic_qconfig, "linear_dynamic_fp16", 1e-3),
    ],
)
def test_dynamic_qconfigs(qconfig, kernel, bound):
    mapping = ao.QConfigMapping().set_global(qconfig)
    quantized = check(nn.Linear(8, 5), ROWS, None, mapping, bound)
    assert kernels_of(quantized) == [kernel]


@pytest.mark.parametrize("as_upstreams", [False, True])
def test_backend_configs_of_both_kinds(as_upstreams):
    config = get_native_backend_config()
    config = config.to_torch() if as_upstreams else config
    check(nn.Sequential(nn.Linear(8, 5), nn.ReLU()), ROWS, ["linear"], backend_config=config)


# ---- training ----------------------------------------------------------------------------------


class Trained(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        x = F.dropout(x.mean((2, 3)), 0.2, self.training)
        return self.linear(x)


def test_a_trained_model_equals_fake_quantization():
    prepared = fx.prepare_qat_fx(Trained(), None, IMAGES)
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.2)
    for _ in range(20):
        optimizer.zero_grad()
        (prepared(*IMAGES) - 1).square().mean().backward()
        optimizer.step()
    quantized = fx.convert_fx(prepared)
    assert prepared.training, "convert_fx changed the prepared model"
    assert not quantized.report.float_rows, str(quantized.report)
    # The output of dropout has its own range.
    assert kernels_of(quantized) == ["conv2d", "mean", "lookup", "linear"]
    simulated = prepared.eval().apply(ao.disable_observer)
    for node in simulated.graph.nodes:  # traced in training mode
        if node.target is F.dropout:
            node.kwargs = {**node.kwargs, "training": False}
    simulated.recompile()
    scale = output_scale(quantized)
    assert (run(quantized) - run(simulated)).abs().max() <= scale * 1.001


def test_the_range_of_a_weight_is_that_of_the_last_step():
    """Not a moving average: the weight with BatchNorm folded in changes at each step."""
    mapping = fx.default_qat_qconfig_mapping()
    observer = mapping.global_qconfig.weight()
    observer(torch.full((2, 3), 8.0))
    observer(torch.tensor([[1.0, -1.0, 0.5], [2.0, 0.0, 0.0]]))
    assert observer.calculate_qparams()[0].tolist() == pytest.approx([1 / 127.5, 2 / 127.5])


# ---- errors ------------------------------------------------------------------------------------


def test_errors_name_what_was_given():
    with pytest.raises(
        TypeError, match=r"qnative\.prepare_fx: example_inputs must be a tuple .*got list"
    ):
        fx.prepare_fx(nn.Linear(8, 5), None, list(ROWS))
    with pytest.raises(TypeError, match=r"qnative\.prepare_qat_fx: .*got Tensor"):
        fx.prepare_qat_fx(nn.Linear(8, 5), None, ROWS[0])
    for module in (nn.Linear(8, 5), torch.fx.symbolic_trace(nn.Linear(8, 5))):
        name = type(module).__name__
        with pytest.raises(ValueError, match=f"must come from .*prepare_qat_fx, got {name}"):
            fx.convert_fx(module)
    with pytest.raises(RuntimeError, match=r"upstream rejects Linear: .*qnative\.quantize takes"):
        fx.prepare_fx(nn.Linear(8, 5), "no mapping", ROWS)
