"""The public C++ functions are hard to call wrongly: they have few parameters, and no neighbours of
one type that a caller could swap."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[3] / "include" / "qnative"
HEADERS = sorted(INCLUDE.rglob("*.h"))
# Neighbours with an order that everybody knows: operands of binary operators and sets, torch's q, k
# and v, sizes and strides as in empty_strided, a range, source and target as in std::rename,
# upstream's constructor, the codes of a weight before their scale.
KNOWN = {
    *(("a", "b"), ("q", "k"), ("k", "v"), ("min", "max"), ("path", "new_path"), ("path", "model")),
    *(("input_dtype", "output_dtype"), ("output_dtype", "weight_dtype"), ("sizes", "strides")),
    ("codes", "scale"),
}
NAME = re.compile(r"\b(\w+)\(")
DECLARED = re.compile(r"\s*(const\s*)?(;|:|\{|= )")


def split(text: str) -> tuple[list[str], str]:
    """The parameters of ``text``, which begins after an opening bracket, and the rest of it."""
    parts, depth = [""], 1
    for i, c in enumerate(text):
        depth += (c in "(<{[") - (c in ")>}]")
        if depth == 0:
            return [" ".join(part.split()) for part in parts if part.strip()], text[i + 1 :]
        parts = [*parts, ""] if c == "," and depth == 1 else [*parts[:-1], parts[-1] + c]
    raise ValueError(text)


def functions(header: Path) -> dict[str, list[str]]:
    """The parameters of every function that a header declares, without their defaults."""
    text = re.sub(r"//.*|#.*", "", header.read_text())
    found = {}
    for match in NAME.finditer(text):
        given, rest = split(text[match.end() :])
        before = re.split(r"[;{}]", text[: match.start()])[-1]
        if DECLARED.match(rest) and not re.search(r"[=(]|\breturn\b", before):
            found[f"{match[1]}({', '.join(given)})"] = [part.split(" = ")[0] for part in given]
    return found


def test_functions_are_found():
    names = {name.partition("(")[0] for header in HEADERS for name in functions(header)}
    exported = {
        name
        for header in HEADERS
        for name in re.findall(r"^QNATIVE_API [^;(]*?(\w+)\(", header.read_text(), re.MULTILINE)
    }
    assert len(exported) > 100 and exported <= names
    assert {"DTypeConfig", "BackendPatternConfig", "load", "clamp"} <= names


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_few_parameters_and_none_to_swap(header):
    for function, given in functions(header).items():
        assert len(given) <= 6, function
        for first, second in pairwise(given):
            (type_a, _, a), (type_b, _, b) = first.rpartition(" "), second.rpartition(" ")
            assert type_a != type_b or (a, b) in KNOWN, function


def test_headers_say_how_to_call_and_from_which_threads():
    for header in HEADERS:
        start = header.read_text().partition("\nnamespace ")[0]
        if header.name not in ("export.h", "limits.h"):
            assert "thread" in start, header
