"""What a release has beside the library: one version, the sdist, the configuration of wheels."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import qnative
from support.checks import python

ROOT = Path(__file__).resolve().parents[3]


def test_one_version_everywhere():
    version = qnative.__version__
    assert f'\nversion = "{version}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f"project(qnative VERSION {version} " in (ROOT / "CMakeLists.txt").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None and newest[1] == version


def test_the_oldest_torch_is_the_one_that_wheels_are_built_with():
    from qnative._library import TORCH_VERSIONS

    text = (ROOT / "pyproject.toml").read_text()
    pins = re.findall(r"""["\' ]torch==([\d.]+)""", text)
    assert pins and all(pin.startswith(TORCH_VERSIONS[0] + ".") for pin in pins)


def test_sdist_has_every_source(tmp_path):
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    done = python("-c", code, tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("qnative-*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files", "csrc", "include", "cmake", "qnative", "*.toml", "setup.py", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(listed) > 400 and set(listed) - names == set()
    assert not {name for name in names if name.startswith(("qnative/lib", "build/", "test/"))}


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=str)
def test_workflows_follow_the_schema(workflow):
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema"]
    done = subprocess.run([*command, "vendor.github-workflows", workflow], capture_output=True)
    assert done.returncode == 0, done.stdout
