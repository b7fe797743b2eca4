"""Errors of import for an unsupported torch, a broken library or a second copy."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import qnative
from qnative._library import TORCH_VERSIONS, check_build, check_torch
from support.checks import python


def run(code, *arguments):
    return python("-c", code, *arguments)


@pytest.mark.parametrize("version", ["2.13.0", "2.14.1+cpu", "2.15.0a0+git1234567"])
def test_versions_that_are_supported(version):
    check_torch(version)


@pytest.mark.parametrize("version", ["1.13.1", "2.1.0", "2.12.1+cu130", "2.16.0.dev2026", "3.0"])
def test_versions_that_are_not(version):
    with pytest.raises(ImportError) as error:
        check_torch(version)
    wanted = f"needs torch {TORCH_VERSIONS[0]} to {TORCH_VERSIONS[-1]}, found {version}."
    assert wanted in str(error.value)


def test_the_package_metadata_says_the_same():
    text = (Path(qnative.__file__).parents[1] / "pyproject.toml").read_text()
    last = int(TORCH_VERSIONS[-1].split(".")[1]) + 1
    assert f'"torch>={TORCH_VERSIONS[0]},<2.{last}"' in text


def test_the_version_is_checked_before_the_library_is_loaded():
    done = run(
        "import sys, torch\n"
        "torch.__version__ = '2.12.0'\n"
        "torch.ops.load_library = lambda path: sys.exit('loaded')\n"
        "import qnative\n"
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("ImportError: qnative needs torch 2.13 to 2.15, found 2.12.0. Run: pip")


def test_a_library_that_does_not_load():
    done = run(
        "import torch\n"
        "def fail(path): raise OSError('undefined symbol: _ZN2at')\n"
        "torch.ops.load_library = fail\n"
        "import qnative\n"
    )
    assert done.returncode == 1 and "does not load under torch" in done.stderr
    assert "undefined symbol: _ZN2at. It must be built for this torch" in done.stderr


def test_a_library_for_a_newer_torch(tmp_path):
    for built_for, runs in (("2.13.0", True), ("2.14.0", False)):
        file = tmp_path / "libqnative.so"
        file.write_bytes(b"\x7fELF.." + f"qnative built for torch {built_for}\0".encode())
        if runs:
            check_build(str(file), "2.13.1+cpu")
            continue
        with pytest.raises(ImportError, match=r"torch 2\.14\.0 and does not run on 2\.13\.1"):
            check_build(str(file), "2.13.1+cpu")
    file.write_bytes(Path(qnative.library_path()).read_bytes()[:100_000])
    with pytest.raises(ImportError, match="only a part of one"):
        check_build(str(file), "2.13.0")
    with pytest.raises(ImportError, match="cannot be read"):
        check_build(str(tmp_path / "missing.so"), "2.13.0")


def test_a_torch_that_lacks_a_symbol(tmp_path):
    """Symbols are resolved at import, not in the first call that needs them."""
    package = shutil.copytree(Path(qnative.__file__).parent, tmp_path / "qnative")
    library = package / "lib" / "libqnative.so"
    name = b"_ZN5torch3jit13freeze_module"
    contents = library.read_bytes()
    assert name in contents
    library.write_bytes(contents.replace(name, name[:-1] + b"X"))
    done = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import qnative")
    assert done.returncode == 1 and "does not load under torch" in done.stderr
    assert "undefined symbol: _ZN5torch3jit13freeze_modulX" in done.stderr.splitlines()[-1]


def test_what_the_library_was_built_for():
    contents = Path(qnative.library_path()).read_bytes()
    assert contents.count(b"qnative built for torch 2.") == 1
    with pytest.raises(ImportError, match="was built for torch"):
        check_build(qnative.library_path(), "2.9.0")


def test_functions_that_a_later_torch_lacks_are_in_the_library():
    """One build serves all versions: see csrc/torch_symbols.cpp."""
    command = ["nm", "-D", "-C", qnative.library_path()]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert " U c10::ScalarTypeType::get()" in symbols and "c10::report_overflow" not in symbols


@pytest.fixture
def copy_of_library(tmp_path):
    return shutil.copy(qnative.library_path(), tmp_path / "libqnative.so")


def test_a_copy_loaded_before_the_package(copy_of_library):
    done = run(
        "import sys, torch; torch.ops.load_library(sys.argv[1]); import qnative", copy_of_library
    )
    assert done.returncode == 1
    assert f"ImportError: qnative: the process has already loaded {copy_of_library}" in done.stderr
    assert f"second copy, {qnative.library_path()}" in done.stderr


def test_a_copy_loaded_after_the_package(copy_of_library):
    """torch aborts the process; both files are named before."""
    done = run("import sys, torch, qnative; torch.ops.load_library(sys.argv[1])", copy_of_library)
    assert done.returncode != 0
    assert f"has loaded {qnative.library_path()} and now loads a second copy, " in done.stderr
    assert str(copy_of_library) in done.stderr


def test_the_same_library_twice():
    code = "import sys, torch, qnative; torch.ops.load_library(sys.argv[1]); print('fine')"
    done = run(code, qnative.library_path())
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    code = "import sys, torch; torch.ops.load_library(sys.argv[1]); import qnative; print('fine')"
    done = run(code, qnative.library_path())
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    assert torch.ops.qnative.linear is not None
