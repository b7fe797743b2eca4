"""Files that the package writes: they replace what was there when they are complete, and no name in
the folder leads their bytes elsewhere."""

import os
import threading

import pytest
import torch

import qnative
from qnative.__main__ import main
from qnative._files import replacing
from support.quantized_models import Branches, quiet

ARGS = (torch.ones(1, 4),)


def migrate(path):
    qnative.migrate(quiet(torch.jit.script, Branches(0.2).eval()), path)


def save(path):
    qnative.save(torch.nn.Linear(4, 4).eval(), path, ARGS)


def run(path):
    program = path.with_suffix(".program")
    save(program)
    assert main(["run", str(program), "--output", str(path)]) == 0


WRITERS = {"migrate": migrate, "save": save, "run": run}
READERS = {"migrate": torch.jit.load, "save": torch.export.load, "run": torch.load}


@pytest.fixture(params=WRITERS)
def name(request):
    return request.param


def test_planted_links_are_not_followed(name, tmp_path):
    """Of names that could be guessed, to files that do not exist yet."""
    folder, victim = tmp_path / "open", tmp_path / "victim"
    folder.mkdir()
    out = folder / "out.pt2"
    for guess in ("0.part", "1.part", "part", "tmp", f"{os.getpid()}.partial.pt2"):
        (folder / f"out.pt2.{guess}").symlink_to(victim)
    WRITERS[name](out)
    assert not victim.exists()
    READERS[name](out)


def test_a_link_is_replaced_itself(name, tmp_path):
    victim, out = tmp_path / "victim", tmp_path / "out.pt2"
    victim.write_bytes(b"precious")
    out.symlink_to(victim)
    WRITERS[name](out)
    assert victim.read_bytes() == b"precious" and not out.is_symlink()
    READERS[name](out)


def test_two_writers_of_one_file(name, tmp_path):
    out, errors = tmp_path / "out.pt2", []

    def write():
        try:
            for _ in range(3):
                WRITERS[name](out)
        except Exception as error:
            errors.append(error)

    # Exporting and scripting are not for threads, so that only one writer of `save` is at work.
    threads = [threading.Thread(target=write) for _ in range(4 if name == "migrate" else 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    READERS[name](out)
    assert not [each for each in os.listdir(tmp_path) if each.endswith(".part")]


def test_replacing_is_for_threads(tmp_path):
    path = tmp_path / "file"

    def write(i):
        for _ in range(50):
            with replacing(path) as file:
                file.write(bytes([i]) * 100_000)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert len(content) == 100_000 and len(set(content)) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["migrate", "save"])
@pytest.mark.parametrize("path", ["/dev/null", "folder"])
def test_devices_and_folders_stay(name, path, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises((OSError, RuntimeError), match="is not a regular file"):
        WRITERS[name](tmp_path / path)
    assert os.listdir(tmp_path) == ["folder"] and os.path.exists("/dev/null")


def test_modes_are_those_of_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "file"):
            pass
        migrate(tmp_path / "out.pt")
    finally:
        os.umask(before)
    assert {os.stat(tmp_path / each).st_mode & 0o777 for each in ("file", "out.pt")} == {0o640}
