"""Checks the object files of the ISA kernels: `check_objects.py BUILD_DIRECTORY`.

1. No weak symbols. The linker may keep the copy of an inline function that was compiled with
   AVX-512 and use it everywhere, and older CPUs crash with an illegal instruction.
2. No spilled accumulators. A loop of dot products (gemm, dwconv) must not store vector registers
   on the stack: g++ spills when it fails to keep a tile in registers, and the kernel then runs at a
   third of its speed. (norm is not checked: it reads the tail of a row through the stack, inside
   the loop.)
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DOT_PRODUCT_FAMILIES = ("gemm", "gemm_4bit", "dwconv")

DOT_PRODUCT = re.compile(r"^(\{vex\} )?(vpdpbusd|vpmaddwd|tdpbusd)\b")
# The first instruction of every epilogue: converts sums to float.
SUM_TO_REAL = re.compile(r"^vcvtdq2ps\b")
FRAME_POINTER_SETUP = re.compile(r"^(mov\s+%rsp,%rbp|lea\s+\S*\(%rsp\),%rbp)$")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(.+?)\s*$")
JUMP = re.compile(r"^j\w+\s+([0-9a-f]+)\b")
ENDS_FLOW = re.compile(r"^(?:notrack )?(?:jmp|ret|ud2)")
VECTOR_STORE = re.compile(r"^vmov\w+\s+%[yz]mm\d+(?:\{[^}]*\})?,(?P<memory>[^%]*\(%r[sb]p.*)$")


@dataclass
class Function:
    name: str
    instructions: list[tuple[int, str]] = field(default_factory=list)


def parse_disassembly(text: str) -> list[Function]:
    """The functions of `objdump -d --no-show-raw-insn`."""
    functions: list[Function] = []
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            functions.append(Function(match[1]))
        elif functions and (match := INSTRUCTION.match(line)):
            functions[-1].instructions.append((int(match[1], 16), match[2]))
    return functions


def loops(function: Function) -> list[frozenset[int]]:
    """Natural loops: first instruction -> set of instruction numbers.

    Not address ranges: compilers move rare blocks of a loop to the end of the function, and the
    code between is not part of the loop.
    """
    position = {address: i for i, (address, _) in enumerate(function.instructions)}
    predecessors: dict[int, list[int]] = {i: [] for i in range(len(function.instructions))}
    back_edges = []
    for i, (_, text) in enumerate(function.instructions):
        jump = JUMP.match(text)
        target = position.get(int(jump[1], 16)) if jump else None
        if target is not None:
            predecessors[target].append(i)
            if target <= i:
                back_edges.append((i, target))
        if i + 1 < len(function.instructions) and not ENDS_FLOW.match(text):
            predecessors[i + 1].append(i)

    bodies: dict[int, set[int]] = {}
    for source, header in back_edges:
        body, pending = {header}, [source]
        while pending:
            if (i := pending.pop()) not in body:
                body.add(i)
                pending += predecessors[i]
        # A jump back into the middle of an outer loop: its body reaches the function's entry.
        if 0 not in body or header == 0:
            bodies.setdefault(header, set()).update(body)
    return [frozenset(bodies[header]) for header in sorted(bodies)]


def dot_product_loops(function: Function) -> list[frozenset[int]]:
    """Innermost loops with dot products, and enclosing loops without an epilogue."""

    def contains(loop: frozenset[int], pattern: re.Pattern[str]) -> bool:
        return any(pattern.match(function.instructions[i][1]) for i in loop)

    candidates = [loop for loop in loops(function) if contains(loop, DOT_PRODUCT)]
    return [
        loop
        for loop in candidates
        if not contains(loop, SUM_TO_REAL) or not any(other < loop for other in candidates)
    ]


def spills(function: Function) -> list[tuple[int, str]]:
    """Stores of ymm and zmm registers to the stack inside a dot product loop."""
    # Without a frame pointer, %rbp is a general register.
    has_frame = any(FRAME_POINTER_SETUP.match(text) for _, text in function.instructions)
    found = []
    for i in sorted(frozenset().union(*dot_product_loops(function))):
        address, text = function.instructions[i]
        match = VECTOR_STORE.match(text)
        if match and ("(%rsp" in match["memory"] or has_frame):
            found.append((address, text))
    return found


def weak_symbols(nm_output: str) -> list[str]:
    """The weak and unique global symbols in `nm --defined-only` output."""
    rows = (line.split(maxsplit=2) for line in nm_output.splitlines())
    return [row[2] for row in rows if len(row) == 3 and row[1] in "WwVvu"]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def isa_objects(build: Path) -> list[tuple[str, Path]]:
    """(family, object file) of every ISA kernel of the shipped library."""
    found = []
    for folder in sorted(build.glob("CMakeFiles/qnative_kernels_*.dir")):
        isa = folder.stem.removeprefix("qnative_kernels_")
        objects = (folder / "csrc" / "kernels").glob(f"*/{isa}.cpp.o")
        found += [(path.parent.name, path) for path in sorted(objects)]
    return found


def check_object(family: str, path: Path) -> Iterator[str]:
    for symbol in weak_symbols(run("nm", "--defined-only", "--demangle", str(path))):
        yield f"{path}: weak symbol {symbol}"
    functions = parse_disassembly(run("objdump", "-d", "-C", "--no-show-raw-insn", str(path)))
    if family not in DOT_PRODUCT_FAMILIES:
        return
    if not any(map(dot_product_loops, functions)):
        yield f"{path}: no loop with a dot product was found"
    for function in functions:
        for address, text in spills(function):
            yield f"{path}: {function.name}: spill at {address:x}: {text}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="CMake's build directory")
    build = parser.parse_args(arguments).build
    objects = isa_objects(build)
    if not objects:
        print(f"{build}: no object files of ISA kernels", file=sys.stderr)
        return 1
    errors = [error for family, path in objects for error in check_object(family, path)]
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{len(objects)} object files checked, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
