"""The backends that PyTorch lowers to through ExecuTorch."""

from ._backends import backend_config, dtype_config, dtype_with_constraints
from .backend_config import BackendConfig
from .qnnpack import (
    qnnpack_default_op_qint8_symmetric_dtype_config,
    qnnpack_weighted_op_qint8_symmetric_dtype_config,
)

__all__ = [
    "executorch_act_qint8_scale_min_2_neg_12",
    "executorch_default_dynamic_float16_dtype_config",
    "executorch_default_dynamic_qint8_dtype_config",
    "executorch_default_dynamic_quint8_dtype_config",
    "executorch_default_op_quint8_dtype_config",
    "executorch_weight_only_quint8_dtype_config",
    "executorch_weight_qint8_neg_127_to_127_scale_min_2_neg_12",
    "executorch_weighted_op_int8_dtype_config",
    "get_executorch_backend_config",
    "qnnpack_default_op_qint8_symmetric_dtype_config",
    "qnnpack_weighted_op_qint8_symmetric_dtype_config",
]

# Every BackendConfig of this backend holds these very objects: to change one, copy it first.
executorch_weighted_op_int8_dtype_config = dtype_config("executorch_weighted_op_int8_dtype_config")
executorch_default_op_quint8_dtype_config = dtype_config(
    "executorch_default_op_quint8_dtype_config"
)
executorch_default_dynamic_quint8_dtype_config = dtype_config(
    "executorch_default_dynamic_quint8_dtype_config"
)
executorch_act_qint8_scale_min_2_neg_12 = dtype_with_constraints(
    "executorch_act_qint8_scale_min_2_neg_12"
)
executorch_weight_qint8_neg_127_to_127_scale_min_2_neg_12 = dtype_with_constraints(
    "executorch_weight_qint8_neg_127_to_127_scale_min_2_neg_12"
)
executorch_default_dynamic_qint8_dtype_config = dtype_config(
    "executorch_default_dynamic_qint8_dtype_config"
)
executorch_default_dynamic_float16_dtype_config = dtype_config(
    "executorch_default_dynamic_float16_dtype_config"
)
executorch_weight_only_quint8_dtype_config = dtype_config(
    "executorch_weight_only_quint8_dtype_config"
)


def get_executorch_backend_config() -> BackendConfig:
    """The ExecuTorch backend. Every call gives new pattern configs."""
    return backend_config("executorch")
