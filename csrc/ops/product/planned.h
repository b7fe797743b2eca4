#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "common/borrow.h"
#include "common/checks.h"
#include "common/kept.h"
#include "product/channel_params.h"
#include "qnative/planned.h"

// linear and the convolutions as plans and runs of them.
namespace qnative::ops {

struct ConvKind;

std::unique_ptr<PlannedOp> plan_linear_op(c10::ArrayRef<c10::IValue> constants);
// has_named_padding: the overload "padding".
std::unique_ptr<PlannedOp> plan_conv_op(const ConvKind& kind, bool has_named_padding,
                                        c10::ArrayRef<c10::IValue> constants);

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
//   const char* name() const;
//   const PackedWeight& w;
//   const OutputSpec& y;
//   Plan plan(const QTensor& x) const: what follows from constants and sizes, checked; has `layout`
//   at::Tensor run(const Plan&, const QTensor& x, const ChannelParams&) const;
template <class Layer, class Plan>
ChannelParams layer_params(const Layer& layer, const Plan& plan, const QTensor& x,
                           Scratch& scratch) {
  return make_channel_params(layer.name(), unsigned_qparams(x), layer.w, plan.layout, layer.y,
                             scratch);
}

template <class Layer>
at::Tensor run_layer(const Layer& layer, const QTensor& x) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = layer.plan(x);
  Scratch scratch(ChannelParams::bytes(plan.layout));
  return layer.run(plan, x, layer_params(layer, plan, x, scratch));
}

// The same with plans and parameters that are kept. Layer::Owned: the constants themselves, with
// the qparams of x.
template <class Layer>
class PlannedLayer final : public PlannedOp {
 public:
  explicit PlannedLayer(typename Layer::Owned constants)
      : constants_(std::move(constants)), layer_(constants_) {}

  at::Tensor run(const at::Tensor& tensor) const override {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const BorrowedQTensor borrowed(tensor, constants_.x);
    const QTensor& x = borrowed;
    const auto fits = [&](const Entry& kept) { return kept.fits(x.data); };
    if (const Entry* entry = entries_.find(fits)) return run(*entry, x);
    std::unique_ptr<const Entry> made = std::make_unique<Entry>(x.data, layer_.plan(x));
    const Entry* entry = entries_.add(made, fits);
    return run(entry == nullptr ? *made : *entry, x);
  }

 private:
  static constexpr size_t kMaxSizes = 8, kDtypes = 2;

  struct Entry {
    Entry(const at::Tensor& x, typename Layer::Plan its_plan)
        : sizes(x.sizes()), dtype(x.scalar_type()), plan(std::move(its_plan)) {}

    // Whether the checks that made the plan hold for x.
    bool fits(const at::Tensor& x) const {
      return x.defined() && x.device().is_cpu() && x.layout() == at::kStrided &&
             x.scalar_type() == dtype && x.sizes() == sizes;
    }

    at::DimVector sizes;
    at::ScalarType dtype;
    typename Layer::Plan plan;
  };

  at::Tensor run(const Entry& entry, const QTensor& x) const {
    const auto fits = [&](const KeptChannelParams& kept) { return kept.x_dtype() == entry.dtype; };
    const KeptChannelParams* kept = params_.find(fits);
    if (kept == nullptr) {
      Scratch scratch(ChannelParams::bytes(entry.plan.layout));
      std::unique_ptr<const KeptChannelParams> made = std::make_unique<KeptChannelParams>(
          entry.dtype, layer_params(layer_, entry.plan, x, scratch), entry.plan.layout);
      kept = params_.add(made, fits);  // there is a place for each dtype
    }
    return layer_.run(entry.plan, x, kept->params());
  }

  typename Layer::Owned constants_;
  Layer layer_;
  mutable KeptList<Entry, kMaxSizes> entries_;
  mutable KeptList<KeptChannelParams, kDtypes> params_;
};

}  // namespace qnative::ops
