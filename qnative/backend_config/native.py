"""PyTorch's native CPU backend: 194 patterns, and the dtypes that they support."""

import torch

from .backend_config import BackendConfig, DTypeConfig

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

_backends = torch.classes.qnative.Backends()


def _dtype_config(name: str) -> DTypeConfig:
    return DTypeConfig.from_script_object(_backends.dtype_config(name))


# Every native BackendConfig holds these very objects: to change one, copy it first.
weighted_op_quint8_dtype_config = _dtype_config("weighted_op_quint8_dtype_config")
default_op_quint8_dtype_config = _dtype_config("default_op_quint8_dtype_config")
default_op_fp16_dtype_config = _dtype_config("default_op_fp16_dtype_config")
default_dynamic_int8_dtype_config = _dtype_config("default_dynamic_int8_dtype_config")
default_dynamic_float16_dtype_config = _dtype_config("default_dynamic_float16_dtype_config")
input_output_only_quint8_dtype_config = _dtype_config("input_output_only_quint8_dtype_config")
weight_only_quint8_dtype_config = _dtype_config("weight_only_quint8_dtype_config")
weight_only_quint4x2_dtype_config = _dtype_config("weight_only_quint4x2_dtype_config")


def get_native_backend_config() -> BackendConfig:
    """PyTorch's native CPU backend. Every call gives new pattern configs."""
    return BackendConfig.from_script_object(_backends.get_native_backend_config())


def get_native_backend_config_dict() -> dict:
    """:func:`get_native_backend_config` as a dict."""
    return get_native_backend_config().to_dict()


def get_test_only_legacy_native_backend_config() -> BackendConfig:
    """The native backend with more fp16 entries, named "_native_and_fp16"."""
    return BackendConfig.from_script_object(_backends.get_test_only_legacy_native_backend_config())


def get_test_only_legacy_native_backend_config_dict() -> dict:
    """:func:`get_test_only_legacy_native_backend_config` as a dict."""
    return get_test_only_legacy_native_backend_config().to_dict()
