#include "attention/shape.h"

#include <cmath>
#include <utility>

#include "common/checks.h"
#include "qnative/limits.h"

namespace qnative::ops {
namespace {

template <class Int>
void check_products(const char* op, const char* what, const Int& count) {
  if (const std::optional<int64_t> known = c10::SymInt(count).maybe_as_int()) {
    TORCH_CHECK(*known <= kMaxProductsU8S8, "qnative::", op, ": at most ", kMaxProductsU8S8,
                " products can be summed in int32, got ", what, " ", *known);
  }
}

// All but the last two, with the heads that grouped ones stand for.
template <class Int>
Dims<Int> batch_of(const at::Tensor& x, const Int* heads) {
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  Dims<Int> batch(sizes.begin(), sizes.end() - 2);
  if (heads != nullptr) batch.back() = *heads;
  return batch;
}

template <class Int>
void check_groups(const char* op, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const at::ArrayRef<Int> sizes[] = {at::symint::sizes<Int>(q), at::symint::sizes<Int>(k),
                                     at::symint::sizes<Int>(v)};
  TORCH_CHECK(q.dim() >= 3 && k.dim() >= 3 && v.dim() >= 3, "qnative::", op,
              ": enable_gqa needs q, k and v of at least 3 dimensions, got ", sizes[0], ", ",
              sizes[1], " and ", sizes[2]);
  for (int i : {1, 2}) {
    const Int &heads = sizes[0][q.dim() - 3], &group = sizes[i][sizes[i].size() - 3];
    TORCH_CHECK(group > 0 && heads % group == 0, "qnative::", op, ": the heads of ",
                i == 1 ? "k" : "v", " must divide those of q, got ", group, " and ", heads);
  }
}

template <class Int>
void check_mask(const char* op, const at::Tensor& mask, const AttentionShape<Int>& shape,
                at::DeviceType device) {
  check_tensor(op, "attn_mask", mask, device);
  TORCH_CHECK(mask.scalar_type() == at::kBool || mask.scalar_type() == at::kFloat, "qnative::", op,
              ": attn_mask must be Bool or Float, got ", mask.scalar_type());
  Dims<Int> scores = shape.batch;
  scores.push_back(shape.queries);
  scores.push_back(shape.keys);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(mask);
  bool fits = sizes.size() <= scores.size();
  for (size_t i = 0; fits && i < sizes.size(); ++i) {
    fits = sizes[i] == 1 || sizes[i] == scores[scores.size() - sizes.size() + i];
  }
  TORCH_CHECK(fits, "qnative::", op, ": attn_mask must broadcast to the scores, ",
              at::ArrayRef<Int>(scores), ", got ", sizes);
}

template <class Int>
Layout<Int> contiguous(Dims<Int> sizes) {
  Layout<Int> y = {std::move(sizes), {}};
  y.strides.resize(y.sizes.size());
  Int stride = 1;
  for (size_t i = y.sizes.size(); i-- > 0;) {
    y.strides[i] = stride;
    stride = stride * (y.sizes[i] == 0 ? Int(1) : y.sizes[i]);
  }
  return y;
}

}  // namespace

template <class Int>
AttentionShape<Int> attention_shape(const char* op, const at::Tensor& q, const at::Tensor& k,
                                    const at::Tensor& v, const AttentionOptions& options,
                                    at::DeviceType device) {
  const at::ArrayRef<Int> q_sizes = at::symint::sizes<Int>(q), k_sizes = at::symint::sizes<Int>(k),
                          v_sizes = at::symint::sizes<Int>(v);
  TORCH_CHECK(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2, "qnative::", op,
              ": q, k and v must have at least 2 dimensions, got ", q_sizes, ", ", k_sizes, " and ",
              v_sizes);
  AttentionShape<Int> shape;
  shape.queries = q_sizes[q.dim() - 2];
  shape.keys = k_sizes[k.dim() - 2];
  shape.size = q_sizes.back();
  shape.value_size = v_sizes.back();
  TORCH_CHECK(shape.size == k_sizes.back(), "qnative::", op,
              ": the last sizes of q and k differ: ", q_sizes, " and ", k_sizes);
  TORCH_CHECK(shape.keys == v_sizes[v.dim() - 2], "qnative::", op,
              ": k and v have different numbers of rows: ", k_sizes, " and ", v_sizes);
  check_products(op, "heads of size", shape.size);
  check_products(op, "keys", shape.keys);
  if (options.enable_gqa) check_groups<Int>(op, q, k, v);
  const Int* const heads = options.enable_gqa ? &q_sizes[q.dim() - 3] : nullptr;
  const Dims<Int> batches[] = {batch_of<Int>(q, nullptr), batch_of(k, heads), batch_of(v, heads)};
  const at::ArrayRef<Int> shapes[] = {batches[0], batches[1], batches[2]};
  shape.batch = broadcast_shapes<Int>(op, shapes);
  if (options.scale) finite_float(op, "scale", *options.scale);
  if (options.mask) check_mask(op, *options.mask, shape, device);
  // As torch's flash attention gives it, which these shapes get.
  const bool is_flash = shape.batch.size() == 2 && shape.size == shape.value_size &&
                        shapes[0].equals(shapes[1]) && shapes[0].equals(shapes[2]);
  if (is_flash) shape.y = elementwise_layout<Int>(op, {q});
  if (is_flash && shape.y.strides.back() == 1) return shape;
  Dims<Int> sizes = shape.batch;
  sizes.push_back(shape.queries);
  sizes.push_back(shape.value_size);
  shape.y = contiguous(std::move(sizes));
  return shape;
}

double softmax_scale(const AttentionOptions& options, int64_t size) {
  if (options.scale) return *options.scale;
  return size == 0 ? 1.0 : 1 / std::sqrt(static_cast<double>(size));
}

Work attention_work(const AttentionShape<int64_t>& shape) {
  const int64_t scores = c10::multiply_integers(shape.batch) * shape.queries * shape.keys;
  return {"gemm", 2.0 * static_cast<double>(scores * (shape.size + shape.value_size))};
}

AttentionOptions without_mask(const AttentionOptions& options) {
  return {std::nullopt, options.is_causal, options.scale, options.enable_gqa};
}

AttentionOptions with_mask(const AttentionOptions& options, Inputs x) {
  AttentionOptions all = options;
  if (x.size() == 4) all.mask = *x[3];
  return all;
}

at::Tensor mask_of(Inputs x) { return x.size() == 4 ? *x[3] : at::Tensor(); }

AttentionInputs::AttentionInputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const AttentionOptions& options)
    : tensors_{&q, &k, &v} {
  if (options.mask) tensors_.push_back(&*options.mask);
}

AttentionOptions read_options(Arguments& arguments) {
  AttentionOptions options;
  arguments.optional_operand();
  options.is_causal = arguments.flag();
  options.scale = arguments.optional<double>();
  options.enable_gqa = arguments.flag();
  return options;
}

template AttentionShape<int64_t> attention_shape(const char*, const at::Tensor&, const at::Tensor&,
                                                 const at::Tensor&, const AttentionOptions&,
                                                 at::DeviceType);
template AttentionShape<c10::SymInt> attention_shape(const char*, const at::Tensor&,
                                                     const at::Tensor&, const at::Tensor&,
                                                     const AttentionOptions&, at::DeviceType);

}  // namespace qnative::ops
