"""Both front ends keep the constraints of a DTypeConfig; ops that break them stay float, with the
reason in the report."""

import math

import pytest
import torch
from torch import nn
from torch.ao.quantization import (
    FixedQParamsObserver,
    MinMaxObserver,
    PerChannelMinMaxObserver,
    QConfig,
    QConfigMapping,
    default_dynamic_qconfig,
)
from torchao.quantization.pt2e import observer as pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
)
from qnative.fx import convert_fx, prepare_fx
from qnative.plan.constraints import Constraints

UINT8 = torch.quint8


def limits(dtype=UINT8, **bounds):
    return DTypeWithConstraints(dtype, **bounds)


def linear_config(activation=UINT8, output=UINT8, weight=torch.qint8):
    row = BackendPatternConfig(nn.Linear).add_dtype_config(
        DTypeConfig(activation, output, weight, torch.float)
    )
    row.set_root_module(nn.Linear)
    row.set_reference_quantized_module(torch.ao.nn.quantized.reference.Linear)
    return BackendConfig("mine").set_backend_pattern_config(row.set_ops("linear"))


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5)).eval()


INPUTS = [torch.linspace(-3, 3, 24).reshape(4, 6)]


def row_of(module):
    (row,) = (row for row in module.report.rows if row.op == "aten.linear")
    return row


def pt2e_lowered(config, strict=False, **observers):
    exported = torch.export.export(linear(), tuple(INPUTS)).module()
    prepared = prepare_pt2e(exported, qnative.Quantizer(config, **observers))
    prepared(*INPUTS)
    # A second quantized op makes the output 8-bit.
    return qnative.lower(convert_pt2e(prepared), strict=strict)


@pytest.mark.parametrize(
    ("bounds", "values", "why"),
    [
        ({"quant_min_lower_bound": 1}, {}, "has quant_min 0, below quant_min_lower_bound 1"),
        ({"quant_max_upper_bound": 100}, {}, "has quant_max 255, above quant_max_upper_bound 100"),
        ({"quant_max_upper_bound": 100}, {"quant_max": 100}, ""),
        ({"quant_min_lower_bound": -5, "quant_max_upper_bound": 300}, {}, ""),
        ({"scale_min_lower_bound": 0.6}, {}, "has scale 0.5, below scale_min_lower_bound 0.6"),
        ({"scale_max_upper_bound": 0.4}, {}, "has scale 0.5, above scale_max_upper_bound 0.4"),
        ({"scale_min_lower_bound": 0.5, "scale_max_upper_bound": 0.5}, {}, ""),
        ({"scale_min_lower_bound": 0.7}, {"scale": torch.tensor([0.7, 0.9])}, ""),
        (
            {"scale_max_upper_bound": 0.7},
            {"scale": torch.tensor([0.7, 0.9])},
            "has scale 0.9, above scale_max_upper_bound 0.7",
        ),
        (
            {"scale_exact_match": 0.1, "zero_point_exact_match": 3},
            {},
            "has scale 0.5, scale_exact_match is 0.1",
        ),
        (
            {"scale_exact_match": 0.1, "zero_point_exact_match": 3},
            {"scale": 0.1},
            "has zero point 0, zero_point_exact_match is 3",
        ),
        ({"scale_exact_match": 0.1, "zero_point_exact_match": 0}, {"scale": 0.1}, ""),
        ({"scale_exact_match": 0.1}, {}, ""),  # one bound alone has no effect, as upstream
        (
            {"scale_min_lower_bound": 0.1},
            {"scale": torch.nan},
            "has scale nan, below scale_min_lower_bound 0.1",
        ),
    ],
)
def test_what_parameters_break(bounds, values, why):
    given = {"scale": 0.5, "zero_point": 0, "quant_min": 0, "quant_max": 255} | values
    assert Constraints.of(limits(**bounds)).broken(**given) == why


class Careless(pt2e.MinMaxObserver):
    """An observer that ignores the minimal scale."""

    def __init__(self, eps=None, **kwargs):
        super().__init__(**kwargs)


class Wide(Careless):
    def calculate_qparams(self):
        return torch.tensor([4.0]), torch.tensor([0])


