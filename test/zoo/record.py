"""What the results of a model have: each of RECIPES, with decibels by output."""

RECIPES = ("static", "dynamic")


def worst(sqnr: dict[str, float | None]) -> float | None:
    """The least decibels of an output or part of one; None if all outputs are integers."""
    real = (v for k, v in sqnr.items() if v is not None and not k.endswith(" equal"))
    return min(real, default=None)
