"""BackendPatternConfig, and objects by name."""

import copy
import operator
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
)
from support.configs import OWN, SHARED, Getters, MyModule, full_config, int8, my_fuser


def test_pattern_config_defaults():
    config = BackendPatternConfig()
    assert config.observation_type is OWN
    assert config.dtype_configs == []
    assert config._num_tensor_args_to_observation_type == {}
    assert config._input_type_to_index == {}
    names = "pattern root_module qat_module reference_quantized_module fused_module fuser_method"
    for name in [*names.split(), "_root_node_getter", "_extra_inputs_getter"]:
        assert getattr(config, name) is None, name


def test_pattern_config_setters_give_back_the_objects():
    config = full_config()
    assert config.pattern == (nn.Linear, nn.ReLU)
    assert config.observation_type is SHARED
    assert config.dtype_configs == [int8()]
    assert config.root_module is nn.Linear
    assert config.qat_module is MyModule
    assert config.reference_quantized_module is MyModule.Inner
    assert config.fused_module is nn.Sequential
    assert config.fuser_method is my_fuser
    assert config._root_node_getter is operator.itemgetter
    assert config._extra_inputs_getter is F.relu
    assert config._num_tensor_args_to_observation_type == {0: OWN, 1: SHARED}
    assert config._input_type_to_index == {"weight": 1, "bias": 2}


def test_attributes_can_be_assigned():
    config = full_config()
    config.root_module = None
    config.dtype_configs = []
    config._input_type_to_index = {"weight": 3}
    assert (config.root_module, config.dtype_configs) == (None, [])
    assert config._input_type_to_index == {"weight": 3}


@pytest.mark.parametrize(
    "pattern, name",
    [
        (nn.Linear, "torch.nn.Linear"),
        (torch.ao.nn.intrinsic.ConvReLU2d, "torch.ao.nn.intrinsic.ConvReLU2d"),
        (F.conv2d, "torch.nn.functional.conv2d"),
        (torch._C._nn.avg_pool2d, "torch.nn.functional.avg_pool2d"),
        (F.max_pool2d, "torch.nn.functional.max_pool2d"),
        (torch.sigmoid, "torch.sigmoid"),
        (operator.add, "operator.add"),
        (getattr, "builtins.getattr"),
        (torch.Tensor.add, "torch._C.TensorBase.add"),
        (torch.ops.aten.add, "torch.ops.aten.add"),
        (torch.ops.aten.add.Tensor, "torch.ops.aten.add.Tensor"),
        ("reshape", "reshape"),
        (MyModule.Inner, "support.configs.MyModule.Inner"),
        ((nn.Linear, (F.relu, "size")), ("torch.nn.Linear", ("torch.nn.functional.relu", "size"))),
    ],
)
def test_patterns_are_names_in_cpp(pattern, name):
    config = BackendPatternConfig(pattern)
    assert config.script_object.pattern == name
    assert config.pattern == pattern
    if not isinstance(pattern, str | tuple):
        # Also through a new wrapper that has not seen the object.
        fresh = BackendPatternConfig(name)
        assert fresh.pattern is pattern


def test_objects_without_a_name_are_kept():
    class Local(nn.Module):
        pass

    def fuser(is_qat, module):
        return module

    getters = Getters()
    config = BackendPatternConfig(Local).set_fuser_method(fuser)
    config._set_extra_inputs_getter(getters.extra_inputs)
    assert config.pattern is Local
    assert config.fuser_method is fuser
    assert config._extra_inputs_getter == getters.extra_inputs
    assert "<locals>.Local@" in config.script_object.pattern
    backend = BackendConfig().set_backend_pattern_config(config)
    del config
    assert backend.configs[0].fuser_method is fuser
    assert list(backend._pattern_complex_format_to_config) == [Local]
    assert copy.deepcopy(backend).configs[0].fuser_method is fuser
    assert copy.copy(backend).configs[0] is backend.configs[0]
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(backend)


def test_two_lambdas_are_two_patterns():
    first, second = (lambda x: x), (lambda x: x)
    backend = BackendConfig()
    for pattern in (first, second, first):
        backend.set_backend_pattern_config(BackendPatternConfig(pattern))
    assert list(backend._pattern_complex_format_to_config) == [first, second]


@pytest.mark.parametrize("name", ["no_such_package.Linear", "torch.nn.NoSuchModule", "this.s"])
def test_names_that_lead_nowhere_stay_names(name):
    config = BackendPatternConfig(name)
    assert config.pattern == name
    with pytest.raises(ImportError, match=f"no imported package has an object named '{name}'"):
        config.to_torch()


def test_only_one_pattern_format():
    message = "^Only one of 'pattern' or 'pattern_complex_format' can be set$"
    config = BackendPatternConfig(nn.Linear)
    with pytest.raises(ValueError, match=message):
        config._set_pattern_complex_format(nn.Linear)
    config.set_pattern(None)._set_pattern_complex_format((nn.ReLU, (nn.BatchNorm2d, nn.Conv2d)))
    with pytest.raises(ValueError, match=message):
        config.set_pattern(nn.Linear)
    with pytest.raises(ValueError, match=message):
        BackendPatternConfig.from_dict({"pattern": nn.Linear, "pattern_complex_format": nn.Linear})
    assert config._pattern_complex_format == (nn.ReLU, (nn.BatchNorm2d, nn.Conv2d))