class WideWeights(qnative.calibration.observers.PerChannelWeightObserver):
    def calculate_qparams(self):
        scale, zero_point = super().calculate_qparams()
        return scale * 100, zero_point


@pytest.mark.parametrize(
    ("config", "observers", "why"),
    [
        (
            linear_config(limits(scale_max_upper_bound=0.5)),
            {"activation_observer": Wide},
            "its input has scale 4, above scale_max_upper_bound 0.5",
        ),
        (
            linear_config(limits(scale_max_upper_bound=1e-3)),
            {},
            "its input has scale 0.0235294, above scale_max_upper_bound 0.001",
        ),
        (
            linear_config(limits(scale_min_lower_bound=1)),
            {"activation_observer": Careless},
            "its input has scale 0.0235294, below scale_min_lower_bound 1",
        ),
        (
            linear_config(weight=limits(torch.qint8, scale_max_upper_bound=0.1)),
            {"weight_observer": WideWeights},
            "its weight has scale",
        ),
        (
            linear_config(
                weight=limits(torch.qint8, scale_exact_match=0.5, zero_point_exact_match=0)
            ),
            {},
            "its weight has scale",
        ),
    ],
)
def test_pt2e_reports_what_an_observer_breaks(config, observers, why):
    lowered = pt2e_lowered(config, **observers)
    row = row_of(lowered)
    assert row.verdict == "float" and why in row.reason
    with pytest.raises(qnative.NotQuantizedError, match=why):
        pt2e_lowered(config, strict=True, **observers)


@pytest.mark.parametrize(
    "bounds",
    [
        {"scale_min_lower_bound": 0.5},
        {"scale_min_lower_bound": 0.7, "scale_max_upper_bound": 0.7},
        {"quant_min_lower_bound": 0, "quant_max_upper_bound": 100},
        {"scale_min_lower_bound": -1, "scale_max_upper_bound": 1},
        {"scale_exact_match": 0.1, "zero_point_exact_match": 60},
    ],
)
def test_pt2e_keeps_what_it_can(bounds):
    config = linear_config(limits(**bounds))
    result = qnative.quantize(
        linear(), tuple(INPUTS), [*INPUTS], backend_config=config, strict=True
    )
    assert row_of(result).verdict == "quantized"
    (quantize,) = (n for n in result.graph.nodes if "quantize_per_tensor" in str(n.target))
    scale, zero_point = quantize.args[1:3]
    low = quantize.kwargs.get("quant_min", 0)
    high = quantize.kwargs.get("quant_max", 255)
    assert Constraints.of(limits(**bounds)).broken(scale, zero_point, low, high) == ""


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (
            {"quant_min_lower_bound": 10},
            "its input is limited to [10, 255]: observers need a 0 among the values",
        ),
        ({"quant_min_lower_bound": 20, "quant_max_upper_bound": 10}, "limited to [20, 10]"),
        (
            {"scale_exact_match": 0.0, "zero_point_exact_match": 3},
            "its input is fixed to (0, 3), which cannot be a scale and a zero point",
        ),
        ({"scale_exact_match": 1.0, "zero_point_exact_match": 256}, "is fixed to (1, 256)"),
        ({"scale_exact_match": float("nan"), "zero_point_exact_match": 0}, "fixed to (nan, 0)"),
    ],
)
def test_constraints_that_nothing_keeps(bounds, why):
    config, inputs = linear_config(limits(**bounds)), tuple(INPUTS)
    result = qnative.quantize(linear(), inputs, [inputs], backend_config=config)
    assert row_of(result).verdict == "float" and why in row_of(result).reason
    assert torch.equal(result(*inputs), linear()(*inputs))
    # A kernel may have a range without 0; observers cannot produce one.
    assert bool(config.lint()) == (list(bounds) != ["quant_min_lower_bound"])


