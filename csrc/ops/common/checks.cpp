#include "common/checks.h"

#include <cmath>

namespace qnative::ops {
namespace {

constexpr const char* kChannel = "an output channel";

// <owner><separator>scale and <owner><separator>zero_point.
void check_named(const char* op, const char* owner, const char* separator, const QParams& qparams,
                 at::ScalarType dtype) {
  constexpr double kMin = std::numeric_limits<float>::min();
  constexpr double kMax = std::numeric_limits<float>::max();
  // Denormals are refused as well, because their inverses overflow. NaN fails both comparisons.
  TORCH_CHECK(qparams.scale >= kMin && qparams.scale <= kMax, "qnative::", op, ": ", owner,
              separator, "scale must be a positive normal float32, got ", qparams.scale);
  TORCH_CHECK(!is_word(dtype) || qparams.zero_point == 0, "qnative::", op, ": ", owner, separator,
              "zero_point must be 0 for ", dtype, ", got ", qparams.zero_point);
  const Range range = range_of(dtype);
  TORCH_CHECK(qparams.zero_point >= range.min && qparams.zero_point <= range.max, "qnative::", op,
              ": ", owner, separator, "zero_point must be in [", range.min, ", ", range.max,
              "] for ", dtype, ", got ", qparams.zero_point);
}

}  // namespace

void check_tensor(const char* op, const char* name, const at::Tensor& tensor,
                  at::DeviceType device) {
  TORCH_CHECK(tensor.defined(), "qnative::", op, ": ", name, " must be a tensor, got none");
  TORCH_CHECK(tensor.device().type() == device, "qnative::", op, ": ", name, " must be on ", device,
              ", got ", tensor.device());
  TORCH_CHECK(tensor.layout() == at::kStrided, "qnative::", op, ": ", name,
              " must be a strided tensor, got ", tensor.layout());
}

void check_dtype(const char* op, const char* name, const at::Tensor& tensor, at::ScalarType dtype) {
  TORCH_CHECK(tensor.scalar_type() == dtype, "qnative::", op, ": ", name, " must be ", dtype,
              ", got ", tensor.scalar_type());
}

void check_8bit(const char* op, const char* name, const at::Tensor& tensor, at::DeviceType device) {
  check_tensor(op, name, tensor, device);
  TORCH_CHECK(is_8bit(tensor.scalar_type()), "qnative::", op, ": ", name,
              " must be Byte or Char, got ", tensor.scalar_type());
}

void check_quantized(const char* op, const char* name, const at::Tensor& tensor,
                     at::DeviceType device, Words words) {
  if (words == Words::kRefused) return check_8bit(op, name, tensor, device);
  check_tensor(op, name, tensor, device);
  const at::ScalarType dtype = tensor.scalar_type();
  TORCH_CHECK(is_8bit(dtype) || is_word(dtype), "qnative::", op, ": ", name,
              " must be Byte, Char or Short, got ", dtype);
}

void check_half(const char* op, const char* name, const at::Tensor& tensor, at::DeviceType device) {
  check_tensor(op, name, tensor, device);
  check_dtype(op, name, tensor, at::kHalf);
}

float finite_float(const char* op, const char* name, double value) {
  TORCH_CHECK(std::abs(value) <= std::numeric_limits<float>::max(), "qnative::", op, ": ", name,
              " must be finite as float32, got ", value);
  return static_cast<float>(value);
}

void check_qparams(const char* op, const char* prefix, const QParams& qparams,
                   at::ScalarType dtype) {
  check_named(op, prefix, "", qparams, dtype);
}

void check_qtensor(const char* op, const char* name, const QTensor& x, at::DeviceType device,
                   Words words) {
  check_quantized(op, name, x.data, device, words);
  check_named(op, name, "_", x.qparams, x.data.scalar_type());
}

void check_eps(const char* op, double eps) {
  TORCH_CHECK(eps >= 0 && eps <= std::numeric_limits<double>::max(), "qnative::", op,
              ": eps must be finite and not negative, got ", eps);
}

template <class Int>
void check_vector(const char* op, const char* name, const at::Tensor& tensor, const Int& n,
                  const char* of, at::DeviceType device) {
  check_tensor(op, name, tensor, device);
  check_dtype(op, name, tensor, at::kFloat);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(tensor);
  TORCH_CHECK(sizes.size() == 1 && sizes[0] == n, "qnative::", op, ": ", name, " must have shape [",
              n, "] (one value ", of, "), got ", sizes);
}

template <class Int>
void check_channels(const char* op, const at::Tensor& weight_scale,
                    const std::optional<at::Tensor>& bias, const Int& n, at::DeviceType device) {
  check_vector(op, "weight_scale", weight_scale, n, kChannel, device);
  check_bias(op, bias, n, device);
}

template <class Int>
void check_bias(const char* op, const std::optional<at::Tensor>& bias, const Int& n,
                at::DeviceType device) {
  if (bias) check_vector(op, "bias", *bias, n, kChannel, device);
}

template <class Int>
c10::SmallVector<Int, 3> expand_values(const char* op, const char* name, at::ArrayRef<Int> values,
                                       int64_t rank, int64_t least) {
  const auto size = static_cast<int64_t>(values.size());
  TORCH_CHECK(size == 1 || size == rank, "qnative::", op, ": ", name, " must have 1 ",
              rank == 1 ? "value" : c10::str("or ", rank, " values"), ", got ", values);
  for (const Int& value : values) {
    TORCH_CHECK(is_extent(value, least), "qnative::", op, ": ", name, " must be in [", least,
                ", 2^31), got ", values);
  }
  c10::SmallVector<Int, 3> expanded(values.begin(), values.end());
  expanded.resize(rank, values.front());
  return expanded;
}

template <class Int>
Pair<Int> expand_pair(const char* op, const char* name, at::ArrayRef<Int> values, int64_t least) {
  const auto expanded = expand_values(op, name, values, 2, least);
  return {expanded[0], expanded[1]};
}

template <class Int>
void check_image(const char* op, at::ArrayRef<Int> sizes, int64_t rank) {
  const char* const names[] = {"L", "H, W", "D, H, W"};
  const char* const name = names[rank - 1];
  const auto dims = static_cast<int64_t>(sizes.size());
  TORCH_CHECK(dims == rank + 1 || dims == rank + 2, "qnative::", op, ": x must be [N, C, ", name,
              "] or [C, ", name, "], got ", sizes);
  for (const Int& size : sizes.slice(dims - rank - 1)) {
    TORCH_CHECK(is_extent(size, 1), "qnative::", op, ": C, ", name,
                " of x must be in [1, 2^31), got ", sizes);
  }
}

#define QNATIVE_INSTANTIATE(Int)                                                                   \
  template void check_vector(const char*, const char*, const at::Tensor&, const Int&, const char*, \
                             at::DeviceType);                                                      \
  template c10::SmallVector<Int, 3> expand_values(const char*, const char*, at::ArrayRef<Int>,     \
                                                  int64_t, int64_t);                               \
  template void check_channels(const char*, const at::Tensor&, const std::optional<at::Tensor>&,   \
                               const Int&, at::DeviceType);                                        \
  template void check_bias(const char*, const std::optional<at::Tensor>&, const Int&,              \
                           at::DeviceType);                                                        \
  template Pair<Int> expand_pair(const char*, const char*, at::ArrayRef<Int>, int64_t);            \
  template void check_image(const char*, at::ArrayRef<Int>, int64_t);
QNATIVE_INSTANTIATE(int64_t)
QNATIVE_INSTANTIATE(c10::SymInt)
#undef QNATIVE_INSTANTIATE

}  // namespace qnative::ops
