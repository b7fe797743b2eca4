#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <memory>
#include <string_view>

#include "qnative/export.h"

// An op whose arguments stay the same, but for some of its tensors: what follows from the arguments
// is computed once, and what follows from dtypes, sizes and strides of the tensors is kept for some
// of them.
//
//   const auto add = plan_op("qnative::add", {at::Tensor(), 0.1, 128, at::Tensor(), 0.2, 3, ...});
//   const at::Tensor y = add->run({&a, &b});  // for each a and b
//
// Bits and errors are those of the op. Safe to call from any number of threads at the same time,
// which do not wait for each other.
namespace qnative {

class QNATIVE_API PlannedOp {
 public:
  using Inputs = c10::ArrayRef<const at::Tensor*>;

  PlannedOp() = default;
  virtual ~PlannedOp() = default;
  PlannedOp(const PlannedOp&) = delete;
  PlannedOp& operator=(const PlannedOp&) = delete;

  // inputs: the tensors that plan_op() left open, in the order of the schema.
  virtual at::Tensor run(Inputs inputs) const = 0;

  // What run(inputs) computes, for profiles.
  struct Work {
    const char* kernel = "";  // the one that takes most of the time, as qnative_kernels() has it
    double operations = 0;    // multiplications and additions of 8-bit products
  };
  virtual Work work(Inputs inputs) const = 0;
};

// name: with the overload, as in "qnative::conv2d.padding". arguments: all of the schema, in order;
// an undefined tensor is open, also in a list. The others must not change afterwards. Null for ops
// without a plan, and where a weight or a table is open. Errors: an activation or padding that the
// op does not know, and arguments of other types than those of the schema.
QNATIVE_API std::unique_ptr<PlannedOp> plan_op(std::string_view name,
                                               c10::ArrayRef<c10::IValue> arguments);

}  // namespace qnative
