"""The classes of ``torch.ao.quantization.backend_config.backend_config``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import torch

from . import _convert, _names
from ._dtype_config import DTypeConfig, DTypeWithConstraints, ObservationType
from ._lint import Finding, Findings, lint
from ._pattern_config import BackendPatternConfig, list_of
from ._wrapper import Field, Wrapper, check_str, check_type, within

__all__ = [
    "BackendConfig",
    "BackendPatternConfig",
    "DTypeConfig",
    "DTypeWithConstraints",
    "Finding",
    "MissingKernel",
    "ObservationType",
]


class MissingKernel(NamedTuple):
    """``config.dtype_configs[dtype_config]`` cannot run."""

    config: BackendPatternConfig
    dtype_config: int
    reason: str

    @property
    def op(self) -> str:
        """The op that it names, or ""."""
        return self.config.op(self.dtype_config)


class BackendConfig(Wrapper):
    """The patterns that a backend can quantize, in order.

    Patterns are distinct: a config whose pattern is there already replaces the one before and takes
    its place. Configs are kept by reference. Two BackendConfigs are equal if they have the same
    name and equal configs in the same order.

    Example::

        linear = (
            BackendPatternConfig(torch.nn.Linear)
            .add_dtype_config(DTypeConfig(torch.quint8, torch.quint8, torch.qint8, torch.float))
            .set_root_module(torch.nn.Linear)
        )
        backend = BackendConfig("my_backend").set_backend_pattern_config(linear)
    """

    name = Field(str, check_str)

    def __init__(self, name: str = ""):
        self._adopt(self._construct(check_str("name", name)))

    def _adopt(self, script_object: Any) -> BackendConfig:
        # Python objects of the configs, which may hold what has no name in C++.
        self._kept: list[BackendPatternConfig] = []
        return super()._adopt(script_object)

    def set_name(self, name: str) -> BackendConfig:
        """The name of the backend."""
        self.name = name
        return self

    def set_backend_pattern_config(self, config: BackendPatternConfig) -> BackendConfig:
        """Adds a config or replaces that of the same pattern.

        ValueError for a config without a pattern and for a tuple that has not 2 or 3 elements.
        """
        check_type("config", config, BackendPatternConfig)
        pattern = config.pattern
        if isinstance(pattern, tuple) and len(pattern) not in (2, 3):
            raise ValueError(f"Expected a tuple with 2 or 3 elements, got: {pattern}")
        self._script_object.set_backend_pattern_config(config.script_object)
        self._kept.append(config)
        return self

    def set_backend_pattern_configs(self, configs: Iterable[BackendPatternConfig]) -> BackendConfig:
        """:meth:`set_backend_pattern_config` for each; errors begin with its position."""
        if not isinstance(configs, Iterable):
            raise TypeError(f"configs should be a list of BackendPatternConfig, got {configs!r}")
        for i, config in enumerate(configs):
            with within(f"configs[{i}]"):
                self.set_backend_pattern_config(config)
        return self

    @property
    def configs(self) -> list[BackendPatternConfig]:
        """A new list of the configs."""
        configs = self._script_object.configs
        self._kept = [BackendPatternConfig.from_script_object(config) for config in configs]
        return list(self._kept)

    @property
    def _pattern_complex_format_to_config(self) -> PatternMap:
        return PatternMap(self)

    @classmethod
    def from_dict(cls, backend_config_dict: dict[str, Any]) -> BackendConfig:
        """From a dict with "name" and "configs", a list of BackendPatternConfig and of dicts for
        :meth:`BackendPatternConfig.from_dict`; both are optional."""
        check_type("backend_config_dict", backend_config_dict, dict)
        config = cls(backend_config_dict.get("name", ""))
        for i, value in enumerate(list_of(backend_config_dict, "configs")):
            with within(f"configs[{i}]"):
                if isinstance(value, dict):
                    value = BackendPatternConfig.from_dict(value)
                if not isinstance(value, BackendPatternConfig):
                    raise ValueError("Expected backend_config_dict['configs'] to be a dictionary")
                config.set_backend_pattern_config(value)
        return config

    def to_dict(self, with_ops: bool = False) -> dict[str, Any]:
        """The dict that :meth:`from_dict` takes; with_ops: with :attr:`BackendPatternConfig.ops`,
        which upstream's dicts do not have."""
        return {"name": self.name, "configs": [config.to_dict(with_ops) for config in self.configs]}

    def to_json(self) -> str:
        """JSON by ``docs/backend_config.schema.json``: the same text at each call, with a line for
        each DTypeConfig and for each field that is set, ops included. Sharing between
        configs is not kept.

        ValueError, which names the row and the field, for what :meth:`from_json` would refuse and
        for an object without a name that leads to it, such as a lambda.
        """
        for index, config in enumerate(self.configs):
            unnamed = config._unnamed_objects()
            for key, name in config._names_by_field():
                if name in unnamed:
                    raise ValueError(
                        f"qnative: to_json: configs[{index}].{key}: wanted an object that can be "
                        f"found by name, got {unnamed[name]!r}"
                    )
        return self._script_object.to_json()

    @classmethod
    def from_json(cls, text: str) -> BackendConfig:
        """From what :meth:`to_json` gives.

        ValueError that says where: for JSON of another version, unknown and missing fields, values
        of the wrong type, two rows with one pattern, and a name that the module which it names does
        not have. TypeError if ``text`` is no str, ValueError if UTF-8 cannot hold it.
        """
        check_str("text", text)
        script = torch.classes.qnative.BackendConfig().from_json(text)
        config = cls.__new__(cls)._adopt(script)
        for index, row in enumerate(config.configs):
            for key, name in row._names_by_field():
                if _names.is_wrong(name):
                    raise ValueError(
                        f"qnative: from_json: configs[{index}].{key}: no object is named '{name}'"
                    )
        return config

    def validate(self) -> list[MissingKernel]:
        """Every DTypeConfig of every pattern that cannot run, with the reason: it names no op,
        names one that is not registered with a CPU kernel, or no program has the pattern."""
        self._kept = self.configs
        return [
            MissingKernel(BackendPatternConfig.from_script_object(config), dtype_config, reason)
            for config, dtype_config, reason in self._script_object.validate()
        ]

    def lint(self) -> Findings:
        """Everything that looks wrong, row by row, as a list that prints as a table.

        What :meth:`validate` finds; rows that are half built; constraints that can never hold;
        patterns and DTypeConfigs that stand there twice, or behind one that takes all they take;
        fused patterns without a row for their first part or for the fused module; modules that FX
        cannot convert for want of a root module; names without an object.
        """
        return lint(self)

    def to_torch(self) -> Any:
        """The same as an object of ``torch.ao.quantization.backend_config``, for prepare_fx.

        ImportError if it names an object that no imported package has.
        """
        return _convert.ToTorch().backend_config(self)

    @classmethod
    def from_torch(cls, config: Any) -> BackendConfig:
        """From an object of ``torch.ao.quantization.backend_config``."""
        return _convert.FromTorch().backend_config(config)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BackendConfig):
            return NotImplemented
        return bool(self._script_object == other._script_object)

    def __hash__(self) -> int:
        # Equal configs must have equal hashes, and any of their values can change.
        return hash(BackendConfig)

    def __repr__(self) -> str:
        configs = dict(self._pattern_complex_format_to_config)
        fields = {"name": self.name, "_pattern_complex_format_to_config": configs}
        return f"BackendConfig({fields})"

    def table(self) -> str:
        """For reading: two lines on the whole, then a line for each pair of pattern and
        DTypeConfig. ``str`` and ``print`` give it too."""
        return self._script_object.table()

    __str__ = table

    def __copy__(self) -> BackendConfig:
        copied = super().__copy__()
        copied._kept = self.configs
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> BackendConfig:
        copied = super().__deepcopy__(memo)
        for config, original in zip(copied.configs, self.configs, strict=True):
            config._objects = dict(original._objects)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        objects = [config._unnamed_objects() for config in self.configs]
        return _unpickle, (type(self), self._script_object, objects)


