"""The examples in docs run as they stand, and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

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
