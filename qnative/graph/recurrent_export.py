"""Recurrent layers in torch.export: one op each, so that the length of their input stays open.

torch.export looks into aten.lstm and its kin, which loop over the steps of their input: that fixes
their number. While it runs, ops that it cannot look into stand for them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch.export import ExportedProgram

_KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_LIBRARY = torch.library.Library("qnative_export", "FRAGMENT")
_ARGUMENTS = (
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, "
    "bool bidirectional, bool batch_first"
)


def _outputs(
    x: torch.Tensor,
    states: list[torch.Tensor],
    params: list[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[torch.Tensor, ...]:
    """The shapes of the output and of the last states."""
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    return x.new_empty((*x.shape[:-1], width)), *(state.clone() for state in states)


def _gru_outputs(x: torch.Tensor, state: torch.Tensor, *args: Any) -> tuple[torch.Tensor, ...]:
    return _outputs(x, [state], *args)


for _kind in _KINDS:
    _state, _results = ("Tensor[] hx", 3) if _kind == "lstm" else ("Tensor hx", 2)
    _returns = ", ".join(["Tensor"] * _results)
    _LIBRARY.define(f"{_kind}(Tensor input, {_state}, {_ARGUMENTS}) -> ({_returns})")
    torch.library.impl(_LIBRARY, _kind, "Meta")(_outputs if _kind == "lstm" else _gru_outputs)


@contextmanager
def whole() -> Iterator[None]:
    """Within it, calls of recurrent layers are calls of these ops; packed sequences are not."""
    with ExitStack() as stack:
        for kind in _KINDS:
            original = getattr(torch._VF, kind)
            stack.enter_context(mock.patch.object(torch._VF, kind, _call(kind, original)))
        yield


def _call(kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
    op = getattr(torch.ops.qnative_export, kind).default

    def call(*args: Any) -> Any:
        is_packed = len(args) != 9 or not isinstance(args[3], bool)
        return original(*args) if is_packed else op(*args)

    return call


def restore(program: ExportedProgram) -> None:
    """The aten ops in place of those that stood for them."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            name = getattr(node.target, "_schema", None) and node.target._schema.name
            if name and name.startswith("qnative_export::"):
                node.target = getattr(torch.ops.aten, name.split("::")[1]).input
        if isinstance(module, torch.fx.GraphModule):
            module.recompile()
