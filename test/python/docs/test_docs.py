"""The code blocks of the documentation run unchanged and print the output shown below them."""

import contextlib
import io
import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import qnative
from examples import deploy
from examples.efficientnet import cpp_program
from support.checks import python
from support.quantized_models import Stage, old_kinds, quiet, saved

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "csrc/**/*.md", "docs/*.md", "examples/**/*.md")
    for page in ROOT.glob(pattern)
)


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page: str, *languages: str) -> list[Block]:
    """The code blocks of a page in order, of the given languages or all."""
    text = (ROOT / page).read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    every = [Block(m[1], m[2], text[: m.start(2)].count("\n")) for m in found]
    return [each for each in every if not languages or each.language in languages]


def run(page: str, block: Block, names: dict) -> str:
    """The output of a Python block. names: definitions of the blocks before it."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile("\n" * block.line + block.text, str(ROOT / page), "exec"), names)
    return output.getvalue()


def run_python(arguments: list[str], folder: Path, **environment: str) -> str:
    """The output of a new process that finds the package but nothing of the tests."""
    path = os.path.dirname(os.path.dirname(qnative.__file__))
    done = python(*arguments, cwd=folder, **{"PYTHONPATH": path, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_a_process(code: str, folder: Path, **environment: str) -> str:
    return run_python(["-c", code], folder, **environment)


def test_every_block_is_one_that_a_test_runs():
    """Counts by page and language; a new block or page needs a test and an entry here."""
    found = Counter((page, block.language) for page in PAGES for block in blocks(page))
    del found["docs/numerics.md", ""]  # formulas
    assert found == {
        ("CONTRIBUTING.md", "sh"): 1,  # test_make_targets_exist
        ("README.md", "sh"): 2,  # test_make_targets_exist, packaging/test_wheel.py
        ("README.md", "python"): 4,
        ("README.md", "cmake"): 1,
        ("README.md", "cpp"): 1,
        ("docs/backend_config.md", "python"): 9,
        ("docs/backend_configs_reference.md", "python"): 8,
        ("docs/backend_configs_reference.md", "text"): 3,
        ("docs/deploying.md", "python"): 3,
        ("docs/deploying.md", "cmake"): 1,
        ("docs/deploying.md", "cpp"): 2,
        ("docs/diagnosing.md", "python"): 2,
        ("docs/diagnosing.md", "text"): 1,
        ("docs/diagnosing.md", "sh"): 1,
        ("docs/migrating.md", "sh"): 1,
        ("docs/migrating.md", "python"): 1,
        ("docs/migrating.md", "cpp"): 1,
        ("examples/custom_backend/README.md", "sh"): 1,  # examples/test_custom_backend.py
        ("examples/custom_backend/README.md", "python"): 1,  # examples/test_custom_backend.py
    }


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = set()
    for page in PAGES:
        found |= set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert {"demo", "test", "lint"} <= found <= targets


def test_files_exist():
    """Every path in backticks, and every link."""
    folders = ("include", "csrc", "qnative", "test", "benchmark", "examples", "docs", "cmake")
    missing = []
    for page in PAGES:
        text = re.sub(
            r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL
        )
        paths = re.findall(rf"`((?:{'|'.join(folders)})/[\w./-]*)`", text)
        missing += [(page, path) for path in paths if not (ROOT / path).exists()]
        links = re.findall(r"\]\(([^):#]+)(?:#[\w-]+)?\)", text)
        missing += [
            (page, link) for link in links if not (ROOT / page).parent.joinpath(link).exists()
        ]
    # The include path of a C++ program, not a path in the repository.
    assert [each for each in missing if not (ROOT / "include" / each[1]).exists()] == []


def test_reference():
    page, names, printed = "docs/backend_configs_reference.md", {}, ""
    for block in blocks(page):
        if block.language == "text":
            assert printed == block.text
            printed = ""
        else:
            assert printed == ""
            # print adds a newline to texts that already end in one.
            printed = run(page, block, names).removesuffix("\n")
    assert printed == ""


def test_backend_config():
    page, names = "docs/backend_config.md", {"__name__": "docs"}
    printed = "".join(run(page, block, names) for block in blocks(page))
    assert "docslib::swish" in printed


def test_docstring_of_backend_config():
    names = {"torch": torch, **vars(qnative.backend_config)}
    example = qnative.backend_config.BackendConfig.__doc__.partition("Example::\n")[2]
    exec("if True:\n" + example, names)
    assert [row.pattern for row in names["backend"].configs] == [torch.nn.Linear]


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """A folder with the files that the Python blocks of README write. numpy is blocked: the pip
    lines of README do not install it."""
    folder = tmp_path_factory.mktemp("readme")
    code = "\n".join(block.text for block in blocks("README.md", "python"))
    printed = in_a_process(f"import sys; sys.modules['numpy'] = None\n{code}", folder)
    assert "0 float" in printed
    assert sorted(path.name for path in folder.iterdir()) == ["model.pt", "model.pt2"]
    return folder


@pytest.fixture
def old(tmp_path):
    """A quantized TorchScript file, and arguments of a call."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = Stage()

        def forward(self, x):
            return self.stage(x).dequantize()

    x = torch.randn(2, 5)
    torch.save(x, tmp_path / "x.pt")
    saved(quiet(torch.jit.script, Net().eval()), tmp_path / "old.pt")
    return tmp_path


