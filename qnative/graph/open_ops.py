"""Ops for which torch.export fixes sizes that need not be fixed, in a form that leaves them open.

It looks into aten.lstm and its kin, which loop over the steps of their input: that fixes their
number. While it runs, ops that it cannot look into stand for them. aten.linspace and aten.logspace
take no symbol for the number of their values: sums stand for them.
"""

import functools
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
def open_forms() -> Iterator[None]:
    """Within it, calls of these ops take their open form; those of packed sequences do not."""
    with ExitStack() as stack:
        for kind in _KINDS:
            original = getattr(torch._VF, kind)
            stack.enter_context(mock.patch.object(torch._VF, kind, _call(kind, original)))
        for function in (_linspace, _logspace):
            original = getattr(torch, function.__name__[1:])
            form = functools.partial(function, original)
            stack.enter_context(mock.patch.object(torch, function.__name__[1:], form))
        yield


def _call(kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
    op = getattr(torch.ops.qnative_export, kind).default

    def call(*args: Any) -> Any:
        is_packed = len(args) != 9 or not isinstance(args[3], bool)
        return original(*args) if is_packed else op(*args)

    return call


def _linspace(
    original: Callable[..., Any], start: Any, end: Any, steps: Any, **options: Any
) -> torch.Tensor:
    """torch.linspace, as its kernel computes it: the second half counts from the end."""
    if not isinstance(steps, torch.SymInt) or options.get("out") is not None:
        return original(start, end, steps, **options)
    dtype = options.get("dtype") or torch.get_default_dtype()
    count: Any = steps
    places = torch.arange(count, dtype=dtype, device=options.get("device"))
    step = (end - start) / torch.scalar_tensor(count - 1, dtype=dtype)
    return torch.where(
        places < count // 2, start + step * places, end - step * (count - 1 - places)
    )


def _logspace(
    original: Callable[..., Any],
    start: Any,
    end: Any,
    steps: Any,
    base: float = 10.0,
    **options: Any,
) -> torch.Tensor:
    if not isinstance(steps, torch.SymInt) or options.get("out") is not None:
        return original(start, end, steps, base, **options)
    return base ** _linspace(original, start, end, steps, **options)


def restore(program: ExportedProgram) -> None:
    """The aten ops in place of those that stood for them."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            name = getattr(node.target, "_schema", None) and node.target._schema.name
            if name and name.startswith("qnative_export::"):
                node.target = getattr(torch.ops.aten, name.split("::")[1]).input
        if isinstance(module, torch.fx.GraphModule):
            module.recompile()
