"""``python -m qnative explain file``"""

import argparse

from .._text import text_table
from .graphs import read


def runs_in(op: str) -> str:
    """Which library has the kernel of an op."""
    space = op.replace("::", ".").split(".")[0]
    if space == "qnative":
        return "qnative"
    if space in ("quantized", "quantized_decomposed") or op.startswith("aten::quantize"):
        return "torch (old quantization)"
    return "torch"


def run(options: argparse.Namespace) -> int:
    contents = read(options.file)
    rows = [(node.graph, node.name, node.op, runs_in(node.op)) for node in contents.nodes]
    print("\n".join(text_table(("graph", "node", "op", "kernel of"), rows)))
    for library in sorted({row[3] for row in rows}):
        print(f"{sum(row[3] == library for row in rows)} nodes of {library}")
    return 0
