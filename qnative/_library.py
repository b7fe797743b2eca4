"""Loads libqnative.so, after what would otherwise end in a crash has been looked for."""

import mmap
import re
from pathlib import Path

import torch

TORCH_VERSIONS = ("2.13", "2.14", "2.15")
# On which a build for the first of these was tried: see `make test-torch`.
TRIED_VERSIONS = ("2.13", "2.14")


def library_path() -> str:
    """The shared library, for ``torch.ops.load_library`` and for linkers."""
    return str(Path(__file__).resolve().parent / "lib" / "libqnative.so")


def check_torch(version: str) -> None:
    """ImportError for a torch whose C++ interface the library was not made for."""
    if ".".join(version.split(".")[:2]) not in TORCH_VERSIONS:
        raise ImportError(
            f"qnative needs torch {TORCH_VERSIONS[0]} to {TORCH_VERSIONS[-1]}, found {version}. "
            "Install one of these, or the qnative that was made for your torch."
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
            "is older. Build it for this torch: pip install --no-build-isolation "
            "--force-reinstall qnative"
        )


def load() -> None:
    """Registers the ops. ImportError when another copy has, or when the library does not load."""
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
            f"{error.__cause__ or error}. It must be built for this torch: pip install "
            "--no-build-isolation --force-reinstall qnative"
        ) from error


def _other_copy(path: str) -> str | None:
    """The file of a copy that is loaded, if it is not ``path``."""
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
