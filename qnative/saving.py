"""Files of ``torch.export`` with what a deployment needs, and no more."""

import contextlib
import copy
import json
import os
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch.export import ExportedProgram

import qnative

from ._files import replacing
from .graph.export import DynamicShapes, export_program
from .graph.open_sizes import shapes_again
from .lowering.module import values
from .report import Report

_AS_QUANTIZED = "as_quantized"
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
    dynamic_shapes: DynamicShapes | Literal["as_quantized"] = "as_quantized",
    metadata: dict[str, Any] | None = None,
    keep_origins: bool = False,
) -> ExportedProgram:
    """Writes a model to a ``.pt2`` file, which ``qnative.Program.load``, ``torch.export.load`` and
    ``qnative/program.h`` read. Returns what was exported.

    model: a module, which is exported with ``args``, ``kwargs`` and ``dynamic_shapes`` as
    ``torch.export.export`` takes them, or an ExportedProgram. dynamic_shapes: "as_quantized" leaves
    open what ``report.sizes`` of a quantized module says, and nothing of another one; "batch" and
    "all" are those of ``qnative.quantize``; None fixes all sizes to those of the arguments.
    metadata: anything that JSON can hold; the versions of torch and qnative and, where the model
    has one, its report are added, with the row of each node.
    keep_origins: whether each node tells the lines and modules that it comes from.

    Other than ``torch.export.save``, this leaves out the example inputs, which can take half of a
    file. A file appears only when it is complete.
    """
    if isinstance(model, ExportedProgram):
        if args or kwargs or dynamic_shapes not in (None, _AS_QUANTIZED):
            raise ValueError("qnative.save: an ExportedProgram takes no arguments of an export")
        exported = model
    else:
        with torch.no_grad():
            exported = _export(model, args, kwargs or {}, dynamic_shapes)
    contents = {**_versions(), **_report(model, exported), **(metadata or {})}
    slim = copy.copy(exported)
    slim._example_inputs = None
    origins = contextlib.nullcontext() if keep_origins else _without_origins(slim)
    with replacing(path) as file, origins:
        torch.export.save(slim, file, extra_files={METADATA: json.dumps(contents)})
    return exported


def _export(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any
) -> ExportedProgram:
    if isinstance(dynamic_shapes, str) and dynamic_shapes != _AS_QUANTIZED:
        if kwargs:
            raise ValueError(
                f"qnative.save: dynamic_shapes={dynamic_shapes!r} takes positional arguments alone"
            )
        names: Any = dynamic_shapes  # export_program names those that it takes
        return export_program(model, args, names, "qnative.save")
    if dynamic_shapes == _AS_QUANTIZED:
        sizes = [s for s in getattr(getattr(model, "report", None), "sizes", []) if s.open]
        if sizes:
            args, kwargs, dynamic_shapes = shapes_again(model, args, kwargs, sizes)
        else:
            dynamic_shapes = None
    return torch.export.export(model, args, kwargs, dynamic_shapes=dynamic_shapes)


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
