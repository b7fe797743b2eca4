"""``python -m qnative config native --json``"""

import argparse
from typing import Any

from ..backend_config.registry import get_backend


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "config",
        help="a backend config: what it can quantize",
        description="Exit status: 0 shown; 1 there is no such config; 2 a usage error.",
    )
    parser.add_argument("name", help="native, or another that qnative.get_backend knows")
    parser.add_argument("--json", action="store_true", help="all of it, as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    config = get_backend(options.name)
    if options.json:
        print(config.to_json())
    else:
        print(f"{config.name}: {len(config.configs)} patterns")
        for each in config.configs:
            print(f"  {each.pattern}")
    return 0
