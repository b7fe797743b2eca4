"""Pages in headless Chromium, which the Makefile installs."""

import base64
import hashlib
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

# Ends in the page as JSON. What the page's own script throws comes first.
_BEFORE = "<script>window.errors = []; onerror = (text) => {{ errors.push(text); }};</script>"
_AFTER = """<script>
(() => {{
  let result;
  try {{ result = (() => {{ {code} }})(); }} catch (error) {{ errors.push(String(error)); }}
  const text = document.createElement("pre");
  text.id = "result-of-the-test";
  text.textContent = JSON.stringify({{ result, errors }});
  document.body.append(text);
}})();
</script>"""


class _Result(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.text = False, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = ("id", "result-of-the-test") in attrs

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""


def dump(path: Path) -> str:
    """The document after its scripts have run."""
    name = next(filter(shutil.which, ("chromium-headless-shell", "chromium")), None)
    assert name, "no Chromium: run `make setup`, which installs the packages of the tests"
    command = [name, "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
    profile = f"--user-data-dir={path.parent / 'profile'}"
    done = subprocess.run([*command, profile], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def evaluate(page: str, code: str, folder: Path) -> Any:
    """What a function with this body returns in a page. AssertionError if a script fails there."""
    before, after = _BEFORE.format(), _AFTER.format(code=code)
    policy = "".join(f" 'sha256-{_digest(script)}'" for script in (before, after))
    page = page.replace("script-src", f"script-src{policy}", 1)
    page = page.replace("<body>", f"<body>{before}", 1).replace("</body>", f"{after}</body>")
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    parser = _Result()
    parser.feed(dump(path))
    assert parser.text, "the script of the test did not run"
    found = json.loads(parser.text)
    assert found["errors"] == []
    return found.get("result")


def _digest(script: str) -> str:
    text = script.removeprefix("<script>").removesuffix("</script>")
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
