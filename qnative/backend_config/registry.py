"""Backends by name, for Python, C++ and the libraries that bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch

from ._wrapper import check_str, check_type
from .backend_config import BackendConfig

if TYPE_CHECKING:
    from torch.ao.quantization.backend_config import BackendConfig as UpstreamBackendConfig

# The types of an argument ``backend_config``, see resolve.
AnyBackend: TypeAlias = "BackendConfig | UpstreamBackendConfig | str | None"

_backends = torch.classes.qnative.Backends()
# The Python objects of what Python registered: they hold what has no name in C++.
_registered: dict[str, BackendConfig] = {}


def register_backend(name: str, config: BackendConfig, *, replace: bool = False) -> BackendConfig:
    """Makes ``config`` known as ``name``, here and in C++, and gives it back.

    It is kept by reference: later changes are seen by all who look it up. ValueError for an empty
    name and, unless ``replace``, one that is taken; qnative's own cannot be replaced. TypeError for
    anything but a BackendConfig.
    """
    check_str("name", name)
    check_type("config", config, BackendConfig)
    check_type("replace", replace, bool)
    _backends.register_backend(name, config.script_object, replace)
    _registered[name] = config
    return config


def unregister_backend(name: str) -> bool:
    """Whether there was one. ValueError for qnative's own."""
    _registered.pop(check_str("name", name), None)
    return _backends.unregister_backend(name)


def get_backend(name: str) -> BackendConfig:
    """The backend of this name: "qnative", "native", one that was registered, or one that a library
    brought.

    qnative's own and those of libraries are built anew at each call. ValueError, with the names
    there are, for an unknown one.
    """
    return BackendConfig.from_script_object(_backends.get_backend(check_str("name", name)))


def backend_names() -> list[str]:
    """All names that :func:`get_backend` knows, without private ones ("_...")."""
    return _backends.backend_names()


def resolve(config: AnyBackend, caller: str = "qnative") -> BackendConfig:
    """The config that an argument ``backend_config`` stands for: None is "qnative", a str the
    name of one; a BackendConfig, of qnative or upstream, is itself. TypeError for anything else."""
    if config is None:
        return get_backend("qnative")
    if isinstance(config, str):
        return get_backend(config)
    if not hasattr(config, "configs"):
        raise TypeError(
            f"{caller}: backend_config must be a BackendConfig, the name of one or None, got "
            f"{type(config).__name__}"
        )
    return config
