"""examples/custom_backend: an op and a backend of another library, from a build against the package
to quantized models of both front ends."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
import qnative.testing
from examples.efficientnet import cpp_program
from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    get_backend,
    unregister_backend,
)
from qnative.fx import convert_fx, prepare_fx
from support.checks import through_trace

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "custom_backend"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = cpp_program.build(tmp_path_factory.mktemp("custom"), EXAMPLE) / "libmylib.so"
    torch.ops.load_library(path)
    return path


@pytest.fixture
def model():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 4, 1)).eval()


@pytest.fixture
def images():
    torch.manual_seed(1)
    return [torch.randn(2, 3, 9, 9) for _ in range(4)]


def ops_of(module):
    return [str(n.target) for n in module.graph.nodes if n.op == "call_function"]


def assert_runs_in_mylib(quantized, model, x):
    assert ops_of(quantized).count("mylib.fused_op.default") == 1
    rows = {row.name: row for row in quantized.report.rows}
    assert rows["conv2d"].kernel == "mylib.fused_op"
    assert (rows["relu"].verdict, rows["relu"].reason) == ("fused", "part of conv2d")
    assert rows["conv2d_1"].verdict == "float"
    error = (quantized(x) - model(x)).square().mean() / model(x).square().mean()
    assert error < 1e-3


def test_library_brings_its_backend(library):
    config = get_backend("mylib")
    assert config.validate() == []
    assert [row.pattern for row in config.configs] == [("conv2d", "batch_norm2d", "relu")]
    assert [finding.field for finding in config.lint()] == ["pattern"]  # conv2d alone stays float


def test_kernel_computes_its_reference(library):
    result = qnative.testing.conformance("mylib")
    assert len(result.errors) >= 9
    assert "mylib::fused_op" in str(result)
    cases = qnative.testing.conformance_cases("mylib")
    assert len({str(case) for case in cases}) == len(cases)
    cases[0].check()


def test_quantize(library, model, images):
    quantized = qnative.quantize(model, (images[0],), images, backend_config="mylib")
    assert_runs_in_mylib(quantized, model, images[0])
    loaded = through_trace(quantized, images[0])
    assert torch.equal(loaded(images[1]), quantized(images[1]))
    program = torch.export.export(quantized, (images[0],))
    assert torch.equal(program.module()(images[0]), quantized(images[0]))


def test_quantizer(library, model, images):
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    exported = torch.export.export(model, (images[0],)).module()
    prepared = prepare_pt2e(exported, qnative.Quantizer("mylib"))
    for batch in images:
        prepared(batch)
    assert_runs_in_mylib(qnative.lower(convert_pt2e(prepared)), model, images[0])


def test_fx(library, model, images):
    prepared = prepare_fx(model, None, (images[0],), backend_config="mylib")
    for batch in images:
        prepared(batch)
    assert_runs_in_mylib(convert_fx(prepared), model, images[0])


def test_dry_run(library, model, images):
    rows = qnative.dry_run(model, (images[0],), backend_config="mylib").rows
    assert [row.verdict for row in rows] == ["quantized", "fused", "fused", "float"]
    assert rows[0].pattern == "(conv2d, batch_norm2d, relu)"
    assert rows[0].kernel == "mylib.fused_op"
    assert rows[3].reason == "conv2d relu: no relu follows conv2d_1"


def test_the_ten_lines_of_the_readme(library, model, images, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    *_, lines = code.split("\n\n")
    assert len(lines.splitlines()) == 10
    names = {"model": model, "images": images}
    try:
        exec(code.replace("build/custom/libmylib.so", str(library)), names)
    finally:
        unregister_backend("mine")
    assert_runs_in_mylib(names["quantized"], model, images[0])
    assert "mylib::fused_op" in capsys.readouterr().out


# ---- rows of Python ops ------------------------------------------------------------------------


SCHEMA = "Tensor x, float x_scale, int x_zero_point"
OUTPUT = "float y_scale, int y_zero_point, ScalarType y_dtype"


@pytest.fixture(scope="module")
def python_ops():
    ops = torch.library.Library("mypylib", "DEF")
    ops.define(f"gelu({SCHEMA}, {OUTPUT}) -> Tensor")
    ops.define(f"gelu_off({SCHEMA}, {OUTPUT}) -> Tensor")
    ops.define(f"softplus({SCHEMA}, float beta, float threshold, {OUTPUT}) -> Tensor")
    ops.define(f"wants_more({SCHEMA}, int more, {OUTPUT}) -> Tensor")
    ops.define(f"no_output({SCHEMA}) -> Tensor")
    second = SCHEMA.replace("x", "b")
    ops.define(f"add_relu({SCHEMA}, {second}, {OUTPUT}) -> Tensor")

    def unary(function, shift=0):
        def kernel(x, x_scale, x_zero_point, *rest):
            *others, y_scale, y_zero_point, y_dtype = rest
            real = function((x.float() - x_zero_point) * x_scale, *others)
            codes = (real / y_scale).round() + y_zero_point + shift
            return codes.clamp(0, 255).to(y_dtype)

        return kernel

    def add_relu(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero_point, y_dtype):
        real = F.relu((a.float() - a_zero) * a_scale + (b.float() - b_zero) * b_scale)
        return ((real / y_scale).round() + y_zero_point).clamp(0, 255).to(y_dtype)

    ops.impl("gelu", unary(F.gelu), "CPU")
    ops.impl("gelu_off", unary(F.gelu, 3), "CPU")
    ops.impl("softplus", unary(F.softplus), "CPU")
    ops.impl("wants_more", unary(lambda x, more: x), "CPU")
    ops.impl("add_relu", add_relu, "CPU")
    return ops


def row_of(pattern, op, *weight):
    dtypes = DTypeConfig(torch.quint8, torch.quint8, *weight)
    return BackendPatternConfig(pattern).add_dtype_config(dtypes).set_ops(op)


def config_of(*rows):
    return BackendConfig("mine").set_backend_pattern_configs(rows)


def test_rows_without_weights(python_ops):
    class Net(nn.Module):
        def forward(self, a, b):
            return F.softplus(F.gelu(torch.relu(a + b)), 2.0)

    config = config_of(
        row_of("gelu", "mypylib::gelu"),
        row_of("softplus", "mypylib::softplus"),
        row_of(("add", "relu"), "mypylib::add_relu"),
    )
    assert max(qnative.testing.conformance(config).errors.values()) <= 1
    torch.manual_seed(0)
    inputs = torch.randn(4, 8), torch.randn(4, 8)
    for quantized in (
        qnative.quantize(Net(), inputs, [inputs], backend_config=config, strict=True),
        fx(Net(), inputs, config),
    ):
        kernels = [op for op in ops_of(quantized) if op.startswith("mypylib")]
        assert kernels == [f"mypylib.{n}.default" for n in ("add_relu", "gelu", "softplus")]
        assert (quantized(*inputs) - Net()(*inputs)).abs().max() < 0.05


def fx(model, inputs, config):
    prepared = prepare_fx(model, None, inputs, backend_config=config)
    prepared(*inputs)
    return convert_fx(prepared)


class Twice(nn.Module):
    """Its sum is read twice, once without the relu."""

    def forward(self, a, b):
        y = a + b
        return torch.relu(y) * y


class Scaled(nn.Module):
    """A sum with an alpha; a kernel without alpha must not run it."""

    def forward(self, a, b):
        return torch.relu(torch.add(a, b, alpha=2))


@pytest.mark.parametrize(
    ("row", "model", "reason"),
    [
        (row_of(("add", "relu"), "mypylib::add_relu"), Scaled(), "no argument alpha, which is 2"),
        (row_of("gelu", "mypylib::gelu"), nn.GELU("tanh"), "no argument approximate, which is tan"),
        (row_of("gelu", "mypylib::nothing"), nn.GELU(), "there is no op mypylib::nothing"),
        (row_of("gelu", "mypylib::wants_more"), nn.GELU(), "wants an argument 'more'"),
        (row_of("gelu", "mypylib::no_output"), nn.GELU(), "has no argument y_scale"),
        (row_of("gelu", "mypylib::add_relu"), nn.GELU(), "takes 2 quantized inputs"),
        (row_of("gelu", "mypylib::gelu", torch.qint8), nn.GELU(), "has no constant weight"),
        (row_of("gelu", "mypylib::gelu", torch.quint8), nn.GELU(), "got quint8"),
        (row_of(("gelu", "tanh"), "mypylib::gelu"), nn.GELU(), "no tanh follows gelu"),
        (row_of(("add", "relu"), "mypylib::add_relu"), Twice(), "add is used by mul too"),
    ],
)
def test_reasons_why_a_kernel_does_not_run(python_ops, row, model, reason):
    inputs = (torch.randn(2, 4),) * (2 if isinstance(model, Twice | Scaled) else 1)
    config = config_of(row)
    quantized = qnative.quantize(model, inputs, [inputs], backend_config=config)
    assert reason in quantized.report.float_rows[0].reason
    assert torch.equal(quantized(*inputs), model(*inputs))
    with pytest.raises(qnative.NotQuantizedError, match=re.escape(reason)):
        qnative.quantize(model, inputs, [inputs], backend_config=config, strict=True)
    assert reason in qnative.dry_run(model, inputs, backend_config=config).rows[0].reason


def test_fx_does_not_run_another_kernel_instead(python_ops):
    row = row_of("linear", "mypylib::gelu", torch.qint8)
    model, x = nn.Sequential(nn.Linear(4, 4)).eval(), torch.randn(8, 4)
    (linear,) = fx(model, (x,), config_of(row)).report.float_rows
    assert linear.reason == "mypylib::gelu has no argument weight, weight_scale"
    missing = row_of("linear", "mypylib::nothing", torch.qint8)
    (linear,) = fx(model, (x,), config_of(missing)).report.float_rows
    assert linear.reason == "there is no op mypylib::nothing: load its library first"


def test_conformance_finds_a_wrong_kernel(python_ops):
    with pytest.raises(qnative.testing.ConformanceError, match=r"cases fail:\n0-mypylib::gelu_off"):
        qnative.testing.conformance(config_of(row_of("gelu", "mypylib::gelu_off")))
    cases = qnative.testing.conformance_cases(config_of(row_of("gelu", "mypylib::gelu_off")))
    case = max(cases, key=lambda case: case.error())
    with pytest.raises(qnative.testing.ConformanceError, match="3 steps from its reference, not 2"):
        case.check(2)
    wrong = row_of("gelu", "mypylib::gelu").set_reference(lambda x: x * x)
    with pytest.raises(qnative.testing.ConformanceError):
        qnative.testing.conformance(config_of(wrong))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda: "native", "no row has a kernel of another library"),
        (lambda: config_of(row_of("gelu", "mypylib::nothing")), "row 0, gelu: there is no op"),
        (lambda: config_of(row_of("nothing", "mypylib::gelu")), "torch has no function nothing"),
        (lambda: config_of(row_of("relu", "mypylib::wants_more")), "the argument 'more' of mypyl"),
        (
            lambda: config_of(row_of("relu", "mypylib::gelu").set_reference(lambda x, other: x)),
            "the argument 'other' of the reference",
        ),
        (
            lambda: config_of(row_of("relu", "mypylib::gelu").set_reference(lambda x: x[None])),
            "the kernel gave torch.uint8",
        ),
    ],
)
def test_errors_of_conformance(python_ops, config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        qnative.testing.conformance(config())


def test_reference_is_kept_with_the_row():
    config = config_of(row_of("gelu", "mypylib::gelu").set_reference(F.gelu))
    assert config.configs[0].reference is F.gelu
    (again,) = BackendConfig.from_dict(config.to_dict(with_ops=True)).configs
    assert again.reference is F.gelu
    assert "reference" not in config.to_dict()["configs"][0]
    assert again.set_reference(None).reference is None
    with pytest.raises(TypeError, match="reference should be a function or None, got 3"):
        again.set_reference(3)


def test_ops_that_torch_does_not_have(python_ops):
    config = config_of(row_of(("gelu", "nothing"), "mypylib::gelu"))
    with pytest.raises(ValueError, match="the pattern names an op 'nothing' that torch does not"):
        prepare_fx(nn.GELU(), None, (torch.randn(2, 4),), backend_config=config)
