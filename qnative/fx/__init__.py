"""FX graph mode: upstream's ``prepare_fx``, ``prepare_qat_fx`` and ``convert_fx``, ending in
qnative ops.

Moving is changing ``from torch.ao.quantization.quantize_fx import ...`` into
``from qnative.fx import ...``: models, qconfig mappings and custom configs are the same. The
result has plain tensors only, where upstream's has quantized dtypes, and carries a report.
"""

from .convert import convert_fx
from .prepare import prepare_fx, prepare_qat_fx
from .qconfig import default_qat_qconfig_mapping, default_qconfig_mapping

__all__ = [
    "convert_fx",
    "default_qat_qconfig_mapping",
    "default_qconfig_mapping",
    "prepare_fx",
    "prepare_qat_fx",
]
