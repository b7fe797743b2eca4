"""Base of the Python objects of a config: each wraps a TorchScript object."""

from __future__ import annotations

import contextlib
import copy
import numbers
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, overload

import torch

T = TypeVar("T", bound="Wrapper")
V = TypeVar("V")

# Wrappers by the address of the wrapped object, so that one C++ object is one Python object.
_wrappers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class Wrapper:
    """Base class; subclasses are named like their TorchScript class in torch.classes.qnative."""

    _script_object: Any  # a torch.ScriptObject: its methods are those of the C++ class

    @property
    def script_object(self) -> torch.ScriptObject:
        """The ``torch.classes.qnative`` object with the data, for a ScriptModule attribute."""
        return self._script_object

    @classmethod
    def from_script_object(cls: type[T], script_object: torch.ScriptObject) -> T:
        """The Python object for a TorchScript object: always the same one while it is alive.

        Raises TypeError if ``script_object`` is not of this class.
        """
        wanted = _script_name(cls)
        got = (
            script_object._type().qualified_name()
            if isinstance(script_object, torch.ScriptObject)
            else type(script_object).__name__
        )
        if got != wanted:
            raise TypeError(f"{cls.__name__}.from_script_object: wanted a {wanted}, got a {got}")
        held: Any = script_object
        known = _wrappers.get(held._id())
        return cls.__new__(cls)._adopt(held) if known is None else known

    @classmethod
    def _construct(cls, *args: Any) -> Any:
        return getattr(torch.classes.qnative, _script_class(cls))(*args)

    def _adopt(self: T, script_object: Any) -> T:
        self._script_object = script_object
        _wrappers[script_object._id()] = self
        return self

    def __copy__(self: T) -> T:
        return type(self).__new__(type(self))._adopt(self._script_object._shallow_copy())

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        copied = type(self).__new__(type(self))._adopt(copy.deepcopy(self._script_object))
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self._script_object)


def _unpickle(cls: type[T], script_object: Any) -> T:
    return cls.__new__(cls)._adopt(script_object)


def _script_class(cls: type) -> str:
    # The name of the class in this package, if `cls` is a user's subclass of it.
    return next(base.__name__ for base in cls.__mro__ if base.__module__.startswith(__package__))


def _script_name(cls: type) -> str:
    return f"__torch__.torch.classes.qnative.{_script_class(cls)}"


class Field(Generic[V]):
    """An attribute that lives in the script object, under the same name unless told.

    ``wrap`` and ``unwrap`` turn its value, when it is not None, into a Python object and back.
    """

    def __init__(self, wrap: Callable[[Any], V], unwrap: Callable[[str, Any], Any], name: str = ""):
        self.wrap = wrap
        self.unwrap = unwrap
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.public_name = name
        self.name = self.name or name

    @overload
    def __get__(self, config: None, owner: type) -> Field[V]: ...

    @overload
    def __get__(self, config: Wrapper, owner: type) -> V: ...

    def __get__(self, config: Wrapper | None, owner: type) -> Any:
        if config is None:
            return self
        value = getattr(config.script_object, self.name)
        return None if value is None else self.wrap(value)

    def __set__(self, config: Wrapper, value: Any) -> None:
        setattr(config.script_object, self.name, self.unwrap(self.public_name, value))


@contextlib.contextmanager
def within(what: str) -> Iterator[None]:
    """Puts where it happened before the message of a TypeError or ValueError."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(
            f"{what}: {error}"
        ) from error


def check_type(name: str, value: Any, wanted: type, *, optional: bool = False) -> Any:
    """``value``, or TypeError."""
    if isinstance(value, wanted) or (optional and value is None):
        return value
    article = "an" if wanted.__name__[0] in "aeioAEIO" else "a"
    or_none = " or None" if optional else ""
    raise TypeError(f"{name} should be {article} {wanted.__name__}{or_none}, got {value!r}")


def check_str(name: str, value: Any) -> str:
    """``value``; TypeError if it is no str, ValueError if C++ cannot hold it."""
    try:
        check_type(name, value, str).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} should be text that UTF-8 can hold, got {value!r}") from None
    return value


def check_int(name: str, value: Any, *, optional: bool = False) -> int | None:
    """``value``; TypeError if it is no int, ValueError if C++ cannot hold it."""
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        or_none = " or None" if optional else ""
        raise TypeError(f"{name} should be an int{or_none}, got {value!r}")
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name} should be an int of 64 bits, got {value}")
    return number


def check_number(name: str, value: Any) -> int | float | None:
    if isinstance(value, float) or value is None:
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return check_int(name, value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"{name} should be an int, a float or None, got {value!r}")


def check_dtype(name: str, value: Any) -> torch.dtype | None:
    if value is None or isinstance(value, torch.dtype):
        return value
    raise TypeError(f"{name} should be a torch.dtype or None, got {value!r}")


def dtypes_by_number() -> dict[int, torch.dtype]:
    # A TorchScript class gives a dtype back as the number of its ScalarType.
    probe = torch.classes.qnative.DTypeWithConstraints()
    dtypes = {}
    for value in vars(torch).values():
        if isinstance(value, torch.dtype):
            # A torch that is newer than the one of the build may have more of them.
            with contextlib.suppress(ValueError):
                probe.dtype = value
                dtypes[probe.dtype] = value
    return dtypes


_dtypes = dtypes_by_number()


def dtype_of(number: int) -> torch.dtype:
    return _dtypes[number]
