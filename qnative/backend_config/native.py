"""PyTorch's native CPU backend: 194 patterns, and the dtypes that they support."""

from typing import Any

from ._backends import backend_config, dtype_config
from .backend_config import BackendConfig

__all__ = [
    "default_dynamic_float16_dtype_config",
    "default_dynamic_int8_dtype_config",
    "default_op_fp16_dtype_config",
    "default_op_quint8_dtype_config",
    "get_native_backend_config",
    "get_native_backend_config_dict",
    "get_test_only_legacy_native_backend_config",
    "get_test_only_legacy_native_backend_config_dict",
    "input_output_only_quint8_dtype_config",
    "weight_only_quint4x2_dtype_config",
    "weight_only_quint8_dtype_config",
    "weighted_op_quint8_dtype_config",
]

# Every native BackendConfig holds these very objects: to change one, copy it first.
weighted_op_quint8_dtype_config = dtype_config("weighted_op_quint8_dtype_config")
default_op_quint8_dtype_config = dtype_config("default_op_quint8_dtype_config")
default_op_fp16_dtype_config = dtype_config("default_op_fp16_dtype_config")
default_dynamic_int8_dtype_config = dtype_config("default_dynamic_int8_dtype_config")
default_dynamic_float16_dtype_config = dtype_config("default_dynamic_float16_dtype_config")
input_output_only_quint8_dtype_config = dtype_config("input_output_only_quint8_dtype_config")
weight_only_quint8_dtype_config = dtype_config("weight_only_quint8_dtype_config")
weight_only_quint4x2_dtype_config = dtype_config("weight_only_quint4x2_dtype_config")


def get_native_backend_config() -> BackendConfig:
    """PyTorch's native CPU backend. Every call gives new pattern configs."""
    return backend_config("native")


def get_native_backend_config_dict() -> dict[str, Any]:
    """:func:`get_native_backend_config` as a dict."""
    return get_native_backend_config().to_dict()


def get_test_only_legacy_native_backend_config() -> BackendConfig:
    """The native backend with more fp16 entries, named "_native_and_fp16"."""
    return backend_config("test_only_legacy_native")


def get_test_only_legacy_native_backend_config_dict() -> dict[str, Any]:
    """:func:`get_test_only_legacy_native_backend_config` as a dict."""
    return get_test_only_legacy_native_backend_config().to_dict()
