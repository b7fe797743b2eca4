#pragma once

#include <ATen/ATen.h>

#include <array>
#include <optional>
#include <string_view>

#include "common/activation.h"
#include "common/checks.h"
#include "qnative/types.h"
#include "requantize.h"

// From real results to the output: what kernels need to know about y.
namespace qnative::ops {

enum class FloatOutput : bool { kRefused, kAllowed };

void check_output(const char* op, const OutputSpec& y,
                  FloatOutput float_output = FloatOutput::kRefused, Words words = Words::kRefused);

// Those of the tensor that comes out: {1, 0} for float32. Dividing by a scale of 1 does not round.
inline QParams output_qparams(const OutputSpec& y) { return y.is_float() ? QParams{} : y.qparams; }

// From what the schemas say, checked; the qparams are those of the tensor that comes out.
OutputSpec make_output(const char* op, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                       std::string_view activation = "none",
                       at::ArrayRef<double> activation_args = {},
                       FloatOutput float_output = FloatOutput::kRefused);

// A ratio of scales as float32; an error when it overflows.
float finite_multiplier(const char* op, double value);
// That of x to y.
inline float scale_ratio(const char* op, const QTensor& x, const OutputSpec& y) {
  return finite_multiplier(op, x.qparams.scale / y.qparams.scale);
}

// The range of an 8-bit or int16 output, narrowed by its activation.
Requantize make_requantize(const OutputSpec& y);

// The bytes of y for the bytes of x, y = requantize(float(x - zero_point) * float(scale /
// y_scale)); nothing where they are the same.
std::optional<std::array<uint8_t, 256>> rescale_table(const char* op, const QTensor& x,
                                                      const OutputSpec& y);

}  // namespace qnative::ops
