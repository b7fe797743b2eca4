"""The lines of the user's code behind what torch does."""

import linecache
import logging
import os
import sys
import sysconfig
from types import FrameType, TracebackType
from typing import Any

import sympy
import torch

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FRAMEWORK = tuple(
    os.path.dirname(os.path.abspath(str(module.__file__))) + os.sep for module in (torch, sympy)
)
_SITE = sysconfig.get_path("purelib") + os.sep
_STANDARD = sysconfig.get_path("stdlib") + os.sep


def line_now() -> str:
    """The innermost line of the user's code among the callers, "model.py:12: y = x.view(2, 7)", or
    "". The user's code is what is neither in torch, in Python's library nor in qnative; what called
    qnative is not meant."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    while frame is not None and not frame.f_code.co_filename.startswith(_OWN):
        if _is_users(frame.f_code.co_filename):
            return _text(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return ""


def place_of(error: BaseException | None, model: torch.nn.Module | None = None) -> tuple[str, str]:
    """The innermost line of the user's code that an error passed on its way, or that of the error
    that caused it, and the path of the submodule of a model whose method it is in; or "" twice."""
    names = {} if model is None else {id(module): path for path, module in model.named_modules()}
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        line, module = _innermost(error.__traceback__, names)
        if line:
            return line, module
        error = error.__cause__ or error.__context__
    return "", ""


def _innermost(traceback: TracebackType | None, names: dict[int, str]) -> tuple[str, str]:
    """Behind the last frame of qnative: frames before it called it."""
    line = module = ""
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_filename.startswith(_OWN):
            line = module = ""
        elif _is_users(frame.f_code.co_filename):
            line = _text(frame.f_code.co_filename, traceback.tb_lineno)
        module = names.get(id(frame.f_locals.get("self")), module)
        traceback = traceback.tb_next
    return line, module


def _is_users(file: str) -> bool:
    if file.startswith(("<", _FRAMEWORK[0], _FRAMEWORK[1])):
        return False
    return file.startswith(_SITE) or not file.startswith(_STANDARD)


def _text(file: str, line: int) -> str:
    near = os.path.relpath(file)
    name = file if near.startswith(os.pardir) else near
    return f"{name}:{line}: {linecache.getline(file, line).strip()}".rstrip(": ")


class SizeLines(logging.Handler):
    """Within its context, notes which lines of the user's code fix a size or ask about one.

    torch logs what it concludes about a size at once: the line is among the callers.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
        self._fixed: dict[str, str] = {}
        self._guards: dict[str, str] = {}
        self._symbols: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if "guard added" in record.msg and isinstance(record.args, tuple) and len(record.args) > 1:
            self._guards.setdefault(str(record.args[1]), line_now())
        elif record.msg.startswith("create_symbol %s = ") and isinstance(record.args, tuple):
            self._symbols[str(record.args[2])] = str(record.args[0])
        elif record.msg.startswith("set_replacement") and isinstance(record.args, tuple):
            self._fixed.setdefault(str(record.args[0]), line_now())

    def of_symbol(self, symbol: Any) -> str:
        """The line that gave a size another form: a number, or the size that it equals."""
        return self._fixed.get(str(symbol), "")

    def of_source(self, source: str) -> str:
        """The same, by torch's name of the size: "L['x'].size()[1]"."""
        return self.of_symbol(self._symbols.get(source))

    def of_guard(self, guard: Any) -> str:
        """The line that asked about sizes."""
        return self._guards.get(str(guard), "")

    def __enter__(self) -> "SizeLines":
        self._before = self._logger.level, self._logger.propagate, self._logger.handlers
        self._logger.setLevel(logging.INFO)
        self._logger.propagate, self._logger.handlers = False, [self]
        return self

    def __exit__(self, *error: Any) -> None:
        level, self._logger.propagate, self._logger.handlers = self._before
        self._logger.setLevel(level)
