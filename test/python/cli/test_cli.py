"""python -m qnative"""

import json

import pytest
import torch

import qnative
from qnative.__main__ import main
from support.quantized_models import Branches, Stuck, quiet, saved


@pytest.fixture
def old(tmp_path):
    return saved(quiet(torch.jit.script, Branches(0.2).eval()), tmp_path / "old.pt")


def test_migrate(tmp_path, capsys):
    class Net(torch.nn.Module):
        def forward(self, x):
            y = torch.quantize_per_tensor(x, 0.1, 3, torch.quint8)
            return torch.relu(y).dequantize()

    file = saved(quiet(torch.jit.script, Net().eval()), tmp_path / "old.pt")
    torch.save(torch.randn(3), tmp_path / "x.pt")
    new = str(tmp_path / "new.pt")
    assert main(["migrate", file, new, "--inputs", str(tmp_path / "x.pt")]) == 0
    shown = capsys.readouterr().out
    assert "qnative::quantize_per_tensor" in shown and "outputs differ by" in shown
    torch.jit.load(new)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: file.write_bytes(b"hello, no pickle"), "x.pt cannot be read: KeyError"),
        (lambda file: torch.save(Stuck(), file), "x.pt cannot be read: UnpicklingError: "),
        (lambda file: torch.save({"x": torch.randn(3)}, file), "a list or a tuple, has dict"),
        (lambda file: torch.save([torch.randn(3)] * 5, file), "received 6 argument"),
        (lambda file: None, "No such file"),
    ],
)
def test_invalid_input_files(tmp_path, capsys, old, make, message):
    file, new = tmp_path / "x.pt", tmp_path / "new.pt"
    make(file)
    assert main(["migrate", old, str(new), "--inputs", str(file)]) == 1
    assert message in capsys.readouterr().err
    assert not new.exists()


def test_migrate_what_cannot_move(tmp_path, capsys):
    file = saved(quiet(torch.jit.script, Stuck().eval()), tmp_path / "old.pt")
    new = tmp_path / "new.pt"
    assert main(["migrate", file, str(new)]) == 1
    assert "cannot be moved" in capsys.readouterr().err
    assert not new.exists()
    assert main(["migrate", file, str(new), "--partial"]) == 0
    assert new.exists()


def test_explain_and_describe(tmp_path, capsys, old):
    new = str(tmp_path / "new.pt")
    assert main(["migrate", old, new]) == 0
    capsys.readouterr()
    assert main(["explain", old]) == 0
    assert "nodes of torch (old quantization)" in capsys.readouterr().out
    assert main(["explain", new]) == 0
    shown = capsys.readouterr().out
    assert "qnative::add" in shown and "old quantization" not in shown
    assert main(["describe", new]) == 0
    assert "TorchScript" in capsys.readouterr().out


def test_export_files(tmp_path, capsys):
    program = torch.export.export(torch.nn.Linear(4, 3).eval(), (torch.randn(2, 4),))
    file = str(tmp_path / "model.pt2")
    torch.export.save(program, file)
    assert main(["explain", file]) == 0
    assert "aten.linear" in capsys.readouterr().out
    assert main(["describe", file]) == 0
    shown = capsys.readouterr().out
    assert "torch.export" in shown and "[3, 4]" in shown and "48" in shown


def test_config(capsys):
    assert main(["config", "native", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert config["name"] == "native" and len(config["configs"]) > 50
    assert main(["config", "native"]) == 0
    assert "patterns" in capsys.readouterr().out
    assert main(["config", "none"]) == 1
    assert "native" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["explain", "describe"])
def test_unreadable_files(tmp_path, capsys, command):
    file = tmp_path / "x.pt"
    assert main([command, str(file)]) == 1
    file.write_bytes(b"no archive")
    assert main([command, str(file)]) == 1
    assert "x.pt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        (["--dynamic"], "qnative::linear_dynamic"),
        (["--dynamic-dtype", "float16"], "qnative::linear_dynamic_fp16"),
    ],
)
def test_migrate_a_float_model(tmp_path, capsys, options, kernel):
    script = quiet(torch.jit.script, torch.nn.Sequential(torch.nn.Linear(8, 4)).eval())
    file, new = saved(script, tmp_path / "old.pt"), tmp_path / "new.pt"
    assert main(["migrate", file, str(new), *options]) == 0
    assert f" {kernel} " in capsys.readouterr().out
    assert torch.jit.load(new)(torch.randn(2, 8)).shape == (2, 4)


@pytest.mark.parametrize(
    "command",
    [
        *([], ["quantize"], ["migrate"], ["explain"], ["describe"], ["run"], ["bench"]),
        *(["config"], ["doctor"]),
    ],
)
def test_help_says_what_the_exit_status_means(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out.lower()
    assert "usage: python -m qnative" in shown
    assert not command or "exit status: 0" in shown or "exit codes: 0" in shown


@pytest.mark.parametrize("arguments", [["unknown"], ["migrate", "x"], ["quantize", "x"]])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_names_in_a_file_do_nothing_to_the_terminal(tmp_path, capsys):
    clear = "\x1b[2J"
    net = torch.nn.Sequential(torch.nn.Linear(2, 2)).eval()
    qnative.save(net, tmp_path / "net.pt2", (torch.ones(1, 2),), metadata={"by": clear})
    for command in ("describe", "explain"):
        assert main([command, str(tmp_path / "net.pt2")]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out and "by: \\x1b[2J" in shown.out
    assert main(["describe", str(tmp_path / f"{clear}.pt2")]) == 1
    shown = capsys.readouterr()
    assert "\x1b" not in shown.err and "\\x1b[2J.pt2" in shown.err
