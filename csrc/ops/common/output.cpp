#include "common/output.h"

#include <algorithm>
#include <cmath>

namespace qnative::ops {
namespace {

// The same steps as for a sum: divide in double, round to float32, requantize.
int32_t quantized_bound(double bound, const OutputSpec& y) {
  const Range range = range_of(y.dtype);
  const auto zero_point = unsigned_zero_point(y.qparams.zero_point, y.dtype);
  if (std::isinf(bound)) {
    return static_cast<int32_t>((bound < 0 ? range.min : range.max) - y.qparams.zero_point) +
           zero_point;
  }
  const float r = static_cast<float>(bound / y.qparams.scale);
  const float lowest = static_cast<float>(range.min - y.qparams.zero_point);
  const float highest = static_cast<float>(range.max - y.qparams.zero_point);
  return static_cast<int32_t>(std::nearbyint(std::clamp(r, lowest, highest))) + zero_point;
}

}  // namespace

void check_output(const char* op, const OutputSpec& y, FloatOutput float_output, Words words) {
  check_activation(op, y.activation);
  const bool may_be_float = float_output == FloatOutput::kAllowed;
  const bool may_be_word = words == Words::kAllowed;
  if (may_be_float && y.is_float()) return;
  const char* const names[2][2] = {{"Byte or Char", "Byte, Char or Float"},
                                   {"Byte, Char or Short", "Byte, Char, Short or Float"}};
  TORCH_CHECK(is_8bit(y.dtype) || (may_be_word && is_word(y.dtype)), "qnative::", op,
              ": y_dtype must be ", names[may_be_word][may_be_float], ", got ", y.dtype);
  check_qparams(op, "y_", y.qparams, y.dtype);
}

OutputSpec make_output(const char* op, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                       std::string_view activation, at::ArrayRef<double> activation_args,
                       FloatOutput float_output) {
  OutputSpec y{.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation(op, activation, activation_args)};
  check_output(op, y, float_output);
  if (y.is_float()) y.qparams = {};
  return y;
}

float finite_multiplier(const char* op, double value) {
  const auto multiplier = static_cast<float>(value);
  TORCH_CHECK(std::isfinite(multiplier), "qnative::", op,
              ": the ratio of the scales overflows float32, got ", value);
  return multiplier;
}

Requantize make_requantize(const OutputSpec& y) {
  return {.zero_point = unsigned_zero_point(y.qparams.zero_point, y.dtype),
          .lo = quantized_bound(y.activation.min, y),
          .hi = quantized_bound(y.activation.max, y),
          .flip = flip_of(y.dtype)};
}

std::optional<std::array<uint8_t, 256>> rescale_table(const char* op, const QTensor& x,
                                                      const OutputSpec& y) {
  const at::ScalarType dtype = x.data.scalar_type();
  const bool is_same = x.qparams.scale == y.qparams.scale &&
                       x.qparams.zero_point == y.qparams.zero_point && dtype == y.dtype;
  if (is_same && !has_bounds(y.activation)) return std::nullopt;
  const Requantize q = make_requantize(y);
  const float multiplier = scale_ratio(op, x, y);
  std::array<uint8_t, 256> table;
  for (int32_t byte = 0; byte < 256; ++byte) {
    const int32_t value = (byte ^ flip_of(dtype)) - unsigned_zero_point(x);
    table[byte] = requantize(static_cast<float>(value) * multiplier, q);
  }
  return table;
}

}  // namespace qnative::ops
