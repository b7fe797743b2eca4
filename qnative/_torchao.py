"""Everything that is imported from torchao, with an error that names what needs it."""

from typing import Any

import torch.ao.quantization.fx.utils

from ._quiet import quiet

try:
    with quiet():
        import torchao.utils
        from torchao.quantization.pt2e import (
            FakeQuantize,
            FusedMovingAvgObsFakeQuantize,
            MovingAverageMinMaxObserver,
            MovingAveragePerChannelMinMaxObserver,
        )
        from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase
        from torchao.quantization.pt2e.quantizer import (
            FixedQParamsQuantizationSpec,
            QuantizationAnnotation,
            QuantizationSpec,
            Quantizer,
            SharedQuantizationSpec,
        )
except ImportError as error:
    raise ImportError(
        "qnative.quantize, dry_run, Quantizer and qnative.fx need torchao 0.18 "
        f"(pip install torchao==0.18.0): {error}"
    ) from error

__all__ = [
    "FakeQuantize",
    "FixedQParamsQuantizationSpec",
    "FusedMovingAvgObsFakeQuantize",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
    "QuantizationAnnotation",
    "QuantizationSpec",
    "Quantizer",
    "SharedQuantizationSpec",
    "UniformQuantizationObserverBase",
    "forget_models",
]


def forget_models() -> None:
    """Lets go of every model that was prepared or converted. torchao and torch remember their
    devices by the models themselves, which keeps all of them, with their weights, as long as the
    process."""
    for module, name in (
        (torchao.utils, "_assert_and_get_unique_device"),
        (torch.ao.quantization.fx.utils, "assert_and_get_unique_device"),
    ):
        devices: Any = getattr(module, name, None)
        if hasattr(devices, "cache_clear"):
            devices.cache_clear()
