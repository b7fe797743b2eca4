"""The TensorRT backend: signed activations."""

from typing import Any

from ._backends import backend_config
from .backend_config import BackendConfig

__all__ = [
    "get_tensorrt_backend_config",
    "get_tensorrt_backend_config_dict",
]


def get_tensorrt_backend_config() -> BackendConfig:
    """The TensorRT backend. Every call gives new pattern configs."""
    return backend_config("tensorrt")


def get_tensorrt_backend_config_dict() -> dict[str, Any]:
    """:func:`get_tensorrt_backend_config` as a dict."""
    return get_tensorrt_backend_config().to_dict()
