#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <memory>
#include <string_view>

#include "qnative/export.h"

// An op of which everything but x stays the same: what follows from the constants is computed at
// the first call, and what follows from the sizes of x is kept for some of them.
//
//   const auto op = plan_op("qnative::linear", constants);
//   const at::Tensor y = op->run(x);  // for each x
//
// Bits and errors are those of the op. Safe to call from any number of threads at the same time,
// which do not wait for each other.
namespace qnative {

class QNATIVE_API PlannedOp {
 public:
  PlannedOp() = default;
  virtual ~PlannedOp() = default;
  PlannedOp(const PlannedOp&) = delete;
  PlannedOp& operator=(const PlannedOp&) = delete;

  virtual at::Tensor run(const at::Tensor& x) const = 0;
};

// name: with the overload, as in "qnative::conv2d.padding". constants: the arguments of the schema
// after x, all of them; their tensors must not change afterwards. Null for ops without a plan:
// linear, conv1d, conv2d and conv3d have one. Errors: an activation or padding that the op does not
// know, and arguments of other types than those of the schema.
QNATIVE_API std::unique_ptr<PlannedOp> plan_op(std::string_view name,
                                               c10::ArrayRef<c10::IValue> constants);

}  // namespace qnative
