"""clang-format, clang-tidy, ruff, mypy, a check of casts and of workflows over the tracked sources.

--fix rewrites them, --no-tidy skips the slow part.
"""

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], capture_output=True, text=True)
    return listed.stdout.split()


def run(*command: str) -> int:
    return subprocess.run(command).returncode


def tidy(source: str) -> int:
    # The compile commands are g++'s: its precompiled headers and its omp.h are not clang's.
    arguments = ["-Wno-ignored-gch", "-fno-openmp", "-Wshorten-64-to-32"]
    extra = [f"--extra-arg={argument}" for argument in arguments]
    done = subprocess.run(
        ["clang-tidy", "--quiet", "-p", "build/lint", *extra, source],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout)
    return done.returncode


# Index arithmetic is in 64 bits. clang-tidy finds what is narrowed by itself; a cast of a size, a
# stride or an index to 32 bits says beside it, or on the line above, why it fits.
CAST = re.compile(r"static_cast<(?:u?int32_t|int|unsigned)>\((.*)")
SUBSCRIPT = re.compile(r"\[[^\[\]]*\]")
SIZE = re.compile(
    r"\b(?:[iknm]_?|at|first|second|\w*(?:stride|offset|pitch|extent|bytes|size|index|begin|end"
    r"|count|rows|columns|planes|groups|channels|taps|written)\w*)\b"
)
REASON = re.compile(r"//.*2\^(?:31|32)")


def narrowing(source: str) -> list[int]:
    """Numbers of the lines that cast a size to 32 bits and do not say why it fits."""
    lines = source.splitlines()
    return [
        number
        for number, line in enumerate(lines, 1)
        if (cast := CAST.search(SUBSCRIPT.sub("", line)))
        and SIZE.search(cast[1].partition("//")[0])
        and not any(map(REASON.search, lines[max(number - 2, 0) : number]))
    ]


def check_casts(path: str) -> int:
    with open(path) as file:
        numbers = narrowing(file.read())
    for number in numbers:
        print(f"{path}:{number}: a size is cast to 32 bits: say why it is less than 2^31")
    return bool(numbers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--no-tidy", action="store_true")
    args = parser.parse_args()
    cpp = tracked("*.h", "*.cpp")
    failed = run("clang-format", *(["-i"] if args.fix else ["--dry-run", "-Werror"]), *cpp)
    failed |= run("ruff", "check", *(["--fix"] if args.fix else []), ".")
    failed |= run("ruff", "format", *([] if args.fix else ["--check"]), ".")
    failed |= run("mypy")
    workflows = ["--builtin-schema", "vendor.github-workflows", *tracked(".github/workflows/*.yml")]
    failed |= run("check-jsonschema", *workflows)
    for path in tracked("csrc/ops/*", "csrc/kernels/*"):
        failed |= check_casts(path)
    if not args.no_tidy:
        with ThreadPoolExecutor(cpu_count()) as pool:
            failed |= max(pool.map(tidy, tracked("csrc/*.cpp")), default=0)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
