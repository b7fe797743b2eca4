#pragma once

#include "qnative/config.h"

// The configs that come with qnative, equal to upstream's, entry by entry and in order.
namespace qnative {

// PyTorch's native CPU backend: 194 patterns, 227 pairs of pattern and DTypeConfig. Every call
// builds new objects, which share the DTypeConfigs below.
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_native_backend_config();
// The same patterns with more fp16 entries: 328 pairs. Named "_native_and_fp16".
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_test_only_legacy_native_backend_config();

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

}  // namespace qnative
