#include <torch/library.h>

#include <cstring>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "lookup/lookup.h"
#include "product/channel_params.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 64 * 1024;  // bytes a task

// torch skips tensors of shape [0] whatever the others look like.
template <class Int>
bool is_skipped(at::ArrayRef<Int> sizes) {
  return sizes.size() == 1 && sizes[0] == 0;
}

template <class Int>
struct CatShape {
  Dims<Int> sizes;
  int64_t dim;  // not negative
};

template <class Int>
CatShape<Int> check_cat(at::TensorList tensors, at::ArrayRef<double> scales,
                        at::IntArrayRef zero_points, int64_t dim, at::DeviceType device) {
  TORCH_CHECK(!tensors.empty(), "qnative::cat: tensors must not be empty");
  TORCH_CHECK(scales.size() == tensors.size() && zero_points.size() == tensors.size(),
              "qnative::cat: ", tensors.size(),
              " tensors need as many scales and zero_points, got ", scales.size(), " and ",
              zero_points.size());
  CatShape<Int> shape{{Int(0)}, 0};
  bool found = false;
  for (size_t i = 0; i < tensors.size(); ++i) {
    check_8bit("cat", "tensors", tensors[i], device);
    check_qparams("cat", "", scales[i], zero_points[i], tensors[i].scalar_type());
    const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(tensors[i]);
    if (is_skipped(sizes)) continue;
    TORCH_CHECK(!sizes.empty(), "qnative::cat: tensors of no dimensions cannot be joined");
    if (!found) {
      found = true;
      const int64_t rank = static_cast<int64_t>(sizes.size());
      TORCH_CHECK(dim >= -rank && dim < rank, "qnative::cat: dim must be in [", -rank, ", ",
                  rank - 1, "], got ", dim);
      shape = {Dims<Int>(sizes.begin(), sizes.end()), dim < 0 ? dim + rank : dim};
      continue;
    }
    bool fits = sizes.size() == shape.sizes.size();
    for (size_t d = 0; fits && d < sizes.size(); ++d) {
      fits = static_cast<int64_t>(d) == shape.dim || sizes[d] == shape.sizes[d];
    }
    TORCH_CHECK(fits, "qnative::cat: sizes must agree but in dimension ", shape.dim, ", got ",
                at::ArrayRef<Int>(shape.sizes), " and ", sizes);
    shape.sizes[shape.dim] += sizes[shape.dim];
  }
  return shape;
}

// The format that all inputs suggest, else contiguous.
at::MemoryFormat cat_format(at::TensorList tensors) {
  const at::MemoryFormat format = tensors.front().suggest_memory_format();
  const bool alike = std::all_of(tensors.begin(), tensors.end(), [&](const at::Tensor& tensor) {
    return tensor.suggest_memory_format() == format;
  });
  return alike ? format : at::MemoryFormat::Contiguous;
}

// Elements in the memory of y: [outer][y_chunk], and in that of an input [outer][chunk].
int64_t outer_size(const at::Tensor& y, int64_t dim) {
  const Dims<int64_t> strides(y.strides().begin(), y.strides().end());
  int64_t outer = 1;
  bool slower = false;
  for (int64_t d : physical_order<int64_t>(y.sizes(), strides)) {
    if (slower) outer *= y.size(d);
    slower |= d == dim;
  }
  return outer;
}

at::Tensor cat_meta(at::TensorList tensors, at::ArrayRef<double> scales,
                    at::IntArrayRef zero_points, int64_t dim, double y_scale, int64_t y_zero_point,
                    at::ScalarType y_dtype) {
  const auto shape = check_cat<c10::SymInt>(tensors, scales, zero_points, dim, at::kMeta);
  make_output("cat", y_scale, y_zero_point, y_dtype);
  return at::empty_symint(
      shape.sizes, tensors.front().options().dtype(y_dtype).memory_format(cat_format(tensors)));
}

}  // namespace

at::Tensor cat(at::TensorList tensors, at::ArrayRef<double> scales, at::IntArrayRef zero_points,
               int64_t dim, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  static auto& run_lookup = select(lookup::kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto shape = check_cat<int64_t>(tensors, scales, zero_points, dim, at::kCPU);
  const OutputSpec output = make_output("cat", y_scale, y_zero_point, y_dtype);
  const at::MemoryFormat format = cat_format(tensors);
  const at::Tensor y = empty(shape.sizes, y_dtype, format);
  if (y.numel() == 0) return y;
  const int64_t outer = outer_size(y, shape.dim), y_chunk = y.numel() / outer;
  auto* to = static_cast<uint8_t*>(y.mutable_data_ptr());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].numel() == 0) continue;
    const at::Tensor x = tensors[i].contiguous(format);
    const auto* from = static_cast<const uint8_t*>(x.const_data_ptr());
    const int64_t chunk = x.numel() / outer;
    const auto table = rescale_table("cat", {scales[i], zero_points[i]}, x.scalar_type(), output);
    const auto copy = [&](const uint8_t* source, uint8_t* target, int64_t n) {
      if (table) {
        run_lookup(source, target, n, table->data());
      } else {
        std::memcpy(target, source, n);
      }
    };
    if (outer == 1) {
      run_parts(chunk, 1, kGrain,
                [&](int64_t begin, int64_t end) { copy(from + begin, to + begin, end - begin); });
    } else {
      run_parts(outer, chunk, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) copy(from + o * chunk, to + o * y_chunk, chunk);
      });
    }
    to += chunk;
  }
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("cat", TORCH_FN(cat)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("cat", TORCH_FN(cat_meta)); }

}  // namespace qnative::ops
