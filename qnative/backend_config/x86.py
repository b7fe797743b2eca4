"""PyTorch's x86 backend: FBGEMM's patterns."""

from ._backends import backend_config, dtype_config
from .backend_config import BackendConfig

__all__ = [
    "get_x86_backend_config",
    "x86_default_dynamic_float16_dtype_config",
    "x86_default_dynamic_int8_dtype_config",
    "x86_default_op_fp16_dtype_config",
    "x86_default_op_quint8_dtype_config",
    "x86_weight_only_quint4x2_dtype_config",
    "x86_weight_only_quint8_dtype_config",
    "x86_weighted_op_int8_dtype_config",
]

# Every BackendConfig of this backend holds these very objects: to change one, copy it first.
x86_weighted_op_int8_dtype_config = dtype_config("x86_weighted_op_int8_dtype_config")
x86_default_op_quint8_dtype_config = dtype_config("x86_default_op_quint8_dtype_config")
x86_default_op_fp16_dtype_config = dtype_config("x86_default_op_fp16_dtype_config")
x86_default_dynamic_int8_dtype_config = dtype_config("x86_default_dynamic_int8_dtype_config")
x86_default_dynamic_float16_dtype_config = dtype_config("x86_default_dynamic_float16_dtype_config")
x86_weight_only_quint8_dtype_config = dtype_config("x86_weight_only_quint8_dtype_config")
x86_weight_only_quint4x2_dtype_config = dtype_config("x86_weight_only_quint4x2_dtype_config")


def get_x86_backend_config() -> BackendConfig:
    """The x86 backend. Every call gives new pattern configs."""
    return backend_config("x86")
