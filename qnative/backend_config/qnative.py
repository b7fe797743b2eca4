"""qnative's own backend: the rows of native, then rows for all else that qnative runs."""

from typing import Any

from ._backends import backend_config
from .backend_config import BackendConfig

__all__ = ["get_qnative_backend_config", "get_qnative_backend_config_dict"]


def get_qnative_backend_config() -> BackendConfig:
    """All that qnative runs, the default of its front ends. Every call gives new pattern
    configs."""
    return backend_config("qnative")


def get_qnative_backend_config_dict() -> dict[str, Any]:
    """:func:`get_qnative_backend_config` as a dict."""
    return get_qnative_backend_config().to_dict()
