"""qnative.Quantizer: its annotations follow from the BackendConfig."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    ObservationType,
    get_native_backend_config,
)
from support.checks import python
from support.nets import convert, kernels_of

UINT8 = DTypeConfig(torch.quint8, torch.quint8, torch.qint8, torch.float)
INT8 = DTypeConfig(torch.qint8, torch.qint8, torch.qint8, torch.float)
HALF = DTypeConfig(torch.float16, torch.float, torch.float16, torch.float, is_dynamic=True)
SHARE = ObservationType.OUTPUT_SHARE_OBSERVER_WITH_INPUT
NOT_OBSERVED = ObservationType.INPUT_OUTPUT_NOT_OBSERVED


def config_of(*rows):
    """rows: (pattern, DTypeConfig) or (pattern, DTypeConfig, ObservationType)"""
    config = BackendConfig("mine")
    for pattern, dtypes, *observation in rows:
        row = BackendPatternConfig(pattern).add_dtype_config(dtypes)
        if observation:
            row.set_observation_type(observation[0])
        config.set_backend_pattern_config(row)
    return config


def lowered_with(config, model, shape):
    torch.manual_seed(0)
    quantizer = qnative.Quantizer(config)
    return qnative.lower(convert(model.eval(), lambda: torch.randn(shape), quantizer))


def reasons(lowered):
    return {row.op: row.reason for row in lowered.report.float_rows}


def qparams_of(converted):
    """(scale, zero_point, dtype) of the quantize nodes of activations, in order."""
    return [
        (node.args[1], node.args[2], node.args[5])
        for node in converted.graph.nodes
        if "quantized_decomposed.quantize_per_tensor" in str(node.target)
    ]


def conv_relu():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2))


def test_an_op_without_a_row_stays_float():
    config = config_of((nn.Conv2d, UINT8), (nn.ReLU, UINT8))
    lowered = lowered_with(config, conv_relu(), (4, 3, 6, 6))
    assert kernels_of(lowered) == ["conv2d"]
    assert reasons(lowered) == {
        "aten.max_pool2d": "the config 'mine' has no row for aten.max_pool2d"
    }


@pytest.mark.parametrize(
    ("patterns", "kernels"),
    [
        ([nn.Conv2d, nn.ReLU], ["conv2d"]),
        ([F.conv2d, "relu"], ["conv2d"]),
        ([torch.conv2d, (nn.Conv2d, F.relu)], ["conv2d"]),
        ([(nn.Conv2d, nn.ReLU)], ["conv2d"]),
        ([(nn.Conv2d, nn.BatchNorm2d, nn.ReLU)], ["conv2d"]),
        ([torch.ao.nn.intrinsic.ConvReLU2d], ["conv2d"]),
        ([nn.Conv2d], ["conv2d"]),
        ([nn.ReLU], ["lookup"]),
    ],
)
def test_names_of_a_pattern(patterns, kernels):
    config = config_of(*((pattern, UINT8) for pattern in patterns), (F.max_pool2d, UINT8, SHARE))
    lowered = lowered_with(config, conv_relu(), (4, 3, 6, 6))
    assert kernels_of(lowered) == [*kernels, "max_pool2d"]


def test_a_row_for_a_sequence_only():
    config = config_of(((nn.Conv2d, nn.ReLU), UINT8))
    lowered = lowered_with(config, nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid()), (4, 3, 6, 6))
    assert reasons(lowered)["aten.conv2d"] == "the config 'mine' has no row for aten.conv2d"


def test_a_config_may_have_rows_that_native_lacks():
    config = config_of((nn.SiLU, UINT8), (F.gelu, UINT8), (torch.ops.aten.mish.default, UINT8))
    model = nn.Sequential(nn.SiLU(), nn.GELU(), nn.Mish())
    lowered = lowered_with(config, model, (4, 6))
    assert kernels_of(lowered) == ["lookup"] * 3
    assert not lowered.report.float_rows


def test_int8_activations():
    rows = ((pattern, INT8) for pattern in (nn.Conv2d, nn.ReLU))
    config = config_of(*rows, (nn.MaxPool2d, INT8, SHARE))
    converted = convert(conv_relu(), lambda: torch.randn(4, 3, 6, 6), qnative.Quantizer(config))
    assert {dtype for _, _, dtype in qparams_of(converted)} == {torch.int8}
    lowered = qnative.lower(converted)
    assert kernels_of(lowered) == ["conv2d", "max_pool2d"]
    x = torch.randn(4, 3, 6, 6)
    with torch.no_grad():
        scale = qparams_of(converted)[-1][0]
        assert ((lowered(x) - converted(x)) / scale).abs().max() < 1.01


def test_dtypes_that_static_quantization_cannot_use():
    lowered = lowered_with(
        config_of((nn.Linear, HALF), (nn.ReLU, UINT8)),
        nn.Sequential(nn.Linear(6, 6), nn.ReLU()),
        (4, 6),
    )
    assert reasons(lowered) == {
        "aten.linear": "the config has no static 8-bit dtypes for it, only (float16 "
        "float32 float16 dynamic)"
    }


def test_not_observed():
    config = config_of((nn.Sigmoid, UINT8), (nn.Tanh, UINT8, NOT_OBSERVED))
    lowered = lowered_with(config, nn.Sequential(nn.Sigmoid(), nn.Tanh()), (4, 6))
    assert reasons(lowered) == {"aten.tanh": "the config 'mine' does not observe tanh"}


def test_observation_types():
    model, inputs = nn.ReLU6(), lambda: torch.randn(4, 60)
    shared = qnative.Quantizer(config_of((nn.ReLU6, UINT8, SHARE)))
    (a, b) = qparams_of(convert(model, inputs, shared))
    assert a == b
    own = qnative.Quantizer(config_of((nn.ReLU6, UINT8)))
    (a, b) = qparams_of(convert(model, inputs, own))
    assert a != b and b[1] == 0  # no codes for negative values


def test_cat_shares_one_observer_unless_an_input_is_fixed():
    class Cat(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            # A cat that nothing reads in 8 bits stays float.
            return F.max_pool1d(torch.cat([F.hardswish(x), self.function(x)], 1), 2)

    # Small values: the range of hardswish is smaller than that of the concatenation.
    inputs = lambda: 0.1 * torch.randn(4, 6)  # noqa: E731
    _, *params = qparams_of(convert(Cat(lambda x: F.leaky_relu(x, 0.1)), inputs))
    assert len(set(params)) == 1
    _, *params = qparams_of(convert(Cat(torch.sigmoid), inputs))
    assert len(set(params)) == 3 and params[1][:2] == (1 / 256, 0)


def test_fixed_parameters():
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.tanh(x), torch.sigmoid(x)

    converted = convert(Fixed(), lambda: 4 * torch.randn(4, 6))
    x, tanh, sigmoid = qparams_of(converted)
    assert tanh == (2 / 256, 128, torch.uint8) and sigmoid == (1 / 256, 0, torch.uint8)
    assert x[0] > 0.02  # the input has its own range


def test_limits_of_values_and_scales():
    activation = DTypeWithConstraints(
        torch.quint8, quant_min_lower_bound=0, quant_max_upper_bound=127, scale_min_lower_bound=0.5
    )
    weight = DTypeWithConstraints(torch.qint8, quant_min_lower_bound=-7, quant_max_upper_bound=7)
    config = config_of(
        (nn.Linear, DTypeConfig(activation, activation, weight, torch.float)),
        (nn.Hardswish, UINT8),
    )
    model = nn.Sequential(nn.Linear(6, 6), nn.Hardswish())
    torch.manual_seed(0)
    converted = convert(model, lambda: torch.randn(4, 6), qnative.Quantizer(config))
    assert qparams_of(converted)[0][0] == 0.5
    weights = [value for value in converted.state_dict().values() if value.dtype is torch.int8]
    assert len(weights) == 1 and weights[0].abs().max() == 7
    x = 100 * torch.randn(50, 6)
    with torch.no_grad():
        lowered = qnative.lower(converted)
        error = ((lowered(x) - converted(x)) / qparams_of(converted)[-1][0]).abs()
    assert error.max() < 1.01 and (error > 0.01).float().mean() < 0.01
    assert lowered(x).unique().numel() <= 128


def test_reasons_outside_the_config():
    class Various(nn.Module):
        def forward(self, x, ids):
            y = F.linear(x, torch.cat([x, x]))
            y = y * ids
            z = torch.ones(2, 6, dtype=torch.float64) + x.double()
            return y, F.dropout(x, 0.5, True), torch.cumsum(x, 0), z

    torch.manual_seed(0)
    model, inputs = Various(), (torch.randn(2, 6), torch.ones(2, 4, dtype=torch.int64))
    result = qnative.quantize(model, inputs, [inputs], dynamic_shapes=None)
    why = reasons(result)
    assert why["aten.linear"] == "its weight is computed, not a constant"
    assert "its argument other is torch.int64" in why["aten.mul.Tensor"]
    assert "dropout in training mode" in why["aten.dropout"]
    assert why["aten.cumsum"] == "the config 'qnative' has no row for aten.cumsum"
    assert "torch.float64" in why["aten.add.Tensor"]


def test_upstreams_own_config_gives_the_same():
    import torch.ao.quantization.quantize_fx
    from torch.ao.quantization.backend_config import get_native_backend_config as upstream

    results = []
    for config in (upstream(), get_native_backend_config(), None):
        torch.manual_seed(0)
        results.append(lowered_with(config, conv_relu(), (4, 3, 6, 6)))
    assert len({module.code for module in results}) == 1


def test_config_of_another_type():
    with pytest.raises(TypeError, match="Quantizer: backend_config must be a BackendConfig"):
        qnative.Quantizer(3)
    with pytest.raises(ValueError, match="no backend is named 'nativ'"):
        qnative.Quantizer("nativ")


def test_import_without_torchao():
    code = "import qnative, sys; assert not any(m.startswith('torchao') for m in sys.modules)"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_without_torchao_an_error_says_what_needs_it():
    code = "import sys; sys.modules['torchao'] = None; import qnative; qnative.Quantizer"
    done = python("-c", code)
    assert done.returncode == 1
    assert "ImportError: qnative.quantize, dry_run, Quantizer and" in done.stderr.splitlines()[-1]


def test_computed_weights_are_folded():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 6))
            self.register_buffer("mask", (torch.rand(5, 6) > 0.5).float())

        def forward(self, x):
            return F.linear(x, self.weight * self.mask)

    torch.manual_seed(0)
    x, model = torch.randn(64, 6), Masked()
    quantized = qnative.quantize(model, (x,), [x], strict=True)
    assert kernels_of(quantized) == ["linear"]
    error = (quantized(x) - model(x)).square().mean() / model(x).square().mean()
    assert error < 1e-4
    (row,) = (row for row in quantized.report.rows if row.op == "aten.mul.Tensor")
    assert row.reason == "computed once: it depends on parameters alone"
    # Without folding: values computed from constants are not quantized.
    lowered = qnative.lower(convert(model, lambda: torch.randn(4, 6)))
    assert reasons(lowered)["aten.mul.Tensor"] == "it computes a constant"
    assert reasons(lowered)["aten.linear"] == "its weight is computed, not a constant"
