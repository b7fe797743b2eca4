"""``qnative.quantize``: quantizes a float model and lowers it to qnative ops."""

import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch.fx import GraphModule

from ._quiet import quiet
from .backend_config.registry import AnyBackend
from .calibration.measure import Measure
from .calibration.run import Batch, Calibration, calls
from .graph import nodes as ir
from .graph.constants import fold_constants
from .graph.export import DynamicShapes, check_inputs, export
from .graph.fold import fold_batch_norm
from .graph.parts import parts_of
from .graph.qdq import sources
from .graph.sizes import unguarded
from .lowering.lower import lower
from .lowering.module import QuantizedModule
from .page import Edge
from .plan.decision import decision_of
from .plan.modes import DYNAMIC_INT4, RECIPES, Recipe
from .report import FREE, POOR, Output, Report, Row, merge_rows
from .sizes import show

# Float convolutions must give the worst output so many dB more.
_MARGIN = 5.0


@quiet()
def quantize(
    model: torch.nn.Module,
    example_inputs: tuple[Any, ...],
    calibration: Iterable[Batch] | None = None,
    *,
    recipe: Recipe = "static",
    group_size: int | None = 32,
    strict: bool = False,
    backend_config: AnyBackend = None,
    dynamic_shapes: DynamicShapes = "batch",
    weight_rounding: Literal["calibrated", "nearest"] = "calibrated",
    bias_correction: bool = True,
    float_nodes: Iterable[str] = (),
    evaluation: Iterable[Batch] | None = None,
    verbose: bool = False,
) -> QuantizedModule:
    """Quantizes a float model to 8 bits and lowers it to ``qnative::*`` ops.

    model: a float module that torch.export accepts. It is not changed; a model in training mode is
    copied and put into evaluation mode.
    example_inputs: positional arguments of its forward, with a batch of any size.
    calibration: typical inputs, 32 or more: an iterable of tensors, of tuples of positional
    arguments or of dicts of keyword arguments. It is gone through once; a few
    batches are kept until the result was measured.
    recipe: "static": activations uint8 and weights int8, with scales found on the calibration data;
    the residual stream of a transformer is int16 (docs/accuracy.md); what the config has dynamic or
    weight-only dtypes for (LSTM, Embedding) takes these. "dynamic": int8 weights, activations
    quantized at run time, row by row (of convolutions: image by image), and 8-bit embeddings;
    convolutions because of which an output has less than 20 dB stay float.
    "dynamic_int4": the same with 4-bit weights in linear layers, the counterpart of torchao's
    Int8DynamicActivationInt4WeightConfig: half the memory, twice as fast where a few rows at a time
    are multiplied (a decoder), and less accurate, see docs/accuracy.md.
    "dynamic_fp16": float16 weights. "fp16": float16 weights and activations; float16 weights alone
    where the config has no float16 activations, as "qnative" and "native". "weight_only",
    "weight_only_int4": embeddings of 8 or 4 bits. Only "static" needs calibration data;
    "dynamic_int4" rounds its weights with it where it is given.
    group_size: for "dynamic_int4", how many weights of a row share a scale: a multiple of 4, or
    None for the whole row. Smaller groups are more accurate and take more memory: 16 bits each.
    strict: raise NotQuantizedError if a node stays float.
    backend_config: what to quantize how, see ``qnative.Quantizer``: a BackendConfig, the name of
    one, or None for "qnative".
    dynamic_shapes: "batch" leaves dimension 0 of every input open where the model allows it; "all"
    (or "auto") every dimension that the model allows; None fixes all shapes to those of
    example_inputs; anything else goes to torch.export. The report says which dimensions are open,
    as shown by calls with other sizes in eager mode, of a trace and of an exported form, and what
    fixes others.
    weight_rounding: "calibrated" rounds weights so that the outputs change least over the
    calibration data (see rounding.py), "nearest" each to its nearest value.
    bias_correction: whether to take the mean error of the outputs into the bias.
    float_nodes: what stays float: names of nodes, as rows of the report have them, or of modules,
    for all nodes inside ("encoder.layer.3"). ``qnative.diagnose`` says which are worth it.
    evaluation: inputs like those of ``calibration`` to measure the result on, all of which are kept
    till then: the report says how far each output is from that of the float model. None: up to four
    batches of the calibration data, or ``example_inputs`` where there is none.
    verbose: show progress (needs tqdm) and print the report's summary.

    Returns a GraphModule with a ``report``, see QuantizedModule.

    Raises TypeError for arguments of another type; ValueError for an unknown recipe or option, for
    missing calibration data and for data that is not finite; RuntimeError, with the cause, for a
    model that torch.export rejects.
    """
    _check_arguments(model, example_inputs, calibration, recipe, weight_rounding)
    if isinstance(float_nodes, str):
        raise TypeError(f"qnative.quantize: float_nodes must be a list, got {float_nodes!r}")
    from .plan.quantizer import Quantizer

    quantizer = Quantizer(backend_config, recipe=recipe, group_size=group_size)
    model = copy.deepcopy(model).eval()
    exported, sizes = export(model, example_inputs, dynamic_shapes, "qnative.quantize")
    notes: list[str] = []
    float_rows = [
        Row(node.name, ir.module_path(node), ir.op_name(node), FREE, inputs=sources(node))
        for node in exported.graph.nodes
        if node.op == "call_function"
    ]
    folded = fold_constants(exported)
    quantizer.transform_for_annotation(exported)
    with torch.no_grad():
        fold_batch_norm(exported)
        quantizer.keep_float(exported, float_nodes)
        measure = Measure(exported.graph)
        if evaluation is not None or not quantizer.needs_calibration:
            for args, kwargs in calls([example_inputs] if evaluation is None else evaluation):
                measure.keep(args, kwargs, model(*args, **kwargs))
        if quantizer.needs_calibration:
            assert calibration is not None  # _check_arguments has seen to it
            batches = _progress(calibration, "calibrating", verbose)
            rounding = weight_rounding == "calibrated"
            converted, calibration_notes, edges = _calibrate(
                exported,
                quantizer,
                batches,
                rounding,
                bias_correction,
                measure,
                evaluation is None,
            )
            notes += calibration_notes
            lowered, outputs = _measured(converted, measure)
        else:
            if recipe == "dynamic_int4" and calibration is not None:
                quantizer.plan(exported)
                batches = _progress(calibration, "calibrating", verbose)
                notes += _round_groups(exported, batches, weight_rounding, bias_correction)
            (lowered, outputs), edges = _lower_directly(exported, quantizer, measure), []
    rows = merge_rows(float_rows, lowered.report.rows, folded)
    notes += [f"low signal to quantization noise: {text}" for each in outputs for text in each.poor]
    report = Report(rows, lowered.report.notes + notes, outputs, edges=edges)
    show(lowered, sizes, report, dynamic_shapes)
    lowered.set_report(report, strict=strict)
    if verbose:
        print(f"qnative: {report.summary()}")
    return lowered


