"""test/fuzz: a short run, and the faults that a run must find."""

import os
import time
from collections import Counter

import pytest
import torch

from fuzz import calls, worker
from fuzz.mutate import Mutator
from fuzz.worker import NAMES, Finding

SEED = 20_000_000  # `make fuzz` begins at 0


def test_a_call_is_the_same_for_the_same_seed():
    for seed in range(200):
        (name, args), again = Mutator(seed).call(), Mutator(seed).call()
        assert name == again[0]
        assert repr(args) == repr(again[1])


def test_a_short_run_finds_nothing(tmp_path):
    rows, findings = calls.fuzz(10, SEED, workers=2, folder=tmp_path)
    assert findings == []
    total = Counter()
    for made, accepted, refused in rows.values():
        assert made == accepted + refused
        total.update(made=made, accepted=accepted, refused=refused)
    assert total["made"] > 500
    assert total["accepted"] > total["made"] / 10
    assert total["refused"] > total["made"] / 10


def crash(name, args):
    os.abort()


def hang(name, args):
    while True:
        pass


def wait(name, args):
    time.sleep(0.01)
    return True


def fail(name, args):
    raise Finding("planted")


@pytest.mark.parametrize(
    "fault, text",
    [
        (crash, "ended the process with -6"),
        (hang, "runs for more than 0.2 s"),
        (fail, "planted"),
    ],
)
def test_faults_are_found(monkeypatch, tmp_path, fault, text):
    def check(name, args):
        return fault(name, args) if name == "add" else wait(name, args)

    monkeypatch.setattr(worker, "check", check)
    monkeypatch.setattr(calls, "HANG_SECONDS", 0.2)
    monkeypatch.setattr(calls, "POLL_SECONDS", 0.05)
    first = next(seed for seed in range(SEED, SEED + 10_000) if Mutator(seed).call()[0] == "add")
    rows, findings = calls.fuzz(1.5, first, workers=1, folder=tmp_path)
    assert findings[0] == f"seed {first}: qnative::add: {text}"
    assert sum(made for made, _, _ in rows.values()) > 1  # the worker goes on


def test_a_slow_machine_is_no_hang(monkeypatch, tmp_path):
    """Processor time counts: a call may wait for as long as it likes."""
    monkeypatch.setattr(worker, "check", lambda name, args: time.sleep(0.5) is None)
    monkeypatch.setattr(calls, "HANG_SECONDS", 0.2)
    monkeypatch.setattr(calls, "POLL_SECONDS", 0.01)
    assert calls.fuzz(1.5, SEED, workers=1, folder=tmp_path)[1] == []


X = torch.zeros(2, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    "op, text",
    [
        (lambda x: x.add_(1), "an argument was changed"),
        (lambda x: torch.rand(3), "a second call gives other bits"),
        (lambda x: x.new_zeros(3 if x.is_meta else 2), r"Meta gives .*\[3\].* CPU .*\[2\]"),
        (lambda x: x.sum().item(), "Meta refuses what CPU accepts"),
        (lambda x: x.view(7), "an error that does not name the op"),
    ],
)
def test_check(monkeypatch, op, text):
    class Op:
        tags = ()

        def __call__(self, x):
            return op(x)

    monkeypatch.setattr(worker, "overload", lambda name: Op())
    with pytest.raises(Finding, match=text):
        worker.check("any", [X.clone()])


def test_check_counts_what_is_refused():
    assert worker.check("add", [X, 0.1, 3, X, 0.1, 3, 0.1, 3, torch.uint8])
    assert not worker.check("add", [X, 0.0, 3, X, 0.1, 3, 0.1, 3, torch.uint8])
    assert set(NAMES) >= {"add", "linear", "conv2d.padding"}


def test_replay(capsys):
    calls.replay(SEED)
    name, _ = Mutator(SEED).call()
    output = capsys.readouterr().out
    assert output.startswith(f"qnative::{name}\n")
    assert output.splitlines()[-1] in ("accepted", "refused")
