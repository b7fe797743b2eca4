#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "qnative/ops.h"

// Shared by the tests of the C++ functions. Scales are powers of two, so that float64 computes
// what the ops compute without any rounding but the last.
namespace qnative::ops::testing {

inline at::Tensor random_bytes(at::IntArrayRef sizes, at::ScalarType dtype) {
  const bool is_unsigned = dtype == at::kByte;
  return at::randint(is_unsigned ? 0 : -128, is_unsigned ? 256 : 128, sizes, dtype);
}

inline at::Tensor real(const at::Tensor& x, const QParams& q) {
  return (x.to(at::kDouble) - q.zero_point) * q.scale;
}
inline at::Tensor real(const QTensor& x) { return real(x.data, x.qparams); }

inline QTensor quantize(const at::Tensor& real, const QParams& q, at::ScalarType dtype) {
  const bool is_unsigned = dtype == at::kByte;
  return {(at::round(real / q.scale) + q.zero_point)
              .clamp(is_unsigned ? 0 : -128, is_unsigned ? 255 : 127)
              .to(dtype),
          q};
}
inline at::Tensor quantized(const at::Tensor& real, const QParams& q, at::ScalarType dtype) {
  return quantize(real, q, dtype).data;
}

inline void expect_equal(const at::Tensor& y, const at::Tensor& expected) {
  ASSERT_EQ(y.scalar_type(), expected.scalar_type());
  ASSERT_EQ(y.sizes(), expected.sizes());
  EXPECT_TRUE(at::equal(y, expected)) << "differ: " << (y != expected).sum().item<int64_t>();
}

// The values, and that they come with the qparams that the op was given.
inline void expect_equal(const QTensor& y, const QTensor& expected) {
  expect_equal(y.data, expected.data);
  EXPECT_EQ(y.qparams.scale, expected.qparams.scale);
  EXPECT_EQ(y.qparams.zero_point, expected.qparams.zero_point);
}

// f() throws a c10::Error that contains `message`.
template <class F>
void expect_error(const F& f, const std::string& message) {
  try {
    f();
    ADD_FAILURE() << "no error; wanted: " << message;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what_without_backtrace()).find(message), std::string::npos)
        << error.what_without_backtrace();
  }
}

}  // namespace qnative::ops::testing
