"""Random calls of all ops, in processes that may crash: see calls.py."""
