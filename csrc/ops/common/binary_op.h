#pragma once

#include "common/activation.h"
#include "common/borrow.h"

namespace qnative::ops {

// The op of a schema of two quantized tensors. kName: for messages. kRun: the function for CPU or
// for Meta.
template <const char* const& kName, auto kRun>
at::Tensor binary_op(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                     double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                     at::ScalarType y_dtype, std::string_view activation,
                     at::ArrayRef<double> activation_args) {
  return kRun(BorrowedQTensor(a, {a_scale, a_zero_point}),
              BorrowedQTensor(b, {b_scale, b_zero_point}),
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation(kName, activation, activation_args)})
      .data;
}

}  // namespace qnative::ops
