#include "attention/heads.h"

#include <algorithm>
#include <limits>

namespace qnative::ops {
namespace {

// The strides of the matrices of x over a batch, 0 where it repeats one. The last dimension, that
// of heads, is in two parts: groups of heads, which share one head of keys and values, and the
// heads of a group.
Dims<int64_t> batch_strides(const at::Tensor& x, const Dims<int64_t>& batch, int64_t group) {
  const auto rank = static_cast<int64_t>(batch.size());
  Dims<int64_t> strides(rank + (group > 1 ? 1 : 0), 0);
  if (!x.defined()) return strides;
  const int64_t own = x.dim() - 2;
  for (int64_t i = std::max(-own, -rank); i < 0; ++i) {
    if (x.size(own + i) != 1) strides[rank + i] = x.stride(own + i);
  }
  if (group == 1) return strides;
  const int64_t head = strides[rank - 1];
  const bool is_shared = head != 0 && x.size(own - 1) != batch.back();
  strides[rank - 1] = is_shared ? head : head * group;
  strides[rank] = is_shared ? 0 : head;
  return strides;
}

}  // namespace

int64_t unite_heads(AttentionTensors& tensors, bool enable_gqa) {
  if (!enable_gqa) return 1;
  const int64_t heads = tensors.q.size(-3);
  const int64_t k_group = heads / tensors.k.size(-3), v_group = heads / tensors.v.size(-3);
  if (k_group == v_group) return k_group;
  tensors.k = tensors.k.repeat_interleave(k_group, -3);
  tensors.v = tensors.v.repeat_interleave(v_group, -3);
  return 1;
}

Heads::Heads(const AttentionTensors& tensors, const Dims<int64_t>& batch, int64_t group)
    : sizes_(batch),
      strides_{batch_strides(tensors.q, batch, group), batch_strides(tensors.k, batch, group),
               batch_strides(tensors.v, batch, group), batch_strides(tensors.mask, batch, group),
               batch_strides(tensors.y, batch, group)} {
  if (group > 1) {
    sizes_.back() /= group;
    sizes_.push_back(group);
  }
  for (const int64_t size : sizes_) count_ *= size;
  for (size_t i = sizes_.size(); i-- > 0;) {
    if (sizes_[i] != 1 && (strides_[1][i] != 0 || strides_[2][i] != 0)) break;
    shared_ *= sizes_[i];
  }
}

Places Heads::at(int64_t matrix) const {
  std::array<int64_t, 5> at = {};
  for (size_t i = sizes_.size(); i-- > 0;) {
    const int64_t index = matrix % sizes_[i];
    matrix /= sizes_[i];
    for (size_t t = 0; t < at.size(); ++t) at[t] += index * strides_[t][i];
  }
  return {.q = at[0], .k = at[1], .v = at[2], .mask = at[3], .y = at[4]};
}

MaskRows::MaskRows(const at::Tensor& mask, int64_t keys) : keys_(keys) {
  if (!mask.defined()) return;
  data_ = mask.const_data_ptr();
  is_bool_ = mask.scalar_type() == at::kBool;
  if (mask.dim() >= 2 && mask.size(-2) != 1) row_stride_ = mask.stride(-2);
  if (mask.dim() >= 1 && mask.size(-1) != 1) key_stride_ = mask.stride(-1);
  is_dense_ = !is_bool_ && (key_stride_ == 1 || keys == 1);
}

const float* MaskRows::row(int64_t place, int64_t query, float* buffer, int64_t& last) const {
  const int64_t begin = place + query * row_stride_;
  if (is_dense_) return static_cast<const float*>(data_) + begin;
  if (begin == last) return buffer;
  last = begin;
  const auto copy = [&](const auto* from, auto convert) {
    if (key_stride_ == 1) {
      for (int64_t t = 0; t < keys_; ++t) buffer[t] = convert(from[t]);
    } else {
      for (int64_t t = 0; t < keys_; ++t) buffer[t] = convert(from[t * key_stride_]);
    }
  };
  if (is_bool_) {
    constexpr float kMasked = -std::numeric_limits<float>::infinity();
    copy(static_cast<const uint8_t*>(data_) + begin,
         [](uint8_t takes_part) { return takes_part != 0 ? 0.0f : kMasked; });
  } else {
    copy(static_cast<const float*>(data_) + begin, [](float x) { return x; });
  }
  return buffer;
}

}  // namespace qnative::ops
