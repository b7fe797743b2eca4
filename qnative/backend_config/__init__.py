"""``torch.ao.quantization.backend_config``, name for name: what backends can quantize.

The objects wrap TorchScript classes of libqnative, which hold the data: a config changed from
TorchScript or C++ is seen changed here. ``config.script_object`` is what a ScriptModule attribute
holds, ``BackendConfig.from_script_object`` wraps one that was loaded.
"""

from .algebra import BackendConfigDiff, Difference, diff, intersect, unite
from .backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    Finding,
    MissingKernel,
    ObservationType,
)
from .executorch import get_executorch_backend_config
from .fbgemm import get_fbgemm_backend_config
from .native import (
    default_dynamic_float16_dtype_config,
    default_dynamic_int8_dtype_config,
    default_op_fp16_dtype_config,
    default_op_quint8_dtype_config,
    get_native_backend_config,
    get_native_backend_config_dict,
    get_test_only_legacy_native_backend_config,
    get_test_only_legacy_native_backend_config_dict,
    input_output_only_quint8_dtype_config,
    weight_only_quint4x2_dtype_config,
    weight_only_quint8_dtype_config,
    weighted_op_quint8_dtype_config,
)
from .onednn import get_onednn_backend_config
from .qnative import get_qnative_backend_config, get_qnative_backend_config_dict
from .qnnpack import get_qnnpack_backend_config
from .registry import backend_names, get_backend, register_backend, resolve, unregister_backend
from .tensorrt import get_tensorrt_backend_config, get_tensorrt_backend_config_dict
from .x86 import get_x86_backend_config

__all__ = [
    "BackendConfig",
    "BackendConfigDiff",
    "BackendPatternConfig",
    "DTypeConfig",
    "DTypeWithConstraints",
    "Difference",
    "Finding",
    "MissingKernel",
    "ObservationType",
    "backend_names",
    "default_dynamic_float16_dtype_config",
    "default_dynamic_int8_dtype_config",
    "default_op_fp16_dtype_config",
    "default_op_quint8_dtype_config",
    "diff",
    "get_backend",
    "get_executorch_backend_config",
    "get_fbgemm_backend_config",
    "get_native_backend_config",
    "get_native_backend_config_dict",
    "get_onednn_backend_config",
    "get_qnative_backend_config",
    "get_qnative_backend_config_dict",
    "get_qnnpack_backend_config",
    "get_tensorrt_backend_config",
    "get_tensorrt_backend_config_dict",
    "get_test_only_legacy_native_backend_config",
    "get_test_only_legacy_native_backend_config_dict",
    "get_x86_backend_config",
    "input_output_only_quint8_dtype_config",
    "intersect",
    "register_backend",
    "resolve",
    "unite",
    "unregister_backend",
    "weight_only_quint4x2_dtype_config",
    "weight_only_quint8_dtype_config",
    "weighted_op_quint8_dtype_config",
]
