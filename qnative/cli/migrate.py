"""``python -m qnative migrate old.pt new.pt``"""

import argparse

import torch

from ..migration import migrate
from .inputs import read_inputs

_DTYPES = {"int8": torch.int8, "float16": torch.float16}


def run(options: argparse.Namespace) -> int:
    result = migrate(
        options.old,
        options.new,
        example_inputs=None if options.inputs is None else read_inputs(options.inputs),
        dynamic=_DTYPES.get(options.dynamic_dtype, options.dynamic),
        allow_partial=options.partial,
    )
    print(result)
    return 0
