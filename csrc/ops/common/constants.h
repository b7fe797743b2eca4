#pragma once

#include <ATen/core/ivalue.h>

#include "common/activation.h"
#include "qnative/types.h"

// Arguments of a schema, read one after the other as the values of qnative/types.h.
namespace qnative::ops {

class Constants {
 public:
  explicit Constants(c10::ArrayRef<c10::IValue> values) : next_(values.begin()) {
    end_ = values.end();
  }

  const c10::IValue& next() {
    TORCH_CHECK(next_ != end_, "qnative: an argument is missing");
    return *next_++;
  }

  QParams qparams() {
    const double scale = next().toDouble();
    return {scale, next().toInt()};
  }
  // weight, weight_scale, bias, weight_shape
  PackedWeight weight() {
    PackedWeight w;
    w.data = next().toTensor();
    w.scale = next().toTensor();
    w.bias = next().toOptional<at::Tensor>();
    w.shape = ints();
    return w;
  }
  IntList ints() { return at::IntArrayRef(next().toDimVector()); }
  // y_scale, y_zero_point, y_dtype, activation, activation_args
  OutputSpec output(const char* op) {
    OutputSpec y{.qparams = qparams()};
    y.dtype = next().toScalarType();
    const std::string& activation = next().toStringRef();
    y.activation = parse_activation(op, activation, next().toDoubleVector());
    return y;
  }

 private:
  c10::ArrayRef<c10::IValue>::iterator next_, end_;
};

}  // namespace qnative::ops
