"""Loads libqnative.so, after what would otherwise end in a crash has been looked for."""

import mmap
import os
import re
import sys
from pathlib import Path

# A library built for the first of these was tried under all of them: see `make test-torch`.
TORCH_VERSIONS = ("2.13", "2.14", "2.15")
_BUILD = "pip install --no-build-isolation --force-reinstall <folder of qnative's sources>"


def library_path() -> str:
    """The shared library, for ``torch.ops.load_library`` and for linkers."""
    return str(Path(__file__).resolve().parent / "lib" / "libqnative.so")


def _install(oldest: str) -> str:
    """The command that installs a torch from ``oldest`` on that the library supports."""
    major, newest = TORCH_VERSIONS[-1].split(".")
    return f'pip install "torch>={oldest},<{major}.{int(newest) + 1}"'


def is_starting_command() -> bool:
    """Whether ``python -m qnative`` or the script ``qnative`` begins, which load the library when a
    command needs it: ``--help`` and the completion of shells must not wait for torch."""
    if sys.argv[:1] == ["-m"]:  # so until Python has found the module
        return sys.orig_argv[-len(sys.argv)] in ("qnative", "-mqnative")
    return sys.argv[:1] == [os.path.join(os.path.dirname(sys.executable), "qnative")]


def check_torch(version: str) -> None:
    """ImportError for a torch whose C++ interface the library was not made for."""
    if ".".join(version.split(".")[:2]) not in TORCH_VERSIONS:
        raise ImportError(
            f"qnative needs torch {TORCH_VERSIONS[0]} to {TORCH_VERSIONS[-1]}, found {version}. "
            f"Run: {_install(TORCH_VERSIONS[0])}"
        )


def minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def check_build(path: str, version: str) -> None:
    """ImportError for a library that was built for a torch newer than ``version``. An older
    torch lacks functions that the newer one added; one build serves all later versions."""
    try:
        with open(path, "rb") as file:
            contents = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            found = re.search(rb"qnative built for torch ([\d.]+)", contents)
    except (OSError, ValueError) as error:
        raise ImportError(f"qnative: {path} cannot be read: {error}") from error
    if found is None:
        raise ImportError(f"qnative: {path} is no library of qnative, or only a part of one")
    built_for = found.group(1).decode()
    if minor(built_for) > minor(version):
        raise ImportError(
            f"qnative: {path} was built for torch {built_for} and does not run on {version}, which "
            f"is older. Run: {_install(built_for)}, or build it for this torch: {_BUILD}"
        )


def load() -> None:
    """Registers the ops. ImportError for a missing or unsupported torch, when another copy has
    registered them, and when the library does not load."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"qnative needs torch {TORCH_VERSIONS[0]} to {TORCH_VERSIONS[-1]}, and there is none. "
            f"Run: {_install(TORCH_VERSIONS[0])}"
        ) from None
    check_torch(torch.__version__)
    path = library_path()
    check_build(path, torch.__version__)
    other = _other_copy(path)
    if other is not None:
        raise ImportError(
            f"qnative: the process has already loaded {other}, and the Python package would load a "
            f"second copy, {path}, whose ops cannot be registered again. Import qnative instead of "
            "loading the other copy, or use the other one without the Python package."
        )
    try:
        torch.ops.load_library(path)
    except OSError as error:
        raise ImportError(
            f"qnative: {path} does not load under torch {torch.__version__}: "
            f"{error.__cause__ or error}. It must be built for this torch: {_BUILD}"
        ) from error


def _other_copy(path: str) -> str | None:
    """The file of a copy that is loaded, if it is not ``path``."""
    import torch

    if not hasattr(torch.ops.qnative, "linear"):
        return None
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        maps = ""
    files = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libqnative.so" in line}
    if path in files:
        return None
    return min(files, default="a copy of libqnative.so")
