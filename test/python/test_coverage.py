"""No entry without a kernel: a model of every entry of the configs runs in its op."""

import pytest

from qnative.backend_config import get_qnative_backend_config, native
from support.coverage.doc import (
    ARGUMENTS,
    DOC,
    all_entries,
    argument_line,
    head,
    line,
    native_entries,
)
from support.coverage.entries import Entry, entries
from support.coverage.run import MISSING, NEVER, run

ENTRIES = all_entries()
NAMES = [entry.name for entry in ENTRIES]
LINES = DOC.read_text().splitlines() if DOC.exists() else []


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_entry(entry: Entry):
    result = run(entry)
    if result.status == MISSING:
        pytest.fail(result.detail)
    assert line(entry, result) in LINES, "docs/coverage.md says otherwise: make docs"


def test_native_entries_are_included():
    own = [(entry.name, entry.op) for entry in entries(native.get_native_backend_config())]
    assert len(own) == 227 and len(native_entries()) == 328
    assert len(NAMES) == len(set(NAMES)) > 400
    assert set(own) <= {(entry.name, entry.op) for entry in ENTRIES}


def test_entries_of_qnative_are_included():
    own = {(entry.name, entry.op) for entry in entries(get_qnative_backend_config())}
    assert own <= {(entry.name, entry.op) for entry in ENTRIES}


def test_only_impossible_entries_have_no_kernel():
    missing = {entry.name: entry.missing for entry in ENTRIES if entry.missing}
    assert sorted(missing) == [
        '"hardsigmoid" fp16',
        '"hardsigmoid" static',
        '"hardsigmoid_" fp16',
        '"hardsigmoid_" static',
    ]
    assert all(NEVER in reason for reason in missing.values())


@pytest.mark.parametrize("call", ARGUMENTS)
def test_arguments_that_stay_float(call: str):
    assert argument_line(call) in LINES, "docs/coverage.md says otherwise: make docs"


def test_the_page_has_nothing_else():
    assert DOC.read_text().startswith(head(ENTRIES))
    assert sum(said.startswith("| ") for said in LINES) == len(ENTRIES) + len(ARGUMENTS) + 4
