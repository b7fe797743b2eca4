"""BackendPatternConfig: how one pattern of operators is quantized."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from . import _convert, _names
from ._containers import Container, DictView
from ._dtype_config import DTypeConfig, ObservationType
from ._wrapper import Field, Wrapper, check_int, check_str, check_type, within

if TYPE_CHECKING:
    from ._containers import ListView


# Among the Python objects of a config: no object has such a name.
_REFERENCE = "reference function"
# As in C++.
_MAX_DEPTH = 32


class NamedObject:
    """A module class, a function, or for patterns a tree of them, kept in C++ by name.

    An object that its name does not lead back to is kept on the Python config too. ``check`` raises
    TypeError for objects of another kind; a str is the name of one.
    """

    def __init__(self, name: str, check: Callable[[Any], None]):
        self.name = name
        self.check = check

    def __get__(self, config: BackendPatternConfig | None, owner: type) -> Any:
        if config is None:
            return self
        return config._object_of(getattr(config.script_object, self.name))

    def __set__(self, config: BackendPatternConfig, value: Any) -> None:
        with within(self.name):
            name = config._name_of(value, self.check)
        setattr(config.script_object, self.name, name)


def _check_class(value: Any) -> None:
    if not isinstance(value, type | str):
        raise TypeError(f"wanted a class, the name of one or None, got {value!r}")


def _check_function(value: Any) -> None:
    if not callable(value) and not isinstance(value, str):
        raise TypeError(f"wanted a function, the name of one or None, got {value!r}")


def _check_operator(value: Any) -> None:
    if isinstance(value, torch.nn.Module):
        raise TypeError(f"wanted the class of a module, not the module {value!r}")
    if not callable(value) and not isinstance(value, str):
        raise TypeError(
            f"wanted a module class, a function, an op, the name of one or a tuple of these, got "
            f"{value!r}"
        )


class BackendPatternConfig(Wrapper):
    """How one pattern of operators is quantized.

    The pattern is a module class, a function, an op, the name of a Tensor method ("reshape"), or a
    tuple of 2 or 3 of these in the order of execution. A str with a dot is the name of an object
    ("torch.nn.Linear"). A name for which no imported package has an object reads back as str.

    ``dtype_configs`` and the two dicts are views of containers in C++. Configs share one when it
    was read from the other (``b.set_dtype_configs(a.dtype_configs)``) and inside the backends that
    come with qnative; a plain list or dict is copied.

    Equality is by value.
    """

    pattern = NamedObject("pattern", _check_operator)
    observation_type = Field(
        ObservationType,
        lambda name, value: check_type(name, value, ObservationType).value,
    )
    dtype_configs: Container[ListView] = Container(
        "dtype_configs",
        DTypeConfig.from_script_object,
        lambda value: check_type("it", value, DTypeConfig).script_object,
    )
    root_module = NamedObject("root_module", _check_class)
    qat_module = NamedObject("qat_module", _check_class)
    reference_quantized_module = NamedObject("reference_quantized_module", _check_class)
    fused_module = NamedObject("fused_module", _check_class)
    fuser_method = NamedObject("fuser_method", _check_function)
    _root_node_getter = NamedObject("root_node_getter", _check_function)
    _extra_inputs_getter = NamedObject("extra_inputs_getter", _check_function)
    _num_tensor_args_to_observation_type: Container[DictView] = Container(
        "num_tensor_args_to_observation_type",
        ObservationType,
        lambda value: check_type("it", value, ObservationType).value,
        lambda key: check_int("a number of tensor arguments", key),
    )
    _input_type_to_index: Container[DictView] = Container(
        "input_type_to_index",
        int,
        lambda value: check_int("it", value),
        lambda key: check_str("the name of an input", key),
    )
    _pattern_complex_format = NamedObject("pattern_complex_format", _check_operator)

    @property
    def ops(self) -> tuple[str, ...]:
        """The ``qnative::`` ops that run the pattern; upstream's configs name none.

        One name for every DTypeConfig, or a name for each, in the order of ``dtype_configs``.
        "free": the pattern moves, renames or measures data, and needs no op. ``==`` does not
        compare ops.
        """
        return tuple(self._script_object.ops)

    @ops.setter
    def ops(self, ops: Iterable[str]) -> None:
        if not isinstance(ops, Iterable) or isinstance(ops, str):
            raise TypeError(f"ops should be a list of names, got {ops!r}")
        self._script_object.ops = [check_str(f"ops[{i}]", op) for i, op in enumerate(ops)]

    def op(self, dtype_config: int = 0) -> str:
        """The op of ``dtype_configs[dtype_config]``; "" if none is named. IndexError below 0."""
        return self._script_object.op(check_int("dtype_config", dtype_config))

    @property
    def reference(self) -> Callable[..., Any] | None:
        """The float function that the kernel of the row computes, for
        ``qnative.testing.conformance``; None if there is none. Python alone knows it."""
        return self._objects.get(_REFERENCE)

    def __init__(self, pattern: Any = None):
        self._adopt(self._construct())
        self.pattern = pattern

    def _adopt(self, script_object: Any) -> BackendPatternConfig:
        self._objects: dict[str, Any] = {}
        return super()._adopt(script_object)

    def _name_of(
        self, value: Any, check: Callable[[Any], None] = _check_operator, depth: int = 0
    ) -> str | tuple[Any, ...] | None:
        if value is None and depth == 0:
            return None
        if depth > _MAX_DEPTH:
            raise ValueError(f"a pattern is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(value, tuple) and check is _check_operator:
            return tuple(self._name_of(element, check, depth + 1) for element in value)
        check(value)
        name, exact = _names.name_of(value)
        if not exact:
            self._objects[name] = value
        return name

    def _object_of(self, name: str | tuple[Any, ...] | None) -> Any:
        if isinstance(name, tuple):
            return tuple(self._object_of(element) for element in name)
        if name is None:
            return None
        if name in self._objects:
            return self._objects[name]
        try:
            return _names.resolve(name)
        except LookupError:
            return name

    def _fields(self) -> dict[str, Any]:
        """The fields that are set, under upstream's attribute names and in its order."""
        names = [key for key, value in vars(BackendPatternConfig).items() if _is_field(value)]
        values = {name: getattr(self, name) for name in names}
        empty: tuple[Any, ...] = (None, [], {})
        return {name: value for name, value in values.items() if value not in empty}

    def set_pattern(self, pattern: Any) -> BackendPatternConfig:
        """The pattern to configure. ValueError if the complex format is set: only one can be."""
        self.pattern = pattern
        return self

    def set_observation_type(self, observation_type: ObservationType) -> BackendPatternConfig:
        """How the pattern is observed. TypeError for anything else than an ObservationType."""
        self.observation_type = observation_type
        return self

    def add_dtype_config(self, dtype_config: DTypeConfig) -> BackendPatternConfig:
        """Adds a combination of dtypes, also for the configs that share ``dtype_configs``."""
        self.dtype_configs.append(dtype_config)
        return self

    def set_dtype_configs(self, dtype_configs: Iterable[DTypeConfig]) -> BackendPatternConfig:
        """The combinations of dtypes, replacing those before."""
        self.dtype_configs = dtype_configs
        return self

    def set_root_module(self, root_module: type | None) -> BackendPatternConfig:
        """The float module that ``reference_quantized_module`` stands for, e.g. nn.Linear."""
        self.root_module = root_module
        return self

    def set_qat_module(self, qat_module: type | None) -> BackendPatternConfig:
        """The module for quantization-aware training."""
        self.qat_module = qat_module
        return self

    def set_reference_quantized_module(
        self, reference_quantized_module: type | None
    ) -> BackendPatternConfig:
        """The reference quantized module of ``root_module``; both have to be set."""
        self.reference_quantized_module = reference_quantized_module
        return self

    def set_fused_module(self, fused_module: type | None) -> BackendPatternConfig:
        """The module into which the pattern is fused."""
        self.fused_module = fused_module
        return self

    def set_fuser_method(self, fuser_method: Callable[..., Any] | None) -> BackendPatternConfig:
        """A function (is_qat, module, module[, module]) -> fused module."""
        self.fuser_method = fuser_method
        return self

    def _set_root_node_getter(
        self, root_node_getter: Callable[..., Any] | None
    ) -> BackendPatternConfig:
        self._root_node_getter = root_node_getter
        return self

    def _set_extra_inputs_getter(
        self, extra_inputs_getter: Callable[..., Any] | None
    ) -> BackendPatternConfig:
        self._extra_inputs_getter = extra_inputs_getter
        return self

    def _set_num_tensor_args_to_observation_type(
        self, num_tensor_args_to_observation_type: dict[int, ObservationType]
    ) -> BackendPatternConfig:
        self._num_tensor_args_to_observation_type = num_tensor_args_to_observation_type
        return self

    def _set_input_type_to_index(self, input_type_to_index: dict[str, int]) -> BackendPatternConfig:
        self._input_type_to_index = input_type_to_index
        return self

    def _set_pattern_complex_format(self, pattern: Any) -> BackendPatternConfig:
        """The pattern in the reversed nested format, e.g. (nn.ReLU, (nn.BatchNorm2d, nn.Conv2d)).

        ValueError if ``pattern`` is set: only one can be.
        """
        self._pattern_complex_format = pattern
        return self

    def set_ops(self, *ops: str) -> BackendPatternConfig:
        """The op of every DTypeConfig, or that of each: see :attr:`ops`."""
        self.ops = ops
        return self

    def set_reference(self, reference: Callable[..., Any] | None) -> BackendPatternConfig:
        """A float function of the kernel's inputs and arguments, by their names: see
        :attr:`reference`. TypeError for what cannot be called."""
        if reference is None:
            self._objects.pop(_REFERENCE, None)
        elif callable(reference):
            self._objects[_REFERENCE] = reference
        else:
            raise TypeError(f"reference should be a function or None, got {reference!r}")
        return self

    @classmethod
    def from_dict(cls, backend_pattern_config_dict: dict[str, Any]) -> BackendPatternConfig:
        """From a dict with any of these keys:

        "pattern", "observation_type": as in the setters
        "dtype_configs": list of DTypeConfig and of dicts for :meth:`DTypeConfig.from_dict`
        "root_module", "qat_module", "reference_quantized_module_for_root", "fused_module": class
        "fuser_method", "root_node_getter", "extra_inputs_getter": function
        "num_tensor_args_to_observation_type", "input_type_to_index": dict
        "pattern_complex_format": the pattern in the reversed nested format
        "ops": list of names
        "reference": function
        """
        items = check_type("backend_pattern_config_dict", backend_pattern_config_dict, dict)
        config = cls()
        if "pattern" in items:
            config.set_pattern(items["pattern"])
        if "observation_type" in items:
            config.set_observation_type(items["observation_type"])
        for i, dtype_config in enumerate(list_of(items, "dtype_configs")):
            with within(f"dtype_configs[{i}]"):
                config.add_dtype_config(_dtype_config_from(dtype_config))
        config.set_root_module(items.get("root_module"))
        config.set_qat_module(items.get("qat_module"))
        config.set_reference_quantized_module(items.get("reference_quantized_module_for_root"))
        config.set_fused_module(items.get("fused_module"))
        config.set_fuser_method(items.get("fuser_method"))
        config._set_root_node_getter(items.get("root_node_getter"))
        config._set_extra_inputs_getter(items.get("extra_inputs_getter"))
        config._set_num_tensor_args_to_observation_type(
            items.get("num_tensor_args_to_observation_type", {})
        )
        config._set_input_type_to_index(items.get("input_type_to_index", {}))
        if "pattern_complex_format" in items:
            config._set_pattern_complex_format(items["pattern_complex_format"])
        config.ops = items.get("ops", ())
        return config.set_reference(items.get("reference"))

    def to_dict(self, with_ops: bool = False) -> dict[str, Any]:
        """The dict that :meth:`from_dict` takes, with the fields that are set.

        with_ops: "ops" and "reference" too, keys that upstream's dicts do not have.
        """
        fields = self._fields()
        items = {
            "observation_type": fields.pop("observation_type"),
            "dtype_configs": [config.to_dict() for config in fields.pop("dtype_configs", [])],
        }
        for name, value in fields.items():
            key = name.removeprefix("_")
            key += "_for_root" if key == "reference_quantized_module" else ""
            items[key] = value.copy() if isinstance(value, DictView) else value
        if with_ops and self.ops:
            items["ops"] = list(self.ops)
        if with_ops and self.reference is not None:
            items["reference"] = self.reference
        return items

    def to_torch(self) -> Any:
        """The same as an object of ``torch.ao.quantization.backend_config``.

        ImportError if it names an object that no imported package has.
        """
        return _convert.ToTorch().pattern_config(self)

    @classmethod
    def from_torch(cls, config: Any) -> BackendPatternConfig:
        """From an object of ``torch.ao.quantization.backend_config``."""
        return _convert.FromTorch().pattern_config(config)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BackendPatternConfig):
            return NotImplemented
        return bool(self._script_object == other._script_object)

    def __hash__(self) -> int:
        # Equal configs must have equal hashes, and any of their values can change.
        return hash(BackendPatternConfig)

    def __repr__(self) -> str:
        return f"BackendPatternConfig({self._fields()})"

    def __copy__(self) -> BackendPatternConfig:
        copied = super().__copy__()
        copied._objects = dict(self._objects)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> BackendPatternConfig:
        copied = super().__deepcopy__(memo)
        copied._objects = dict(self._objects)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self._script_object, self._unnamed_objects())

    def _names_by_field(self) -> Iterator[tuple[str, str]]:
        """Every name of an object, after its key in :meth:`to_dict`."""
        for field, value in vars(BackendPatternConfig).items():
            if isinstance(value, NamedObject):
                key = field.removeprefix("_")
                key += "_for_root" if key == "reference_quantized_module" else ""
                for name in _flat(getattr(self.script_object, value.name)):
                    yield key, name

    def _unnamed_objects(self) -> dict[str, Any]:
        """The objects that another process could not find by name."""
        return {name: value for name, value in self._objects.items() if not _names.leads(name)}


def _flat(names: str | tuple[Any, ...] | None) -> Iterator[str]:
    if isinstance(names, tuple):
        for element in names:
            yield from _flat(element)
    elif names is not None:
        yield names


def _is_field(value: Any) -> bool:
    return isinstance(value, Field | NamedObject | Container)


def list_of(items: dict[str, Any], key: str) -> Iterable[Any]:
    """TypeError for what cannot be gone through."""
    if not isinstance(items.get(key, []), Iterable):
        raise TypeError(f"{key} should be a list, got {items[key]!r}")
    return items.get(key, [])


def _dtype_config_from(value: DTypeConfig | dict[str, Any]) -> DTypeConfig:
    if isinstance(value, DTypeConfig):
        return value
    if isinstance(value, dict):
        return DTypeConfig.from_dict(value)
    raise ValueError(
        'Expected a list of DTypeConfigs in backend_pattern_config_dict["dtype_configs"], '
        f"got '{type(value)}'"
    )


def _unpickle(
    cls: type[BackendPatternConfig], script_object: Any, objects: dict[str, Any]
) -> BackendPatternConfig:
    config = cls.__new__(cls)._adopt(script_object)
    config._objects = objects
    return config