def _calibrate(
    exported: GraphModule,
    quantizer: Any,
    batches: Iterable[Any],
    round_weights: bool,
    correct_bias: bool,
    measure: Measure,
    sample: bool,
) -> tuple[GraphModule, list[str], list[Edge]]:
    """The converted module after all batches, notes on the calibration, and what it saw."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    from ._torchao import forget_models
    from .calibration.recurrent import equalized
    from .plan.faults import remove_faults
    from .plan.guard import guard

    plan, parts = quantizer.plan(exported), parts_of(exported.graph)
    collect = round_weights or correct_bias
    run = Calibration(exported, plan.observed(), parts, plan.recurrent(), collect)
    for args, kwargs in calls(batches):
        result = run.feed(*args, **kwargs)
        if sample:
            measure.sample(args, kwargs, result)
    ranges = run.ranges()
    for name, left in run.improve_recurrent(exported, round_weights).items():
        quantizer.choices.half.add(name)
        run.notes.append(f"{name}: float16 weights, int8 ones would leave {left:.0f} dB of it")
    for node in plan.recurrent():
        quantizer.choices.avoided[equalized(node)] = f"it gives the inputs of {node.name} one size"
    guard(exported, quantizer, ranges)
    remove_faults(exported, quantizer, ranges, measure)
    try:
        prepared = prepare_pt2e(exported, quantizer)
        run.finish(prepared, round_weights, correct_bias)
        return _convert(prepared), run.notes, run.edges
    finally:
        forget_models()


def _measured(converted: GraphModule, measure: Measure) -> tuple[QuantizedModule, list[Output]]:
    lowered = lower(converted)
    with unguarded(lowered):
        return lowered, measure.compare(lowered)


def _lower_directly(
    exported: GraphModule, quantizer: Any, measure: Measure
) -> tuple[QuantizedModule, list[Output]]:
    """The lowered module of a recipe without calibration. Convolutions stay float if they are why
    an output has less than POOR dB, as few as bring it there: features may be small beside a
    constant part, which takes most of the range of an image."""
    convs = [node.name for node in quantizer.plan(exported).dynamic_convolutions()]
    result = other = _measured(quantizer.annotate(exported), measure)
    least = _least(result[1])
    if not convs or least >= POOR:
        return result
    reason = f"in 8 bits, convolutions leave an output {least:.0f} dB"
    named = quantizer.choices.floats
    for names in _ends(convs):
        quantizer.choices.floats = named | dict.fromkeys(names, reason)
        other = _measured(quantizer.annotate(exported), measure)
        if _least(other[1]) >= POOR:
            return other
    if _least(other[1]) >= least + _MARGIN:
        return other
    quantizer.choices.floats = named
    return result


def _ends(names: list[str]) -> Iterator[tuple[str, ...]]:
    """The last and the first quarter of them, the last and the first half, ..., all of them."""
    ends: dict[tuple[str, ...], None] = {}
    for quarters in (1, 2, 3, 4):
        size = math.ceil(len(names) * quarters / 4)
        ends |= dict.fromkeys((tuple(names[-size:]), tuple(names[:size])))
    yield from ends


def _least(outputs: list[Output]) -> float:
    """Decibels of the worst output, or part of one."""
    return min((sqnr for each in outputs for sqnr in each.places.values()), default=math.inf)


def _round_groups(
    module: GraphModule, batches: Iterable[Any], weight_rounding: str, correct_bias: bool
) -> list[str]:
    """Rounds the 4-bit weights of a planned float graph; notes on that."""
    run = Calibration(module, (), {}, (), collect_moments=True)
    for args, kwargs in calls(batches):
        run.feed(*args, **kwargs)
    run.ranges()  # an error where there was no data
    sizes = {}
    for node in module.graph.nodes:
        decision = decision_of(node)
        if decision is not None and decision.mode == DYNAMIC_INT4:
            sizes[node] = decision.group_size
    run.round_groups(module, sizes, weight_rounding == "calibrated", correct_bias)
    return run.notes


def _batch_norm(*args: Any) -> torch.Tensor:
    return torch.ops.aten.batch_norm.default(*args)


def _convert(prepared: GraphModule) -> GraphModule:
    """convert_pt2e, with the remaining batch norms hidden: for each of them it would export and
    match 96 training patterns, which takes half a minute."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    def rename(module: GraphModule, old: Any, new: Any) -> None:
        for node in module.graph.nodes:
            if node.target is old:
                node.target = new
        module.recompile()

    batch_norm = torch.ops.aten.batch_norm.default
    rename(prepared, batch_norm, _batch_norm)
    converted = convert_pt2e(prepared)
    rename(converted, _batch_norm, batch_norm)
    return converted


def _check_arguments(
    model: Any, example_inputs: Any, calibration: Any, recipe: str, weight_rounding: str
) -> None:
    if recipe not in RECIPES:
        raise ValueError(
            f"qnative.quantize: unknown recipe {recipe!r}; valid: {', '.join(RECIPES)}"
        )
    if weight_rounding not in ("calibrated", "nearest"):
        raise ValueError(
            "qnative.quantize: weight_rounding must be 'calibrated' or 'nearest', got "
            f"{weight_rounding!r}"
        )
    check_inputs(model, example_inputs, "qnative.quantize")
    if recipe == "static" and calibration is None:
        raise ValueError(
            f"qnative.quantize: recipe {recipe!r} needs calibration data: an iterable of typical "
            "inputs"
        )
    if isinstance(calibration, torch.Tensor):
        raise TypeError(
            "qnative.quantize: calibration must be an iterable of inputs, such as [tensor], got a "
            "tensor"
        )


def _progress(items: Iterable[Any], title: str, verbose: bool) -> Iterable[Any]:
    if not verbose:
        return items
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return items
    return tqdm(items, desc=title)