def test_readme_in_python(readme):
    model = torch.jit.load(readme / "model.pt")
    x = torch.randn(8, 3, 64, 64)
    assert torch.equal(model(x), torch.export.load(readme / "model.pt2").module()(x))


def test_deploying_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = "docs/deploying.md"
    program, weights, library_alone = blocks(page, "python")
    names = {**vars(deploy), "model": qnative.quantize_dynamic(deploy.Classifier())}
    tokens = torch.randint(0, 100, (2, 7))
    names["x"] = tokens
    assert run(page, program, names) == names["program"].signature + "\n"
    assert torch.equal(names["y"], names["model"](tokens))
    run(page, weights, names)
    expected = names["model"](tokens)
    assert torch.equal(names["other"](tokens), expected)

    deploy.save_torchscript(names["model"], (tokens,), tmp_path / "model.pt")
    assert "/path/to/libqnative.so" in library_alone.text
    code = library_alone.text.replace("/path/to/libqnative.so", qnative.library_path())
    code += "import sys; print('qnative' in sys.modules)"
    assert in_a_process(f"import torch\n{code}", tmp_path) == "False\n"


def test_diagnosing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, names = "docs/diagnosing.md", {}
    find, show = blocks(page, "python")
    (printed,) = blocks(page, "text")
    assert run(page, find, names) == printed.text
    run(page, show, names)
    assert "clipped range" in Path("report.html").read_text()

    for i, x in enumerate(names["data"][:2]):
        torch.save(x, f"x{i}.pt")
    qnative.save(names["quantized"], "model.pt2", (x,))
    torch.export.save(torch.export.export(names["model"], (x,)), "float.pt2")
    Path("report.html").unlink()
    (command,) = blocks(page, "sh")
    _, *arguments = shlex.split(command.text)
    assert "clipped range" in run_python(arguments, tmp_path)
    assert "clipped range" in Path("report.html").read_text()


def test_migrating_in_python(old, monkeypatch):
    monkeypatch.chdir(old)
    page, names = "docs/migrating.md", {"qnative": qnative, "x": torch.load("x.pt")}
    (block,) = blocks(page, "python")
    assert "qnative::quantize_per_tensor" in run(page, block, names)
    assert old_kinds(torch.jit.load("new.pt")) == set()


def test_migrating_in_a_shell(old):
    (block,) = blocks("docs/migrating.md", "sh")
    _, *arguments = shlex.split(block.text, comments=True)
    assert "outputs differ by" in run_python(arguments, old)
    assert old_kinds(torch.jit.load(old / "new.pt")) == set()


def cpp_function(name: str, block: Block) -> tuple[list[str], str]:
    """The includes of a block, and its statements as a function."""
    lines = block.text.splitlines(keepends=True)
    includes = [line for line in lines if line.startswith("#include")]
    rest = "".join(line for line in lines if line not in includes)
    return includes, f"void {name}() {{\n{rest}}}\n"


def test_cpp(readme, old):
    """README has a program, the other blocks form one; the CMake blocks are equal and link both."""
    cmake, other = (blocks(page, "cmake")[0].text for page in ("README.md", "docs/deploying.md"))
    assert cmake == other
    (program,) = blocks("README.md", "cpp")
    pages = {"deploying": "docs/deploying.md", "migrating": "docs/migrating.md"}
    functions = [
        cpp_function(f"{name}_{i}", block)
        for name, page in pages.items()
        for i, block in enumerate(blocks(page, "cpp"))
    ]
    includes = [line for lines, _ in functions for line in lines]
    parts = [*includes, "torch::Tensor x;\n", *(code for _, code in functions)]
    (readme / "main.cpp").write_text(program.text)
    (readme / "docs.cpp").write_text("".join([*parts, "int main() { migrating_0(); }\n"]))
    (readme / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(app LANGUAGES CXX)\n"
        "add_executable(app main.cpp)\nadd_executable(docs docs.cpp)\n"
        + cmake
        + "target_link_libraries(docs qnative::qnative)\n"
    )
    folder = cpp_program.build(readme / "build", readme)
    done = subprocess.run([folder / "app"], cwd=readme, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[8, 10]\nnative: 194 patterns\n"
    subprocess.run([folder / "docs"], cwd=old, check=True)
    assert old_kinds(torch.jit.load(old / "new.pt")) == set()