QINT8 = torch.qint8
SMALL, LARGE = {"scale_max_upper_bound": 1e-9}, {"scale_min_lower_bound": 10}
RANGE = {"quant_min_lower_bound": 3, "quant_max_upper_bound": 90}
FIXED = {"scale_exact_match": 0.5, "zero_point_exact_match": 0}
AT_RUN_TIME = "its input is quantized at run time "
# Constraints of the input and of the weight of dynamic dtypes.
DYNAMIC = [
    (limits(**SMALL), QINT8, f"{AT_RUN_TIME}with the scale of its values: nothing keeps scale_max"),
    (limits(**LARGE), QINT8, f"{AT_RUN_TIME}with the scale of its values: nothing keeps scale_min"),
    (limits(**FIXED), QINT8, f"{AT_RUN_TIME}with the scale of its values: nothing keeps scale_exa"),
    (limits(**RANGE), QINT8, f"{AT_RUN_TIME}and has quant_min 0, below quant_min_lower_bound 3"),
    (UINT8, limits(QINT8, **SMALL), "its weight has scale 0.0"),
    (UINT8, limits(QINT8, **LARGE), "its weight has scale 0.0"),
    (UINT8, limits(QINT8, **FIXED), "its weight has scale 0.0"),
    (UINT8, limits(QINT8, **RANGE), "its weight has quant_min -127, below quant_min_lower_bound 3"),
    (limits(quant_max_upper_bound=255), limits(QINT8, quant_min_lower_bound=-127), ""),
]


def dynamic_config(activation, weight, pattern=nn.Linear, op="linear_dynamic"):
    row = BackendPatternConfig(pattern).set_ops(op)
    row.add_dtype_config(DTypeConfig(activation, torch.float, weight, torch.float, True))
    row.set_root_module(nn.Linear)
    row.set_reference_quantized_module(torch.ao.nn.quantized.reference.Linear)
    return BackendConfig("mine").set_backend_pattern_config(row)


def assert_says(row, why, pattern):
    assert row.verdict == ("float" if why else "quantized")
    assert row.reason.startswith(why) and bool(why) == row.reason.endswith(f" (row {pattern})")


@pytest.mark.parametrize(("activation", "weight", "why"), DYNAMIC)
def test_dynamic_dtypes_keep_their_constraints(activation, weight, why):
    config, x = dynamic_config(activation, weight), INPUTS[0]
    result = qnative.quantize(linear(), (x,), recipe="dynamic", backend_config=config)
    assert_says(row_of(result), why, "torch.nn.Linear")
    config = dynamic_config(activation, weight, nn.LSTM, "lstm")
    model, inputs = nn.LSTM(6, 3).eval(), (torch.randn(2, 1, 6),)
    result = qnative.quantize(model, inputs, recipe="dynamic", backend_config=config)
    (lstm,) = (row for row in result.report.rows if "lstm" in row.op)
    assert_says(lstm, why, "torch.nn.LSTM")
    calls = result.graph.find_nodes(op="call_function", target=torch.ops.qnative.lstm.default)
    assert len(calls) == (not why)


@pytest.mark.parametrize(("bits", "dtype"), [(8, torch.quint8), (4, torch.quint4x2)])
@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (SMALL, "its weight has scale 0."),
        (LARGE, "its weight has scale 0."),
        (RANGE, "its weight has quant_min 0, below quant_min_lower_bound 3"),
        (FIXED, "its weight has a scale and a least value for each row of the table"),
        ({"scale_min_lower_bound": 1e-9, "scale_max_upper_bound": 10}, ""),
    ],
)
def test_weight_only_dtypes_keep_their_constraints(bits, dtype, bounds, why):
    torch.manual_seed(0)
    weight = limits(dtype, **bounds)
    row = BackendPatternConfig(nn.Embedding).set_ops(f"embedding_{bits}bit")
    row.add_dtype_config(DTypeConfig(torch.float, torch.float, weight))
    config = BackendConfig("mine").set_backend_pattern_config(row)
    recipe = "weight_only" if bits == 8 else "weight_only_int4"
    inputs = (torch.arange(4),)
    model = nn.Sequential(nn.Embedding(5, 7))
    result = qnative.quantize(model, inputs, recipe=recipe, backend_config=config)
    (embedding,) = (row for row in result.report.rows if "embedding" in row.op)
    assert_says(embedding, why, "torch.nn.Embedding")


