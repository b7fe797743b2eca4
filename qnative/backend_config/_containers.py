"""Lists and dicts that live in C++ objects: what is changed here is changed there.

A view holds the container itself, not the config it was read from: after
``view = config.dtype_configs; config.set_dtype_configs([])`` it still shows the old list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, Generic, TypeVar, overload

from ._wrapper import Wrapper, within

V = TypeVar("V")


class Container(Generic[V]):
    """A container of a TorchScript ``BackendPatternConfig``, by the name of its property.

    ``wrap`` and ``unwrap`` turn an element (of a dict: a value) into a Python object and back.
    """

    def __init__(
        self,
        name: str,
        wrap: Callable[[Any], Any],
        unwrap: Callable[[Any], Any],
        check_key: Callable[[Any], Any] | None = None,
    ):
        self.name = name
        self.wrap = wrap
        self.unwrap = unwrap
        self.check_key = check_key

    @overload
    def __get__(self, config: None, owner: type) -> Container[V]: ...

    @overload
    def __get__(self, config: Wrapper, owner: type) -> V: ...

    def __get__(self, config: Wrapper | None, owner: type) -> Any:
        if config is None:
            return self
        view = ListView if self.check_key is None else DictView
        return view(self, config._script_object._shallow_copy())

    def __set__(self, config: Wrapper, value: Any) -> None:
        if isinstance(value, View) and value.container.name == self.name:
            getattr(config._script_object, "_share_" + self.name)(value.holder)
        else:
            getattr(config._script_object, "set_" + self.name)(self.unwrap_all(value))

    def unwrap_all(self, value: Any) -> Any:
        """TypeError or ValueError, with name and place, for what cannot be in the container."""
        wanted: Any = Iterable if self.check_key is None else Mapping
        if not isinstance(value, wanted) or isinstance(value, str):
            kind = "a list" if self.check_key is None else "a dict"
            raise TypeError(f"{self.name} should be {kind}, got {value!r}")
        if self.check_key is None:
            return [self._unwrap(i, element) for i, element in enumerate(value)]
        with within(self.name):
            keys = list(map(self.check_key, value))
        return {key: self._unwrap(key, value[key]) for key in keys}

    def _unwrap(self, place: Any, element: Any) -> Any:
        with within(f"{self.name}[{place!r}]"):
            return self.unwrap(element)


class View:
    """A container and a TorchScript object that holds it."""

    def __init__(self, container: Container[Any], holder: Any):
        self.container = container
        self.holder = holder

    def raw(self) -> Any:
        return getattr(self.holder, self.container.name)

    def assign(self, value: Any) -> None:
        value = self.container.unwrap_all(value)
        getattr(self.holder, "_assign_" + self.container.name)(value)

    def __len__(self) -> int:
        return len(self.raw())

    def copy(self) -> Any:
        """A plain list or dict."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are plain: nothing else holds their container.
        plain = self.copy()
        return type(plain), (plain,)


class ListView(View, MutableSequence[Any]):
    """A list. Equal to any list of equal elements."""

    def _list(self) -> list[Any]:
        return [self.container.wrap(element) for element in self.raw()]

    def __getitem__(self, index: Any) -> Any:
        return self._list()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        elements = self._list()
        elements[index] = value
        self.assign(elements)

    def __delitem__(self, index: Any) -> None:
        elements = self._list()
        del elements[index]
        self.assign(elements)

    def insert(self, index: int, value: Any) -> None:
        elements = self._list()
        elements.insert(index, value)
        self.assign(elements)

    def copy(self) -> list[Any]:
        return self._list()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._list())

    def __add__(self, other: Iterable[Any]) -> list[Any]:
        return [*self, *other]

    def __radd__(self, other: Iterable[Any]) -> list[Any]:
        return [*other, *self]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | ListView) and self._list() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._list())


class DictView(View, MutableMapping[Any, Any]):
    """A dict. Equal to any mapping of equal items."""

    def _dict(self) -> dict[Any, Any]:
        return {key: self.container.wrap(value) for key, value in self.raw().items()}

    def __getitem__(self, key: Any) -> Any:
        return self._dict()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.assign({**self._dict(), key: value})

    def __delitem__(self, key: Any) -> None:
        items = self._dict()
        del items[key]
        self.assign(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw())

    def copy(self) -> dict[Any, Any]:
        return self._dict()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._dict() == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._dict())
