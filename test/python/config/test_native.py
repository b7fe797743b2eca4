"""The native configs against the golden file and, where torch has it, against upstream."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qnative import backend_config
from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    ObservationType,
    native,
    utils,
)
from support.checks import python
from support.configs import plain, upstream

ROOT = Path(__file__).resolve().parents[3]
make_golden = SimpleNamespace(**runpy.run_path(str(ROOT / "test/config/make_golden.py")))
GOLDEN = json.loads(make_golden.GOLDEN.read_text())
BACKENDS = {
    "native": native.get_native_backend_config,
    "_native_and_fp16": native.get_test_only_legacy_native_backend_config,
}


# ---- the golden file


def pattern_of(value):
    return tuple(map(pattern_of, value)) if isinstance(value, list) else value


def golden_entries(name: str) -> list[dict]:
    """The rows of the file as the TorchScript to_dict gives them."""
    rows = []
    for row in GOLDEN["native"]:
        row = dict(row)
        legacy = row.pop("legacy_dtype_configs", row["dtype_configs"])
        row["dtype_configs"] = row["dtype_configs"] if name == "native" else legacy
        row["pattern"] = pattern_of(row["pattern"])
        if "reference_quantized_module" in row:
            row["reference_quantized_module_for_root"] = row.pop("reference_quantized_module")
        by_args = row.get("num_tensor_args_to_observation_type")
        if by_args is not None:
            by_args = {int(key): value for key, value in by_args.items()}
            row["num_tensor_args_to_observation_type"] = by_args
        rows.append(row)
    return rows


@pytest.mark.parametrize("name, entries", [("native", 227), ("_native_and_fp16", 328)])
def test_equals_the_golden_file(name, entries):
    backend = BACKENDS[name]()
    assert backend.name == name
    rows = []
    for config in backend.configs:
        row = config.script_object.to_dict()
        row["dtype_configs"] = [make_golden.dtypes(dtypes) for dtypes in config.dtype_configs]
        rows.append(row)
    assert len(rows) == 194
    assert sum(len(row["dtype_configs"]) for row in rows) == entries
    assert rows == golden_entries(name)


def test_dtype_configs_equal_the_golden_file():
    assert len(GOLDEN["dtype_configs"]) == 8
    for name, text in GOLDEN["dtype_configs"].items():
        assert make_golden.dtypes(getattr(native, name)) == text, name
        assert getattr(backend_config, name) is getattr(native, name)
        assert name in native.__all__


def test_the_golden_file_equals_upstream():
    upstream("native")
    assert make_golden.text() == make_golden.GOLDEN.read_text()


# ---- upstream itself


@pytest.mark.parametrize("function", ["get_native_backend_config_dict"])
def test_dict_forms_equal_upstream(function):
    for name in (function, function.replace("native", "test_only_legacy_native")):
        theirs = getattr(upstream("native"), name)()
        ours = getattr(native, name)()
        assert plain(ours) == plain(theirs)
        # Unlike upstream, whose fusers are new closures in each call.
        assert ours == getattr(native, name)()


def test_dtype_configs_equal_upstream():
    theirs = upstream("native")
    for name in GOLDEN["dtype_configs"]:
        assert repr(getattr(native, name)) == repr(getattr(theirs, name))
    assert set(theirs.__all__) <= set(native.__all__)


def test_parts_to_torch_and_back():
    theirs = upstream("backend_config")
    constraints = DTypeWithConstraints(torch.quint8, 0, 127, 2**-12, 1.0, 0.5, 3)
    dtypes = DTypeConfig(constraints, constraints, bias_dtype=torch.float, is_dynamic=False)
    assert repr(constraints.to_torch()) == repr(constraints)
    assert isinstance(dtypes.to_torch(), theirs.DTypeConfig)
    converted = dtypes.to_torch()
    assert converted.input_dtype_with_constraints is converted.output_dtype_with_constraints
    assert DTypeConfig.from_torch(converted) == dtypes
    assert DTypeWithConstraints.from_torch(constraints.to_torch()) == constraints

    def getter(pattern):
        return pattern

    config = (
        BackendPatternConfig()
        ._set_pattern_complex_format((nn.ReLU, (nn.BatchNorm2d, nn.Conv2d)))
        .set_observation_type(ObservationType.INPUT_OUTPUT_NOT_OBSERVED)
        .add_dtype_config(dtypes)
        ._set_root_node_getter(getter)
        ._set_num_tensor_args_to_observation_type({2: ObservationType(1)})
        ._set_input_type_to_index({"weight": 1})
    )
    converted = config.to_torch()
    assert converted._root_node_getter is getter
    assert converted.observation_type is theirs.ObservationType.INPUT_OUTPUT_NOT_OBSERVED
    assert BackendPatternConfig.from_torch(converted) == config
    assert BackendPatternConfig.from_torch(converted)._root_node_getter is getter


def test_prepare_fx_takes_the_converted_config():
    upstream("native")
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    example = (torch.ones(1, 3, 2, 2),)
    codes = []
    for config in (
        native.get_native_backend_config().to_torch(),
        upstream("native").get_native_backend_config(),
    ):
        mapping = get_default_qconfig_mapping("x86")
        prepared = quantize_fx.prepare_fx(model, mapping, example, backend_config=config)
        prepared(*example)
        codes.append(quantize_fx.convert_fx(prepared, backend_config=config).code)
    assert codes[0] == codes[1]


def test_fuser_methods_take_reversed_patterns():
    order = []

    def fuse(is_qat, *modules):
        order.append((is_qat, *modules))

    backend = BackendConfig()
    for pattern in ((nn.Linear, nn.ReLU), (nn.Linear, nn.Tanh, nn.ReLU)):
        config = BackendPatternConfig(pattern).set_fuser_method(fuse)
        backend.set_backend_pattern_config(config)
    fusers = utils.get_fuser_method_mapping(backend)
    fusers[nn.ReLU, nn.Linear](True, "relu", "linear")
    fusers[nn.ReLU, (nn.Tanh, nn.Linear)](False, "relu", ("tanh", "linear"))
    assert order == [(True, "linear", "relu"), (False, "linear", "tanh", "relu")]
    complex_format = BackendPatternConfig()._set_pattern_complex_format((nn.ReLU, nn.Linear))
    backend.set_backend_pattern_config(complex_format.set_fuser_method(fuse))
    assert utils.get_fuser_method_mapping(backend)[nn.ReLU, nn.Linear] is fuse
    backend.set_backend_pattern_config(BackendPatternConfig(nn.ELU).set_fuser_method(fuse))
    with pytest.raises(ValueError, match=r"^Expected pattern to be a tuple, got: <class"):
        utils.get_fuser_method_mapping(backend)


def custom_boolean_dispatch():
    """A function that looks like one of torch's dispatched pooling functions."""


