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
    check_8bit("cat", "tensors", tensor.data, kDevice<Int>);
    check_qparams("cat", "", tensor.qparams, tensor.data.scalar_type());
  }
  auto shape = cat_shape<Int>(tensors, dim);
  check_output("cat", y);
  for (const QTensor& tensor : tensors) scale_ratio("cat", tensor, y);
  return {std::move(shape), cat_format(tensors)};
}

void check_count(size_t tensors, at::ArrayRef<double> scales, at::IntArrayRef zero_points) {
  TORCH_CHECK(scales.size() == tensors && zero_points.size() == tensors, "qnative::cat: ", tensors,
              " tensors need as many scales and zero_points, got ", scales.size(), " and ",
              zero_points.size());
}

// What the eager and the planned op share.
struct CatOp {
  // Of bytes, for each tensor; none: they stay.
  using Table = std::optional<std::array<uint8_t, 256>>;
  struct Plan {
    CatPlan<int64_t> cat;
    c10::SmallVector<Table, 4> tables;
  };
  c10::SmallVector<QParams, 4> qparams;
  int64_t dim;
  OutputSpec y;

  Plan plan(Inputs x) const {
    const BorrowedQTensors borrowed(x, qparams);
    const at::ArrayRef<QTensor> tensors = borrowed;
    Plan plan{plan_cat<int64_t>(tensors, dim, y), {}};
    for (const QTensor& tensor : tensors) plan.tables.push_back(rescale_table("cat", tensor, y));
    return plan;
  }

  at::Tensor run(const Plan& plan, Inputs x) const {
    const at::Tensor result = empty(plan.cat.shape.sizes, y.dtype, plan.cat.format);
    if (result.numel() == 0) return result;
    const int64_t outer = outer_size(result, plan.cat.shape.dim);
    const int64_t result_chunk = result.numel() / outer;
    auto* to = static_cast<uint8_t*>(result.mutable_data_ptr());
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i]->numel() == 0) continue;
      const auto dense = x[i]->expect_contiguous(plan.cat.format);
      const int64_t chunk = dense->numel() / outer;
      copy(static_cast<const uint8_t*>(dense->const_data_ptr()), to, outer, chunk, result_chunk,
           plan.tables[i]);
      to += chunk;
    }
    return result;
  }

 private:
  // `outer` chunks, which are to_chunk bytes apart in the result.
  static void copy(const uint8_t* from, uint8_t* to, int64_t outer, int64_t chunk, int64_t to_chunk,
                   const Table& table) {
    static auto& run_lookup = select(lookup::kernels());
    const auto copy_bytes = [&](const uint8_t* source, uint8_t* target, int64_t n) {
      if (table) {
        run_lookup(source, target, n, table->data());
      } else {
        std::memcpy(target, source, n);
      }
    };
    if (outer == 1) {
      run_parts(chunk, 1, kCatGrain, [&](int64_t begin, int64_t end) {
        copy_bytes(from + begin, to + begin, end - begin);
      });
    } else {
      run_parts(outer, chunk, kCatGrain, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
          copy_bytes(from + o * chunk, to + o * to_chunk, chunk);
        }
      });
    }
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
