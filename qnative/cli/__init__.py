"""Commands of ``python -m qnative``: a module each, whose ``add_parser`` names the function that
runs it (``set_defaults(run=...)``) and returns the exit code."""