def test_printing_of_a_function_without_a_name():
    with pytest.raises(AssertionError, match="has no human readable name"):
        utils.pattern_to_human_readable(custom_boolean_dispatch)


# ---- without upstream

WITHOUT_UPSTREAM = """
import sys

import torch


class Gone:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.ao" or name.startswith("torch.ao."):
            raise ModuleNotFoundError(name)


# A torch without torch.ao, as those who import it from now on see it.
sys.meta_path.insert(0, Gone())
for name in [name for name in sys.modules if name.split(".")[:2] == ["torch", "ao"]]:
    del sys.modules[name]
del torch.ao

from qnative.backend_config import get_native_backend_config

config = get_native_backend_config()
assert len(config.configs) == 194
assert config.configs[0].pattern is torch.nn.Conv1d
assert config.configs[1].pattern == "torch.ao.nn.qat.Conv1d"
assert len(config.to_dict()["configs"]) == 194
try:
    config.to_torch()
except ImportError:
    print("no upstream")
"""

# get_native_backend_config of upstream fails where quantize_fx was not imported.
UNTOUCHED_UPSTREAM = """
import sys

from qnative.backend_config import get_native_backend_config

config = get_native_backend_config()
assert not any(name.startswith("torch.ao.quantization.backend_config") for name in sys.modules)
assert not any(name.startswith("torch.ao.quantization.quantize_fx") for name in sys.modules)
assert len(config.to_torch().configs) == 194
print("no quantize_fx")
"""


@pytest.mark.parametrize(
    "program, output",
    [(WITHOUT_UPSTREAM, "no upstream"), (UNTOUCHED_UPSTREAM, "no quantize_fx")],
)
def test_upstream_is_not_needed(program, output):
    if output == "no quantize_fx":
        upstream("native")
    done = python("-c", program, cwd=ROOT)
    assert done.stdout.strip() == output, done.stderr
