"""Arguments of a call that torch.save has saved."""

from typing import Any

import torch

from .graphs import unreadable


def read_inputs(path: str) -> Any:
    """The arguments in a file. A RuntimeError names a file that has none."""
    try:
        inputs = torch.load(path, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of pickle, or whatever the bytes lead it to
        raise unreadable(path, error) from error
    if isinstance(inputs, torch.Tensor):
        return (inputs,)
    if not isinstance(inputs, (list, tuple)):
        raise RuntimeError(
            f"qnative: {path} must hold a tensor, a list or a tuple, has {type(inputs).__name__}"
        )
    return inputs
