"""Configs and named objects for the tests of qnative.backend_config."""

import importlib
import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    ObservationType,
    executorch,
    fbgemm,
    native,
    onednn,
    qnnpack,
    tensorrt,
    x86,
)

OWN = ObservationType.OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT
SHARED = ObservationType.OUTPUT_SHARE_OBSERVER_WITH_INPUT


class MyModule(nn.Module):
    class Inner(nn.Module):
        pass


def my_fuser(is_qat, linear, relu):
    return nn.Sequential(linear, relu)


class Getters:
    def extra_inputs(self, pattern):
        return [pattern]


def int8():
    return DTypeConfig(torch.quint8, torch.quint8, torch.qint8, torch.float)


def full_config(pattern=(nn.Linear, nn.ReLU)):
    """A row with every field set except the complex pattern format."""
    return (
        BackendPatternConfig(pattern)
        .set_observation_type(SHARED)
        .add_dtype_config(int8())
        .set_root_module(nn.Linear)
        .set_qat_module(MyModule)
        .set_reference_quantized_module(MyModule.Inner)
        .set_fused_module(nn.Sequential)
        .set_fuser_method(my_fuser)
        ._set_root_node_getter(operator.itemgetter)
        ._set_extra_inputs_getter(F.relu)
        ._set_num_tensor_args_to_observation_type({0: OWN, 1: SHARED})
        ._set_input_type_to_index({"weight": 1, "bias": 2})
    )


def upstream(module: str):
    """A module of upstream; skips the test if torch no longer has it."""
    name = "torch.ao.quantization.backend_config"
    try:
        importlib.import_module(name + ".utils")
        return importlib.import_module(f"{name}.{module}")
    except ImportError:
        pytest.skip("torch has no torch.ao.quantization.backend_config")


def plain(value):
    """A dict form in which values that cannot compare equal across the two packages do."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if type(value).__name__ == "DTypeWithConstraints":
        return repr(value)
    if type(value).__name__ == "ObservationType":
        return value.name
    if getattr(value, "__qualname__", "").startswith("_sequential_wrapper2.<locals>"):
        # Upstream makes a new closure in each call.
        return ("_sequential_wrapper2", value.__closure__[0].cell_contents)
    return value


def items_in_order(value):
    if isinstance(value, dict):
        return [(key, items_in_order(item)) for key, item in value.items()]
    return [items_in_order(item) for item in value] if isinstance(value, list) else value


# name of the config: module, patterns, pairs of pattern and DTypeConfig
BACKENDS = {
    "native": (native, 194, 227),
    "_native_and_fp16": (native, 194, 328),
    "fbgemm": (fbgemm, 192, 225),
    "x86": (x86, 192, 225),
    "qnnpack": (qnnpack, 190, 404),
    "onednn": (onednn, 221, 244),
    "executorch": (executorch, 84, 172),
    "tensorrt": (tensorrt, 149, 149),
}
MODULES = {module.__name__.rpartition(".")[2]: module for module, _, _ in BACKENDS.values()}


def function_of(name: str) -> str:
    middle = "test_only_legacy_native" if name == "_native_and_fp16" else name
    return f"get_{middle}_backend_config"


def ours(name: str) -> BackendConfig:
    return getattr(BACKENDS[name][0], function_of(name))()
