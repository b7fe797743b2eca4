"""Commands of ``python -m qnative``: their arguments are in ``parser``, which imports no torch;
``run`` of the module of each executes it and returns the exit status."""
