"""Rows of a backend config in upstream's words: its FX knows no names of ops."""

import copy
import itertools
from typing import Any

import torch
import torch.nn.functional as F

from ..backend_config import BackendPatternConfig, get_native_backend_config
from ..backend_config.kinds import Kinds, all_kinds_of, kinds_of
from ..graph.kinds import ATTENTION
from ..plan.decision import is_foreign

_NOT_IN_FX = (("addmm",), (ATTENTION,))


def fx_rows(row: BackendPatternConfig) -> list[Any]:
    """The rows that tell upstream's FX what ``row`` says: FX knows modules, functions and methods,
    not the names of ops.

    Names of ops become every pattern of the native config for that computation, or, if it has
    none, the modules and functions of that name. Other rows are given as they are, but for those
    that FX has no form of: it would observe masks, and transposed weights along the wrong axis.
    """
    if kinds_of(row.pattern) in _NOT_IN_FX:
        return []
    if not _has_op_names(row):
        return [row]
    native, kinds = get_native_backend_config(), kinds_of(row.pattern)
    rows = [copy.copy(other) for other in native.configs if _stands_for(other, kinds)]
    if not rows:
        patterns = itertools.product(*(_objects_of(kind) for kind in kinds))
        rows = [BackendPatternConfig(p if len(p) > 1 else p[0]) for p in patterns]
    root = next((r for r in native.configs if kinds_of(r.pattern) == kinds[:1] and _root(r)), None)
    for other in rows:
        other.set_dtype_configs(row.dtype_configs).set_observation_type(row.observation_type)
        other.set_ops(*row.ops)
        if root is not None and not _root(other):
            other.set_root_module(root.root_module)
            other.set_reference_quantized_module(root.reference_quantized_module)
    return rows


def _has_op_names(row: BackendPatternConfig) -> bool:
    if isinstance(row.pattern, tuple):
        return all(isinstance(part, str) and "." not in part for part in row.pattern)
    if not isinstance(row.pattern, str) or "." in row.pattern:
        return False
    return any(map(is_foreign, row.ops)) or not hasattr(torch.Tensor, row.pattern)


def _stands_for(row: BackendPatternConfig, kinds: Kinds) -> bool:
    return row.pattern is not None and kinds_of(row.pattern) == kinds


def _root(row: BackendPatternConfig) -> bool:
    return row.root_module is not None and row.reference_quantized_module is not None


def _objects_of(name: str) -> list[Any]:
    """The modules, functions and methods of torch of this kind."""
    modules = [
        value
        for value in vars(torch.nn).values()
        if isinstance(value, type) and all_kinds_of(value) == (name,)
    ]
    functions = [getattr(owner, name, None) for owner in (F, torch)]
    found = [*modules, *(f for f in functions if f is not None)]
    if hasattr(torch.Tensor, name):
        found.append(name)
    if not found:
        raise ValueError(f"qnative: the pattern names an op {name!r} that torch does not have")
    return list(dict.fromkeys(found))
