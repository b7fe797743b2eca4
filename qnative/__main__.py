# PYTHON_ARGCOMPLETE_OK
"""``python -m qnative``: quantize, move, explain, describe, run and measure files."""

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from ._library import load
from ._text import printable
from .cli.parser import make_parser

FAILED, INTERRUPTED, NO_READER = 1, 130, 141


class _Printable(io.TextIOBase):
    """What a command prints of a file does nothing to the terminal."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. The exit status is that of the parser's epilog."""
    parser = make_parser()
    with contextlib.suppress(ImportError):
        import argcomplete

        argcomplete.autocomplete(parser)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        with contextlib.redirect_stdout(_Printable(sys.stdout)), _no_warnings():
            load()
            status: int = importlib.import_module(f"qnative.cli.{options.command}").run(options)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain when it flushes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except Exception as error:
        if options.traceback:
            raise
        print(printable(_message(error)), file=sys.stderr)
        return FAILED


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Hides the warnings of torch and torchao, unless Python was told which to show: nobody who
    runs a command can act on them."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _message(error: Exception) -> str:
    """What is wrong, without a traceback."""
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{os.fspath(error.filename)}: {error.strerror}"
    elif isinstance(error, (OSError, RuntimeError, ValueError, TypeError, ImportError)):
        text = str(error).strip()
    else:
        text = f"{type(error).__name__}: {error} (python -m qnative --traceback shows where)"
    return text if text.startswith("qnative") else f"qnative: {text}"


if __name__ == "__main__":
    sys.exit(main())
