#pragma once

#include <ATen/core/ivalue.h>

#include <string_view>

#include "common/activation.h"
#include "qnative/types.h"

// Arguments of a schema, read one after the other as the values of qnative/types.h.
namespace qnative::ops {

class Arguments {
 public:
  explicit Arguments(c10::ArrayRef<c10::IValue> values)
      : next_(values.begin()), end_(values.end()) {}

  const c10::IValue& next() {
    TORCH_CHECK(next_ != end_, "qnative: an argument is missing");
    return *next_++;
  }

  // Tensors that may be open, undefined then. They go to operands().
  void operand() { operands_.push_back(next().toTensor()); }
  bool optional_operand() {
    const c10::IValue& value = next();
    if (!value.isNone()) operands_.push_back(value.toTensor());
    return !value.isNone();
  }
  size_t operand_list() {
    const auto tensors = next().toTensorVector();
    operands_.insert(operands_.end(), tensors.begin(), tensors.end());
    return tensors.size();
  }

  // Tensors that may not.
  at::Tensor tensor() {
    at::Tensor value = next().toTensor();
    has_open_weight_ |= !value.defined();
    return value;
  }
  std::optional<at::Tensor> optional_tensor() {
    auto value = next().toOptional<at::Tensor>();
    has_open_weight_ |= value && !value->defined();
    return value;
  }

  double real() { return next().toDouble(); }
  int64_t integer() { return next().toInt(); }
  bool flag() { return next().toBool(); }
  at::ScalarType dtype() { return next().toScalarType(); }
  std::string_view text() { return next().toStringView(); }
  IntList ints() { return at::IntArrayRef(next().toDimVector()); }
  std::optional<IntList> optional_ints() {
    const c10::IValue& value = next();
    if (value.isNone()) return std::nullopt;
    return IntList(at::IntArrayRef(value.toDimVector()));
  }
  template <class T>
  std::optional<T> optional() {
    return next().toOptional<T>();
  }

  QParams qparams() {
    const double scale = real();
    return {scale, integer()};
  }
  // weight, weight_scale, bias, weight_shape
  PackedWeight weight() {
    PackedWeight w;
    w.data = tensor();
    w.scale = tensor();
    w.bias = optional_tensor();
    w.shape = ints();
    return w;
  }
  // activation, activation_args
  Activation activation(const char* op, Functions functions = Functions::kRefused) {
    const std::string_view name = text();
    return parse_activation(op, name, next().toDoubleVector(), functions);
  }
  // y_scale, y_zero_point, y_dtype
  OutputSpec output() {
    OutputSpec y{.qparams = qparams()};
    y.dtype = dtype();
    return y;
  }
  OutputSpec activated_output(const char* op) {
    OutputSpec y = output();
    y.activation = activation(op);
    return y;
  }

  const c10::SmallVector<at::Tensor, 4>& operands() const { return operands_; }
  bool has_open_weight() const { return has_open_weight_; }

 private:
  c10::ArrayRef<c10::IValue>::iterator next_, end_;
  c10::SmallVector<at::Tensor, 4> operands_;
  bool has_open_weight_ = false;
};

}  // namespace qnative::ops
