"""To and from the objects of ``torch.ao.quantization.backend_config``.

Objects shared in one are shared in the other: a converter remembers the objects it has converted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_CONSTRAINTS = (
    "dtype",
    "quant_min_lower_bound",
    "quant_max_upper_bound",
    "scale_min_lower_bound",
    "scale_max_upper_bound",
    "scale_exact_match",
    "zero_point_exact_match",
)
# Attributes of BackendPatternConfig that are passed on as they are.
_PLAIN = (
    "pattern",
    "root_module",
    "qat_module",
    "reference_quantized_module",
    "fused_module",
    "fuser_method",
    "_root_node_getter",
    "_extra_inputs_getter",
    "_pattern_complex_format",
)


class ToTorch:
    """Converts objects of qnative."""

    def __init__(self) -> None:
        package = "torch.ao.quantization.backend_config"
        self.upstream = importlib.import_module(package)
        # BackendConfig uses this module without importing it.
        importlib.import_module(package + ".utils")
        self._seen: dict[tuple[str, int], Any] = {}

    def _once(self, kind: str, identity: int, convert: Callable[[], Any]) -> Any:
        key = (kind, identity)
        if key not in self._seen:
            self._seen[key] = convert()
        return self._seen[key]

    def constraints(self, own: Any) -> Any:
        values = {name: getattr(own, name) for name in _CONSTRAINTS}
        return self._once(
            "constraints",
            own.script_object._id(),
            lambda: self.upstream.DTypeWithConstraints(**values),
        )

    def dtype_config(self, own: Any) -> Any:
        return self._once("dtype", own.script_object._id(), lambda: self._dtype_config(own))

    def _dtype_config(self, own: Any) -> Any:
        return self.upstream.DTypeConfig(
            self.constraints(own.input_dtype_with_constraints),
            self.constraints(own.output_dtype_with_constraints),
            self.constraints(own.weight_dtype_with_constraints),
            own.bias_dtype,
            own.is_dynamic,
        )

    def _observation_type(self, own: Any) -> Any:
        return self.upstream.ObservationType[own.name]

    def pattern_config(self, own: Any) -> Any:
        return self._once("pattern", own.script_object._id(), lambda: self._pattern_config(own))

    def _pattern_config(self, own: Any) -> Any:
        config = self.upstream.BackendPatternConfig()
        for name in _PLAIN:
            value = getattr(own, name)
            _check_found(value)
            setattr(config, name, value)
        script = own.script_object
        config.observation_type = self._observation_type(own.observation_type)
        config.dtype_configs = self._once(
            "list",
            script._id_dtype_configs(),
            lambda: [self.dtype_config(dtype_config) for dtype_config in own.dtype_configs],
        )
        types = own._num_tensor_args_to_observation_type
        config._num_tensor_args_to_observation_type = self._once(
            "dict",
            script._id_num_tensor_args_to_observation_type(),
            lambda: {key: self._observation_type(value) for key, value in types.items()},
        )
        config._input_type_to_index = self._once(
            "dict", script._id_input_type_to_index(), lambda: dict(own._input_type_to_index)
        )
        return config

    def backend_config(self, own: Any) -> Any:
        config = self.upstream.BackendConfig(own.name)
        for key, pattern_config in own._pattern_complex_format_to_config.items():
            config._pattern_complex_format_to_config[key] = self.pattern_config(pattern_config)
        return config


def _check_found(value: Any) -> None:
    """ImportError for a name that stands for an object which was not found."""
    if isinstance(value, tuple):
        for element in value:
            _check_found(element)
    elif isinstance(value, str) and "." in value:
        raise ImportError(f"to_torch: no imported package has an object named '{value}'")


def _check_has(original: Any, attribute: str, name: str) -> None:
    if not hasattr(original, attribute):
        raise TypeError(f"from_torch: wanted a {name} of torch.ao.quantization, got {original!r}")


class FromTorch:
    """Converts objects of upstream."""

    def __init__(self) -> None:
        from . import backend_config

        self.own = backend_config
        # With the originals, whose ids must not be used again meanwhile.
        self._seen: dict[int, tuple[Any, Any]] = {}

    def _once(self, original: Any, convert: Callable[[], Any]) -> Any:
        if id(original) not in self._seen:
            self._seen[id(original)] = (convert(), original)
        return self._seen[id(original)][0]

    def constraints(self, original: Any) -> Any:
        _check_has(original, "dtype", "DTypeWithConstraints")
        values = {name: getattr(original, name) for name in _CONSTRAINTS}
        return self._once(original, lambda: self.own.DTypeWithConstraints(**values))

    def dtype_config(self, original: Any) -> Any:
        _check_has(original, "input_dtype_with_constraints", "DTypeConfig")
        return self._once(
            original,
            lambda: self.own.DTypeConfig(
                self.constraints(original.input_dtype_with_constraints),
                self.constraints(original.output_dtype_with_constraints),
                self.constraints(original.weight_dtype_with_constraints),
                original.bias_dtype,
                original.is_dynamic,
            ),
        )

    def pattern_config(self, original: Any) -> Any:
        _check_has(original, "dtype_configs", "BackendPatternConfig")
        return self._once(original, lambda: self._pattern_config(original))

    def _pattern_config(self, original: Any) -> Any:
        config = self.own.BackendPatternConfig()
        for name in _PLAIN:
            if getattr(original, name) is not None:
                setattr(config, name, getattr(original, name))
        config.observation_type = self._observation_type(original.observation_type)
        self._container(
            config,
            "dtype_configs",
            original.dtype_configs,
            lambda value: [self.dtype_config(dtype_config) for dtype_config in value],
        )
        self._container(
            config,
            "_num_tensor_args_to_observation_type",
            original._num_tensor_args_to_observation_type,
            lambda value: {key: self._observation_type(item) for key, item in value.items()},
        )
        self._container(config, "_input_type_to_index", original._input_type_to_index, dict)
        return config

    def _container(
        self, config: Any, name: str, original: Any, convert: Callable[..., Any]
    ) -> None:
        known = self._seen.get(id(original))
        setattr(config, name, convert(original) if known is None else known[0])
        # The view, so that the next config with this container shares it.
        self._seen[id(original)] = (getattr(config, name), original)

    def _observation_type(self, original: Any) -> Any:
        return self.own.ObservationType[original.name]

    def backend_config(self, original: Any) -> Any:
        _check_has(original, "_pattern_complex_format_to_config", "BackendConfig")
        config = self.own.BackendConfig(original.name)
        for key, pattern_config in original._pattern_complex_format_to_config.items():
            config._pattern_complex_format_to_config[key] = self.pattern_config(pattern_config)
        return config
