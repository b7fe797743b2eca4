#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <utility>

#include "common/arguments.h"
#include "common/kept.h"
#include "qnative/planned.h"

// Ops as plans and runs of them: the eager op is both in a row, the planned op keeps its plans.
//
// An Op has the arguments that are not tensors to compute with, and
//   using Plan = ...;
//   Plan plan(Inputs x) const;  // checks, and what follows from arguments, dtypes and layouts
//   at::Tensor run(const Plan& plan, Inputs x) const;
//   Work work(const Plan& plan, Inputs x) const;
namespace qnative::ops {

using Inputs = PlannedOp::Inputs;
using Work = PlannedOp::Work;

// Arguments that the eager op borrows and the planned op owns.
template <class T>
class Held {
 public:
  static Held borrow(const T& value) { return Held(&value, nullptr); }
  static Held own(T value) {
    auto owned = std::make_unique<const T>(std::move(value));
    const T* const at = owned.get();
    return Held(at, std::move(owned));
  }
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_; }

 private:
  Held(const T* value, std::unique_ptr<const T> owned) : value_(value), owned_(std::move(owned)) {}

  const T* value_;
  std::unique_ptr<const T> owned_;
};

template <class Op>
at::Tensor run_op(const Op& op, Inputs inputs) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return op.run(op.plan(inputs), inputs);
}

// All of a tensor that plans depend on. A view into an IntArrayRef would not live long enough.
class InputLayout {
 public:
  explicit InputLayout(const at::Tensor& x)
      : dtype_(x.scalar_type()), sizes_(x.sizes()), strides_(x.strides()) {}

  // Whether the checks that made a plan hold for x as well.
  bool fits(const at::Tensor& x) const {
    return x.defined() && x.device().is_cpu() && x.layout() == at::kStrided &&
           x.scalar_type() == dtype_ && x.sizes() == sizes_ && x.strides() == strides_;
  }

 private:
  at::ScalarType dtype_;
  at::DimVector sizes_, strides_;
};

template <class Op>
class Planned final : public PlannedOp {
 public:
  // operands: all inputs of the op, undefined where they are open.
  Planned(Op op, c10::SmallVector<at::Tensor, 4> operands)
      : op_(std::move(op)), operands_(std::move(operands)) {
    for (const at::Tensor& operand : operands_) open_ += operand.defined() ? 0 : 1;
  }

  at::Tensor run(Inputs inputs) const override {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return with_operands(inputs, [this](Inputs all) { return run_all(all); });
  }

  Work work(Inputs inputs) const override {
    return with_operands(inputs, [this](Inputs all) { return op_.work(op_.plan(all), all); });
  }

 private:
  static constexpr size_t kMaxLayouts = 8;

  struct Entry {
    Entry(Inputs inputs, typename Op::Plan its_plan) : plan(std::move(its_plan)) {
      for (const at::Tensor* input : inputs) layouts.emplace_back(*input);
    }
    bool fits(Inputs inputs) const {
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (!layouts[i].fits(*inputs[i])) return false;
      }
      return true;
    }

    c10::SmallVector<InputLayout, 2> layouts;
    typename Op::Plan plan;
  };

  // f(all inputs of the op)
  template <class F>
  auto with_operands(Inputs inputs, const F& f) const {
    TORCH_CHECK(inputs.size() == open_, "qnative: a planned op wants ", open_, " tensors, got ",
                inputs.size());
    if (open_ == operands_.size()) return f(inputs);
    c10::SmallVector<const at::Tensor*, 4> all;
    size_t next = 0;
    for (const at::Tensor& operand : operands_) {
      all.push_back(operand.defined() ? &operand : inputs[next++]);
    }
    return f(all);
  }

  at::Tensor run_all(Inputs inputs) const {
    const auto fits = [&](const Entry& kept) { return kept.fits(inputs); };
    if (const Entry* entry = entries_.find(fits)) return op_.run(entry->plan, inputs);
    std::unique_ptr<const Entry> made = std::make_unique<Entry>(inputs, op_.plan(inputs));
    const Entry* entry = entries_.add(made, fits);
    return op_.run(entry == nullptr ? made->plan : entry->plan, inputs);
  }

  Op op_;
  c10::SmallVector<at::Tensor, 4> operands_;
  size_t open_ = 0;
  mutable KeptList<Entry, kMaxLayouts> entries_;
};

// Null where a weight is open.
template <class Op>
std::unique_ptr<PlannedOp> make_planned(Op op, const Arguments& arguments) {
  if (arguments.has_open_weight()) return nullptr;
  return std::make_unique<Planned<Op>>(std::move(op), arguments.operands());
}

}  // namespace qnative::ops