@pytest.mark.parametrize(
    ("bounds", "values"),
    [
        ({"quant_min_lower_bound": -0.5, "quant_max_upper_bound": 99.5}, (0, 99)),
        ({"quant_min_lower_bound": -math.inf, "quant_max_upper_bound": math.inf}, (0, 255)),
        ({"quant_min_lower_bound": -1e300, "quant_max_upper_bound": 1e300}, (0, 255)),
    ],
)
def test_bounds_of_other_types(bounds, values):
    result = pt2e_lowered(linear_config(limits(**bounds)))
    assert row_of(result).verdict == "quantized"
    assert Constraints.of(limits(**bounds)).quant_range(torch.uint8) == values


def test_constraints_of_the_used_row_count():
    """linear with relu has a separate row with constraints that nothing can keep."""
    pair = BackendPatternConfig((nn.Linear, nn.ReLU)).set_ops("linear")
    nothing = limits(quant_min_lower_bound=20, quant_max_upper_bound=10)
    pair.add_dtype_config(DTypeConfig(nothing, UINT8, QINT8))
    config = linear_config().set_backend_pattern_config(pair)
    model, x = nn.Sequential(nn.Linear(6, 5), nn.ReLU()).eval(), INPUTS[0]
    (row, _) = qnative.quantize(model, (x,), [x], backend_config=config).report.rows
    assert "limited to [20, 10]" in row.reason
    assert row.reason.endswith("(row (torch.nn.Linear, torch.nn.ReLU))")


class TwoLinears(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.act, self.second = nn.Linear(6, 5), nn.Hardswish(), nn.Linear(5, 4)

    def forward(self, x):
        return self.second(self.act(self.first(x)))


def test_pt2e_requantizes_for_an_input_with_a_narrower_range():
    config = linear_config(limits(quant_max_upper_bound=63))
    act = BackendPatternConfig(nn.Hardswish).add_dtype_config(DTypeConfig(UINT8, UINT8))
    config.set_backend_pattern_config(act.set_ops("lookup"))
    result = qnative.quantize(TwoLinears(), tuple(INPUTS), [*INPUTS], backend_config=config)
    assert not result.report.float_rows
    lookups = [n for n in result.graph.nodes if "lookup" in str(n.target)]
    assert len(lookups) == 2  # the activation, and from 255 values to 63
    table = getattr(result, lookups[1].args[1].target, None)
    table = result.get_buffer(lookups[1].args[1].target) if table is None else table
    assert table.max() <= 63


# ---- FX ----------------------------------------------------------------------------------------


def mapping(activation, weight=None):
    weight = weight or PerChannelMinMaxObserver.with_args(
        dtype=torch.qint8, qscheme=torch.per_channel_symmetric
    )
    return QConfigMapping().set_global(QConfig(activation=activation, weight=weight))


def fx_lowered(config, qconfig_mapping, strict=False):
    prepared = prepare_fx(linear(), qconfig_mapping, tuple(INPUTS), backend_config=config)
    prepared(*INPUTS)
    return convert_fx(prepared, strict=strict)


DEFAULT = MinMaxObserver.with_args(dtype=UINT8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("config", "qconfig_mapping", "why"),
    [
        # Upstream leaves these float without a message.
        (
            linear_config(limits(quant_min_lower_bound=0, quant_max_upper_bound=127)),
            mapping(DEFAULT),
            "its qconfig's input has quant_max 255, above quant_max_upper_bound 127",
        ),
        (
            linear_config(output=limits(scale_min_lower_bound=0.1)),
            mapping(DEFAULT),
            "its qconfig's output has eps 1.19209e-07, below scale_min_lower_bound 0.1",
        ),
        (
            linear_config(limits(scale_exact_match=0.1, zero_point_exact_match=3)),
            mapping(DEFAULT),
            "has MinMaxObserver, but scale and zero point are fixed to (0.1, 3)",
        ),
        (
            linear_config(limits(scale_exact_match=0.1, zero_point_exact_match=3)),
            mapping(FixedQParamsObserver.with_args(scale=0.2, zero_point=3, dtype=UINT8)),
            "has scale 0.2, scale_exact_match is 0.1",
        ),
        # Upstream quantizes these regardless.
        (
            linear_config(limits(quant_max_upper_bound=127)),
            mapping(DEFAULT),
            "its input has quant_max 255, above quant_max_upper_bound 127",
        ),
        (
            linear_config(limits(scale_max_upper_bound=1e-3)),
            mapping(DEFAULT),
            "its input has scale 0.0235294, above scale_max_upper_bound 0.001",
        ),
        (
            linear_config(weight=limits(torch.qint8, scale_max_upper_bound=1e-3)),
            mapping(DEFAULT),
            "its weight has scale 0.00",
        ),
        (
            linear_config(weight=limits(torch.qint8, quant_min_lower_bound=-127)),
            mapping(DEFAULT),
            "its weight has quant_min -128, below quant_min_lower_bound -127",
        ),
    ],
)
def test_fx_reports_what_a_qconfig_breaks(config, qconfig_mapping, why):
    import re

    lowered = fx_lowered(config, qconfig_mapping)
    row = row_of(lowered)
    assert row.verdict == "float" and why in row.reason
    assert row.module == "0"
    with pytest.raises(qnative.NotQuantizedError, match=re.escape(why)):
        fx_lowered(config, qconfig_mapping, strict=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("config", "qconfig_mapping"),
    [
        (
            linear_config(limits(quant_min_lower_bound=0, quant_max_upper_bound=127)),
            mapping(MinMaxObserver.with_args(dtype=UINT8, quant_min=0, quant_max=127)),
        ),
        (
            linear_config(limits(scale_min_lower_bound=0.1)),
            mapping(MinMaxObserver.with_args(dtype=UINT8, eps=0.1)),
        ),
        (
            linear_config(limits(scale_exact_match=0.1, zero_point_exact_match=3)),
            mapping(FixedQParamsObserver.with_args(scale=0.1, zero_point=3, dtype=UINT8)),
        ),
    ],
)
def test_fx_quantizes_what_keeps_its_constraints(config, qconfig_mapping):
    assert row_of(fx_lowered(config, qconfig_mapping, strict=True)).verdict == "quantized"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("activation", "weight", "why"), DYNAMIC)
