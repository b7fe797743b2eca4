"""Weights of recurrent layers, rounded by what calibration saw of their inputs.

Unlike other layers they have no calibrated scales: their inputs are quantized at run time. How
much rounding their weights costs depends on the inputs all the same: a weight that is large because
its input is tiny (a power spectrum) takes the bits of the others of its row. Then the inputs are
brought to one magnitude, and if that is not enough, the weights become float16."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ..graph import nodes as ir
from ..graph.recurrent import parameters_by_direction, recurrent_parameters
from .rounding import InputMoments, nearest, round_weight

# node.meta: weight's attribute -> its int8 values and their scales.
ROUNDED = "qnative_rounded"
# The rounding of weights leaves at least so many dB in a layer's output: more than the 20 dB of
# other edges, because the error of the inputs comes on top.
_LEAST = 25.0
# Calls that are recorded, of so many bytes together; one is in any case.
_CALLS = 8
_BYTES = 1 << 24

Weights = dict[str, torch.Tensor]


class Recorder(torch.nn.Module):
    """Keeps some of the calls of a recurrent node."""

    def __init__(self, node: Node):
        super().__init__()
        self.names = [argument.name for argument in node.target._schema.arguments]
        self.calls: list[dict[str, Any]] = []
        self.bytes = 0

    def forward(self, *args: Any, **kwargs: Any) -> None:
        call = dict(zip(self.names, args, strict=False)) | kwargs
        x = _input(call)
        if x.numel() == 0 or (self.calls and self.bytes + x.nbytes > _BYTES):
            return
        if len(self.calls) < _CALLS:
            self.bytes += x.nbytes
            self.calls.append(call | {_input_name(call): x.clone()})


@dataclass
class Layer:
    """A recurrent node of a float graph, with some of its calls.

    magnitudes: of its inputs, [K], by which they are divided; None: they are as they come.
    """

    module: GraphModule
    node: Node
    calls: list[dict[str, Any]]
    magnitudes: torch.Tensor | None = None
    weights: Weights = field(init=False)

    def __post_init__(self) -> None:
        nodes, _ = recurrent_parameters(ir.bind(self.node))
        self.weights = {n.target: ir.attribute(self.module, n.target).detach() for n in nodes}

    def improve(self, round_weights: bool) -> float:
        """Rounds the weights, with the inputs as they come or, if that costs too much, divided by
        their magnitudes. Returns the dB that are left; below ``enough`` nothing was changed."""
        rounded, left = self._rounded(round_weights)
        if left < _LEAST and self._owns_weights():
            magnitudes = self._rms()
            even = Layer(self.module, self.node, self.calls, magnitudes)
            again, more = even._rounded(round_weights)
            if more >= _LEAST:
                self._equalize(magnitudes)
                rounded, left = again, more
        if left >= _LEAST:
            self.node.meta[ROUNDED] = rounded
        return left

    # ---- rounding ------------------------------------------------------------------------------

    def _rounded(self, round_weights: bool) -> tuple[dict[str, tuple[Any, Any]], float]:
        """int8 weights with their scales, and the dB that they leave of the outputs."""
        weights = self._scaled()
        scales = {name: _scale(weight) for name, weight in weights.items()}
        plain = {name: nearest(w, scales[name], -127, 127) for name, w in weights.items()}
        best, left = plain, self._sqnr(plain)
        if round_weights:
            fitted = plain | {
                name: round_weight(weights[name], scales[name], -127, 127, moments)
                for name, moments in self._moments().items()
            }
            if (more := self._sqnr(fitted)) > left:
                best, left = fitted, more
        return {n: _codes(best[n], scales[n]) for n in best}, left

    def _scaled(self) -> Weights:
        """The weights for inputs divided by their magnitudes."""
        if (magnitudes := self.magnitudes) is None:
            return self.weights
        firsts = self._first_weights()
        return {n: w * magnitudes if n in firsts else w for n, w in self.weights.items()}

    def _first_weights(self) -> list[str]:
        """Those that the inputs of the node are multiplied with."""
        args = ir.bind(self.node)
        if "params" not in args:
            return [args["w_ih"].target]
        directions = 2 if args["bidirectional"] else 1
        return [own[0].target for own in parameters_by_direction(args)[:directions]]

    def _sqnr(self, weights: Weights) -> float:
        """Of the first output of all calls, with these weights instead of the node's own."""
        signal = noise = 0.0
        for want, got in zip(self._run(self.weights, None), self._run(weights), strict=True):
            signal += float(want.double().square().sum())
            noise += float((got.double() - want.double()).square().sum())
        return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else math.inf

    def _run(self, weights: Weights, magnitudes: Any = ...) -> Iterator[torch.Tensor]:
        magnitudes = self.magnitudes if magnitudes is ... else magnitudes
        names = ir.bind(self.node)

        def value(argument: Any, own: Any) -> Any:
            return weights.get(argument.target, own) if isinstance(argument, Node) else own

        for call in self.calls:
            args = dict(call)
            for name in ("w_ih", "w_hh"):
                if name in args:
                    args[name] = value(names[name], args[name])
            if "params" in args:
                args["params"] = list(map(value, names["params"], args["params"]))
            if magnitudes is not None:
                args[_input_name(call)] = _input(call) / magnitudes
            y = self.node.target(**args)
            yield y[0] if isinstance(y, (tuple, list)) else y

    # ---- moments -------------------------------------------------------------------------------

    def _moments(self) -> dict[str, InputMoments]:
        """Second moments of what each weight is multiplied with. No means: the op has no bias of
        its own to correct."""
        found: dict[str, InputMoments] = {}
        for call in self.calls:
            x = _input(call).float()
            x = x if self.magnitudes is None else x / self.magnitudes
            if "params" not in call:
                _update(found, ir.bind(self.node)["w_ih"].target, x)
                state = call["hx"]
                state = state[0] if isinstance(state, (tuple, list)) else state
                _update(found, ir.bind(self.node)["w_hh"].target, state)
            elif "data" in call:
                for name in self._first_weights():
                    _update(found, name, x)
            else:
                self._walk(found, call, x)
        return found

    def _walk(self, found: dict[str, InputMoments], call: dict[str, Any], x: torch.Tensor) -> None:
        """Runs a call layer by layer and direction by direction."""
        names = parameters_by_direction(ir.bind(self.node))
        values = parameters_by_direction(call)
        directions = 2 if call["bidirectional"] else 1
        x = x.transpose(0, 1) if call["batch_first"] and x.dim() == 3 else x
        states = call["hx"] if isinstance(call["hx"], (list, tuple)) else [call["hx"]]
        for layer in range(call["num_layers"]):
            outputs = []
            for i in range(layer * directions, (layer + 1) * directions):
                backward = i % directions == 1
                inputs = x.flip(0) if backward else x
                own = [state[i : i + 1] for state in states]
                params = list(values[i])
                if layer == 0 and self.magnitudes is not None:
                    params[0] = params[0] * self.magnitudes
                hx = own if len(own) > 1 else own[0]
                rest = (call["has_biases"], 1, 0.0, False, False, False)
                y = self.node.target(inputs, hx, params, *rest)[0]
                _update(found, names[i][0].target, inputs)
                _update(found, names[i][1].target, torch.cat([own[0].expand_as(y[:1]), y[:-1]]))
                outputs.append(y.flip(0) if backward else y)
            x = torch.cat(outputs, -1)

    def _rms(self) -> torch.Tensor:
        rows = torch.cat([_input(call).reshape(-1, _input(call).shape[-1]) for call in self.calls])
        rms = rows.double().square().mean(0).sqrt().float()
        return torch.where(rms > 0, rms, 1.0)

    # ---- changes -------------------------------------------------------------------------------

    def _owns_weights(self) -> bool:
        """Whether no other node reads the weights that would have to change."""
        readers = [
            user
            for node in self.module.graph.nodes
            if node.op == "get_attr" and node.target in self._first_weights()
            for user in node.users
        ]
        return set(readers) == {self.node}

    def _equalize(self, magnitudes: torch.Tensor) -> None:
        """Divides the inputs of the node by their magnitudes and multiplies its weights by them."""
        for name in self._first_weights():
            ir.attribute(self.module, name).mul_(magnitudes)
        buffer = f"{self.node.name}_magnitudes"
        self.module.register_buffer(buffer, 1 / magnitudes)
        x = ir.bind(self.node)[_input_name(ir.bind(self.node))]
        with self.module.graph.inserting_before(self.node):
            factor = self.module.graph.get_attr(buffer)
            product = torch.ops.aten.mul.Tensor
            even = self.module.graph.create_node(
                "call_function", product, (x, factor), name=equalized(self.node)
            )
        even.meta.update(x.meta)
        self.node.replace_input_with(x, even)
        self.module.recompile()


def equalized(node: Node) -> str:
    """The name of the node that divides the inputs of a recurrent node."""
    return f"{node.name}_equalized"


def enough(left: float) -> bool:
    """Whether the dB that are left of a layer's outputs are enough."""
    return left >= _LEAST


def _input_name(call: dict[str, Any]) -> str:
    return "data" if "data" in call else "input"


def _input(call: dict[str, Any]) -> torch.Tensor:
    return call[_input_name(call)]


def _scale(weight: torch.Tensor) -> torch.Tensor:
    """That of ``qnative::linear_dynamic_pack`` for each output channel."""
    most = weight.abs().amax(1)
    return torch.where(most > 0, most / 127, 1.0).clamp_min(torch.finfo(torch.float32).tiny)


def _codes(weight: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def _update(found: dict[str, InputMoments], name: str, x: torch.Tensor) -> None:
    rows = x.reshape(-1, x.shape[-1])
    moments = found.setdefault(name, InputMoments.zeros(1, rows.shape[1]))
    moments.update(rows.t().unsqueeze(0))
    moments.first.zero_()
