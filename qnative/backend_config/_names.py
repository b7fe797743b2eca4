"""Python objects by name: configs in C++ name modules and functions, Python hands out the objects.

Nothing here imports a package that is not imported yet: reading a config from a file runs no code
of packages that the program does not use. Submodules of imported packages are imported.
"""

import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import torch

from ._wrapper import check_str

_WRAPPER = "torch.ao.quantization.fuser_method_mappings._sequential_wrapper2"


def resolve(name: str) -> Any:
    """The object of this name. Raises LookupError if there is none (yet)."""
    if name.startswith(_WRAPPER + "(") and name.endswith(")"):
        return _wrapped(resolve(_WRAPPER), resolve(name[len(_WRAPPER) + 1 : -1]))
    parts = name.split(".")
    if len(parts) > 1 and parts[0] in sys.modules:
        for end in range(len(parts) - 1, 0, -1):
            module = _module(".".join(parts[:end]))
            found = [] if module is None else _attributes(module, parts[end:])
            if found:
                return found[0]
    raise LookupError(f"no imported package has an object named '{name}'")


def leads(name: str) -> bool:
    """Whether :func:`resolve` finds an object of this name."""
    try:
        resolve(name)
    except LookupError:
        return False
    return True


def is_wrong(name: str) -> bool:
    """Whether the module that the name names can be imported, and has no such object.

    Of a package that is not imported, or that this version of torch does not have any more, nothing
    is known. The name of a method has no module.
    """
    if name.startswith(_WRAPPER + "(") and name.endswith(")"):
        return is_wrong(name[len(_WRAPPER) + 1 : -1])
    package, _, attribute = name.rpartition(".")
    if not package or package.partition(".")[0] not in sys.modules:
        return False
    module = _module(package)
    return module is not None and not hasattr(module, attribute)


@functools.cache
def _wrapped(wrapper: Any, module: type) -> Any:
    # One closure for each module, so that two configs give the same object.
    return wrapper(module)


def _module(name: str) -> Any:
    if name not in sys.modules:
        try:
            importlib.import_module(name)
        except ImportError:
            return None
    return sys.modules[name]


def _attributes(value: Any, names: list[str]) -> list[Any]:
    """[value.a.b.c], or [] if there is no such attribute."""
    for name in names:
        try:
            value = getattr(value, name)
        except AttributeError:
            return []
    return [value]


def name_of(value: Any) -> tuple[str, bool]:
    """A name for a module class, a function, an op or any other hashable object.

    Also whether :func:`resolve` gives the object for it. Otherwise whoever needs the object has to
    keep it: a lambda, a bound method, a class defined inside a function.
    """
    if isinstance(value, str):
        return check_str("the name of an object", value), True
    hash(value)
    for name in _candidates(value):
        try:
            if resolve(name) is value:
                return name, True
        except LookupError:
            continue
    wrapped = _wrapped_module(value)
    if wrapped is not None:
        name, exact = name_of(wrapped)
        if exact:
            return f"{_WRAPPER}({name})", False
    described = value if hasattr(value, "__qualname__") else type(value)
    # A bound method is a new object at each access; the object that it is bound to is not.
    identity = getattr(value, "__self__", None)
    identity = id(value if identity is None else identity)
    return f"{described.__module__}.{described.__qualname__}@{identity:x}", False


def _candidates(value: Any) -> Iterator[str]:
    if isinstance(value, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        yield f"torch.ops.{value}"
    owner = getattr(value, "__objclass__", value)
    module = getattr(owner, "__module__", None)
    if not isinstance(module, str):
        return
    parts = module.replace("_operator", "operator").split(".")
    names = [getattr(value, "__name__", None), getattr(value, "__qualname__", None)]
    # The shortest name of a class is the public one, torch.nn.Linear and not
    # torch.nn.modules.linear.Linear; functions live in public modules.
    ends = range(1, len(parts) + 1)
    for end in ends if isinstance(value, type) else reversed(ends):
        for name in dict.fromkeys(name for name in names if name):
            yield ".".join([*parts[:end], name])


def _wrapped_module(value: Any) -> Any:
    """The module class in a closure that upstream's ``_sequential_wrapper2`` made, else None."""
    package, _, function = _WRAPPER.rpartition(".")
    if getattr(value, "__module__", None) != package:
        return None
    if not getattr(value, "__qualname__", "").startswith(function + ".<locals>"):
        return None
    cells: tuple[Any, ...] = getattr(value, "__closure__", None) or ()
    return cells[0].cell_contents if len(cells) == 1 else None
