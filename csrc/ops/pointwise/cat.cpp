#include <torch/library.h>

#include <array>
#include <cstring>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "lookup/lookup.h"
#include "norm/norm.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

constexpr int64_t kCatGrain = 64 * 1024;  // bytes a task

// torch skips tensors of shape [0] whatever the others look like.
template <class Int>
bool is_skipped(at::ArrayRef<Int> sizes) {
  return sizes.size() == 1 && sizes[0] == 0;
}

// The format that all inputs suggest, else contiguous.
at::MemoryFormat cat_format(at::ArrayRef<QTensor> tensors) {
  const at::MemoryFormat format = tensors.front().data.suggest_memory_format();
  const bool alike = std::all_of(tensors.begin(), tensors.end(), [&](const QTensor& tensor) {
    return tensor.data.suggest_memory_format() == format;
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

template <class Int>
struct CatShape {
  Dims<Int> sizes;
  int64_t dim;  // not negative
};

template <class Int>
CatShape<Int> cat_shape(at::ArrayRef<QTensor> tensors, int64_t dim) {
  CatShape<Int> shape{{Int(0)}, 0};
  bool found = false;
  for (const QTensor& tensor : tensors) {
    const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(tensor.data);
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

// All that constants and shapes determine, checked.
template <class Int>
struct CatPlan {
  CatShape<Int> shape;
  at::MemoryFormat format;
};

template <class Int>
CatPlan<Int> plan_cat(at::ArrayRef<QTensor> tensors, int64_t dim, const OutputSpec& y) {
  TORCH_CHECK(!tensors.empty(), "qnative::cat: tensors must not be empty");
  for (const QTensor& tensor : tensors) {
    check_quantized("cat", "tensors", tensor.data, kDevice<Int>, Words::kAllowed);
    check_qparams("cat", "", tensor.qparams, tensor.data.scalar_type());
  }
  auto shape = cat_shape<Int>(tensors, dim);
  check_output("cat", y, FloatOutput::kRefused, Words::kAllowed);
  for (const QTensor& tensor : tensors) scale_ratio("cat", tensor, y);
  return {std::move(shape), cat_format(tensors)};
}

void check_count(size_t tensors, at::ArrayRef<double> scales, at::IntArrayRef zero_points) {
  TORCH_CHECK(scales.size() == tensors && zero_points.size() == tensors, "qnative::cat: ", tensors,
              " tensors need as many scales and zero_points, got ", scales.size(), " and ",
              zero_points.size());
}

// Copies elements of x as elements of y.
class CatCopy {
 public:
  CatCopy(const QTensor& x, const OutputSpec& y)
      : x_bytes_(static_cast<int64_t>(x.data.element_size())),
        y_bytes_(is_word(y.dtype) ? 2 : 1),
        is_same_(x.data.scalar_type() == y.dtype && x.qparams.scale == y.qparams.scale &&
                 x.qparams.zero_point == y.qparams.zero_point && !has_bounds(y.activation)) {
    if (is_same_) return;
    if (x_bytes_ == 1 && y_bytes_ == 1) {
      table_ = rescale_table("cat", x, y);
    } else {
      multiplier_ = scale_ratio("cat", x, y);
      args_ = {.x_zero_point = unsigned_zero_point(x),
               .x_flip = flip_of(x.data.scalar_type()),
               .requantize = make_requantize(y),
               .x_is_word = x_bytes_ == 2,
               .y_is_word = y_bytes_ == 2};
    }
  }

  // Empty where bytes are copied.
  const char* kernel() const { return is_same_ ? "" : table_ ? "lookup" : "norm.scale"; }

  // n elements, `from` of x on and `to` of y on.
  void operator()(const std::byte* x, int64_t from, std::byte* y, int64_t to, int64_t n) const {
    static auto& run_lookup = select(lookup::kernels());
    static auto& run_scale = select(norm::scale_kernels());
    x += from * x_bytes_;
    y += to * y_bytes_;
    if (is_same_) {
      std::memcpy(y, x, n * y_bytes_);
    } else if (table_) {
      run_lookup(reinterpret_cast<const uint8_t*>(x), reinterpret_cast<uint8_t*>(y), n,
                 table_->data());
    } else {
      run_scale(args_, x, y, n, multiplier_, 0);
    }
  }

 private:
  int64_t x_bytes_, y_bytes_;
  bool is_same_;
  std::optional<std::array<uint8_t, 256>> table_;
  float multiplier_ = 0;
  norm::Args args_{};
};

// What the eager and the planned op share.
struct CatOp {
  struct Plan {
    CatPlan<int64_t> cat;
    c10::SmallVector<CatCopy, 4> copies;  // of each tensor
  };
  c10::SmallVector<QParams, 4> qparams;
  int64_t dim;
  OutputSpec y;

  Plan plan(Inputs x) const {
    const BorrowedQTensors borrowed(x, qparams);
    const at::ArrayRef<QTensor> tensors = borrowed;
    Plan plan{plan_cat<int64_t>(tensors, dim, y), {}};
    for (const QTensor& tensor : tensors) plan.copies.emplace_back(tensor, y);
    return plan;
  }

  static Work work(const Plan& plan, Inputs /*x*/) {
    const char* kernel = "";
    for (const CatCopy& copy : plan.copies) kernel = *kernel == '\0' ? copy.kernel() : kernel;
    return {kernel};
  }
  at::Tensor run(const Plan& plan, Inputs x) const {
    const at::Tensor result = empty(plan.cat.shape.sizes, y.dtype, plan.cat.format);
    if (result.numel() == 0) return result;
    const int64_t outer = outer_size(result, plan.cat.shape.dim);
    const int64_t result_chunk = result.numel() / outer;
    auto* const to = static_cast<std::byte*>(result.mutable_data_ptr());
    int64_t at = 0;  // of the tensor in a chunk of the result
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i]->numel() == 0) continue;
      const auto dense = x[i]->expect_contiguous(plan.cat.format);
      const auto* const from = static_cast<const std::byte*>(dense->const_data_ptr());
      const int64_t chunk = dense->numel() / outer;
      const CatCopy& copy = plan.copies[i];
      if (outer == 1) {
        run_parts(chunk, 1, kCatGrain, [&](int64_t begin, int64_t end) {
          copy(from, begin, to, at + begin, end - begin);
        });
      } else {
        run_parts(outer, chunk, kCatGrain, [&](int64_t begin, int64_t end) {
          for (int64_t o = begin; o < end; ++o) {
            copy(from, o * chunk, to, at + o * result_chunk, chunk);
          }
        });
      }
      at += chunk;
    }
    return result;
  }
};

QTensor cat_meta(at::ArrayRef<QTensor> tensors, int64_t dim, const OutputSpec& y) {
  const auto plan = plan_cat<c10::SymInt>(tensors, dim, y);
  const auto options = tensors.front().data.options().dtype(y.dtype).memory_format(plan.format);
  return {at::empty_symint(plan.shape.sizes, options), y.qparams};
}

}  // namespace

QTensor cat(at::ArrayRef<QTensor> tensors, int64_t dim, const OutputSpec& y) {
  CatOp op{{}, dim, y};
  c10::SmallVector<const at::Tensor*, 4> inputs;
  for (const QTensor& tensor : tensors) {
    op.qparams.push_back(tensor.qparams);
    inputs.push_back(&tensor.data);
  }
  return {run_op(op, inputs), y.qparams};
}

std::unique_ptr<PlannedOp> plan_cat_op(Arguments& arguments) {
  CatOp op{};
  const size_t count = arguments.operand_list();
  const std::vector<double> scales = arguments.next().toDoubleVector();
  const std::vector<int64_t> zero_points = arguments.next().toIntVector();
  check_count(count, scales, zero_points);
  for (size_t i = 0; i < count; ++i) op.qparams.push_back({scales[i], zero_points[i]});
  op.dim = arguments.integer();
  op.y = arguments.output();
  return make_planned(std::move(op), arguments);
}

namespace {

// The op of the schema. kRun: cat or cat_meta.
template <auto kRun>
at::Tensor cat_op(at::TensorList tensors, at::ArrayRef<double> scales, at::IntArrayRef zero_points,
                  int64_t dim, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  check_count(tensors.size(), scales, zero_points);
  return kRun(BorrowedQTensors(tensors, scales, zero_points), dim,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("cat", TORCH_FN(cat_op<cat>)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("cat", TORCH_FN(cat_op<cat_meta>)); }

}  // namespace qnative::ops
