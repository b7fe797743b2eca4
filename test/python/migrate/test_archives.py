"""Damaged TorchScript and torch.export files: an error that names the record, before torch reads
it."""

import re
import zipfile

import pytest
import torch

import qnative
from qnative.__main__ import main
from support.quantized_models import quiet


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(16, 16)
        self.register_buffer("share", torch.ones(3).half())

    def forward(self, x):
        return self.linear(x) + self.share.sum()


@pytest.fixture(params=["script", "frozen", "export"])
def file(request, tmp_path):
    net, path = Net().eval(), tmp_path / "net.pt2"
    if request.param == "export":
        torch.export.save(torch.export.export(net, (torch.ones(1, 16),)), path)
    else:
        script = quiet(torch.jit.script, net)
        (script if request.param == "script" else torch.jit.freeze(script)).save(str(path))
    return path


def rewrite(file, change):
    """The same archive with change(name, data) in place of each record, and None for none."""
    with zipfile.ZipFile(file) as archive:
        records = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(file, "w") as archive:
        for entry, data in records:
            data = change(entry.filename, data)
            if data is not None:
                archive.writestr(entry.filename, data)


def commands(file):
    yield lambda: main(["explain", str(file)])
    yield lambda: main(["describe", str(file)])
    yield lambda: main(["migrate", str(file), str(file.parent / "new.pt"), "--dynamic"])


def check_refused(file, capsys, message):
    for command in commands(file):
        assert command() == 1
        assert re.search(f"net.pt2 cannot be read.*: .*{message}", capsys.readouterr().err)
    with pytest.raises(RuntimeError, match=message):
        qnative.migrate(file)
    assert not (file.parent / "new.pt").exists()


def test_flipped_bits(file, capsys):
    with zipfile.ZipFile(file) as archive:
        stored = [e for e in archive.infolist() if e.compress_type == zipfile.ZIP_STORED]
        entry = max(stored, key=lambda entry: entry.file_size)
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        at = content.index(archive.read(entry)) + entry.file_size // 2
    content[at] ^= 1
    file.write_bytes(content)
    check_refused(file, capsys, f"record '{entry.filename}' does not match its CRC-32")


@pytest.mark.parametrize("length", [0, 3])
@pytest.mark.parametrize("file", ["script", "frozen"], indirect=True)
def test_short_records(file, length, capsys):
    """Their checksums are right."""
    is_tensor = re.compile(r"/(data|constants)/\d+$").search
    rewrite(file, lambda name, data: data[:length] if is_tensor(name) else data)
    check_refused(file, capsys, rf"a tensor needs \d+ bytes of record .*, which has {length}$")


@pytest.mark.parametrize("file", ["script", "frozen"], indirect=True)
def test_missing_records(file, capsys):
    is_tensor = re.compile(r"/(data|constants)/\d+$").search
    rewrite(file, lambda name, data: None if is_tensor(name) else data)
    check_refused(file, capsys, "which is not there")


def test_repeated_records(file, capsys):
    with zipfile.ZipFile(file, "a") as archive:
        name = archive.namelist()[0]
        quiet(archive.writestr, name, b"")
    check_refused(file, capsys, f"it has two records '{name}'")


def test_pickles_run_nothing(file, capsys, tmp_path):
    """The check of a pickle imports and calls nothing that it names."""
    made = tmp_path / "made"
    evil = b"cos\nmkdir\n(V%s\ntR." % str(made).encode()
    with zipfile.ZipFile(file, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{folder}/more/data.pkl", evil)
    main(["explain", str(file)])
    assert not made.exists()
