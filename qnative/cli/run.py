"""``python -m qnative run model.pt2``"""

import argparse

import torch

from .._files import replacing
from ..program import Program
from .inputs import make_inputs


def run(options: argparse.Namespace) -> int:
    program = Program.load(options.file)
    with torch.inference_mode():
        result = program(*make_inputs(program, options))
    print(result)
    if options.output is not None:
        with replacing(options.output) as file:
            torch.save(result, file)
    return 0
