#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

#include "qnative/types.h"

// Checks at the entry of the ops, shared by their CPU and Meta functions. `op` is the name after
// qnative::, for messages. Int is int64_t in CPU functions and c10::SymInt in Meta functions.
namespace qnative::ops {

template <class Int>
inline constexpr at::DeviceType kDevice = std::is_same_v<Int, c10::SymInt> ? at::kMeta : at::kCPU;

inline bool is_8bit(at::ScalarType dtype) { return dtype == at::kByte || dtype == at::kChar; }
// int16: its zero point is 0. Few ops take it.
inline bool is_word(at::ScalarType dtype) { return dtype == at::kShort; }
enum class Words : bool { kRefused, kAllowed };

struct Range {
  int64_t min, max;
};
inline Range range_of(at::ScalarType dtype) {
  if (is_word(dtype)) return {-32768, 32767};
  return dtype == at::kByte ? Range{0, 255} : Range{-128, 127};
}

// The top bit of an int8 byte, flipped, makes it the byte of the uint8 tensor whose zero point is
// larger by 128.
inline uint8_t flip_of(at::ScalarType dtype) { return dtype == at::kChar ? 0x80 : 0; }
inline int32_t unsigned_zero_point(int64_t zero_point, at::ScalarType dtype) {
  return static_cast<int32_t>(zero_point) + flip_of(dtype);
}
inline int32_t unsigned_zero_point(const QTensor& x) {
  return unsigned_zero_point(x.qparams.zero_point, x.data.scalar_type());
}
// The qparams of the uint8 form of x.
inline QParams unsigned_qparams(const QTensor& x) {
  return {x.qparams.scale, unsigned_zero_point(x)};
}

// Defined, strided and on the device.
void check_tensor(const char* op, const char* name, const at::Tensor& tensor,
                  at::DeviceType device);
void check_dtype(const char* op, const char* name, const at::Tensor& tensor, at::ScalarType dtype);
void check_8bit(const char* op, const char* name, const at::Tensor& tensor, at::DeviceType device);
// 8-bit, or int16 where that is allowed.
void check_quantized(const char* op, const char* name, const at::Tensor& tensor,
                     at::DeviceType device, Words words);
void check_half(const char* op, const char* name, const at::Tensor& tensor, at::DeviceType device);

// A number as float32; an error if that is not finite.
float finite_float(const char* op, const char* name, double value);

// prefix: what stands before "scale" and "zero_point" in the names of the arguments.
void check_qparams(const char* op, const char* prefix, const QParams& qparams,
                   at::ScalarType dtype);
inline void check_qparams(const char* op, const char* prefix, double scale, int64_t zero_point,
                          at::ScalarType dtype) {
  check_qparams(op, prefix, {scale, zero_point}, dtype);
}

// `name` is uint8 or int8, or int16 where that is allowed, and its qparams are <name>_scale and
// <name>_zero_point.
void check_qtensor(const char* op, const char* name, const QTensor& x, at::DeviceType device,
                   Words words = Words::kRefused);

// The term added to a variance: finite and not negative.
void check_eps(const char* op, double eps);

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

// Whether a size is in [least, 2^31). A symbol is: asking about it would make it a condition of an
// exported model, and the CPU function checks its value.
inline bool is_extent(int64_t size, int64_t least) {
  return size >= least && size <= std::numeric_limits<int32_t>::max();
}
inline bool is_extent(const c10::SymInt& size, int64_t least) {
  const std::optional<int64_t> known = size.maybe_as_int();
  return !known || is_extent(*known, least);
}

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
