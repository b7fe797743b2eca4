"""Default qconfigs of the FX entry: full 8 bits, weights with a scale for each output channel."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    QConfig,
    QConfigMapping,
    default_placeholder_observer,
    default_reuse_input_qconfig,
    float_qparams_weight_only_qconfig,
)
from torch.ao.quantization.observer import ObserverBase, PlaceholderObserver

from ..calibration.observers import HistogramObserver, PerChannelWeightObserver

# Upstream takes for an observer what is an instance of its base class.
ObserverBase.register(HistogramObserver)
ObserverBase.register(PerChannelWeightObserver)

_TRANSPOSED = (
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
)
_FLOAT_WEIGHT = (nn.LayerNorm, nn.PReLU, F.layer_norm, F.group_norm, F.instance_norm)
_RECURRENT = (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def default_qconfig_mapping() -> QConfigMapping:
    """For ``prepare_fx``: 8-bit activations with histogram observers, int8 weights; recurrent
    modules dynamic, embeddings weight-only."""
    activation = HistogramObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_affine)

    def weight(ch_axis: int) -> Any:
        return PerChannelWeightObserver.with_args(
            dtype=torch.qint8, qscheme=torch.per_channel_symmetric, ch_axis=ch_axis
        )

    mapping = _mapping(activation, weight)
    dynamic = PlaceholderObserver.with_args(dtype=torch.quint8, is_dynamic=True)
    for module in _RECURRENT:
        mapping.set_object_type(module, QConfig(activation=dynamic, weight=weight(0)))
    for module in (nn.Embedding, nn.EmbeddingBag):
        mapping.set_object_type(module, float_qparams_weight_only_qconfig)
    return mapping


def default_qat_qconfig_mapping() -> QConfigMapping:
    """For ``prepare_qat_fx``: 8-bit fake quantization with moving averages of the ranges."""
    activation = FusedMovingAvgObsFakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255
    )

    def weight(ch_axis: int) -> Any:
        return FakeQuantize.with_args(
            observer=MovingAveragePerChannelMinMaxObserver,
            averaging_constant=1.0,  # a weight's range is known: no average over steps
            quant_min=-128,
            quant_max=127,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            ch_axis=ch_axis,
        )

    return _mapping(activation, weight)


def _mapping(activation: Any, weight: Callable[[int], Any]) -> QConfigMapping:
    mapping = QConfigMapping().set_global(QConfig(activation=activation, weight=weight(0)))
    for op in _TRANSPOSED:
        mapping.set_object_type(op, QConfig(activation=activation, weight=weight(1)))
    for op in _FLOAT_WEIGHT:
        qconfig = QConfig(activation=activation, weight=default_placeholder_observer)
        mapping.set_object_type(op, qconfig)
    return mapping.set_object_type("reshape", default_reuse_input_qconfig)


# The fields of a QConfigMapping that map something to a qconfig.
_MAPS = (
    "object_type_qconfigs",
    "module_name_regex_qconfigs",
    "module_name_qconfigs",
    "module_name_object_type_order_qconfigs",
)


def widened(mapping: QConfigMapping) -> QConfigMapping:
    """A copy of a mapping with activations of 8 bits where it has ``reduce_range=True``, as
    upstream's defaults for x86 and fbgemm do. Sums of qnative never saturate, and ops that share
    scales or cannot clamp need the whole range of their dtype."""
    known: dict[int, Any] = {}

    def wide(qconfig: Any) -> Any:
        if id(qconfig) not in known:
            known[id(qconfig)] = _wide(qconfig)
        return known[id(qconfig)]

    copied = copy.copy(mapping)
    copied.global_qconfig = wide(mapping.global_qconfig)
    for name in _MAPS:
        qconfigs = getattr(mapping, name)
        setattr(copied, name, type(qconfigs)((key, wide(q)) for key, q in qconfigs.items()))
    return copied


def _wide(qconfig: Any) -> Any:
    if not isinstance(qconfig, QConfig) or not _reduces(qconfig.activation):
        return qconfig
    activation = qconfig.activation.with_args(reduce_range=False)
    return QConfig(activation=activation, weight=qconfig.weight)


def _reduces(constructor: Any) -> bool:
    """Whether the outermost with_args that gives reduce_range gives True."""
    while (partial := getattr(constructor, "p", None)) is not None:
        if "reduce_range" in partial.keywords:
            return bool(partial.keywords["reduce_range"])
        constructor = partial.func
    return False
