"""The start and end of a command: its imports, help, completion, errors and exit status."""

import json
import os
import subprocess
import sys

import pytest

from qnative import _quiet
from qnative.__main__ import main
from qnative.cli import config
from support.checks import python


def imported(*arguments):
    """The modules that a Python process imports."""
    done = python("-X", "importtime", *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("arguments", [["--help"], [], ["quantize", "--help"]])
@pytest.mark.parametrize("start", [["-m", "qnative"], ["-mqnative"]], ids=" ".join)
def test_help_does_not_import_torch(start, arguments):
    modules = imported(*start, *arguments)
    assert "qnative.cli.parser" in modules and not {"torch", "torchao", "numpy"} & modules


def test_the_script_does_not_import_torch(tmp_path):
    (tmp_path / "python").symlink_to(sys.executable)
    script = tmp_path / "qnative"
    script.write_text("import sys; from qnative.__main__ import main; sys.exit(main())")
    code = "import runpy, sys; sys.executable, sys.argv = sys.argv[1], sys.argv[2:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    modules = imported("-c", code, tmp_path / "python", script, "--help")
    assert "qnative.cli.parser" in modules and "torch" not in modules


def test_import_qnative_imports_torch_and_the_library_alone():
    done = python(
        "-c",
        "import json, sys, mmap, torch; before = set(sys.modules)\n"
        "import qnative; after = set(sys.modules); torch.ops.qnative.linear\n"
        "print(json.dumps(sorted(after - before)))",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["qnative", "qnative._library"]


def test_names_of_the_package():
    done = python(
        "-c",
        "import qnative\n"
        "assert set(qnative.__all__) <= set(dir(qnative))\n"
        "for name in qnative.__all__: getattr(qnative, name)\n"
        "for name in qnative._MODULES: assert name in qnative.__all__, name\n"
        "import qnative.quantization\n"
        "assert callable(qnative.quantize) and qnative.nn.Linear\n"
        "try: qnative.nothing\n"
        "except AttributeError as error: print(error)",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'qnative' has no attribute 'nothing'\n"


def test_without_arguments_it_shows_the_usual_ways(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    for way in ("quantize model.pt2 --data x.pt -o q.pt2", "migrate old.pt new.pt", "bench q.pt2"):
        assert f"qnative {way}" in shown
    assert "Exit status: 0 done; 1 " in shown and "130 interrupted; 141 nobody" in shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("qnative qu", ["quantize "]),
        ("qnative quantize --rec", ["--recipe "]),
        ("qnative quantize --recipe weight_only_", ["weight_only_int4 "]),
    ],
)
def test_completion(tmp_path, line, words):
    environment = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    environment["_ARGCOMPLETE_STDOUT_FILENAME"] = str(tmp_path / "words")
    python("-m", "qnative", **environment)
    assert (tmp_path / "words").read_text().split("\013") == words


def raising(error):
    def run(options):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.pt"), "x.pt: No such file or"),
        (OSError("x.pt is no file that could be replaced"), "x.pt is no file"),
        (TypeError("qnative.quantize: no"), "qnative.quantize: no\n"),
        (ImportError("qnative needs torch"), "qnative needs torch\n"),
        (KeyError("x"), "KeyError: 'x' (python -m qnative --traceback shows where)"),
        (RecursionError("too deep"), "too deep"),
    ],
)
def test_an_error_is_a_line_without_traceback(monkeypatch, capsys, error, line):
    monkeypatch.setattr(config, "run", raising(error))
    assert main(["config", "native"]) == 1
    shown = capsys.readouterr()
    text = line if line.startswith("qnative") else f"qnative: {line}"
    assert shown.err.startswith(text) and shown.err.count("\n") == 1 and shown.out == ""
    with pytest.raises(type(error)):
        main(["--traceback", "config", "native"])


def test_a_missing_file_is_named(capsys):
    assert main(["explain", "nofile"]) == 1
    assert capsys.readouterr().err == "qnative: nofile: No such file or directory\n"


def test_an_interrupted_command(monkeypatch, capsys):
    monkeypatch.setattr(config, "run", raising(KeyboardInterrupt()))
    assert main(["config", "native"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "qnative", "config", "native"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_torch_is_missing():
    done = python("-c", "import sys; sys.modules['torch'] = None; import qnative")
    assert done.returncode == 1
    line = "ImportError: qnative needs torch 2.13 to 2.15, and there is none. Run: pip install"
    assert done.stderr.splitlines()[-1] == f'{line} "torch>=2.13,<2.16"'


def test_warnings_of_a_command_are_hidden(monkeypatch, recwarn, capsys):
    def run(options):
        import warnings

        warnings.warn("torch.quantize_per_tensor is deprecated", stacklevel=1)
        return 0

    monkeypatch.setattr(config, "run", run)
    monkeypatch.setattr(sys, "warnoptions", [])
    assert main(["config", "native"]) == 0 and not recwarn
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    assert main(["config", "native"]) == 0 and len(recwarn) == 1


def test_quiet_hides_what_it_names_alone(caplog, recwarn):
    import logging
    import warnings

    @_quiet.quiet()
    def noisy():
        logging.getLogger("torchao").warning("Failed to load x.so: no CUDA")
        logging.getLogger("torchao").warning("your model is odd")
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", stacklevel=1)
        warnings.warn("of the model", stacklevel=1)

    noisy()
    assert [record.getMessage() for record in caplog.records] == ["your model is odd"]
    assert [str(each.message) for each in recwarn] == ["of the model"]
    logging.getLogger("torchao").warning("Failed to load x.so: no CUDA")
    assert len(caplog.records) == 2


def test_quantize_shows_no_message_of_others():
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import torch, qnative\n"
            "model = torch.export.export(torch.nn.Linear(4, 3), (torch.randn(2, 4),)).module()\n"
            "qnative.quantize(model, (torch.randn(2, 4),), [torch.randn(2, 4)])",
        ],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
