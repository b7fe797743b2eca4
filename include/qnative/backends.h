#pragma once

#include "qnative/config.h"

// qnative's own config, and PyTorch's, equal to upstream's entry by entry and in order.
//
//   auto config = qnative::get_qnative_backend_config();
//
// All functions may be called from any thread.
namespace qnative {

// All that qnative runs, the default of its front ends: the rows of native, then rows for what it
// lacks: functions of one tensor, differences, quotients, moves. Every call returns new objects,
// which share the DTypeConfigs below.
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_qnative_backend_config();

// PyTorch's native CPU backend: 194 patterns, 227 pairs of pattern and DTypeConfig. Every call
// returns new objects, which share the DTypeConfigs below.
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_native_backend_config();
// The same patterns with more fp16 entries: 328 pairs. Its name is "_native_and_fp16".
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_test_only_legacy_native_backend_config();

// The other backends of PyTorch, as data. validate() lists their entries that qnative does not run.
// Patterns, pairs of pattern and DTypeConfig:
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_fbgemm_backend_config();      // 192, 225
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_x86_backend_config();         // 192, 225
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_qnnpack_backend_config();     // 190, 404
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_onednn_backend_config();      // 221, 244
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_executorch_backend_config();  // 84, 172
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_tensorrt_backend_config();    // 149, 149

// The DTypeConfigs of the native backend: one object each per process, shared by all configs above.
// Copy one before changing it.
using DTypeConfigPtr = c10::intrusive_ptr<DTypeConfig>;
QNATIVE_API const DTypeConfigPtr& weighted_op_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_op_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_op_fp16_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_dynamic_int8_dtype_config();
QNATIVE_API const DTypeConfigPtr& default_dynamic_float16_dtype_config();
QNATIVE_API const DTypeConfigPtr& input_output_only_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& weight_only_quint8_dtype_config();
QNATIVE_API const DTypeConfigPtr& weight_only_quint4x2_dtype_config();

// The DTypeConfigs of all backends by their names in upstream's modules, such as
// "qnnpack_weighted_op_qint8_symmetric_dtype_config", and the named constraints of two of the
// modules, such as "qnnpack_act_qint8_scale_min_2_neg_12". TensorRT's DTypeConfigs have no names.
// Throws c10::ValueError with the valid names for an unknown name.
using DTypeWithConstraintsPtr = c10::intrusive_ptr<DTypeWithConstraints>;
QNATIVE_API const DTypeConfigPtr& dtype_config(const std::string& name);
QNATIVE_API const DTypeWithConstraintsPtr& dtype_with_constraints(const std::string& name);

}  // namespace qnative
