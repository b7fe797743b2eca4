"""The entries of a config: pairs of a pattern and a DTypeConfig, and the model of each."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from qnative.backend_config import BackendConfig, BackendPatternConfig, native
from qnative.plan import modes
from support.coverage.models import Call, Chain, Chain2, Element, element

WITHOUT_CALIBRATION = (
    *(modes.DYNAMIC_INT8, modes.DYNAMIC_INT4, modes.DYNAMIC_FP16, modes.FP16),
    *(modes.WEIGHT_ONLY_INT8, modes.WEIGHT_ONLY_INT4),
)


@dataclass
class Entry:
    """A pattern and one of its DTypeConfigs."""

    row: BackendPatternConfig
    index: int
    missing: str  # why it cannot run, from BackendConfig.validate, or ""

    @property
    def pattern(self) -> Any:
        return self.row.pattern

    @property
    def steps(self) -> tuple[Any, ...]:
        return self.pattern if isinstance(self.pattern, tuple) else (self.pattern,)

    @property
    def dtypes(self) -> Any:
        return self.row.dtype_configs[self.index]

    @property
    def op(self) -> str:
        return self.row.op(self.index)

    @property
    def mode(self) -> str:
        return next(
            (m for m in WITHOUT_CALIBRATION if modes.Dtypes.of(self.dtypes).fit(m)), modes.STATIC
        )

    @property
    def name(self) -> str:
        """ "(nn.Conv2d, nn.ReLU) static", the same in every process."""
        return f"{_text(self.row.script_object.pattern)} {self.label}"

    @property
    def label(self) -> str:
        """The mode, with the sides that are int16."""
        sides = ("input", self.dtypes.input_dtype), ("output", self.dtypes.output_dtype)
        words = [side for side, dtype in sides if dtype is torch.int16]
        return "-".join((self.mode, "int16", *words)) if words else self.mode

    @property
    def is_qat(self) -> bool:
        return isinstance(self.pattern, type) and ".qat." in self.pattern.__module__

    @property
    def needs_producer(self) -> bool:
        """Whether an op must precede it: data movement needs quantized data, sin and cos an op that
        computes their angles, in-place ops need a temporary. torch.stack of two tensors is free in
        float16 and needs none."""
        in_place = isinstance(self.pattern, str) and self.pattern.endswith("_")
        moves = self.op == "free" and self.pattern is not torch.stack
        angles = self.pattern in (torch.sin, torch.cos, "sin", "cos")
        return moves or in_place or angles or self.pattern in (F.hardtanh_, nn.Identity)


def _text(pattern: Any) -> str:
    if isinstance(pattern, tuple):
        return f"({', '.join(map(_text, pattern))})"
    for long, short in {
        "torch.nn.functional.": "F.",
        "torch.ao.nn.intrinsic.qat.": "nniqat.",
        "torch.ao.nn.intrinsic.": "nni.",
        "torch.ao.nn.qat.": "nnqat.",
        "torch.nn.": "nn.",
    }.items():
        pattern = pattern.replace(long, short)
    return pattern if "." in pattern else f'"{pattern}"'


def entries(config: BackendConfig) -> list[Entry]:
    missing = {(m.config, m.dtype_config): m.reason for m in config.validate()}
    # ``config`` keeps its rows alive, so that they stay the same Python objects.
    missing = {(id(row), i): reason for (row, i), reason in missing.items()}
    return [
        Entry(row, i, missing.get((id(row), i), ""))
        for row in config.configs
        for i in range(len(row.dtype_configs))
    ]


_PRODUCER = torch.tanh
_CONSUMER = torch.relu


def build(entry: Entry) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The model of an entry, in evaluation mode, and inputs for it."""
    parts = [element(step) for step in entry.steps]
    steps = [_fitting(part, i).make() for i, part in enumerate(parts)]
    first = parts[0]
    inputs = tuple(first.number(shape) for shape in first.shapes)
    if entry.needs_producer:
        steps = [Call(_PRODUCER), *steps, Call(_CONSUMER)]
    model = (Chain if len(inputs) == 1 else Chain2)(*steps).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model, inputs


def _fitting(part: Element, position: int) -> Element:
    """BatchNorm after a convolution or linear has 6 channels."""
    module = part.make()
    if position > 0 and isinstance(module, nn.modules.batchnorm._BatchNorm):
        return Element(lambda: type(module)(6))
    return part


def config_of(entry: Entry) -> BackendConfig:
    """A config of this entry and the rows of its producer and consumer."""
    alone = copy.copy(entry.row)
    alone.set_dtype_configs([entry.dtypes]).set_ops(entry.op)
    config = BackendConfig("one entry")
    if entry.needs_producer:
        dtypes = native.default_op_quint8_dtype_config
        if entry.mode == modes.FP16:
            dtypes = native.default_op_fp16_dtype_config
        for pattern in (_PRODUCER, _CONSUMER):
            config.set_backend_pattern_config(
                BackendPatternConfig(pattern).add_dtype_config(dtypes)
            )
    return config.set_backend_pattern_config(alone)
