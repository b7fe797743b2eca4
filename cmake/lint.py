"""clang-format, clang-tidy, ruff and mypy over the tracked sources.

--fix rewrites them, --no-tidy skips the slow part.
"""

import argparse
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
    arguments = ["--extra-arg=-Wno-ignored-gch", "--extra-arg=-fno-openmp"]
    done = subprocess.run(
        ["clang-tidy", "--quiet", "-p", "build/lint", *arguments, source],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout)
    return done.returncode


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
    if not args.no_tidy:
        with ThreadPoolExecutor(cpu_count()) as pool:
            failed |= max(pool.map(tidy, tracked("csrc/*.cpp")), default=0)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
