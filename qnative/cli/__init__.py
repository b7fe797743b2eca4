"""The commands of ``python -m qnative``: a module each, with ``add_parser(subparsers)``."""
