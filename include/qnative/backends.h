#pragma once

#include "qnative/config.h"

// The configs that come with qnative, equal to upstream's, entry by entry and in order.
namespace qnative {

// PyTorch's native CPU backend: 194 patterns, 227 pairs of pattern and DTypeConfig. Every call
// builds new objects, which share the DTypeConfigs below.
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_native_backend_config();
// The same patterns with more fp16 entries: 328 pairs. Named "_native_and_fp16".
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_test_only_legacy_native_backend_config();

// The other backends that PyTorch describes, as data: what they name runs in qnative where
// validate() has nothing against it. Patterns, pairs of pattern and DTypeConfig:
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_fbgemm_backend_config();      // 192, 225
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_x86_backend_config();         // 192, 225
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_qnnpack_backend_config();     // 190, 404
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_onednn_backend_config();      // 221, 244
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_executorch_backend_config();  // 84, 172
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_tensorrt_backend_config();    // 149, 149

// The DTypeConfigs of the native backend. One object each for the whole process, held by every
// config built above: to change one, copy it first.
using DTypeConfigPtr = c10::intrusive_ptr<DTypeConfig>;
QNATIVE_API const DTypeConfigPtr& weighted_op_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_op_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_op_fp16_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_dynamic_int8_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_dynamic_float16_dtype_config();
QNATIVE_API const DTypeConfigPtr& input_output_only_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& weight_only_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& weight_only_quint4x2_dtype_config();

// Those of all backends by their name in upstream's modules, such as
// "qnnpack_weighted_op_qint8_symmetric_dtype_config", and the constraints that two of the modules
// name, such as "qnnpack_act_qint8_scale_min_2_neg_12". TensorRT's have no names. Throw
// c10::ValueError, which lists the names, for another one.
using DTypeWithConstraintsPtr = c10::intrusive_ptr<DTypeWithConstraints>;
QNATIVE_API const DTypeConfigPtr& dtype_config(const std::string& name);
QNATIVE_API const DTypeWithConstraintsPtr& dtype_with_constraints(const std::string& name);

}  // namespace qnative
