"""`pip install .` with and without build isolation gives a wheel that works by itself."""

import json
import zipfile
from pathlib import Path

import pytest
import torch

import qnative
from support.checks import python

ROOT = Path(__file__).resolve().parents[3]

USE_INSTALLED = """
import qnative, torch
assert qnative.__file__.startswith({target!r}), qnative.__file__
x = torch.tensor([-1.0, 0.0, 1.0])
y = torch.ops.qnative.quantize_per_tensor(x, 0.5, 3, torch.uint8)
assert y.tolist() == [1, 3, 5], y
"""


def pip(*arguments: str) -> None:
    done = python("-m", "pip", "--disable-pip-version-check", *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("isolation", [False, True], ids=["no_isolation", "isolation"])
def test_wheel_has_library_headers_and_cmake_package(tmp_path, isolation):
    options = [] if isolation else ["--no-build-isolation"]
    pip("wheel", "--no-deps", *options, "-w", str(tmp_path), ".")
    (wheel,) = tmp_path.glob("qnative-*.whl")
    assert "-py3-none-linux" in wheel.name

    names = zipfile.ZipFile(wheel).namelist()
    assert names.count("qnative/lib/libqnative.so") == 1
    for wanted in (
        "qnative/include/qnative/ops.h",
        "qnative/include/qnative/config.h",
        "qnative/share/cmake/qnative/qnativeConfig.cmake",
        "qnative/py.typed",
        "qnative/backend_config/__init__.py",
    ):
        assert wanted in names
    assert len(names) == len(set(names))
    info = f"qnative-{qnative.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        assert b"qnative = qnative.__main__:main" in archive.read(f"{info}/entry_points.txt")
        bill = json.loads(archive.read(f"{info}/sboms/qnative.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == qnative.__version__
    assert bill["metadata"]["component"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    references = {part["bom-ref"]: part for part in bill["components"]}
    assert bill["dependencies"] == [{"ref": "qnative", "dependsOn": [*references]}]
    assert references["torch"]["version"] == torch.__version__

    target = str(tmp_path / "site")
    pip("install", "--no-deps", "--target", target, str(wheel))
    done = python("-c", USE_INSTALLED.format(target=target), cwd=tmp_path, PYTHONPATH=target)
    assert done.returncode == 0, done.stderr
