"""BackendConfig, copies and pickles."""

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
    DTypeWithConstraints,
    get_native_backend_config,
)
from qnative.backend_config.native import default_op_quint8_dtype_config
from support.configs import OWN, full_config, int8


def test_backend_config_name():
    backend = BackendConfig("name1")
    assert backend.name == "name1"
    assert backend.set_name("name2") is backend
    assert backend.name == "name2"
    backend.name = "name3"
    assert backend.script_object.name == "name3"
    for wrong in (lambda: BackendConfig(3), lambda: backend.set_name(None)):
        with pytest.raises(TypeError, match="name should be a str"):
            wrong()


def test_backend_config_keys():
    patterns = [nn.Linear, (nn.Linear, nn.ReLU), (nn.Conv2d, nn.BatchNorm2d, F.relu), "size"]
    configs = [BackendPatternConfig(pattern) for pattern in patterns]
    backend = BackendConfig().set_backend_pattern_configs(configs)
    keys = [nn.Linear, (nn.ReLU, nn.Linear), (F.relu, (nn.BatchNorm2d, nn.Conv2d)), "size"]
    by_key = backend._pattern_complex_format_to_config
    assert list(by_key) == keys
    assert by_key == dict(zip(keys, configs, strict=True))
    assert all(by_key[key] is config for key, config in zip(keys, configs, strict=True))
    assert torch.add not in by_key and by_key.get(torch.add) is None
    with pytest.raises(KeyError):
        by_key[torch.add]


def test_backend_config_replaces_and_keeps_the_place():
    backend = BackendConfig().set_backend_pattern_configs(
        [BackendPatternConfig((nn.Linear, nn.ReLU)), BackendPatternConfig(torch.conv2d)]
    )
    complex_format = BackendPatternConfig()._set_pattern_complex_format((nn.ReLU, nn.Linear))
    other_name = BackendPatternConfig(F.conv2d)
    backend.set_backend_pattern_configs([other_name, complex_format])
    assert [id(config) for config in backend.configs] == [id(complex_format), id(other_name)]
    complex_format._set_pattern_complex_format(None).set_pattern(nn.GELU)
    assert next(iter(backend._pattern_complex_format_to_config)) == (nn.ReLU, nn.Linear)


def test_backend_config_entries_can_be_deleted_and_set():
    backend = get_native_backend_config()
    by_key = backend._pattern_complex_format_to_config
    del by_key[nn.PReLU]
    assert len(backend.configs) == len(by_key) == 193
    with pytest.raises(KeyError):
        del by_key[nn.PReLU]
    own = BackendPatternConfig(nn.PReLU)
    by_key[nn.PReLU] = own
    assert backend.configs[-1] is own
    with pytest.raises(TypeError, match="config should be a BackendPatternConfig"):
        by_key[nn.GELU] = nn.GELU


def test_configs_are_live_and_the_list_is_new():
    backend = get_native_backend_config()
    configs = backend.configs
    configs.clear()
    assert len(backend.configs) == 194
    assert backend.configs[7] is backend.configs[7]
    backend.configs[0].set_root_module(nn.Conv3d)
    assert backend.configs[0].root_module is nn.Conv3d
    with pytest.raises(AttributeError):
        backend.configs = []


@pytest.mark.parametrize(
    "pattern, message",
    [
        (None, "^Either 'pattern' or 'pattern_complex_format' must be specified$"),
        ((nn.Linear,), r"^Expected a tuple with 2 or 3 elements, got: \(<class 'torch.nn.*,\)$"),
        ((F.relu,) * 4, "^Expected a tuple with 2 or 3 elements, got: "),
    ],
)
def test_backend_config_rejects_patterns(pattern, message):
    with pytest.raises(ValueError, match=message):
        BackendConfig().set_backend_pattern_config(BackendPatternConfig(pattern))


def test_backend_config_dict():
    backend = BackendConfig("name1").set_backend_pattern_config(full_config())
    items = backend.to_dict()
    assert items == {"name": "name1", "configs": [full_config().to_dict()]}
    assert BackendConfig.from_dict(items) == backend
    config = full_config(torch.add)
    mixed = BackendConfig.from_dict({"configs": [config, full_config().to_dict()]})
    assert mixed.configs[0] is config
    assert mixed.name == "" and mixed.configs[1] == full_config()
    with pytest.raises(
        ValueError,
        match=r"^configs\[0\]: Expected backend_config_dict\['configs'\] to be a dictionary$",
    ):
        BackendConfig.from_dict({"configs": [3]})
    with pytest.raises(TypeError, match="config should be a BackendPatternConfig, got 3"):
        BackendConfig().set_backend_pattern_config(3)


def test_backend_config_prints():
    backend = BackendConfig("b").set_backend_pattern_config(BackendPatternConfig("size"))
    assert repr(backend) == (
        "BackendConfig({'name': 'b', '_pattern_complex_format_to_config': "
        f"{{'size': BackendPatternConfig({{'pattern': 'size', 'observation_type': {OWN!r}}})}}}})"
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize(
    "make",
    [
        lambda: DTypeWithConstraints(torch.quint8, 0, 255.0, 1e-6, 1, 0.5, 3),
        lambda: DTypeConfig(torch.quint8, is_dynamic=False),
        full_config,
        get_native_backend_config,
    ],
)
def test_copies_are_equal_and_independent(make, duplicate):
    original = make()
    copied = duplicate(original)
    assert copied == original
    assert operator.ne(copied, original) is False
    assert type(copied) is type(original)
    assert repr(copied) == repr(original)
    assert copied.script_object._id() != original.script_object._id()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_keep_sharing_inside_the_original(duplicate):
    backend = duplicate(get_native_backend_config())
    by_key = backend._pattern_complex_format_to_config
    by_key[torch.cat].add_dtype_config(int8())
    assert len(by_key[nn.ELU].dtype_configs) == 2
    fresh = get_native_backend_config()._pattern_complex_format_to_config
    assert len(fresh[nn.ELU].dtype_configs) == 1
    assert by_key[nn.ELU].dtype_configs[0] is by_key[torch.add].dtype_configs[0]
    assert by_key[nn.ELU].dtype_configs[0] is not default_op_quint8_dtype_config


def test_shallow_copies_share():
    config = full_config()
    copied = copy.copy(config)
    copied.set_root_module(None).add_dtype_config(int8())
    assert config.root_module is nn.Linear
    assert len(config.dtype_configs) == 2
    dtypes = DTypeConfig(DTypeWithConstraints(torch.quint8))
    copied = copy.copy(dtypes)
    assert copied.input_dtype_with_constraints is dtypes.input_dtype_with_constraints
    backend = BackendConfig("a").set_backend_pattern_config(config)
    copied = copy.copy(backend).set_name("b")
    assert backend.name == "a" and copied.configs[0] is config


def test_subclasses():
    class MyDTypes(DTypeConfig):
        pass

    config = BackendPatternConfig(nn.Linear).add_dtype_config(MyDTypes(torch.quint8))
    assert config.dtype_configs == [DTypeConfig(torch.quint8)]
    assert isinstance(MyDTypes.from_dict({}), MyDTypes)


def test_from_script_object_checks_the_class():
    with pytest.raises(TypeError, match=r"wanted a .*BackendConfig, got a .*DTypeConfig"):
        BackendConfig.from_script_object(int8().script_object)
    with pytest.raises(TypeError, match="got a int"):
        DTypeConfig.from_script_object(3)
