"""Files of ``torch.export`` with what a deployment needs, and no more."""

import contextlib
import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram

import qnative

from ._files import replacing
from .graph.export import DynamicShapes, export_program
from .lowering.module import values
from .report import Report

# Beside torch's records, in "extra/"; Program.metadata reads it.
METADATA = "qnative.json"
# Where each node comes from: texts that take more space than the program.
_ORIGINS = ("stack_trace", "from_node", "nn_module_stack", "source_fn_stack", "torch_fn")


def save(
    model: torch.nn.Module | ExportedProgram,
    path: str | os.PathLike[str],
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    dynamic_shapes: DynamicShapes = None,
    metadata: dict[str, Any] | None = None,
    keep_origins: bool = False,
) -> ExportedProgram:
    """Writes a model to a ``.pt2`` file, which ``qnative.Program.load``, ``torch.export.load`` and
    ``qnative/program.h`` read. Returns what was exported.

    model: a module, which is exported with ``args``, ``kwargs`` and ``dynamic_shapes`` as
    ``torch.export.export`` takes them, or an ExportedProgram. dynamic_shapes may be "batch" or
    "all" too, as in ``qnative.quantize``: what the model has open stays open.
    metadata: anything that JSON can hold; the versions of torch and qnative and, where the model
    has one, its report are added, with the row of each node.
    keep_origins: whether each node tells the lines and modules that it comes from.

    Other than ``torch.export.save``, this leaves out the example inputs, which can take half of a
    file. A file appears only when it is complete.
    """
    if isinstance(model, ExportedProgram):
        if args or kwargs or dynamic_shapes is not None:
            raise ValueError("qnative.save: an ExportedProgram takes no arguments of an export")
        exported = model
    elif isinstance(dynamic_shapes, str):
        if kwargs:
            raise ValueError(
                f"qnative.save: dynamic_shapes={dynamic_shapes!r} takes positional arguments alone"
            )
        with torch.no_grad():
            exported = export_program(model, args, dynamic_shapes, "qnative.save")
    else:
        with torch.no_grad():
            exported = torch.export.export(model, args, kwargs, dynamic_shapes=dynamic_shapes)
    contents = {**_versions(), **_report(model, exported), **(metadata or {})}
    slim = copy.copy(exported)
    slim._example_inputs = None
    origins = contextlib.nullcontext() if keep_origins else _without_origins(slim)
    with replacing(path) as file, origins:
        torch.export.save(slim, file, extra_files={METADATA: json.dumps(contents)})
    return exported


def _versions() -> dict[str, str]:
    return {"qnative": qnative.__version__, "torch": torch.__version__}


def _report(model: Any, exported: ExportedProgram) -> dict[str, Any]:
    """The report of a quantized model, and which of its rows each node of the file computes."""
    report = getattr(model, "report", None)
    if not isinstance(report, Report):
        return {}
    return {"report": json.loads(report.to_json()), "values": values(model, exported)}


@contextlib.contextmanager
def _without_origins(exported: ExportedProgram) -> Iterator[None]:
    """Nodes without the texts of their origins, which come back afterwards."""
    nodes = [
        node
        for module in exported.graph_module.modules()
        if isinstance(module, torch.fx.GraphModule)
        for node in module.graph.nodes
    ]
    metas = [node.meta for node in nodes]
    for node in nodes:
        node.meta = {key: value for key, value in node.meta.items() if key not in _ORIGINS}
    try:
        yield
    finally:
        for node, meta in zip(nodes, metas, strict=True):
            node.meta = meta
