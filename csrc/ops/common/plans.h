#pragma once

#include <memory>

#include "common/arguments.h"
#include "qnative/planned.h"

// What plan_op() calls: each makes the planned op of the name, null where a weight is open.
namespace qnative::ops {

struct ConvKind;

using PlanOp = std::unique_ptr<PlannedOp>(Arguments& arguments);

PlanOp plan_quantize_op, plan_dequantize_op, plan_requantize_op;
PlanOp plan_linear_op, plan_linear_dynamic_op;
PlanOp plan_matmul_op, plan_attention_op, plan_attention_dynamic_op;
PlanOp plan_add_op, plan_mul_op, plan_add_fp16_op, plan_mul_fp16_op;
PlanOp plan_cat_op, plan_lookup_op;
PlanOp plan_mean_op, plan_interpolate_op, plan_softmax_op, plan_layer_norm_op, plan_rms_norm_op;
PlanOp plan_embedding_8bit_op, plan_embedding_4bit_op;

// has_named_padding: the overload "padding".
std::unique_ptr<PlannedOp> plan_conv_op(const ConvKind& kind, bool has_named_padding,
                                        Arguments& arguments);
// rank: 1 to 3
std::unique_ptr<PlannedOp> plan_max_pool_op(int64_t rank, Arguments& arguments);
std::unique_ptr<PlannedOp> plan_avg_pool_op(int64_t rank, Arguments& arguments);
std::unique_ptr<PlannedOp> plan_adaptive_avg_pool_op(int64_t rank, Arguments& arguments);

}  // namespace qnative::ops
