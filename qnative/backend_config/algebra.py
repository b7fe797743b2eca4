"""Union, intersection and difference of BackendConfigs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from ._wrapper import check_str, check_type
from .backend_config import BackendConfig

__all__ = ["BackendConfigDiff", "Difference", "diff", "intersect", "unite"]

_functions = torch.classes.qnative.Backends()


def unite(a: BackendConfig, b: BackendConfig, on_clash: str = "error") -> BackendConfig:
    """The rows of ``a``, then those only ``b`` has, each in its order.

    A row of both has the DTypeConfigs of ``a``, then those only ``b`` has, each with its op; and
    the fields that one of them has. Where both have a field and differ, they clash:

    on_clash: "error": ValueError which names the row, the field and both values; "first": the row
        has the field of ``a``; "second": that of ``b``.

    The pattern itself clashes if one has it in the plain and the other in the nested format;
    fuser_method and the getters then come from the same config as the pattern.

    The result is named "a | b", or like both if these have one name. Its pattern configs and lists
    are its own; they hold the DTypeConfigs of ``a`` and ``b`` themselves.
    """
    return _merged(_functions.unite, a, b, on_clash)


def intersect(a: BackendConfig, b: BackendConfig, on_clash: str = "error") -> BackendConfig:
    """The rows of ``a`` that ``b`` has too, in the order of ``a``, but for those that have no
    DTypeConfig in common, though both have some.

    A row has the DTypeConfigs, the fields and the ops that are in both; ``on_clash`` is what it is
    in :func:`unite`. The result is named "a & b", or like both if these have one name.
    """
    return _merged(_functions.intersect, a, b, on_clash)


def _merged(
    merge: Callable[..., Any], a: BackendConfig, b: BackendConfig, on_clash: str
) -> BackendConfig:
    _check(a, b)
    check_str("on_clash", on_clash)
    result = BackendConfig.from_script_object(merge(a.script_object, b.script_object, on_clash))
    # Objects that their names do not lead to are kept by the Python configs of a and b.
    kept: dict[str, Any] = {}
    for config in (*b.configs, *a.configs):
        kept |= config._objects
    if kept:
        for config in result.configs:
            config._objects |= kept
    return result


class Difference(NamedTuple):
    """A field and its value in each of two configs, as text; None: it is not there."""

    # That of the row, as BackendConfig.table() has it; "": `field` is "name", or "order" for the
    # first rows, of those in both, which come in another order.
    pattern: str
    # "row": only one of them has the row; the text is that of its DTypeConfigs.
    # "dtype_configs": one DTypeConfig that only one of them has, or all, if only their order
    # differs.
    field: str
    a: str | None
    b: str | None


class BackendConfigDiff(tuple[Difference, ...]):
    """A tuple of :class:`Difference`. ``str`` and ``print`` give a table."""

    _table: str

    def __new__(cls, differences: Iterator[Difference], table: str) -> BackendConfigDiff:
        self = super().__new__(cls, differences)
        self._table = table
        return self

    def table(self) -> str:
        """A line for each difference, under the names of the two configs."""
        return self._table

    __str__ = table


def diff(a: BackendConfig, b: BackendConfig) -> BackendConfigDiff:
    """Where ``a`` and ``b`` differ, in the order of the rows of ``a``, then of ``b``. Empty exactly
    if ``a == b`` and the ops are equal too."""
    _check(a, b)
    scripts = (a.script_object, b.script_object)
    rows = (Difference(*row) for row in _functions.diff(*scripts))
    return BackendConfigDiff(rows, _functions.diff_table(*scripts))


def _check(a: BackendConfig, b: BackendConfig) -> None:
    check_type("a", a, BackendConfig)
    check_type("b", b, BackendConfig)
