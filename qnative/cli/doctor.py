"""``python -m qnative doctor``: installed packages, kernels for this machine, known problems."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import qnative

from .._info import BUILT_FOR_TORCH, ISAS, kernel_isas
from .._library import TORCH_VERSIONS, minor


@dataclass
class Diagnosis:
    """kernels: instruction set of each kernel table. tests: "ok" or what is wrong, by family."""

    versions: dict[str, str]
    kernels: dict[str, str]
    tests: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(result != "ok" for result in self.tests.values())


def run(options: Any) -> int:
    isa = os.environ.get("QNATIVE_ISA", "")
    if isa and isa not in ISAS:
        print(
            f"qnative doctor: QNATIVE_ISA must be one of {', '.join(ISAS)}, got {isa!r}",
            file=sys.stderr,
        )
        return 2
    diagnosis = diagnose()
    print(json.dumps(vars(diagnosis), indent=1) if options.json else _text(diagnosis))
    return int(diagnosis.failed)


def diagnose() -> Diagnosis:
    kernels = kernel_isas()
    versions = {
        "qnative": qnative.__version__,
        "library": qnative.library_path(),
        "torch": torch.__version__,
        "torch of the build": BUILT_FOR_TORCH,
        "torchao": _version("torchao"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    tests = _self_test()
    return Diagnosis(versions, kernels, tests, _traps(BUILT_FOR_TORCH, kernels))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


# ---- self-test ---------------------------------------------------------------------------------


def _self_test() -> dict[str, str]:
    expected, error = _results("scalar")
    if error:
        return {"scalar": error}
    actual, error = _results(os.environ.get("QNATIVE_ISA", ""))
    if error:
        return {"self-test": error}
    tests: dict[str, str] = {}
    for case, digest in expected.items():
        family, _, op = case.partition(".")
        tests.setdefault(family, "ok")
        if actual.get(case) != digest:
            tests[family] = f"{op} gives other bits than the scalar kernels"
    return tests


def _results(isa: str) -> tuple[dict[str, str], str]:
    """The digests of a self-test process with this QNATIVE_ISA, and its error or ""."""
    environment = {**os.environ, "QNATIVE_ISA": isa}
    command = [sys.executable, "-W", "ignore", "-m", "qnative.cli._self_test"]
    search = [str(Path(qnative.__file__).parents[1]), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, search))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return {}, f"ended with {done.returncode}: {lines[-1] if lines else 'no message'}"
    return json.loads(done.stdout), ""


# ---- traps -------------------------------------------------------------------------------------


def _traps(built_for: str, kernels: dict[str, str]) -> list[str]:
    warnings = []
    ours, theirs = minor(built_for), minor(torch.__version__)
    if ours not in (minor(TORCH_VERSIONS[0]), theirs):
        warnings.append(
            f"the library was built for torch {built_for} and runs on {torch.__version__}, which "
            f"was not tried: build it for this torch or for {TORCH_VERSIONS[0]}"
        )
    isa = os.environ.get("QNATIVE_ISA")
    if isa:
        warnings.append(f"QNATIVE_ISA={isa} limits the kernels; unset it for the fastest ones")
    elif not {"avx_vnni", "avx512_vnni"} & set(kernels.values()):
        best = "avx2" if "avx2" in kernels.values() else "scalar"
        warnings.append(f"no VNNI on this CPU: kernels are {best}, of the same results but slower")
    warnings += _thread_traps(torch.get_num_threads(), _cores())
    ao = _version("torchao")
    if not ao.startswith("0.18."):
        warnings.append(f"torchao is {ao}: qnative.quantize and qnative.Quantizer need 0.18")
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        warnings.append("no g++: torch.compile and AOTInductor need it, the other ways do not")
    return warnings


def _thread_traps(threads: int, cores: float) -> list[str]:
    if threads <= cores:
        return []
    return [
        f"torch uses {threads} threads, but this process may use {cores:g} cores: "
        f"torch.set_num_threads({max(1, int(cores))}) or OMP_NUM_THREADS"
    ]


def _cores() -> float:
    """Cores that the process may use, by its affinity and by the quota of its container."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else min(cores, int(quota) / int(period))


# ---- text --------------------------------------------------------------------------------------


def _text(diagnosis: Diagnosis) -> str:
    width = max(map(len, [*diagnosis.versions, *diagnosis.tests])) + 2
    lines = [f"{name:{width}}{value}" for name, value in diagnosis.versions.items()]
    lines += ["", "kernels (same bits as the scalar ones: see self-test)"]
    for family, chosen in _families(diagnosis.kernels).items():
        result = diagnosis.tests.get(family, "not tested")
        lines.append(f"{family:{width}}{', '.join(chosen):24}self-test: {result}")
    lines += [
        f"{name:{width}}{result}"
        for name, result in diagnosis.tests.items()
        if name not in _families(diagnosis.kernels)
    ]
    lines += ["", "something is wrong" if diagnosis.failed else "all kernels are right"]
    return "\n".join([*lines, *(f"advice: {advice}" for advice in _advice(diagnosis))])


def _advice(diagnosis: Diagnosis) -> list[str]:
    advice = list(diagnosis.warnings)
    if diagnosis.failed:
        advice.insert(
            0,
            "results of these kernels cannot be trusted: run with QNATIVE_ISA=scalar, and report "
            "what python -m qnative doctor --json prints",
        )
    return advice or ["none: nothing on this machine makes qnative slow or wrong"]


def _families(kernels: dict[str, str]) -> dict[str, list[str]]:
    """The instruction sets of the tables of each family, each once."""
    families: dict[str, list[str]] = {}
    for table, isa in kernels.items():
        chosen = families.setdefault(table.partition(".")[0], [])
        if isa not in chosen:
            chosen.append(isa)
    return families
