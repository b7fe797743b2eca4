"""``python -m qnative``: move, explain, describe, run and measure files; configs; the machine."""

import argparse
import sys

from .cli import bench, config, describe, doctor, explain, migrate, run

COMMANDS = (migrate, explain, describe, run, bench, config, doctor)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done; 1 the input cannot be read, moved or written; 2 a usage error."""
    parser = argparse.ArgumentParser(prog="python -m qnative", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
