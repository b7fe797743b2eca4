"""What to tell about a model that torch.export rejects: where, why, and what helps."""

import re

import torch

from .lines import SizeLines, place_of

# What torch's messages begin with or contain, and what helps.
_REMEDIES = {
    "data-dependent": "its course depends on the values of a tensor: compute both ways and choose "
    "with torch.where, or use torch.cond",
    ".numpy()": "numpy cannot compute with the tensors of torch.export: use torch's functions, and "
    "make constants in __init__",
    "not a known type": "torch.export does not know this class: return tensors, tuples, lists or "
    "dicts, or register it by torch.export.register_dataclass",
    "missing a required argument": "example_inputs must have a value for each argument without a "
    "default; wrap a model with keyword-only arguments in one that takes them by position",
    "top-level keys must be the arg names": "name the arguments of forward in dynamic_shapes",
}
_LEFT_OUT = (
    "to leave {module!r} out: quantize the modules beside it one by one, model.other = "
    "qnative.quantize(model.other, ...), or use qnative.quantize_dynamic, which exports nothing"
)
_SOURCE = re.compile(r"L\['(\w+)'\](\S*?)\.size\(\)\[(\d+)\]")


class Rejected(Exception):
    """torch.export rejects a model: the cause is its error. lines: what it said of sizes."""

    def __init__(self, lines: SizeLines):
        super().__init__()
        self.lines = lines


def explain(model: torch.nn.Module, error: Exception) -> str:
    """A text of several lines: the line of the user's code and the module that it is in, what
    helps, torch's message."""
    cause = error.__cause__ if isinstance(error, Rejected) else error
    text = str(cause).strip() or type(cause).__name__
    first, *more = text.splitlines()
    line, module = place_of(cause, model)
    remedies = [_fixed_sizes(text, error.lines)] if isinstance(error, Rejected) else []
    remedies += [remedy for part, remedy in _REMEDIES.items() if part in text]
    if module:
        remedies.append(_LEFT_OUT.format(module=module))
    places = [f"in module {module!r}" if module else "", f"at {line}" if line else ""]
    where = ", ".join(filter(None, places))
    lines = [f"{type(model).__name__}: {first}", where, *remedies]
    return "\n".join([*filter(None, lines), *more])


def _fixed_sizes(text: str, lines: SizeLines) -> str:
    """Which dimensions dynamic_shapes must not name."""
    if "Constraints violated" not in text:
        return ""
    found: dict[str, None] = {}
    for match in _SOURCE.finditer(text):
        argument, inside, dimension = match.groups()
        line = lines.of_source(match.group())
        by = f", which {line} fixes" if line else ""
        found[f"dimension {dimension} of {argument}{inside}{by}"] = None
    return (
        f"do not name in dynamic_shapes: {'; '.join(found)}. Dim.AUTO and dynamic_shapes='all' "
        "leave open what the model allows"
    )
