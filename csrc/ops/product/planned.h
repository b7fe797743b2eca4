#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "common/borrow.h"
#include "common/checks.h"
#include "common/kept.h"
#include "common/planned.h"
#include "product/channel_params.h"

// linear and the convolutions as plans and runs of them.
namespace qnative::ops {

// ChannelParams in memory of their own, for x of one dtype.
class KeptChannelParams {
 public:
  KeptChannelParams(at::ScalarType x_dtype, const ChannelParams& params,
                    const WeightLayout& layout);

  at::ScalarType x_dtype() const { return x_dtype_; }
  const ChannelParams& params() const { return params_; }

 private:
  at::ScalarType x_dtype_;
  c10::DataPtr memory_;
  ChannelParams params_;
};

// A layer has references to its constants, so that the op and the planned op share its code:
//   Plan plan(const QTensor& x) const: what follows from constants and sizes, checked; has `layout`
//   void keep(Plan&, const QTensor& x) const, if there is more to compute for x of one layout
//   ChannelParams params(const Plan&, const QTensor& x, Scratch&) const;
//   at::Tensor run(const Plan&, const QTensor& x, const ChannelParams&) const;
//   Work work(const Plan&, const QTensor& x) const;

template <class Layer>
at::Tensor run_layer(const Layer& layer, const QTensor& x) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = layer.plan(x);
  Scratch scratch(ChannelParams::bytes(plan.layout));
  return layer.run(plan, x, layer.params(plan, x, scratch));
}

// The same as an Op whose parameters are kept, for each dtype of x. Layer::Owned: the constants
// themselves, with the qparams of x.
template <class Layer>
class LayerOp {
 public:
  struct Plan {
    typename Layer::Plan plan;
    const KeptChannelParams* params;
  };

  explicit LayerOp(typename Layer::Owned constants)
      : kept_(std::make_unique<Kept>(std::move(constants))) {}

  Plan plan(Inputs inputs) const {
    const BorrowedQTensor borrowed(*inputs[0], kept_->constants.x);
    const QTensor& x = borrowed;
    auto plan = kept_->layer.plan(x);
    if constexpr (requires { kept_->layer.keep(plan, x); }) kept_->layer.keep(plan, x);
    const at::ScalarType dtype = x.data.scalar_type();
    const auto fits = [&](const KeptChannelParams& params) { return params.x_dtype() == dtype; };
    const KeptChannelParams* params = kept_->params.find(fits);
    if (params == nullptr) {
      Scratch scratch(ChannelParams::bytes(plan.layout));
      std::unique_ptr<const KeptChannelParams> made = std::make_unique<KeptChannelParams>(
          dtype, kept_->layer.params(plan, x, scratch), plan.layout);
      params = kept_->params.add(made, fits);  // there is a place for each dtype
    }
    return {std::move(plan), params};
  }

  Work work(const Plan& plan, Inputs inputs) const {
    return kept_->layer.work(plan.plan, BorrowedQTensor(*inputs[0], kept_->constants.x));
  }

  at::Tensor run(const Plan& plan, Inputs inputs) const {
    const BorrowedQTensor x(*inputs[0], kept_->constants.x);
    return kept_->layer.run(plan.plan, x, plan.params->params());
  }

 private:
  static constexpr size_t kMaxDtypes = 4;

  struct Kept {
    explicit Kept(typename Layer::Owned its_constants)
        : constants(std::move(its_constants)), layer(constants) {}

    typename Layer::Owned constants;
    Layer layer;
    KeptList<KeptChannelParams, kMaxDtypes> params;
  };
  std::unique_ptr<Kept> kept_;
};

}  // namespace qnative::ops
