"""``python -m qnative migrate old.pt new.pt``"""

import argparse
from typing import Any

import torch

from ..migration import migrate
from .inputs import read_inputs

_DTYPES = {"int8": torch.int8, "float16": torch.float16}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "migrate",
        help="rewrite a quantized TorchScript file to qnative ops",
        description="Exit status: 0 everything moved (or --partial); 1 something cannot be moved "
        "and nothing was written; 2 a usage error.",
    )
    parser.add_argument("old", help="TorchScript file that uses torch's old quantization")
    parser.add_argument("new", help="the file to write")
    parser.add_argument("--partial", action="store_true", help="keep what cannot be moved")
    parser.add_argument("--dynamic", action="store_true", help="also quantize float layers")
    parser.add_argument(
        "--dynamic-dtype",
        choices=tuple(_DTYPES),
        help="of their weights (default: int8, float16 for recurrent cells); implies --dynamic",
    )
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        help="a tensor, or a list or tuple of the arguments of one call, saved by torch.save; the "
        "outputs before and after are compared",
    )
    parser.set_defaults(run=run)


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
