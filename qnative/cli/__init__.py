"""Commands of ``python -m qnative``, a module each: ``add_parser`` registers it, ``run`` executes
it and returns the exit code."""
