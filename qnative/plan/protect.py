"""What ``qnative.quantize`` measures before it quantizes, for those who call prepare_pt2e."""

from collections.abc import Iterable

import torch
from torch.fx import GraphModule

from ..calibration.measure import Measure
from ..calibration.run import Batch, Calibration, calls
from ..graph.fold import fold_batch_norm
from ..graph.parts import parts_of
from .faults import remove_faults
from .guard import guard
from .quantizer import Quantizer


def protect(
    exported: GraphModule, quantizer: Quantizer, calibration: Iterable[Batch]
) -> dict[str, str]:
    """Finds the ops that 8 bits would ruin, by the data, and makes a quantizer leave them float:

    - ops whose operands share a scale, or whose output has a fixed one, where nothing of a small
      operand or part would be left;
    - single ops that cost more than 5 dB of an output that has less than 20 dB.

    Call it before ``prepare_pt2e``. ``qnative.quantize`` does the same.

    exported: ``torch.export.export(...).module()`` of a model in evaluation mode. As prepare_pt2e
    does, this rewrites it: in-place ops become out-of-place ones, batch norms are folded into the
    weights before them. quantizer: the one that prepare_pt2e gets, for static quantization without
    training. calibration: typical inputs, as those of ``qnative.quantize``; it is gone through
    once.

    Returns the reasons by names of nodes; the report of ``qnative.lower`` has them too.

    Raises TypeError for arguments of another type; ValueError for a quantizer that observes
    nothing or is for training, and for calibration data that is missing or not finite.
    """
    _check(exported, quantizer, calibration)
    before = dict(quantizer.choices.avoided)
    quantizer.transform_for_annotation(exported)
    with torch.no_grad():
        fold_batch_norm(exported)
        measure = Measure(exported.graph)
        plan = quantizer.plan(exported)
        run = Calibration(exported, plan.observed(), parts_of(exported.graph), (), False)
        for args, kwargs in calls(calibration):
            measure.sample(args, kwargs, run.feed(*args, **kwargs))
        ranges = run.ranges()
        guard(exported, quantizer, ranges)
        remove_faults(exported, quantizer, ranges, measure)
    avoided = quantizer.choices.avoided
    return {name: why for name, why in avoided.items() if name not in before}


def _check(exported: GraphModule, quantizer: Quantizer, calibration: Iterable[Batch]) -> None:
    if not isinstance(exported, GraphModule):
        raise TypeError(
            "qnative.protect: exported must be the GraphModule of torch.export.export(...)"
            f".module(), got {type(exported).__name__}"
        )
    if not isinstance(quantizer, Quantizer):
        raise TypeError(
            "qnative.protect: quantizer must be a qnative.Quantizer, got "
            f"{type(quantizer).__name__}"
        )
    if not quantizer.needs_calibration or quantizer.is_qat:
        what = "is for training" if quantizer.is_qat else "observes nothing"
        raise ValueError(f"qnative.protect: the quantizer {what}: there is nothing to measure")
    if isinstance(calibration, torch.Tensor):
        raise TypeError(
            "qnative.protect: calibration must be an iterable of inputs, such as [tensor], got a "
            "tensor"
        )
