"""The nodes and constants of a TorchScript or torch.export file, whichever it is."""

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch.export import ExportedProgram

from .._archive import check_archive
from ..saving import METADATA

T = TypeVar("T")


@dataclass(frozen=True)
class GraphNode:
    """One call: the graph it is in, its name, its op, and the shapes of tensors it makes."""

    graph: str
    name: str
    op: str


@dataclass(frozen=True)
class Contents:
    """The contents of a file: its kind, its calls in order, its tensors by name, and what
    ``qnative.save`` wrote beside them."""

    kind: str
    nodes: list[GraphNode]
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)


def read(path: str) -> Contents:
    """The contents of a file. A RuntimeError names the file that cannot be read."""
    names, metadata = _check(path)
    contents = _read(path, _exported if _is_exported(names) else _scripted)
    return replace(contents, metadata=json.loads(metadata)) if metadata else contents


def read_exported(path: str) -> ExportedProgram:
    """The program in a .pt2 file. A RuntimeError names the file that cannot be read."""
    names, _ = _check(path)
    if not _is_exported(names):
        raise RuntimeError(
            f"qnative: {path} is a TorchScript file: this needs one of torch.export.save; "
            "python -m qnative migrate --dynamic takes TorchScript"
        )
    return _read(path, torch.export.load)


def _check(path: str) -> tuple[list[str], bytes]:
    """The names of the records of an archive that is whole, and what qnative.save wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            metadata = [archive.read(name) for name in names if name.endswith(f"extra/{METADATA}")]
    except zipfile.BadZipFile as error:
        raise RuntimeError(f"qnative: {path} is no TorchScript or torch.export file") from error
    check_archive(path)
    return names, metadata[0] if metadata else b""


def _is_exported(names: list[str]) -> bool:
    ends = ("models/model.json", "serialized_exported_program.json")
    return any(name.endswith(ends) for name in names)


def _read(path: str, load: Callable[[str], T]) -> T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load(path)
    except Exception as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> RuntimeError:
    """An error with the name of the file and the first line of torch's message."""
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return RuntimeError(f"qnative: {path} cannot be read: {reason}")


def _exported(path: str) -> Contents:
    program = torch.export.load(path)
    nodes = [
        GraphNode("forward", node.name, str(node.target))
        for node in program.graph.nodes
        if node.op == "call_function"
    ]
    tensors = {**program.state_dict, **program.constants}
    return Contents(
        "torch.export", nodes, {k: v for k, v in tensors.items() if isinstance(v, torch.Tensor)}
    )


def _scripted(path: str) -> Contents:
    module = torch.jit.load(path)
    nodes: list[GraphNode] = []
    tensors = dict(module.state_dict())
    for name in module._c._method_names():
        graph = module._c._get_method(name).graph
        torch._C._jit_pass_inline(graph)
        for node in _walk(graph):
            output = node.output() if node.outputsSize() == 1 else None
            label = output.debugName() if output is not None else ""
            if node.kind() == "prim::Constant":
                value = output.toIValue() if output is not None else None
                if isinstance(value, torch.Tensor):
                    tensors.setdefault(f"{name}.{label}", value)
            elif not node.kind().startswith("prim::"):
                nodes.append(GraphNode(name, label, node.kind()))
    return Contents("TorchScript", nodes, tensors)


def _walk(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _walk(inner)
