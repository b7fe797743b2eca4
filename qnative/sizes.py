"""Runs a quantized model with other sizes than those of its example, in every form of it."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from .graph.open_sizes import OpenSizes, Trial
from .lowering.module import QuantizedModule
from .report import Report

# The error of the same ops in another form: TorchScript adds the float products that stay in
# another order.
_TOLERANCE = 1e-2

_Form = Callable[..., Any]


def show(model: QuantizedModule, sizes: OpenSizes, report: Report, dynamic_shapes: Any) -> None:
    """Adds to a report which sizes of the inputs are open: those for which the model, its trace and
    its exported form gave the same values with a larger and a smaller size."""
    forms = _forms(model, sizes, report.notes) if sizes.symbols else {}
    for sign in (1, -1):
        others = {symbol: sizes.other(symbol, sign) for symbol in sizes.symbols}
        together = {symbol: size for symbol, size in others.items() if size is not None}
        trial = sizes.trial(together) if together else None
        if trial is not None and not _run(forms, trial):
            _note(sizes, trial)
            continue
        for symbol, size in together.items():
            trial = sizes.trial({symbol: size})
            assert trial is not None  # OpenSizes.other has seen to it
            if why := _run(forms, trial):
                sizes.fix(symbol, why)
            else:
                _note(sizes, trial)
    for symbol in sizes.symbols:
        if any(not sizes.sizes[place].shown for place in sizes.places(symbol)):
            sizes.fix(symbol, sizes.why_alone(symbol))
    sizes.tell(report, dynamic_shapes)


def _forms(model: QuantizedModule, sizes: OpenSizes, notes: list[str]) -> dict[str, _Form]:
    """The forms of a model by their names; a note says which it does not have."""

    def traced() -> Any:
        return torch.jit.trace(model, sizes.inputs, check_trace=False)

    def exported() -> Any:
        shapes = sizes.shapes()
        return torch.export.export(model, sizes.inputs, dynamic_shapes=shapes).module()

    forms: dict[str, _Form] = {"a call": model}
    for name, make in {"a trace": traced, "its exported form": exported}.items():
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                forms[name] = make()
        except Exception as error:
            notes.append(f"sizes were not tried in {name}: {_first_line(error)}")
    return forms


def _run(forms: dict[str, _Form], trial: Trial) -> str:
    """Runs all forms. Why one of them fails, or ""."""
    want = None
    size = ", ".join(map(str, dict.fromkeys(trial.sizes.values())))
    for name, form in forms.items():
        inputs = pytree.tree_map_only(torch.Tensor, torch.clone, trial.inputs)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=()):
                torch.manual_seed(0)
                got = pytree.tree_leaves(form(*inputs))
        except Exception as error:
            return f"{name} with size {size} fails: {_first_line(error)}"
        want = got if want is None else want
        if not all(map(_same, got, want)):
            return f"{name} with size {size} gives other values"
    return ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _same(got: Any, want: Any) -> bool:
    if not isinstance(want, torch.Tensor):
        return bool(got == want)
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if torch.equal(got, want) or want.numel() == 0:
        return True
    got, want = (x.nan_to_num().to(torch.complex128) for x in (got, want))
    return bool((got - want).norm() <= _TOLERANCE * want.norm())


def _note(sizes: OpenSizes, trial: Trial) -> None:
    for place, size in trial.sizes.items():
        sizes.sizes[place].shown.append(size)
