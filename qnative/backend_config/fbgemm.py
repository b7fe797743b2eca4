"""PyTorch's FBGEMM backend: the native one without layer_norm."""

from ._backends import backend_config, dtype_config
from .backend_config import BackendConfig

__all__ = [
    "fbgemm_default_dynamic_float16_dtype_config",
    "fbgemm_default_dynamic_int8_dtype_config",
    "fbgemm_default_op_fp16_dtype_config",
    "fbgemm_default_op_quint8_dtype_config",
    "fbgemm_weight_only_quint4x2_dtype_config",
    "fbgemm_weight_only_quint8_dtype_config",
    "fbgemm_weighted_op_quint8_dtype_config",
    "get_fbgemm_backend_config",
]

# Every BackendConfig of this backend holds these very objects: to change one, copy it first.
fbgemm_weighted_op_quint8_dtype_config = dtype_config("fbgemm_weighted_op_quint8_dtype_config")
fbgemm_default_op_quint8_dtype_config = dtype_config("fbgemm_default_op_quint8_dtype_config")
fbgemm_default_op_fp16_dtype_config = dtype_config("fbgemm_default_op_fp16_dtype_config")
fbgemm_default_dynamic_int8_dtype_config = dtype_config("fbgemm_default_dynamic_int8_dtype_config")
fbgemm_default_dynamic_float16_dtype_config = dtype_config(
    "fbgemm_default_dynamic_float16_dtype_config"
)
fbgemm_weight_only_quint8_dtype_config = dtype_config("fbgemm_weight_only_quint8_dtype_config")
fbgemm_weight_only_quint4x2_dtype_config = dtype_config("fbgemm_weight_only_quint4x2_dtype_config")


def get_fbgemm_backend_config() -> BackendConfig:
    """The FBGEMM backend. Every call gives new pattern configs."""
    return backend_config("fbgemm")
