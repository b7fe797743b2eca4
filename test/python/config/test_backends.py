"""All backends, entry by entry, against upstream."""

import importlib

import pytest
import torch

import qnative.backend_config
from qnative.backend_config import (
    BackendConfig,
    DTypeConfig,
    DTypeWithConstraints,
    utils,
)
from qnative.backend_config._containers import ListView
from support.configs import BACKENDS, MODULES, function_of, items_in_order, ours, plain, upstream


def theirs(name: str):
    module = BACKENDS[name][0].__name__.rpartition(".")[2]
    return getattr(upstream(module), function_of(name))()


@pytest.mark.parametrize("name", BACKENDS)
def test_sizes(name):
    backend = ours(name)
    _, patterns, entries = BACKENDS[name]
    assert backend.name == name
    assert len(backend.configs) == patterns
    assert sum(len(config.dtype_configs) for config in backend.configs) == entries
    assert backend == ours(name)
    assert backend.configs[0] is not ours(name).configs[0]


@pytest.mark.parametrize("name", BACKENDS)
def test_equals_upstream(name):
    our, their = ours(name), theirs(name)
    assert items_in_order(plain(our.to_dict())) == items_in_order(plain(their.to_dict()))
    by_key = our._pattern_complex_format_to_config
    assert list(by_key) == list(their._pattern_complex_format_to_config)


@pytest.mark.parametrize("name", BACKENDS)
def test_shares_what_upstream_shares(name):
    our, their = ours(name).configs, theirs(name).configs
    for attribute in ("dtype_configs", "_num_tensor_args_to_observation_type"):
        identity = {"dtype_configs": "_id_dtype_configs"}.get(attribute, "_id" + attribute)
        their_ids = [id(getattr(config, attribute)) for config in their]
        our_ids = [getattr(config.script_object, identity)() for config in our]
        for config, first, second in zip(our, their_ids, our_ids, strict=True):
            if getattr(config, attribute):
                assert their_ids.index(first) == our_ids.index(second), config


@pytest.mark.parametrize("name", BACKENDS)
def test_shares_dtype_configs_as_upstream(name):
    def places(configs):
        objects = [c for config in configs for c in config.dtype_configs]
        ids = list(map(id, objects))
        return [ids.index(identity) for identity in ids]

    our, their = ours(name).configs, theirs(name).configs
    assert places(our) == places(their)


@pytest.mark.parametrize("module", MODULES)
def test_module_attributes_equal_upstream(module):
    our, their = MODULES[module], upstream(module)
    kinds = ("DTypeConfig", "DTypeWithConstraints")
    names = [name for name, value in vars(their).items() if type(value).__name__ in kinds]
    for name in names:
        assert repr(getattr(our, name)) == repr(getattr(their, name)), name
    named = [n for n, v in vars(our).items() if isinstance(v, DTypeConfig | DTypeWithConstraints)]
    assert sorted(named) == sorted(names)
    public = {n for n in dir(their) if n.startswith("get_") and "backend_config" in n}
    assert set(our.__all__) == public | set(names)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"tensorrt"}))
def test_configs_hold_the_named_objects(module):
    named = [v for v in vars(MODULES[module]).values() if isinstance(v, DTypeConfig)]
    held = {
        id(dtype_config): dtype_config
        for name, (owner, _, _) in BACKENDS.items()
        if owner is MODULES[module]
        for config in ours(name).configs
        # sigmoid, tanh and similar ops have copies with fixed parameters.
        if isinstance(config.pattern, tuple)
        for dtype_config in config.dtype_configs
    }
    assert held and all(any(one is other for other in named) for one in held.values())


def test_the_package_exports_what_upstream_exports():
    package = upstream("native").__name__.rpartition(".")[0]
    theirs = set(vars(importlib.import_module(package))["__all__"])
    assert theirs <= set(qnative.backend_config.__all__)
    for name in qnative.backend_config.__all__:
        assert hasattr(qnative.backend_config, name)


