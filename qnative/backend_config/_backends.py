"""The objects of ``qnative/backends.h`` by name, for the modules of the backends."""

import torch

from .backend_config import BackendConfig, DTypeConfig, DTypeWithConstraints

_backends = torch.classes.qnative.Backends()


def backend_config(name: str) -> BackendConfig:
    """A new BackendConfig."""
    return BackendConfig.from_script_object(getattr(_backends, f"get_{name}_backend_config")())


def dtype_config(name: str) -> DTypeConfig:
    """The one of this name that the BackendConfigs hold."""
    return DTypeConfig.from_script_object(_backends.dtype_config(name))


def dtype_with_constraints(name: str) -> DTypeWithConstraints:
    """The one of this name that the DTypeConfigs hold."""
    return DTypeWithConstraints.from_script_object(_backends.dtype_with_constraints(name))
