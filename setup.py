"""Builds libqnative.so with CMake and packs it, its headers and its CMake package into the wheel.

torch is found without importing it (under build isolation it is not importable):
QNATIVE_TORCH_DIR, else an importable torch, else site-packages of the interpreter that runs pip.

With SOURCE_DATE_EPOCH, the same source, compiler and torch give the same wheel, bit for bit, in any
folder (`make wheel`).
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
REPRODUCIBLE = "SOURCE_DATE_EPOCH" in os.environ
# One build folder for pip and make: whichever comes second compiles nothing again.
BUILD = ROOT / "build" / ("reproducible" if REPRODUCIBLE else "release")


def torch_dir() -> str:
    if named := os.environ.get("QNATIVE_TORCH_DIR"):
        return named
    if spec := importlib.util.find_spec("torch"):
        return str(Path(spec.origin).parent)
    for key in ("purelib", "platlib"):
        candidate = Path(sysconfig.get_path(key)) / "torch"
        if candidate.is_dir():
            return str(candidate)
    raise RuntimeError(
        "qnative: torch not found. Install it first (pip install torch==2.13.0), "
        "or name its folder in QNATIVE_TORCH_DIR."
    )


class CMakeBuild(build_ext):
    """Runs CMake instead of compiling the placeholder extension."""

    def build_extension(self, ext):
        package = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        package.mkdir(parents=True, exist_ok=True)
        # CMAKE_MAKE_PROGRAM: the cached one may lie in a deleted build-isolation environment.
        configure = ["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja"]
        configure += [f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}", "-DCMAKE_BUILD_TYPE=Release"]
        configure += [f"-DQNATIVE_TORCH_DIR={torch_dir()}"]
        configure += [f"-DQNATIVE_REPRODUCIBLE={'ON' if REPRODUCIBLE else 'OFF'}"]
        subprocess.check_call([str(part) for part in configure])
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count()))
        subprocess.check_call(["cmake", "--build", BUILD, "--target", "qnative", "-j", jobs])
        subprocess.check_call(["cmake", "--install", BUILD, "--prefix", package, "--strip"])

    def get_ext_filename(self, name):
        return os.path.join(*name.split(".")) + ".so"


class PlatformWheel(bdist_wheel):
    """No Python ABI is used: one wheel serves every Python 3 of the platform."""

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])

    def write_wheelfile(self, wheelfile_base, *args, **kwargs):
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        # PEP 770.
        folder = Path(wheelfile_base) / "sboms"
        folder.mkdir(exist_ok=True)
        (folder / "qnative.cdx.json").write_text(json.dumps(self.sbom(), indent=1) + "\n")

    def sbom(self) -> dict:
        """A bill of materials in CycloneDX 1.6: the wheel has no code of others, and needs torch,
        which it finds at run time."""
        name, version = "qnative", self.distribution.get_version()
        itself = {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"id": self.distribution.metadata.license_expression}}],
        }
        built_for = Path(torch_dir(), "version.py").read_text().partition("__version__ = ")[2]
        torch = {
            "type": "library",
            "bom-ref": "torch",
            "name": "torch",
            "version": built_for.splitlines()[0].strip("'\""),
            "purl": "pkg:pypi/torch",
            "scope": "required",
            "description": "the version that the library is compiled for",
        }
        runtime = {
            "type": "library",
            "bom-ref": "libgomp",
            "name": "libgomp",
            "scope": "required",
            "description": "OpenMP, which torch brings; the wheel has no copy",
        }
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": itself},
            "components": [torch, runtime],
            "dependencies": [{"ref": name, "dependsOn": ["torch", "libgomp"]}],
        }


# Files of an earlier build would be packed again.
shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)
setup(
    packages=[
        str(path.parent.relative_to(ROOT)).replace(os.sep, ".")
        for path in sorted((ROOT / "qnative").rglob("__init__.py"))
    ],
    package_data={"qnative": ["py.typed"], "qnative.page": ["page.css", "page.js"]},
    ext_modules=[Extension("qnative._placeholder", [])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": PlatformWheel},
    zip_safe=False,
)
