"""Findings of ``BackendConfig.lint``: mistakes in rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .._text import text_table
from . import _names
from .kinds import is_op

if TYPE_CHECKING:
    from .backend_config import BackendConfig

# Fields of a pattern config that name objects. Patterns may name ops and Tensor methods too.
_PATTERNS = ("pattern", "pattern_complex_format")
_NAMES = (
    "root_module",
    "qat_module",
    "reference_quantized_module",
    "fused_module",
    "fuser_method",
    "root_node_getter",
    "extra_inputs_getter",
)


class Finding(NamedTuple):
    """Something wrong with ``config.configs[row]``, and what to do about it."""

    row: int
    pattern: str
    field: str
    problem: str
    remedy: str


class Findings(list["Finding"]):
    """A list of Finding; ``print`` shows it as a table."""

    def __str__(self) -> str:
        if not self:
            return "nothing found"
        rows = (tuple(map(str, finding)) for finding in self)
        return "\n".join(text_table(Finding._fields, rows))

    def to_json(self) -> str:
        """A list of objects with the fields of Finding, indented."""
        return json.dumps([finding._asdict() for finding in self], indent=1)


def lint(config: BackendConfig) -> Findings:
    findings = [Finding(*finding) for finding in config._script_object.lint()]
    found = [*findings, *_unknown_names(config)]
    return Findings(sorted(found, key=lambda finding: finding.row))


def _unknown_names(config: BackendConfig) -> Iterator[Finding]:
    """Names that lead to no object, which C++ cannot know."""
    for i, row in enumerate(config.configs):
        script = row._script_object
        pattern = _text(script.pattern or script.pattern_complex_format)
        for field in (*_PATTERNS, *_NAMES):
            for name in _leaves(getattr(script, field)):
                if name in row._objects or _names.leads(name):
                    continue
                if "." in name or field in _NAMES:
                    problem = f"no imported package has an object named {name}"
                    remedy = "correct the name, or import its package first"
                elif not is_op(name):
                    problem = f"torch has no op and no Tensor method named {name}"
                    remedy = "correct the name"
                else:
                    continue
                yield Finding(i, pattern, field, problem, remedy)


def _leaves(value: str | tuple[Any, ...] | None) -> Iterator[str]:
    if isinstance(value, tuple):
        for element in value:
            yield from _leaves(element)
    elif value is not None:
        yield value


def _text(pattern: str | tuple[Any, ...] | None) -> str:
    if isinstance(pattern, tuple):
        return f"({', '.join(map(_text, pattern))})"
    return pattern or ""
