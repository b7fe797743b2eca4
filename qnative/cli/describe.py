"""``python -m qnative describe file``"""

import argparse
import json
import os
from collections import Counter

from .._text import text_table
from ..report import Report
from .graphs import read


def run(options: argparse.Namespace) -> int:
    contents = read(options.file)
    print(f"{options.file}: {contents.kind}, {os.path.getsize(options.file):,} bytes")
    metadata = dict(contents.metadata)
    report = metadata.pop("report", None)
    metadata.pop("values", None)  # the row of each node
    for name, value in metadata.items():
        print(f"{name}: {value}")
    if report is not None:
        print("report:", Report.from_json(json.dumps(report)).summary())
    counts = Counter(node.op for node in contents.nodes).most_common()
    print("\n".join(text_table(("op", "calls"), [(op, str(n)) for op, n in counts])))
    rows = [
        (name, str(t.dtype).removeprefix("torch."), str(list(t.shape)), f"{t.nbytes:,}")
        for name, t in contents.tensors.items()
        if not t.is_quantized
    ]
    print("\n".join(text_table(("tensor", "dtype", "shape", "bytes"), rows)))
    quantized = sum(t.is_quantized for t in contents.tensors.values())
    if quantized:
        print(f"{quantized} tensors of torch's quantized dtypes")
    return 0
