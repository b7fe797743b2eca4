"""Arithmetic with sizes that torch.jit.trace records: in a trace, sizes are tensors.

torch.export writes it in Python's operators, in functions of ``math`` and in ``torch.sym_*``. Those
that would make a constant of a tensor have a form here that does not. Numbers are float64, as
Python's are.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch


def size_max(a: Any, b: Any) -> Any:
    return torch.maximum(*_tensors(a, b)) if _traced(a, b) else torch.sym_max(a, b)


def size_min(a: Any, b: Any) -> Any:
    return torch.minimum(*_tensors(a, b)) if _traced(a, b) else torch.sym_min(a, b)


def size_float(a: Any) -> Any:
    return a.to(torch.float64) if _traced(a) else torch.sym_float(a)


def size_int(a: Any) -> Any:
    return a.to(torch.int64) if _traced(a) else torch.sym_int(a)


def size_not(a: Any) -> Any:
    return a.logical_not() if _traced(a) else torch.sym_not(a)


def size_choice(condition: Any, a: Any, b: Any) -> Any:
    if _traced(condition, a, b):
        return torch.where(torch.as_tensor(condition), *_tensors(a, b))
    return torch.sym_ite(condition, a, b)


def size_quotient(a: Any, b: Any) -> Any:
    if _traced(a, b):
        a, b = (each.to(torch.float64) for each in _tensors(a, b))
    return a / b


def size_power(a: Any, b: Any) -> Any:
    if _traced(a, b):
        a, b = _tensors(a, b)
    return a**b


def size_floor(a: Any) -> Any:
    return a.floor().to(torch.int64) if _traced(a) else math.floor(a)


def size_ceil(a: Any) -> Any:
    return a.ceil().to(torch.int64) if _traced(a) else math.ceil(a)


def size_trunc(a: Any) -> Any:
    return a.trunc().to(torch.int64) if _traced(a) else math.trunc(a)


def _traced(*numbers: Any) -> bool:
    return any(isinstance(number, torch.Tensor) for number in numbers)


def _tensors(*numbers: Any) -> list[torch.Tensor]:
    """Integers as int64, others as float64, as Python would compute with them."""
    found = [torch.as_tensor(number) for number in numbers]
    is_real = any(each.is_floating_point() for each in found)
    return [each.to(torch.float64 if is_real else torch.int64) for each in found]


# By what torch.export writes.
NUMBERS: dict[Any, Callable[..., Any]] = {
    torch.sym_max: size_max,
    torch.sym_min: size_min,
    torch.sym_float: size_float,
    torch.sym_int: size_int,
    torch.sym_not: size_not,
    torch.sym_ite: size_choice,
    operator.truediv: size_quotient,
    operator.pow: size_power,
    math.floor: size_floor,
    math.ceil: size_ceil,
    math.trunc: size_trunc,
}
