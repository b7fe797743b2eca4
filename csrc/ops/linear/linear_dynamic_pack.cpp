#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "common/checks.h"
#include "product/float_weight.h"
#include "product/weight.h"
#include "qnative/limits.h"
#include "qnative/ops/linear.h"

namespace qnative::ops {
namespace {

constexpr const char* kPackOp = "linear_dynamic_pack";
// A scale covers weights of up to this multiple of the root mean square of their row: one in two
// million normally distributed weights is larger. It grows until few enough weights are larger.
constexpr double kMinPeak = 5.0;
constexpr double kPeakGrowth = 1.25;
// Repeated columns cost time and memory: at most one for so many inputs.
constexpr int64_t kInputsPerRepeat = 16;
constexpr float kTiny = std::numeric_limits<float>::min();

WeightLayout check_float_weight(const at::Tensor& weight, at::DeviceType device) {
  check_tensor(kPackOp, "weight", weight, device);
  check_dtype(kPackOp, "weight", weight, at::kFloat);
  TORCH_CHECK(weight.dim() == 2, "qnative::", kPackOp, ": weight must be [N, K], got ",
              weight.sym_sizes());
  return linear_layout(kPackOp, concrete(weight.sym_sizes()));
}

// The scales with which few enough weights need more than one column, and how many more each input
// needs, int64 [K].
std::pair<at::Tensor, at::Tensor> choose_columns(const at::Tensor& weight, const at::Tensor& max) {
  const int64_t k = weight.size(1), room = std::min(k / kInputsPerRepeat, kMaxProductsU8S8 - k);
  // Squares of the shares: those of the weights may leave float32.
  const at::Tensor share = weight / max.clamp_min(kTiny).unsqueeze(1);
  const at::Tensor rms = max * share.square().mean(1).sqrt();
  for (double peak = kMinPeak;; peak *= kPeakGrowth) {
    const at::Tensor scale = weight_scale_of(at::minimum(max, rms * peak));
    const at::Tensor columns = (weight_codes(weight, scale).abs().amax(0) / 127).ceil();
    const at::Tensor more = columns.clamp_min(1).to(at::kLong) - 1;
    if (more.sum().item<int64_t>() <= room) return {scale, more};
  }
}

// int8 [N, K + R]: each value of `codes` is the sum of the columns of its input.
at::Tensor split_columns(const at::Tensor& codes, at::IntArrayRef repeated) {
  std::vector<at::Tensor> parts{codes.clamp(-127, 127)};
  const at::Tensor rest = codes - parts[0];
  for (const int64_t k : repeated) {
    const at::Tensor left = rest.select(1, k);
    parts.push_back(left.clamp(-127, 127).unsqueeze(1));
    left.sub_(parts.back().squeeze(1));
  }
  return at::cat(parts, 1).to(at::kChar);
}

}  // namespace

DynamicWeight linear_dynamic_pack(const at::Tensor& float_weight, bool may_repeat) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_float_weight(float_weight, at::kCPU);
  const at::Tensor weight = float_weight.contiguous();  // strides would change the order of sums
  const at::Tensor max = finite_magnitudes(kPackOp, weight, "row");
  at::Tensor scale = weight_scale_of(max);
  std::vector<int64_t> repeated;
  if (may_repeat) {
    const auto [chosen, more] = choose_columns(weight, max);
    scale = chosen;
    const at::Tensor inputs = at::arange(weight.size(1)).repeat_interleave(more);
    repeated.assign(inputs.const_data_ptr<int64_t>(),
                    inputs.const_data_ptr<int64_t>() + inputs.numel());
  }
  const at::Tensor codes = split_columns(weight_codes(weight, scale), repeated);
  return {{linear_pack(codes), scale, {}, codes.sizes()}, std::move(repeated)};
}

namespace {

using PackResult = std::tuple<at::Tensor, at::Tensor, std::vector<int64_t>>;

PackResult linear_dynamic_pack_op(const at::Tensor& weight, bool may_repeat) {
  DynamicWeight made = linear_dynamic_pack(weight, may_repeat);
  return {std::move(made.weight.data), std::move(made.weight.scale), std::move(made.repeated)};
}

PackResult linear_dynamic_pack_meta(const at::Tensor& weight, bool may_repeat) {
  const WeightLayout layout = check_float_weight(weight, at::kMeta);
  TORCH_CHECK_NOT_IMPLEMENTED(!may_repeat, "qnative::", kPackOp,
                              ": the values of weight give the size of its result; Meta tensors "
                              "need may_repeat=False");
  return {at::empty({layout.group_bytes()}, weight.options().dtype(at::kChar)),
          at::empty({layout.n}, weight.options()), std::vector<int64_t>()};
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear_dynamic_pack", TORCH_FN(linear_dynamic_pack_op));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear_dynamic_pack", TORCH_FN(linear_dynamic_pack_meta));
}

}  // namespace qnative::ops
