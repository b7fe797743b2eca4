#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "float_activation.h"

// Checks at the entry of the ops, shared by their CPU and Meta functions. `op` is the name after
// qnative::, for messages. Int is int64_t in CPU functions and c10::SymInt in Meta functions.
namespace qnative::ops {

inline bool is_8bit(at::ScalarType dtype) { return dtype == at::kByte || dtype == at::kChar; }

struct Range {
  int64_t min, max;
};
inline Range range_of(at::ScalarType dtype) {
  return dtype == at::kByte ? Range{0, 255} : Range{-128, 127};
}

// The top bit of an int8 byte, flipped, makes it the byte of the uint8 tensor whose zero point is
// larger by 128.
inline uint8_t flip_of(at::ScalarType dtype) { return dtype == at::kChar ? 0x80 : 0; }
inline int32_t unsigned_zero_point(int64_t zero_point, at::ScalarType dtype) {
  return static_cast<int32_t>(zero_point) + flip_of(dtype);
}

// Defined, strided and on the device.
void check_tensor(const char* op, const char* name, const at::Tensor& tensor,
                  at::DeviceType device);
void check_dtype(const char* op, const char* name, const at::Tensor& tensor, at::ScalarType dtype);
void check_8bit(const char* op, const char* name, const at::Tensor& tensor, at::DeviceType device);
void check_half(const char* op, const char* name, const at::Tensor& tensor, at::DeviceType device);

// A number as float32; an error if that is not finite.
float finite_float(const char* op, const char* name, double value);

// `prefix` is what stands before "scale" and "zero_point" in the names of the arguments.
void check_scale(const char* op, const char* prefix, double scale);
void check_zero_point(const char* op, const char* prefix, int64_t zero_point, at::ScalarType dtype);
void check_qparams(const char* op, const char* prefix, double scale, int64_t zero_point,
                   at::ScalarType dtype);

// What is added to a variance: finite and not negative.
void check_eps(const char* op, double eps);

// y_dtype, y_scale and y_zero_point, of which float32 output ignores the last two.
enum class FloatOutput : bool { kRefused, kAllowed };
void check_output(const char* op, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                  FloatOutput float_output = FloatOutput::kRefused);

// float32 [n], one value `of` what: "a channel".
template <class Int>
void check_vector(const char* op, const char* name, const at::Tensor& tensor, const Int& n,
                  const char* of, at::DeviceType device);
// float32 [n] scale and, perhaps, bias of output channels.
template <class Int>
void check_channels(const char* op, const at::Tensor& weight_scale,
                    const std::optional<at::Tensor>& bias, const Int& n, at::DeviceType device);
template <class Int>
void check_bias(const char* op, const std::optional<at::Tensor>& bias, const Int& n,
                at::DeviceType device);

// Bounds that an activation sets on real numbers, infinite where it sets none; or, for float
// outputs, a function.
struct Activation {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  FloatActivation function = FloatActivation::kNone;
};
enum class Functions : bool { kRefused, kAllowed };
// name: of the argument `activation`, which is followed by <name>_args.
Activation parse_activation(const char* op, std::string_view activation,
                            at::ArrayRef<double> activation_args,
                            Functions functions = Functions::kRefused,
                            const char* name = "activation");

// An argument of "one value, or one for each of `rank` dimensions": `rank` values, each in
// [least, 2^31).
template <class Int>
c10::SmallVector<Int, 3> expand_values(const char* op, const char* name, at::ArrayRef<Int> values,
                                       int64_t rank, int64_t least);

// The same for height and width.
template <class Int>
struct Pair {
  Int h, w;
};
template <class Int>
Pair<Int> expand_pair(const char* op, const char* name, at::ArrayRef<Int> values, int64_t least);

// [N, C, H, W] or [C, H, W], all but N positive and less than 2^31; `rank` dimensions instead of
// height and width.
template <class Int>
void check_image(const char* op, at::ArrayRef<Int> sizes, int64_t rank = 2);

}  // namespace qnative::ops
