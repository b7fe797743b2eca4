#pragma once

#include <ATen/ATen.h>

#include "qnative/types.h"

// Arguments of the dispatcher as values, for the time of a call. Their tensors are borrowed:
// counting references, with atomics, would show in the time of a small op.
namespace qnative::ops {

class BorrowedQTensor {
 public:
  BorrowedQTensor(const at::Tensor& data, const QParams& qparams)
      : value_{Borrow::createBorrow(data), qparams} {}
  ~BorrowedQTensor() { Borrow::destroyBorrow(value_.data); }
  BorrowedQTensor(const BorrowedQTensor&) = delete;
  BorrowedQTensor& operator=(const BorrowedQTensor&) = delete;

  operator const QTensor&() const { return value_; }

 private:
  using Borrow = c10::MaybeOwnedTraits<at::Tensor>;
  QTensor value_;
};

// A list of them: as many qparams as tensors.
class BorrowedQTensors {
 public:
  BorrowedQTensors(at::TensorList data, at::ArrayRef<double> scales, at::IntArrayRef zero_points) {
    values_.reserve(data.size());
    for (size_t i = 0; i < data.size(); ++i) {
      values_.push_back({Borrow::createBorrow(data[i]), {scales[i], zero_points[i]}});
    }
  }
  BorrowedQTensors(at::ArrayRef<const at::Tensor*> data, at::ArrayRef<QParams> qparams) {
    values_.reserve(data.size());
    for (size_t i = 0; i < data.size(); ++i) {
      values_.push_back({Borrow::createBorrow(*data[i]), qparams[i]});
    }
  }
  ~BorrowedQTensors() {
    for (QTensor& value : values_) Borrow::destroyBorrow(value.data);
  }
  BorrowedQTensors(const BorrowedQTensors&) = delete;
  BorrowedQTensors& operator=(const BorrowedQTensors&) = delete;

  operator at::ArrayRef<QTensor>() const { return values_; }

 private:
  using Borrow = c10::MaybeOwnedTraits<at::Tensor>;
  c10::SmallVector<QTensor, 4> values_;
};

// shape: checked by the op, as everything else.
class BorrowedWeight {
 public:
  BorrowedWeight(const at::Tensor& data, const at::Tensor& scale,
                 const std::optional<at::Tensor>& bias, at::IntArrayRef shape)
      : value_{.data = {}, .scale = {}, .bias = std::nullopt, .shape = shape} {
    value_.data = Borrow::createBorrow(data);
    value_.scale = Borrow::createBorrow(scale);
    if (bias) value_.bias = Borrow::createBorrow(*bias);
  }
  ~BorrowedWeight() {
    Borrow::destroyBorrow(value_.data);
    Borrow::destroyBorrow(value_.scale);
    if (value_.bias) Borrow::destroyBorrow(*value_.bias);
  }
  BorrowedWeight(const BorrowedWeight&) = delete;
  BorrowedWeight& operator=(const BorrowedWeight&) = delete;

  operator const PackedWeight&() const { return value_; }

 private:
  using Borrow = c10::MaybeOwnedTraits<at::Tensor>;
  PackedWeight value_;
};

}  // namespace qnative::ops