def test_pattern_config_rejects():
    config = BackendPatternConfig(nn.Linear)
    with pytest.raises(TypeError, match="observation_type should be an ObservationType, got 1"):
        config.set_observation_type(1)
    with pytest.raises(TypeError, match=r"dtype_configs\[0\]: it should be a DTypeConfig, got 3"):
        config.add_dtype_config(3)
    with pytest.raises(TypeError, match="it should be a DTypeConfig"):
        config.set_dtype_configs([int8(), "quint8"])
    with pytest.raises(TypeError, match="the name of an input should be a str, got 1"):
        config._set_input_type_to_index({1: 1})
    with pytest.raises(TypeError, match="pattern: wanted a module class, a function"):
        config.set_pattern([nn.Linear, nn.ReLU])
    with pytest.raises(ValueError, match="the name of a pattern must not be empty"):
        config.set_pattern("")
    assert config.dtype_configs == []


def test_dtype_configs_is_a_list():
    config = BackendPatternConfig(nn.Linear)
    first, second = int8(), DTypeConfig(torch.float16)
    config.dtype_configs.append(first)
    config.dtype_configs.insert(0, second)
    assert config.dtype_configs == [second, first] == list(config.dtype_configs)
    assert config.dtype_configs[1] is first
    assert config.dtype_configs[:1] == [second]
    assert first in config.dtype_configs
    assert operator.add(config.dtype_configs, [first]) == [second, first, first]
    assert operator.add([first], config.dtype_configs) == [first, second, first]
    config.dtype_configs[0] = first
    del config.dtype_configs[1]
    assert config.dtype_configs == [first]
    assert repr(config.dtype_configs) == repr([first])
    with pytest.raises(TypeError, match=r"dtype_configs\[1\]: it should be a DTypeConfig"):
        config.dtype_configs.append("quint8")
    assert type(copy.deepcopy(config.dtype_configs)) is list


def test_dtype_configs_are_shared_where_they_were_read():
    first = BackendPatternConfig(nn.Linear)
    second = BackendPatternConfig(nn.ReLU).set_dtype_configs(first.dtype_configs)
    first.add_dtype_config(int8())
    assert second.dtype_configs == [int8()]
    assert second.dtype_configs[0] is first.dtype_configs[0]
    shared = first.dtype_configs
    first.set_dtype_configs([])
    shared.append(int8())
    assert (len(first.dtype_configs), len(second.dtype_configs)) == (0, 2)


def test_dicts_are_dicts():
    first = BackendPatternConfig(torch.add)._set_input_type_to_index({"weight": 1})
    second = BackendPatternConfig(torch.mul)._set_input_type_to_index(first._input_type_to_index)
    second._input_type_to_index["bias"] = 2
    del second._input_type_to_index["weight"]
    assert first._input_type_to_index == {"bias": 2}
    assert first._input_type_to_index == {"bias": 2}
    first._num_tensor_args_to_observation_type[3] = SHARED
    assert first._num_tensor_args_to_observation_type[3] is SHARED
    assert repr(first._num_tensor_args_to_observation_type) == repr({3: SHARED})
    with pytest.raises(TypeError, match="it should be an ObservationType"):
        first._num_tensor_args_to_observation_type[3] = 1
    assert type(copy.copy(first._input_type_to_index)) is dict


def test_pattern_config_dict():
    config = full_config()
    items = config.to_dict()
    assert list(items) == [
        "observation_type",
        "dtype_configs",
        "pattern",
        "root_module",
        "qat_module",
        "reference_quantized_module_for_root",
        "fused_module",
        "fuser_method",
        "root_node_getter",
        "extra_inputs_getter",
        "num_tensor_args_to_observation_type",
        "input_type_to_index",
    ]
    assert items["pattern"] == (nn.Linear, nn.ReLU)
    assert items["dtype_configs"] == [int8().to_dict()]
    assert items["num_tensor_args_to_observation_type"] == {0: OWN, 1: SHARED}
    assert type(items["input_type_to_index"]) is dict
    assert BackendPatternConfig.from_dict(items) == config
    assert BackendPatternConfig().to_dict() == {"observation_type": OWN, "dtype_configs": []}
    complex_format = BackendPatternConfig()._set_pattern_complex_format((nn.ReLU, nn.Linear))
    assert complex_format.to_dict()["pattern_complex_format"] == (nn.ReLU, nn.Linear)
    assert BackendPatternConfig.from_dict(complex_format.to_dict()) == complex_format


def test_pattern_config_from_dict_takes_objects_and_rejects_the_rest():
    dtype_config = int8()
    config = BackendPatternConfig.from_dict(
        {"dtype_configs": [dtype_config, {"input_dtype": torch.float16}], "unknown": 3}
    )
    assert config.dtype_configs[0] is dtype_config
    assert config.dtype_configs[1] == DTypeConfig(torch.float16)
    assert config.pattern is None
    with pytest.raises(ValueError) as error:
        BackendPatternConfig.from_dict({"dtype_configs": [3]})
    assert str(error.value) == (
        "dtype_configs[0]: Expected a list of DTypeConfigs in "
        "backend_pattern_config_dict[\"dtype_configs\"], got '<class 'int'>'"
    )


def test_every_field_counts_for_equality():
    items = full_config().to_dict()
    assert BackendPatternConfig.from_dict(items) == full_config()
    for key in items:
        fewer = {name: value for name, value in items.items() if name != key}
        assert BackendPatternConfig.from_dict(fewer) != full_config(), key
    assert full_config() != 3
    assert len({full_config(), full_config()}) == 1


def test_pattern_config_prints_what_is_set():
    config = BackendPatternConfig(nn.Linear)._set_input_type_to_index({"weight": 1})
    assert repr(config) == (
        "BackendPatternConfig({'pattern': <class 'torch.nn.modules.linear.Linear'>, "
        f"'observation_type': {OWN!r}, '_input_type_to_index': {{'weight': 1}}}})"
    )
