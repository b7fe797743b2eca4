"""find_package(qnative) in projects outside of site-packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import qnative

PACKAGE = Path(qnative.library_path()).parents[1]
TORCH = Path(torch.__file__).parent
PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(app LANGUAGES CXX)
find_package(qnative REQUIRED)
add_executable(app main.cpp)
target_link_libraries(app qnative::qnative)
get_target_property(features qnative::qnative INTERFACE_COMPILE_FEATURES)
message(STATUS "torch: ${QNATIVE_TORCH_DIR}; features: ${features}")
"""


@pytest.fixture
def configure(tmp_path):
    """Configures an application in a folder of its own; what CMake prints, in one line."""
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    (tmp_path / "main.cpp").write_text("int main() {}\n")
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(package: Path, *options: str, error: bool = False) -> str:
        command = [shutil.which("cmake", path=tools), "-S", tmp_path, "-B", tmp_path / "build"]
        command += [f"-DCMAKE_PREFIX_PATH={package}", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode != 0) == error, done.stderr
        return " ".join((done.stdout + done.stderr).split())

    return run


@pytest.fixture
def site(tmp_path):
    """site-packages with qnative and torch."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "qnative").symlink_to(PACKAGE)
    (folder / "torch").symlink_to(TORCH)
    return folder


def test_torch_beside_the_package(configure, site):
    assert f"torch: {site / 'torch'}; features: cxx_std_20" in configure(site / "qnative")


def test_torch_elsewhere(configure, site):
    (site / "torch").unlink()
    printed = configure(site / "qnative", f"-DQNATIVE_TORCH_DIR={TORCH}")
    assert f"torch: {TORCH}; features: cxx_std_20" in printed


def test_no_torch(configure, site):
    (site / "torch").unlink()
    printed = configure(site / "qnative", error=True)
    assert f"torch is not beside {site / 'qnative'}. Set QNATIVE_TORCH_DIR to the folder" in printed
    assert 'python -c "import torch; print(torch.__path__[0])"' in printed


def test_no_torch_where_the_variable_says(configure, site):
    printed = configure(site / "qnative", f"-DQNATIVE_TORCH_DIR={site}", error=True)
    assert f"QNATIVE_TORCH_DIR={site} has no lib/libtorch_cpu.so. Set QNATIVE_TORCH_DIR" in printed


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "-DCMAKE_DISABLE_FIND_PACKAGE_Torch=ON",
            "qnative: torch not found. Set QNATIVE_TORCH_DIR",
        ),
        (
            "-DQNATIVE_TORCH_DIR=/nowhere",
            "QNATIVE_TORCH_DIR=/nowhere has no lib/libtorch_cpu.so. Set",
        ),
    ],
)
def test_a_build_without_torch(tmp_path, option, message):
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [shutil.which("cmake", path=tools), "-S", PACKAGE.parent, "-B", tmp_path, option]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and message in " ".join(done.stderr.split())
