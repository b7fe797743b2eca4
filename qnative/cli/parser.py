"""The command line of ``python -m qnative``."""

import argparse
import os
import sys
from typing import Any

_EPILOG = """\
The usual ways:
  quantize a model    torch.export.save(torch.export.export(model, (x,)), "model.pt2")
                      {prog} quantize model.pt2 --data x.pt -o q.pt2
  move an old file    {prog} migrate old.pt new.pt --inputs x.pt
  look and measure    {prog} describe q.pt2; {prog} bench q.pt2
In Python: qnative.quantize(model, (x,), batches).

Exit status: 0 done; 1 something cannot be read, done or written, and the last line of the error
output says what; 2 a usage error; 130 interrupted; 141 nobody reads the output any more.
"""
# The keys of qnative.plan.modes.RECIPES.
RECIPES = (
    *("static", "dynamic", "dynamic_int4", "dynamic_fp16", "fp16"),
    *("weight_only", "weight_only_int4"),
)
_DOCTOR = """\
Shows versions and the instruction set of each kernel family, runs every family beside the scalar
kernels, which must give the same bits, names known traps of this machine and says what to do about
them.

Exit status: 0 all kernels are right (there may be advice); 1 a kernel is wrong or crashed; 2 wrong
arguments, or QNATIVE_ISA names no instruction set."""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``command`` is None if none was given."""
    is_script = os.path.basename(sys.argv[0]) == "qnative"
    prog = "qnative" if is_script else "python -m qnative"
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Quantizes PyTorch models to int8 and runs them on CPUs.",
        epilog=_EPILOG.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--traceback", action="store_true", help="of an error, for its report")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for add in (_quantize, _migrate, _explain, _describe, _report, _run, _bench, _config, _doctor):
        add(subparsers)
    return parser


def _quantize(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "quantize",
        help="quantize a float .pt2 file",
        description="Quantizes a float model that torch.export.save has saved, and prints what "
        "became of each node. Exit status: 0 written; 1 the model or the data cannot be read, the "
        "model cannot be quantized, or a node stays float (--strict), and nothing was written; 2 a "
        "usage error.",
    )
    parser.add_argument("model", help=".pt2 file of torch.export.save, with float weights")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="typical inputs, saved by torch.save: a tensor, whose dimension 0 counts samples, or "
        "a list of batches: tensors, tuples of arguments or dicts of keyword arguments. Recipe "
        "static needs 32 samples or more; other recipes are measured on them",
    )
    parser.add_argument(
        "--recipe", choices=RECIPES, default="static", help="see qnative.quantize (default static)"
    )
    parser.add_argument(
        "--backend", default="qnative", metavar="NAME", help="a backend config (default qnative)"
    )
    parser.add_argument("--strict", action="store_true", help="fail if a node stays float")


def _migrate(subparsers: Any) -> None:
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
        choices=("int8", "float16"),
        help="of their weights (default: int8, float16 for recurrent cells); implies --dynamic",
    )
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        help="a tensor, or a list or tuple of the arguments of one call, saved by torch.save; the "
        "outputs before and after are compared",
    )


def _add_file(subparsers: Any, name: str, help: str) -> None:
    """A command that shows the content of one file."""
    parser = subparsers.add_parser(
        name,
        help=help,
        description="Exit status: 0 shown; 1 the file cannot be read; 2 a usage error.",
    )
    parser.add_argument("file")


def _explain(subparsers: Any) -> None:
    _add_file(subparsers, "explain", "the nodes of a TorchScript or .pt2 file and what runs them")


def _describe(subparsers: Any) -> None:
    _add_file(subparsers, "describe", "the ops, weights and sizes in a TorchScript or .pt2 file")


def _report(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "report",
        help="a page about a quantized .pt2 file; with the float model, what costs accuracy",
        description="Writes one HTML file that needs no network. With --float and --data it also "
        "measures the error of each node, names causes, and tries what helps. Exit status: 0 "
        "written; 1 a file cannot be read, or the models do not belong together; 2 a usage error.",
    )
    parser.add_argument("file", help="of qnative.save")
    parser.add_argument(
        "--float", dest="model", metavar="FILE", help="the float model: a .pt2 file"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="FILE",
        default=[],
        help="each a tensor, or a list or tuple of the arguments of one call, saved by torch.save; "
        "the time of each node is measured with the first",
    )
    parser.add_argument(
        "--tries", type=int, default=3, metavar="N", help="fixes to try (default 3; 0: none)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", default="report.html")


def _run(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "run",
        help="run a .pt2 file",
        description="Prints the result. Exit status: 0 done; 1 the file cannot be read or does not "
        "take the inputs; 2 a usage error.",
    )
    _add_inputs(parser)
    parser.add_argument("--output", metavar="FILE", help="where torch.save puts the result")


def _bench(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure a .pt2 file: latency, throughput, time of each node",
        description="Exit status: 0 measured; 1 the file cannot be read or does not take the "
        "inputs; 2 a usage error.",
    )
    _add_inputs(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="of one call (torch's default)")
    parser.add_argument("--callers", type=int, default=1, metavar="N", help="threads that call")
    parser.add_argument("--seconds", type=float, default=3.0, help="to measure (default 3)")
    parser.add_argument("--nodes", type=int, default=20, metavar="N", help="slowest to show")


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """The file of a program, and the options for its arguments."""
    parser.add_argument("file", help="of torch.export.save or qnative.save")
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        help="a tensor, or a list or tuple of the arguments of one call, saved by torch.save "
        "(default: random tensors)",
    )
    parser.add_argument(
        "--batch", type=int, default=1, metavar="B", help="random tensors: sizes that are open"
    )
    parser.add_argument(
        "--sizes",
        nargs="*",
        metavar="N,...",
        help="random tensors: the sizes of each, such as 1,3,224,224",
    )


def _config(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "config",
        help="a backend config: what it can quantize",
        description="Exit status: 0 shown; 1 there is no such config; 2 a usage error.",
    )
    parser.add_argument("name", help="native, or another that qnative.get_backend knows")
    parser.add_argument("--json", action="store_true", help="all of it, as JSON")


def _doctor(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="versions, kernels, their self-test, and advice for this machine",
        description=_DOCTOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
