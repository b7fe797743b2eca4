"""The examples in docs run as they stand, and print what stands below them."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import qnative

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["backend_configs_reference.md"])
def test_examples(name):
    blocks = re.findall(r"^```(python|text)\n(.*?)^```$", (DOCS / name).read_text(), re.M | re.S)
    assert blocks
    names: dict = {}
    printed = ""
    for kind, block in blocks:
        if kind == "text":
            assert printed == block
            printed = ""
            continue
        assert printed == ""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(block, name, "exec"), names)
        # print adds a newline to texts that end in one already.
        printed = output.getvalue().removesuffix("\n")
    assert printed == ""


@pytest.mark.parametrize("name", ["backend_config.md"])
def test_blocks_run(name, capsys):
    text = (DOCS / name).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8 and text.count("```") == 2 * len(blocks)  # there are no others
    names = {"__name__": "docs"}
    for block in blocks:
        line = text[: text.index(block)].count("\n")
        exec(compile("\n" * line + block, str(DOCS / name), "exec"), names)
    assert "docslib::swish" in capsys.readouterr().out


README = (DOCS.parent / "README.md").read_text()


def block(language: str) -> str:
    """The first one of README."""
    return re.search(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[1]


def test_readme_runs_in_python_and_then_in_cpp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "model.pt2").exists()
    (tmp_path / "main.cpp").write_text(block("cpp"))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(app LANGUAGES CXX)\n"
        "set(CMAKE_CXX_STANDARD 20)\nadd_executable(app main.cpp)\n" + block("cmake")
    )
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cmake = shutil.which("cmake", path=tools)
    options = [f"-DCMAKE_PREFIX_PATH={Path(qnative.library_path()).parents[1]}"]
    options += [f"-DQNATIVE_TORCH_DIR={Path(torch.__file__).parent}"]
    for command in ([cmake, ".", *options], [cmake, "--build", "."], ["./app"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "[8, 10]\nnative: 194 patterns\n"
