"""``python -m qnative``: move, explain, describe, run and measure files; configs; the machine."""

import argparse
import contextlib
import io
import sys
from typing import TextIO

from .cli import bench, config, describe, doctor, explain, migrate, run
from .report import printable

COMMANDS = (migrate, explain, describe, run, bench, config, doctor)


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
    """Exit status: 0 done; 1 the input cannot be read, moved or written; 2 a usage error."""
    parser = argparse.ArgumentParser(prog="python -m qnative", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    with contextlib.redirect_stdout(_Printable(sys.stdout)):
        try:
            return options.run(options)
        except (OSError, RuntimeError, ValueError) as error:
            print(printable(str(error)), file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
