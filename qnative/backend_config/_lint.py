"""What is wrong with the rows of a BackendConfig."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..report import text_table
from . import _names

if TYPE_CHECKING:
    from .backend_config import BackendConfig

# Fields of a pattern config that name objects.
_NAMES = (
    "pattern",
    "root_module",
    "qat_module",
    "reference_quantized_module",
    "fused_module",
    "fuser_method",
    "root_node_getter",
    "extra_inputs_getter",
    "pattern_complex_format",
)


class Finding(NamedTuple):
    """Something wrong with ``config.configs[row]``, and what to do about it."""

    row: int
    pattern: str
    field: str
    problem: str
    remedy: str


class Findings(list):
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
    findings = [Finding(*finding) for finding in config.script_object.lint()]
    found = [*findings, *_unknown_names(config)]
    return Findings(sorted(found, key=lambda finding: finding.row))


def _unknown_names(config: BackendConfig) -> Iterator[Finding]:
    """What C++ cannot know: whether a name is that of an object."""
    for i, row in enumerate(config.configs):
        for field in _NAMES:
            value = getattr(row.script_object, field)
            for name in _leaves(value):
                if "." in name and name not in row._objects and not _names.leads(name):
                    yield Finding(
                        i,
                        _text(
                            row.script_object.pattern or row.script_object.pattern_complex_format
                        ),
                        field,
                        f"no imported package has an object named {name}",
                        "correct the name, or import its package first",
                    )


def _leaves(value: str | tuple | None) -> Iterator[str]:
    if isinstance(value, tuple):
        for element in value:
            yield from _leaves(element)
    elif value is not None:
        yield value


def _text(pattern: str | tuple | None) -> str:
    if isinstance(pattern, tuple):
        return f"({', '.join(map(_text, pattern))})"
    return pattern or ""
