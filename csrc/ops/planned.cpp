#include "qnative/planned.h"

#include <algorithm>
#include <array>

#include "common/plans.h"
#include "conv/plan.h"

namespace qnative {
namespace {

using namespace ops;

struct Row {
  std::string_view name;
  PlanOp* plan;
};

template <const ConvKind& kKind, bool kHasNamedPadding>
std::unique_ptr<PlannedOp> conv(Arguments& arguments) {
  return plan_conv_op(kKind, kHasNamedPadding, arguments);
}
template <auto kPlan, int64_t kRank>
std::unique_ptr<PlannedOp> pool(Arguments& arguments) {
  return kPlan(kRank, arguments);
}

constexpr std::array kRows = {
    Row{"qnative::quantize_per_tensor", plan_quantize_op},
    Row{"qnative::dequantize_per_tensor", plan_dequantize_op},
    Row{"qnative::requantize", plan_requantize_op},
    Row{"qnative::linear", plan_linear_op},
    Row{"qnative::linear_dynamic", plan_linear_dynamic_op},
    Row{"qnative::matmul", plan_matmul_op},
    Row{"qnative::attention", plan_attention_op},
    Row{"qnative::attention_dynamic", plan_attention_dynamic_op},
    Row{"qnative::conv1d", conv<kConv1d, false>},
    Row{"qnative::conv2d", conv<kConv2d, false>},
    Row{"qnative::conv3d", conv<kConv3d, false>},
    Row{"qnative::conv1d.padding", conv<kConv1d, true>},
    Row{"qnative::conv2d.padding", conv<kConv2d, true>},
    Row{"qnative::conv3d.padding", conv<kConv3d, true>},
    Row{"qnative::add", plan_add_op},
    Row{"qnative::mul", plan_mul_op},
    Row{"qnative::add_fp16", plan_add_fp16_op},
    Row{"qnative::mul_fp16", plan_mul_fp16_op},
    Row{"qnative::cat", plan_cat_op},
    Row{"qnative::lookup", plan_lookup_op},
    Row{"qnative::max_pool1d", pool<plan_max_pool_op, 1>},
    Row{"qnative::max_pool2d", pool<plan_max_pool_op, 2>},
    Row{"qnative::max_pool3d", pool<plan_max_pool_op, 3>},
    Row{"qnative::avg_pool1d", pool<plan_avg_pool_op, 1>},
    Row{"qnative::avg_pool2d", pool<plan_avg_pool_op, 2>},
    Row{"qnative::avg_pool3d", pool<plan_avg_pool_op, 3>},
    Row{"qnative::adaptive_avg_pool1d", pool<plan_adaptive_avg_pool_op, 1>},
    Row{"qnative::adaptive_avg_pool2d", pool<plan_adaptive_avg_pool_op, 2>},
    Row{"qnative::adaptive_avg_pool3d", pool<plan_adaptive_avg_pool_op, 3>},
    Row{"qnative::mean", plan_mean_op},
    Row{"qnative::interpolate", plan_interpolate_op},
    Row{"qnative::layer_norm", plan_layer_norm_op},
    Row{"qnative::rms_norm", plan_rms_norm_op},
    Row{"qnative::softmax", plan_softmax_op},
    Row{"qnative::embedding_8bit", plan_embedding_8bit_op},
    Row{"qnative::embedding_4bit", plan_embedding_4bit_op},
};

}  // namespace

std::unique_ptr<PlannedOp> plan_op(std::string_view name, c10::ArrayRef<c10::IValue> arguments) {
  const auto* row = std::find_if(kRows.begin(), kRows.end(),
                                 [&](const Row& known) { return known.name == name; });
  if (row == kRows.end()) return nullptr;
  Arguments reader(arguments);
  return row->plan(reader);
}

}  // namespace qnative
