"""PyTorch's oneDNN backend: fusions of conv with add, and of linear with leaky_relu and tanh."""

from ._backends import backend_config, dtype_config
from .backend_config import BackendConfig

__all__ = [
    "get_onednn_backend_config",
    "onednn_dynamic_int8_dtype_config",
    "onednn_input_output_only_quint8_dtype_config",
    "onednn_op_quint8_dtype_config",
    "onednn_weight_only_qint8_dtype_config",
    "onednn_weighted_op_int8_dtype_config",
]

# Every BackendConfig of this backend holds these very objects: to change one, copy it first.
onednn_weighted_op_int8_dtype_config = dtype_config("onednn_weighted_op_int8_dtype_config")
onednn_op_quint8_dtype_config = dtype_config("onednn_op_quint8_dtype_config")
onednn_dynamic_int8_dtype_config = dtype_config("onednn_dynamic_int8_dtype_config")
onednn_weight_only_qint8_dtype_config = dtype_config("onednn_weight_only_qint8_dtype_config")
onednn_input_output_only_quint8_dtype_config = dtype_config(
    "onednn_input_output_only_quint8_dtype_config"
)


def get_onednn_backend_config() -> BackendConfig:
    """The oneDNN backend. Every call gives new pattern configs."""
    return backend_config("onednn")
