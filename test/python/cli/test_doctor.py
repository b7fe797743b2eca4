"""python -m qnative doctor: what it shows, its exit codes, and that its self-test can fail."""

import json
import os
import sys

import pytest
import torch

import qnative
from qnative.__main__ import main
from qnative.cli import _self_test, doctor
from support.checks import python

FAMILIES = {
    *("attention", "channel_params", "dwconv", "elementwise", "embedding", "fp16", "gemm"),
    *(
        "gemm_4bit",
        "gemm_fp16",
        "interleave",
        "interpolate",
        "lookup",
        "norm",
        "panels",
        "pool",
        "quantize",
    ),
    "rnn_cell",
}


def run(*arguments, **environment):
    return python("-m", "qnative", *arguments, **environment)


@pytest.fixture(scope="module")
def healthy():
    return doctor.diagnose()


def test_every_family_is_shown_and_right(healthy):
    assert {table.partition(".")[0] for table in healthy.kernels} == FAMILIES
    assert healthy.tests == dict.fromkeys(FAMILIES, "ok") and not healthy.failed
    assert set(healthy.kernels.values()) <= {
        "scalar",
        "avx2",
        "avx_vnni",
        "avx512_vnni",
        "amx_int8",
    }


def test_families_are_the_folders_of_the_kernels():
    from pathlib import Path

    root = Path(qnative.__file__).parents[1] / "csrc" / "kernels"
    assert {path.parent.name for path in root.glob("*/scalar.cpp")} == FAMILIES


def test_text(healthy):
    text = doctor._text(healthy)
    for word in (qnative.__version__, torch.__version__, qnative.library_path(), "rnn_cell"):
        assert word in text
    verdict, *advice = text.partition("all kernels are right\n")[1:]
    assert verdict and advice[0].splitlines() == [
        f"advice: {each}" for each in doctor._advice(healthy)
    ]
    assert doctor._advice(healthy)


def test_json_and_exit_code_of_a_healthy_machine():
    done = run("doctor", "--json", QNATIVE_ISA="scalar")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert set(data["kernels"].values()) == {"scalar"}
    assert any(w.startswith("QNATIVE_ISA=scalar limits") for w in data["warnings"])


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            ["doctor"],
            {"QNATIVE_ISA": "avx9"},
            "must be one of scalar, avx2, avx_vnni, avx512_vnni, amx_int8, got 'avx9'",
        ),
        (["doctor", "--fast"], {}, "unrecognized arguments: --fast"),
        (["dance"], {}, "invalid choice: 'dance'"),
    ],
)
def test_exit_code_of_wrong_arguments(arguments, environment, message):
    done = run(*arguments, **environment)
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.parametrize(
    ("results", "family", "message"),
    [
        (
            [{"gemm.linear": "1", "norm.sum": "2"}, {"gemm.linear": "9", "norm.sum": "2"}],
            "gemm",
            "linear gives other bits than the scalar kernels",
        ),
        ([{"gemm.linear": "1"}, {}], "gemm", "linear gives other bits"),
    ],
)
def test_exit_code_of_a_wrong_kernel(monkeypatch, capsys, results, family, message):
    answers = iter(results)
    monkeypatch.delenv("QNATIVE_ISA", raising=False)
    monkeypatch.setattr(doctor, "_results", lambda isa: (next(answers), ""))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert message in shown and "something is wrong" in shown and family in shown


def test_exit_code_of_a_crash(monkeypatch, capsys):
    monkeypatch.delenv("QNATIVE_ISA", raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main(["doctor"]) == 1
    assert "ended with 1: no message" in capsys.readouterr().out


def test_the_self_test_sees_one_bit(monkeypatch, capsys):
    monkeypatch.delenv("QNATIVE_ISA", raising=False)
    _self_test.main()
    before = json.loads(capsys.readouterr().out)
    _self_test.main()
    assert json.loads(capsys.readouterr().out) == before
    monkeypatch.setattr(_self_test, "_Y", (0.5, 4, torch.uint8))
    _self_test.main()
    after = json.loads(capsys.readouterr().out)
    changed = {name for name in before if before[name] != after[name]}
    assert {"elementwise.mul", "norm.layer_norm"} <= changed


def test_traps(monkeypatch):
    monkeypatch.delenv("QNATIVE_ISA", raising=False)
    monkeypatch.setattr(doctor, "_version", lambda package: "not installed")
    monkeypatch.setenv("CXX", "no-such-compiler")
    text = "\n".join(doctor._traps("2.0.1", {"gemm": "scalar", "norm": "avx2"}))
    for trap in (
        "the library was built for torch 2.0.1",
        "no VNNI on this CPU: kernels are avx2",
        "torchao is not installed",
        "no g++",
    ):
        assert trap in text
    assert doctor._thread_traps(2, 2.0) == []
    (trap,) = doctor._thread_traps(16, 1.5)
    assert "16 threads, but this process may use 1.5 cores: torch.set_num_threads(1)" in trap
    assert 0 < doctor._cores() <= os.cpu_count()
