#include <torch/library.h>

#include <cmath>

#include "common/empty.h"
#include "common/extremes.h"
#include "qnative/ops/quantize.h"
#include "quantize/checks.h"

namespace qnative::ops {
namespace {

Extremes extremes_of(const at::Tensor& x) {
  const at::Tensor reals = x.to(at::kFloat);
  const at::Tensor dense = reals.is_non_overlapping_and_dense() ? reals : reals.contiguous();
  return find_extremes(dense.const_data_ptr<float>(), dense.numel());
}

// torch computes in the dtype of x.
float round_to(float value, at::ScalarType dtype) {
  if (dtype == at::kHalf) return static_cast<float>(static_cast<at::Half>(value));
  if (dtype == at::kBFloat16) return static_cast<float>(static_cast<at::BFloat16>(value));
  return value;
}

// Returns the range, checked with all other arguments.
Range plan_choose(const at::Tensor& x, const QRange& range, double eps, at::DeviceType device) {
  check_real("choose_qparams", x, device);
  const Range part = check_quant_range("choose_qparams", range);
  TORCH_CHECK(part.min <= 0 && part.max >= 0,
              "qnative::choose_qparams: quant_min and quant_max must include 0, got ", part.min,
              " and ", part.max);
  TORCH_CHECK(eps >= std::numeric_limits<float>::min() && eps <= std::numeric_limits<float>::max(),
              "qnative::choose_qparams: eps must be a positive normal float32, got ", eps);
  TORCH_CHECK(x.sym_numel() > 0, "qnative::choose_qparams: x must have elements, got shape ",
              x.sym_sizes());
  return part;
}

QParams run_choose(const Range& range, const at::Tensor& x, at::ScalarType dtype, double eps,
                   bool symmetric) {
  const Extremes all = extremes_of(x);
  TORCH_CHECK(std::isfinite(all.min) && std::isfinite(all.max),
              "qnative::choose_qparams: x must be finite, got values from ", all.min, " to ",
              all.max);
  const float lowest = std::min(all.min, 0.0f), highest = std::max(all.max, 0.0f);
  const float levels = static_cast<float>(range.max - range.min);
  const at::ScalarType real = x.scalar_type();
  const float width = symmetric ? std::max(-lowest, highest) : round_to(highest - lowest, real);
  float scale = round_to(width / (symmetric ? levels / 2 : levels), real);
  scale = std::max(scale, static_cast<float>(eps));
  TORCH_CHECK(std::isfinite(scale), "qnative::choose_qparams: the range of x overflows, from ",
              all.min, " to ", all.max);
  if (symmetric) return {scale, dtype == at::kByte ? 128 : 0};
  const int64_t zero_point = range.min - static_cast<int64_t>(std::nearbyint(lowest / scale));
  return {scale, std::clamp(zero_point, range.min, range.max)};
}

}  // namespace

QParams choose_qparams(const at::Tensor& x, const QRange& range, double eps, bool symmetric) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_choose(plan_choose(x, range, eps, at::kCPU), x, range.dtype, eps, symmetric);
}

namespace {

// The op of the schema.
std::tuple<at::Tensor, at::Tensor> choose_qparams_op(const at::Tensor& x, at::ScalarType dtype,
                                                     std::optional<int64_t> quant_min,
                                                     std::optional<int64_t> quant_max, double eps,
                                                     bool symmetric) {
  const QParams qparams = choose_qparams(x, {dtype, quant_min, quant_max}, eps, symmetric);
  at::Tensor scale = empty({1}, at::kDouble), zero_point = empty({1}, at::kLong);
  *scale.mutable_data_ptr<double>() = qparams.scale;
  *zero_point.mutable_data_ptr<int64_t>() = qparams.zero_point;
  return {scale, zero_point};
}

std::tuple<at::Tensor, at::Tensor> choose_qparams_meta(const at::Tensor& x, at::ScalarType dtype,
                                                       std::optional<int64_t> quant_min,
                                                       std::optional<int64_t> quant_max, double eps,
                                                       bool) {
  plan_choose(x, {dtype, quant_min, quant_max}, eps, at::kMeta);
  return {at::empty({1}, x.options().dtype(at::kDouble)),
          at::empty({1}, x.options().dtype(at::kLong))};
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("choose_qparams", TORCH_FN(choose_qparams_op)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("choose_qparams", TORCH_FN(choose_qparams_meta)); }

}  // namespace qnative::ops
