"""BackendConfig.lint, and backends by name."""

import json

import pytest
import torch
from torch import nn

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    Finding,
    backend_names,
    get_backend,
    get_native_backend_config,
    get_qnative_backend_config,
    register_backend,
    resolve,
    unregister_backend,
)


def row(pattern):
    dtypes = DTypeConfig(torch.quint8, torch.quint8)
    return BackendPatternConfig(pattern).add_dtype_config(dtypes).set_ops("free")


def backend(*rows):
    return BackendConfig("mine").set_backend_pattern_configs(rows)


@pytest.fixture
def registered():
    config = register_backend("mine", backend(row(nn.ReLU)))
    yield config
    unregister_backend("mine")


def test_finds_nothing_where_nothing_is_wrong():
    findings = backend(row(nn.ReLU)).lint()
    assert findings == []
    assert str(findings) == "nothing found"
    assert json.loads(findings.to_json()) == []


def test_finding_names_row_field_problem_and_remedy():
    output = DTypeWithConstraints(torch.quint8, 10, 5)
    bad = BackendPatternConfig(nn.Tanh).add_dtype_config(DTypeConfig(torch.quint8, output))
    findings = backend(row(nn.ReLU), bad.set_ops("lookup")).lint()
    assert findings == [
        Finding(
            1,
            "torch.nn.Tanh",
            "dtype_configs[0].output_dtype_with_constraints.quant_min_lower_bound",
            "10 is greater than quant_max_upper_bound 5: no range lies inside",
            "exchange the bounds",
        )
    ]
    assert json.loads(findings.to_json()) == [findings[0]._asdict()]
    header, rule, line = str(findings).splitlines()
    assert header.split() == ["row", "pattern", "field", "problem", "remedy"]
    assert set(rule) == {"-", " "}
    assert line.endswith("exchange the bounds")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.set_root_module("torch.nn.Liner"), "root_module"),
        (lambda r: r.set_pattern(("torch.nn.ReLU", "no_package.f")), "pattern"),
        (lambda r: r.set_fuser_method("torch.nothing"), "fuser_method"),
    ],
)
def test_names_without_an_object(change, field):
    config = backend(row(nn.ReLU), change(row("torch.nn.Sigmoid")))
    problems = {f.field: f.problem for f in config.lint() if "no imported package" in f.problem}
    assert list(problems) == [field]


def test_objects_without_a_name_are_no_finding():
    class Local(nn.Module):
        pass

    assert backend(row(Local)).lint() == []


def test_native_has_upstreams_oddities_only():
    findings = get_native_backend_config().lint()
    kinds = {(f.field, f.problem) for f in findings}
    assert len(findings) == 14
    assert kinds == {
        ("root_module", "the weight of the module is quantized, and FX finds it by root_module"),
        (
            "reference_quantized_module",
            "root_module has no reference module: FX cannot convert it",
        ),
        ("pattern", "it cannot occur: torch.Tensor has no method hardsigmoid"),
        ("pattern", "it cannot occur: torch.Tensor has no method hardsigmoid_"),
    }


class Linted(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self) -> int:
        return len(self.config.lint())

    @torch.jit.export
    def first(self) -> tuple[int, str, str, str, str]:
        return self.config.lint()[0]

    @torch.jit.export
    def table(self) -> str:
        return self.config.lint_table()


def test_torchscript_lints_a_saved_config(tmp_path):
    config = backend(BackendPatternConfig(nn.ReLU))
    torch.jit.save(torch.jit.script(Linted(config.script_object)), tmp_path / "config.pt")
    loaded = torch.jit.load(tmp_path / "config.pt")
    assert loaded() == 1
    assert loaded.first() == tuple(config.lint()[0])
    assert "it supports no dtypes" in loaded.table()


# ---- by name -----------------------------------------------------------------------------------


def test_registered_backend_is_the_same_object_in_python_and_cpp(registered):
    assert get_backend("mine") is registered
    assert "mine" in backend_names()
    assert not any(name.startswith("_") for name in backend_names())
    assert torch.classes.qnative.Backends().get_backend("mine") == registered.script_object
    registered.set_backend_pattern_config(row(nn.Tanh))
    assert len(get_backend("mine").configs) == 2


def test_registered_backend_keeps_what_has_no_name():
    register_backend("local", backend(row(nn.ReLU).set_fuser_method(lambda is_qat, a, b: a)))
    try:
        assert callable(get_backend("local").configs[0].fuser_method)
    finally:
        unregister_backend("local")


def test_native_by_name():
    assert get_backend("native") == get_native_backend_config()
    assert resolve("native") == get_native_backend_config()
    assert resolve(None) == resolve("qnative") == get_qnative_backend_config()
    config = backend()
    assert resolve(config) is config


def test_names_are_taken_once(registered):
    with pytest.raises(ValueError, match="a backend named 'mine' is registered already"):
        register_backend("mine", backend())
    other = register_backend("mine", backend(), replace=True)
    assert get_backend("mine") is other


def test_errors_of_names():
    with pytest.raises(ValueError, match=r"no backend is named 'x'. There are: .*native"):
        get_backend("x")
    with pytest.raises(ValueError, match="the name of a backend must not be empty"):
        register_backend("", backend())
    with pytest.raises(TypeError, match="name should be a str, got 3"):
        register_backend(3, backend())
    with pytest.raises(TypeError, match=r"config should be a BackendConfig, got \{\}"):
        register_backend("x", {})
    with pytest.raises(ValueError, match="backend 'native' is qnative's own"):
        register_backend("native", backend(), replace=True)
    with pytest.raises(ValueError, match="backend 'native' is qnative's own"):
        unregister_backend("native")
    with pytest.raises(TypeError, match="name should be a str, got None"):
        get_backend(None)
    with pytest.raises(TypeError, match="f: backend_config must be a BackendConfig"):
        resolve(7, "f")
    assert unregister_backend("never") is False
