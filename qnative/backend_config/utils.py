"""The mappings that a lowering reads off a BackendConfig, and printing of its entries.

Functions that give a dict by pattern have the pattern in the reversed nested format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F

from ._wrapper import check_type

if TYPE_CHECKING:
    from .backend_config import BackendConfig

__all__ = [
    "entry_to_pretty_str",
    "get_fused_module_classes",
    "get_fuser_method_mapping",
    "get_fusion_pattern_to_extra_inputs_getter",
    "get_fusion_pattern_to_root_node_getter",
    "get_module_to_qat_module",
    "get_pattern_to_dtype_configs",
    "get_pattern_to_input_type_to_index",
    "get_qat_module_classes",
    "get_root_module_to_quantized_reference_module",
    "pattern_to_human_readable",
    "remove_boolean_dispatch_from_name",
]

# torch's pooling functions that print as "boolean_dispatch.<locals>.fn".
_BOOLEAN_DISPATCH = ("max_pool", "adaptive_max_pool", "fractional_max_pool")


def _checked(backend_config: Any) -> Any:
    """A BackendConfig of qnative or upstream, or TypeError."""
    if not hasattr(backend_config, "_pattern_complex_format_to_config"):
        raise TypeError(f"backend_config should be a BackendConfig, got {backend_config!r}")
    return backend_config


def _by_pattern(backend_config: BackendConfig, attribute: str) -> dict[Any, Any]:
    """The attribute of every config that has it set."""
    values = {
        pattern: getattr(config, attribute)
        for pattern, config in _checked(backend_config)._pattern_complex_format_to_config.items()
    }
    return {pattern: value for pattern, value in values.items() if value is not None}


def _distinct(backend_config: BackendConfig, attribute: str) -> tuple[type, ...]:
    configs = _checked(backend_config).configs
    return tuple({getattr(config, attribute) for config in configs} - {None})


def get_pattern_to_dtype_configs(backend_config: BackendConfig) -> dict[Any, Any]:
    """The DTypeConfigs of every pattern."""
    return _by_pattern(backend_config, "dtype_configs")


def get_qat_module_classes(backend_config: BackendConfig) -> tuple[type, ...]:
    """Each once, in no particular order."""
    return _distinct(backend_config, "qat_module")


def get_fused_module_classes(backend_config: BackendConfig) -> tuple[type, ...]:
    """Each once, in no particular order."""
    return _distinct(backend_config, "fused_module")


def get_pattern_to_input_type_to_index(backend_config: BackendConfig) -> dict[Any, Any]:
    """The argument positions by input type of every pattern; mostly empty."""
    return _by_pattern(backend_config, "_input_type_to_index")


def get_root_module_to_quantized_reference_module(
    backend_config: BackendConfig,
) -> dict[type, type]:
    """Reference modules by root module, of all configs that set both."""
    return {
        config.root_module: config.reference_quantized_module
        for config in _checked(backend_config).configs
        if config.root_module is not None and config.reference_quantized_module is not None
    }


def get_fuser_method_mapping(backend_config: BackendConfig) -> dict[Any, Callable[..., Any]]:
    """Fusers that take their modules as the reversed nested pattern has them.

    For the pattern (relu, (bn, conv)): ``fuser(is_qat, relu, (bn, conv))``. ValueError for a config
    that has a fuser and whose pattern is no tuple of 2 or 3.
    """
    return {
        pattern: _reversed_fuser(config)
        for pattern, config in _checked(backend_config)._pattern_complex_format_to_config.items()
        if config.fuser_method is not None
    }


def _reversed_fuser(config: Any) -> Callable[..., Any]:
    fuser = config.fuser_method
    if config._pattern_complex_format is not None:
        return fuser
    if not isinstance(config.pattern, tuple):
        raise ValueError(f"Expected pattern to be a tuple, got: {config.pattern}")
    if len(config.pattern) == 2:
        return lambda is_qat, second, first: fuser(is_qat, first, second)
    if len(config.pattern) == 3:
        return lambda is_qat, third, rest: fuser(is_qat, rest[1], rest[0], third)
    raise ValueError(f"Expected a tuple with 2 or 3 elements, got: {config.pattern}")


def get_module_to_qat_module(backend_config: BackendConfig) -> dict[Any, type]:
    """The QAT modules of the patterns that have one."""
    return _by_pattern(backend_config, "qat_module")


def get_fusion_pattern_to_root_node_getter(
    backend_config: BackendConfig,
) -> dict[Any, Callable[..., Any]]:
    """Functions that find the root node in a matched pattern, where one is set."""
    return _by_pattern(backend_config, "_root_node_getter")


def get_fusion_pattern_to_extra_inputs_getter(
    backend_config: BackendConfig,
) -> dict[Any, Callable[..., Any]]:
    """Functions that list further inputs of the root node in a matched pattern, where set."""
    return _by_pattern(backend_config, "_extra_inputs_getter")


def remove_boolean_dispatch_from_name(p: Any) -> Any:
    """The name of a pooling function that prints as a closure; other objects as they are."""
    if "boolean_dispatch" not in str(p):
        return p
    for family in _BOOLEAN_DISPATCH:
        for dim in ("1d", "2d", "3d"):
            if p is getattr(F, family + dim, None):
                return f"torch.nn.functional.{family}{dim}"
    raise AssertionError(f"{p} has no human readable name")


def pattern_to_human_readable(p: Any) -> Any:
    """The pattern with names for the functions that print badly."""
    if isinstance(p, tuple):
        return tuple(pattern_to_human_readable(inner) for inner in p)
    return p if isinstance(p, str) else remove_boolean_dispatch_from_name(p)


def entry_to_pretty_str(entry: dict[str, Any]) -> str:
    """One element of ``BackendConfig.to_dict()["configs"]`` for reading, the pattern first."""
    rest = dict(check_type("entry", entry, dict))
    lines = []
    if "pattern" in rest:
        lines += [f"  'pattern': {pattern_to_human_readable(rest.pop('pattern'))},"]
    if "dtype_configs" in rest:
        lines += ["  'dtype_configs': ["]
        for dtype_config in rest.pop("dtype_configs"):
            lines += ["    {", *(f"      '{k}': {v}," for k, v in dtype_config.items()), "    },"]
        lines += ["  ],"]
    key = "num_tensor_args_to_observation_type"
    if key in rest:
        lines += [f"  '{key}': {{", *(f"    {k}: {v}," for k, v in rest.pop(key).items()), "  },"]
    lines += [f"  '{name}': {value}," for name, value in rest.items()]
    return "\n".join(["{", *lines, "}"])
