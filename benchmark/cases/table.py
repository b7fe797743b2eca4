"""The cases of every row of the shape files."""

import csv
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmark.cases.case import Case
from benchmark.cases.conv import conv2d, convolution
from benchmark.cases.elementwise import elementwise, embedding_bag, row_wise
from benchmark.cases.float16 import float16
from benchmark.cases.products import (
    attention,
    attention_dynamic,
    linear,
    linear_dynamic,
    linear_dynamic_fp16,
    linear_fp16,
    lstm,
    matmul,
)

SHAPES = Path(__file__).parents[1] / "shapes"


def rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of benchmark/shapes/<name>.csv without the column `network`, which is for readers."""
    with open(SHAPES / f"{name}.csv", newline="") as file:
        for row in csv.DictReader(file):
            del row["network"]
            yield row


def shaped(name: str, make: Callable[..., Case]) -> Iterator[Callable[[], Case]]:
    """make(op, sizes) or make(sizes) for every row of a shape file."""
    for row in rows(name):
        op = [row.pop("op")] if "op" in row else []
        sizes = {key: int(value) for key, value in row.items()}
        yield functools.partial(make, *op, **sizes)


SHAPED: dict[str, tuple[Callable[..., Case], ...]] = {
    "linear": (linear, linear_dynamic, linear_dynamic_fp16, linear_fp16),
    "matmul": (matmul,),
    "attention": (attention, attention_dynamic),
    "convolution": (convolution,),
    "lstm": (lstm,),
    "conv2d": (conv2d,),
    "elementwise": (elementwise,),
    "embedding_bag": (embedding_bag,),
    "row_wise": (row_wise,),
    "float16": (float16,),
}


def all_cases() -> Iterator[Callable[[], Case]]:
    """One function per row of the shape files; calling it makes the case."""
    for name, makers in SHAPED.items():
        # The forms of a layer follow each other.
        for forms in zip(*(shaped(name, make) for make in makers), strict=True):
            yield from forms