def _unpickle(
    cls: type[BackendConfig], script_object: Any, objects: list[dict[str, Any]]
) -> BackendConfig:
    backend = cls.__new__(cls)._adopt(script_object)
    for config, own in zip(backend.configs, objects, strict=True):
        config._objects = own
    return backend


class PatternMap(MutableMapping[Any, Any]):
    """The configs of a BackendConfig by their pattern in the reversed nested format."""

    def __init__(self, backend: BackendConfig):
        self._backend = backend

    def __getitem__(self, pattern: Any) -> BackendPatternConfig:
        found = self._backend._script_object.find(BackendPatternConfig()._name_of(pattern))
        if found is None:
            raise KeyError(pattern)
        return BackendPatternConfig.from_script_object(found)

    def __setitem__(self, pattern: Any, config: BackendPatternConfig) -> None:
        check_type("config", config, BackendPatternConfig)
        name = config._name_of(pattern)
        self._backend._script_object.set_entry(name, config.script_object)
        self._backend._kept.append(config)

    def __delitem__(self, pattern: Any) -> None:
        if not self._backend._script_object.erase(BackendPatternConfig()._name_of(pattern)):
            raise KeyError(pattern)

    def __iter__(self) -> Iterator[Any]:
        keys = self._backend._script_object.keys
        for key, config in zip(keys, self._backend.configs, strict=True):
            yield config._object_of(key)

    def __len__(self) -> int:
        return len(self._backend._script_object.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self))
