"""Each room of the package uses only those below it, and no two modules import each other."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import qnative

ROOT = Path(qnative.__file__).parent
# Lowest first; rooms of one line do not use each other.
FLOORS = (
    {"_archive", "_files", "_library", "_quiet", "_text", "page"},
    {"_info", "_torchao"},
    {"report"},
    {"backend_config"},
    {"graph"},
    {"calibration"},
    {"plan"},
    {"lowering"},
    {"nn", "migration", "program", "saving", "sizes", "testing"},
    {"quantization"},
    {"diagnosis"},
    {"eager", "fx"},
    {"cli"},
    {"__init__", "__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Every module of the package by its name below ``qnative``: "plan.quantizer"."""
    names = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return names


MODULES = modules()


def imported(name: str) -> set[str]:
    """The modules of the package that a module imports, inside functions too."""
    path, found = MODULES[name], set()
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
        base = [part for part in base if part]
        for alias in node.names:
            full = ".".join([*base, alias.name])
            found.add(full if full in MODULES else ".".join(base) or "__init__")
    return found


def test_every_room_has_a_floor():
    assert {name.split(".")[0] for name in MODULES} <= FLOOR.keys()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_room_uses_those_below_it(name):
    room = name.split(".")[0]
    for other in imported(name):
        other_room = other.split(".")[0]
        assert other_room == room or FLOOR[other_room] < FLOOR[room], f"{name} uses {other}"


@pytest.mark.parametrize("room", sorted(FLOOR.keys() - {"backend_config"}))
def test_modules_do_not_import_each_other(room):
    graph = {name: imported(name) - {name} for name in MODULES if name.split(".")[0] == room}
    tuple(TopologicalSorter(graph).static_order())  # CycleError names the circle