def test_fx_keeps_the_constraints_of_dynamic_dtypes(activation, weight, why):
    config = dynamic_config(activation, weight)
    qconfigs = QConfigMapping().set_global(default_dynamic_qconfig)
    assert_says(row_of(fx_lowered(config, qconfigs)), why, "torch.nn.Linear")


@pytest.mark.filterwarnings("ignore")
def test_fx_says_why_fixed_parameters_do_not_fit():
    model, x = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid()).eval(), INPUTS[0]
    prepared = prepare_fx(model, mapping(DEFAULT), (x,), backend_config="native")
    prepared(x)
    (row,) = convert_fx(prepared).report.float_rows
    assert (row.op, row.module) == ("aten.sigmoid", "1")
    assert "has MinMaxObserver, but scale and zero point are fixed to (0.00390625, 0)" in row.reason
    sigmoid = FixedQParamsObserver.with_args(scale=1 / 256, zero_point=0, dtype=UINT8)
    fixed = QConfig(activation=sigmoid, weight=mapping(DEFAULT).global_qconfig.weight)
    fitting = mapping(DEFAULT).set_object_type(nn.Sigmoid, fixed)
    prepared = prepare_fx(model, fitting, (x,), backend_config="native")
    prepared(x)
    assert not convert_fx(prepared, strict=True).report.float_rows


@pytest.mark.filterwarnings("ignore")
def test_fx_converts_with_the_config_of_the_preparation_unless_given_one():
    prepared = prepare_fx(linear(), None, tuple(INPUTS), backend_config=linear_config())
    prepared(*INPUTS)
    assert row_of(convert_fx(prepared)).verdict == "quantized"
    strict = linear_config(limits(scale_max_upper_bound=1e-3))
    assert "scale_max_upper_bound" in row_of(convert_fx(prepared, backend_config=strict)).reason
    with pytest.raises(TypeError, match="convert_fx: backend_config must be a BackendConfig"):
        convert_fx(prepared, backend_config=3)
    with pytest.raises(ValueError, match="no backend is named 'nativ'"):
        prepare_fx(linear(), None, tuple(INPUTS), backend_config="nativ")
