"""``python -m qnative config native --json``"""

import argparse

from ..backend_config.registry import get_backend


def run(options: argparse.Namespace) -> int:
    config = get_backend(options.name)
    if options.json:
        print(config.to_json())
    else:
        print(f"{config.name}: {len(config.configs)} patterns")
        for each in config.configs:
            print(f"  {each.pattern}")
    return 0
