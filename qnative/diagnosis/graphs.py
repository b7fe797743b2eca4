"""A float graph, and the quantized graph beside it."""

import copy
import inspect
import json
import os
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from .._archive import check_archive
from ..graph import nodes as ir
from ..graph.constants import fold_constants
from ..graph.export import check_inputs, export
from ..graph.fold import fold_batch_norm
from ..lowering.module import VALUE, QuantizedModule
from ..report import Report
from ..saving import METADATA
from .codes import CODES, DEQUANTIZE, QUANTIZE, Codes, codes_of

# A file of qnative.save, or the module itself.
Quantized: TypeAlias = QuantizedModule | str | os.PathLike[str]
Change: TypeAlias = Callable[[Node, Any], Any]


@dataclass(frozen=True)
class Site:
    """A quantized node whose value a node of the float graph has too.

    row: name of its row in the report. codes: how to read its value, None of a float one.
    """

    node: Node
    value: Node
    row: str
    codes: Codes | None

    @property
    def is_rounding(self) -> bool:
        """Whether it only rounds a float value."""
        return ir.target_name(self.node) == QUANTIZE

    def real(self, value: torch.Tensor) -> torch.Tensor:
        return self.codes.real(value) if self.codes is not None else value.float()

    def rounded(self, real: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Real numbers as this node would write them if it made no other error."""
        return self.codes.of(real, like.dtype) if self.codes is not None else real


@dataclass
class Pair:
    """report: that of the quantized graph. sites: its nodes that make an error. links: the float
    node whose value a quantized node has, and the name of its row; also of nodes that move it."""

    float_graph: GraphModule
    quantized: GraphModule
    report: Report
    sites: list[Site]
    links: dict[Node, tuple[Node, str]]

    def main_sites(self) -> dict[Node, Site]:
        """For each value of the float graph the quantized node that others read: that which rounds
        it, if there is one."""
        found: dict[Node, Site] = {}
        for site in self.sites:
            if site.value not in found or site.is_rounding:
                found[site.value] = site
        return found


def load_float(model: Any) -> torch.nn.Module:
    """A float module, or that in a file of torch.export."""
    if not isinstance(model, (str, os.PathLike)):
        return model
    path = os.fspath(model)
    Path(path).stat()  # FileNotFoundError
    check_archive(path)
    module = torch.export.load(path).module()

    def train(self: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
        return self  # an exported module has one mode; torch's method raises an error

    module.train = types.MethodType(train, module)
    module.eval = types.MethodType(train, module)
    return module


def pair(
    model: torch.nn.Module, quantized: Quantized, inputs: tuple[Any, ...], backend_config: Any
) -> Pair:
    """Exports the float model as ``qnative.quantize`` does, and finds what its nodes became."""
    from ..plan.quantizer import Quantizer

    check_inputs(model, inputs, "qnative.diagnose")
    module, names, report = _load(quantized)
    exported, _ = export(copy.deepcopy(model).eval(), inputs, "batch", "qnative.diagnose")
    fold_constants(exported)
    with torch.no_grad():
        Quantizer(backend_config).transform_for_annotation(exported)
        fold_batch_norm(exported)
    links: dict[Node, tuple[Node, str]] = {}
    sites = list(_sites(exported, module, names, links))
    return Pair(exported, module, report, sites, links)


def _load(quantized: Quantized) -> tuple[GraphModule, dict[str, tuple[str, str]], Report]:
    """The graph, row and value of its nodes by their names, and the report."""
    if isinstance(quantized, QuantizedModule):
        found = {
            node.name: node.meta.get(VALUE, (node.name,) * 2) for node in quantized.graph.nodes
        }
        return quantized, found, quantized.report
    if not isinstance(quantized, (str, os.PathLike)):
        raise TypeError(
            "qnative.diagnose: quantized must be what qnative.quantize or qnative.lower returned, "
            f"or a file of qnative.save, got {type(quantized).__name__}"
        )
    path = os.fspath(quantized)
    Path(path).stat()
    check_archive(path)
    files = {METADATA: ""}
    program = torch.export.load(path, extra_files=files)
    metadata = json.loads(files[METADATA] or "{}")
    if "values" not in metadata:
        raise ValueError(
            f"qnative.diagnose: {path} does not say which nodes its own come from: write it with "
            "qnative.save(quantized_module, ...)"
        )
    names = {name: (row, value) for name, (row, value) in metadata["values"].items()}
    return program.module(), names, Report.from_json(json.dumps(metadata["report"]))


def _sites(
    exported: GraphModule,
    quantized: GraphModule,
    names: dict[str, tuple[str, str]],
    links: dict[Node, tuple[Node, str]],
) -> Iterator[Site]:
    """The sites in graph order; fills ``links``."""
    floats = {node.name: node for node in exported.graph.nodes if node.op == "call_function"}
    for node, value in zip(_placeholders(quantized), _placeholders(exported), strict=False):
        links[node] = value, value.name
    for node in quantized.graph.nodes:
        if node.op != "call_function":
            continue
        name = ir.target_name(node)
        if name in (QUANTIZE, DEQUANTIZE):
            if node.args[0] in links:
                links[node] = links[node.args[0]]
        elif (found := names.get(node.name)) and found[1] in floats:
            links[node] = floats[found[1]], found[0]
        if node in links and name != DEQUANTIZE and name.startswith("qnative."):
            yield Site(node, *links[node], _codes(node))


def _codes(node: Node) -> Codes | None:
    fake = ir.tensor_of(node)
    return codes_of(node) if fake is None or fake.dtype in CODES else None


def _placeholders(module: GraphModule) -> list[Node]:
    return [node for node in module.graph.nodes if node.op == "placeholder"]


def leaves(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The values of the placeholders of an exported model for a call."""
    bound = inspect.signature(model.forward).bind(*args, **kwargs)
    return pytree.tree_leaves((bound.args, bound.kwargs))


def run(module: GraphModule, inputs: list[Any], change: Change | None = None) -> dict[Node, Any]:
    """The value of every node. change: gives the value that the readers of a node get."""
    left = iter(inputs)
    values: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(left, None)
        elif node.op == "call_module" and not node.users:
            continue  # checks of sizes
        elif node.op == "output":
            values[node] = map_arg(node.args[0], values.__getitem__)
            continue
        else:
            values[node] = compute(module, node, values)
        if change is not None:
            values[node] = change(node, values[node])
    return values


def compute(module: GraphModule, node: Node, values: dict[Node, Any]) -> Any:
    """The value of a node that is no placeholder."""
    if node.op == "get_attr":
        return ir.attribute(module, node.target)
    args = map_arg(node.args, values.__getitem__)
    kwargs = map_arg(node.kwargs, values.__getitem__)
    if node.op == "call_module":
        return ir.attribute(module, node.target)(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    return node.target(*args, **kwargs)


def rerun(
    module: GraphModule, values: dict[Node, Any], changed: Node, value: Any
) -> dict[Node, Any]:
    """``values`` where one node has another value: only what depends on it is computed."""
    new = {**values, changed: value}
    dirty = {changed}
    for node in module.graph.nodes:
        if node is changed or dirty.isdisjoint(node.all_input_nodes):
            continue
        if node.op == "call_module" and not node.users:
            continue
        dirty.add(node)
        if node.op == "output":
            new[node] = map_arg(node.args[0], new.__getitem__)
        else:
            new[node] = compute(module, node, new)
    return new