@pytest.mark.parametrize(
    "module, function",
    [
        ("native", "get_native_backend_config_dict"),
        ("native", "get_test_only_legacy_native_backend_config_dict"),
        ("tensorrt", "get_tensorrt_backend_config_dict"),
    ],
)
def test_dict_forms_equal_upstream(module, function):
    our = getattr(MODULES[module], function)
    assert plain(our()) == plain(getattr(upstream(module), function)())
    # Unlike upstream, whose fusers are new closures in each call.
    assert our() == our()


@pytest.mark.parametrize("name", BACKENDS)
def test_to_torch_and_back(name):
    our, their = ours(name), theirs(name)
    converted = our.to_torch()
    assert type(converted) is type(their)
    assert plain(converted.to_dict()) == plain(their.to_dict())
    assert BackendConfig.from_torch(converted) == BackendConfig.from_torch(their) == our
    # Sharing survives both conversions.
    first, second = [
        [[other is config.dtype_configs for other in lists] for config in configs]
        for configs in (converted.configs, their.configs)
        for lists in ([config.dtype_configs for config in configs],)
    ]
    assert first == second


@pytest.mark.parametrize("name", BACKENDS)
def test_script_gives_the_same(name):
    backends = torch.classes.qnative.Backends()
    config = getattr(backends, function_of(name))()
    assert BackendConfig.from_script_object(config) == ours(name)
    again = BackendConfig.from_dict(ours(name).to_dict(with_ops=True))
    assert again == ours(name)
    assert [row.ops for row in again.configs] == [tuple(row.ops) for row in config.configs]


UTILS = [name for name in utils.__all__ if name.startswith("get_") and "fuser" not in name]


def listed(value):
    """Containers as plain lists; objects without equality across the packages as text."""
    if isinstance(value, tuple):
        return sorted(value, key=str)
    return {
        key: list(map(repr, item)) if isinstance(item, list | ListView) else item
        for key, item in value.items()
    }


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("function", UTILS)
def test_utils_equal_upstream(function, name):
    our = listed(getattr(utils, function)(ours(name)))
    their = listed(getattr(upstream("utils"), function)(theirs(name)))
    assert our == their
    assert list(our) == list(their)


@pytest.mark.parametrize("name", BACKENDS)
def test_fuser_methods_equal_upstream(name):
    our = utils.get_fuser_method_mapping(ours(name))
    their = upstream("utils").get_fuser_method_mapping(theirs(name))
    assert list(our) == list(their)
    for pattern in our:
        example = example_of(pattern)
        assert fused(our[pattern], example) == fused(their[pattern], example), pattern


def example_of(pattern):
    """Modules for the arguments of the fuser, in the nested form of the pattern."""
    if isinstance(pattern, tuple):
        return tuple(map(example_of, pattern))
    if isinstance(pattern, type) and issubclass(pattern, torch.nn.Module):
        arguments = {"Conv": (2, 2, 1), "Linear": (2, 2), "BatchNorm": (2,)}
        kinds = [value for key, value in arguments.items() if pattern.__name__.startswith(key)]
        return pattern(*(kinds[0] if kinds else ())).eval()
    return pattern


def fused(fuser, example) -> str:
    """The fuser's result for the modules, or its error."""
    try:
        return str(fuser(False, *example))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("name", BACKENDS)
def test_pretty_printing_equals_upstream(name):
    upstream_utils = upstream("utils")
    for our, their in zip(
        ours(name).to_dict()["configs"], theirs(name).to_dict()["configs"], strict=True
    ):
        assert utils.entry_to_pretty_str(their) == upstream_utils.entry_to_pretty_str(their)
        pattern = their.get("pattern", their.get("pattern_complex_format"))
        readable = utils.pattern_to_human_readable(our.get("pattern", pattern))
        assert readable == upstream_utils.pattern_to_human_readable(pattern)
