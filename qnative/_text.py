"""Text for terminals."""

from collections.abc import Iterable


def printable(text: str) -> str:
    """The text with characters that a terminal obeys, which names in a file may have, as escapes:
    "\\x1b[2J". Lines stay lines."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def _cell(text: str) -> str:
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def text_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines, printable: the titles, a rule and a line for each row."""
    lines = [columns, *(tuple(map(_cell, row)) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    rule = tuple("-" * width for width in widths)
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (lines[0], rule, *lines[1:])
    ]
