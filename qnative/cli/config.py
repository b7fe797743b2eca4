"""``python -m qnative config native --json``"""

import argparse
import json
from typing import Any

from ..backend_config import get_native_backend_config

CONFIGS = {"native": get_native_backend_config}


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "config",
        help="a backend config: what it can quantize",
        description="Exit status: 0 shown; 2 a usage error.",
    )
    parser.add_argument("name", choices=sorted(CONFIGS))
    parser.add_argument("--json", action="store_true", help="all of it, as JSON")
    parser.set_defaults(run=run)


def to_json(config: Any) -> str:
    """The dict form; what JSON has no form for is its str."""
    return json.dumps(config.to_dict(), indent=1, default=str)


def run(options: argparse.Namespace) -> int:
    config = CONFIGS[options.name]()
    if options.json:
        print(to_json(config))
    else:
        print(f"{config.name}: {len(config.configs)} patterns")
        for each in config.configs:
            print(f"  {each.pattern}")
    return 0
