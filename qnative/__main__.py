"""``python -m qnative COMMAND``: the modules of qnative/cli."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from . import cli


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qnative")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for module in pkgutil.iter_modules(cli.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{cli.__name__}.{module.name}").add_parser(subparsers)
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
