#include "qnative/ops/matmul.h"

#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "common/binary_op.h"
#include "common/borrow.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "gemm/gemm.h"
#include "matmul/shape.h"
#include "panels/panels.h"
#include "product/rows.h"
#include "product/weight.h"
#include "qnative/limits.h"

namespace qnative::ops {
namespace {

constexpr int64_t kByteGrain = 64 * 1024;          // bytes a task packs or sums
constexpr int64_t kPackedBytes = 8 * 1024 * 1024;  // of matrices that are packed at a time

constexpr const char* kMatmul = "matmul";

float multiplier_of(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  return finite_multiplier(kMatmul, a.qparams.scale * b.qparams.scale / output_qparams(y).scale);
}

// Shapes that follow from a and b, everything checked.
template <class Int>
MatmulShape<Int> plan_matmul(const QTensor& a, const QTensor& b, const OutputSpec& y,
                             at::DeviceType device) {
  check_qtensor(kMatmul, "a", a, device);
  check_qtensor(kMatmul, "b", b, device);
  const auto shape = matmul_shape<Int>(kMatmul, a.data, b.data);
  if (const std::optional<int64_t> known = c10::SymInt(shape.k).maybe_as_int()) {
    TORCH_CHECK(*known <= kMaxProductsU8U8, "qnative::matmul: at most ", kMaxProductsU8U8,
                " products can be summed in int32, got ", at::symint::sizes<Int>(a.data), " and ",
                at::symint::sizes<Int>(b.data));
  }
  check_output(kMatmul, y, FloatOutput::kAllowed);
  multiplier_of(a, b, y);
  return shape;
}

// One call. Right matrices become packed weights, a chunk of them at a time; their zero point is
// that of the int8 form.
class Matmul {
 public:
  Matmul(const QTensor& a, const QTensor& b, const MatmulShape<int64_t>& shape,
         const OutputSpec& output, const at::Tensor& y)
      : a_(a.data, shape.batch, true),
        b_(b.data, shape.batch, false),
        a_data_(static_cast<const uint8_t*>(a.data.const_data_ptr())),
        b_data_(static_cast<const uint8_t*>(b.data.const_data_ptr())),
        a_flip_(flip_of(a.data.scalar_type())),
        b_flip_(flip_of(b.data.scalar_type()) ^ 0x80),
        a_zero_point_(unsigned_zero_point(a.qparams.zero_point, a.data.scalar_type())),
        b_zero_point_(unsigned_zero_point(b.qparams.zero_point, b.data.scalar_type()) - 128),
        m_(merge_rows(a.data, shape.m, shape.k, a_, b_)),
        n_(shape.n),
        k_(shape.k),
        multiplier_(multiplier_of(a, b, output)),
        output_(output),
        y_(static_cast<std::byte*>(y.mutable_data_ptr())),
        y_bytes_(static_cast<int64_t>(y.element_size())) {}

  void run() {
    const auto batches = static_cast<int64_t>(a_.offsets.size());
    const WeightLayout layout{.groups = 1, .n = n_, .segments = 1, .segment_size = k_};
    panels_ = layout.padded_n() / 16;
    panel_bytes_ = layout.panel_bytes();
    const int64_t fitting = std::max<int64_t>(kPackedBytes / panel_bytes_, 1);
    const int64_t slots = std::min(batches, fitting), padded_n = layout.padded_n();
    Scratch scratch(3 * Scratch::bytes<float>(padded_n) +
                    Scratch::bytes<int8_t>(slots * panel_bytes_) +
                    Scratch::bytes<int32_t>(slots * padded_n) +
                    (b_zero_point_ == 0 ? 0 : Scratch::bytes<int32_t>(slots * m_)));
    gemm::Args product = make_product(output_, scratch, padded_n);
    packed_ = scratch.take<int8_t>(slots * panel_bytes_);
    starts_ = scratch.take<int32_t>(slots * padded_n);
    row_factors_ = b_zero_point_ == 0 ? nullptr : scratch.take<int32_t>(slots * m_);
    for (int64_t begin = 0; begin < batches; begin += slots) {
      const int64_t end = std::min(begin + slots, batches);
      pack(begin, end);
      if (row_factors_ != nullptr) sum_rows(begin, end);
      const int64_t tasks = count_tasks((end - begin) * m_ * n_ * k_, kProductGrain);
      if (end - begin < tasks) {
        for (int64_t i = begin; i < end; ++i) multiply(i, i - begin, product);
        continue;
      }
      run_tasks(tasks, [&](int64_t task) {
        const Part part = part_of(end - begin, tasks, task);
        for (int64_t i = part.begin; i < part.end; ++i) multiply(begin + i, i, product);
      });
    }
  }

 private:
  gemm::Args make_product(const OutputSpec& output, Scratch& scratch, int64_t padded_n) const {
    auto* const multiplier = scratch.take<float>(padded_n);
    auto* const bias = scratch.take<float>(padded_n);
    auto* const ones = scratch.take<int32_t>(padded_n);
    std::fill_n(multiplier, padded_n, multiplier_);
    std::fill_n(bias, padded_n, 0.0f);
    std::fill_n(ones, padded_n, 1);
    gemm::Args args{};
    args.multiplier = multiplier;
    args.bias = bias;
    args.column_factor = ones;
    args.n = n_;
    args.float_output = output.is_float();
    if (!output.is_float()) args.requantize = make_requantize(output);
    args.float_lo = static_cast<float>(output.activation.min);
    args.float_hi = static_cast<float>(output.activation.max);
    return args;
  }

  // A matrix that b repeats, being expanded, is packed once.
  void pack(int64_t begin, int64_t end) {
    slots_.resize(end - begin);
    for (int64_t slot = 0; slot < end - begin; ++slot) {
      const int64_t i = begin + slot;
      const bool repeats = slot > 0 && b_.offsets[i] == b_.offsets[i - 1];
      slots_[slot] = repeats ? slots_[slot - 1] : slot;
    }
    run_parts((end - begin) * panels_, 16 * k_, kByteGrain, [&](int64_t first, int64_t last) {
      for (int64_t at = first; at < last; ++at) {
        const int64_t slot = at / panels_, panel = at % panels_;
        if (slots_[slot] == slot) pack_panel(begin + slot, slot, panel);
      }
    });
  }

  void pack_panel(int64_t i, int64_t slot, int64_t panel) const {
    static auto& pack = select(panels::kernels());
    const panels::Matrix matrix = {.data = b_data_ + b_.offsets[i],
                                   .k = k_,
                                   .n = n_,
                                   .k_stride = b_.row_stride,
                                   .n_stride = b_.column_stride,
                                   .flip = b_flip_};
    int32_t* const start = starts_ + (slot * panels_ + panel) * 16;
    pack(matrix, panel, panel + 1, packed_ + slot * panel_bytes_ + panel * (panel_bytes_ / panels_),
         start);
    // k_ <= kMaxProductsU8U8: the product is less than 2^31.
    const auto both = static_cast<int32_t>(k_) * a_zero_point_ * b_zero_point_;
    for (int j = 0; j < 16; ++j) start[j] = both - a_zero_point_ * start[j];
  }

  void sum_rows(int64_t begin, int64_t end) const {
    run_parts((end - begin) * m_, k_, kByteGrain, [&](int64_t first, int64_t last) {
      for (int64_t at = first; at < last; ++at) {
        const uint8_t* row = a_data_ + a_.offsets[begin + at / m_] + at % m_ * a_.row_stride;
        row_factors_[at] = -b_zero_point_ * sum_row(row);
      }
    });
  }

  int32_t sum_row(const uint8_t* row) const {
    int32_t sum = 0;
    if (a_.column_stride == 1) {
      for (int64_t k = 0; k < k_; ++k) sum += row[k] ^ a_flip_;
    } else {
      for (int64_t k = 0; k < k_; ++k) sum += row[k * a_.column_stride] ^ a_flip_;
    }
    return sum;
  }

  void multiply(int64_t i, int64_t slot, gemm::Args product) const {
    const int64_t packed = slots_[slot];
    product.weight = packed_ + packed * panel_bytes_;
    product.start = starts_ + packed * panels_ * 16;
    product.row_factor = row_factors_ == nullptr ? nullptr : row_factors_ + slot * m_;
    product.y = y_ + i * m_ * n_ * y_bytes_;
    run_rows({.data = a_data_ + a_.offsets[i],
              .m = m_,
              .k = k_,
              .row_stride = a_.row_stride,
              .k_stride = a_.column_stride,
              .flip = a_flip_},
             product);
  }

  Matrices a_, b_;
  const uint8_t *a_data_, *b_data_;
  uint8_t a_flip_, b_flip_;
  int32_t a_zero_point_, b_zero_point_;
  int64_t m_, n_, k_;
  float multiplier_;
  const OutputSpec& output_;
  std::byte* y_;
  int64_t y_bytes_;
  int64_t panels_ = 0, panel_bytes_ = 0;  // of one matrix
  std::vector<int64_t> slots_;            // where each matrix of the chunk is packed
  int8_t* packed_ = nullptr;
  int32_t* starts_ = nullptr;
  int32_t* row_factors_ = nullptr;
};

// Without products every value is a quantized 0.
void fill_zero(const OutputSpec& output, at::Tensor& y) {
  if (output.is_float()) {
    const float zero =
        static_cast<float>(std::min(std::max(0.0, output.activation.min), output.activation.max));
    std::fill_n(y.mutable_data_ptr<float>(), y.numel(), zero);
  } else {
    std::fill_n(static_cast<uint8_t*>(y.mutable_data_ptr()), y.numel(),
                requantize(0, make_requantize(output)));
  }
}

QTensor matmul_meta(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  const auto shape = plan_matmul<c10::SymInt>(a, b, y, at::kMeta);
  return {at::empty_symint(shape.y, a.data.options().dtype(y.dtype)), output_qparams(y)};
}

// What the eager and the planned op share.
struct MatmulOp {
  using Plan = MatmulShape<int64_t>;
  QParams a, b;
  OutputSpec output;

  Plan plan(Inputs x) const {
    const BorrowedQTensor left(*x[0], a), right(*x[1], b);
    return plan_matmul<int64_t>(left, right, output, at::kCPU);
  }
  static Work work(const Plan& shape, Inputs /*x*/) {
    return {"gemm", 2.0 * static_cast<double>(c10::multiply_integers(shape.batch) * shape.m *
                                              shape.n * shape.k)};
  }
  at::Tensor run(const Plan& shape, Inputs x) const {
    const BorrowedQTensor left(*x[0], a), right(*x[1], b);
    at::Tensor y = empty(shape.y, output.dtype);
    if (y.numel() == 0) return y;
    if (shape.k == 0) {
      fill_zero(output, y);
    } else {
      Matmul(left, right, shape, output, y).run();
    }
    return y;
  }
};

}  // namespace

QTensor matmul(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  return {run_op(MatmulOp{a.qparams, b.qparams, y}, {&a.data, &b.data}), output_qparams(y)};
}

std::unique_ptr<PlannedOp> plan_matmul_op(Arguments& arguments) {
  MatmulOp op{};
  arguments.operand();
  op.a = arguments.qparams();
  arguments.operand();
  op.b = arguments.qparams();
  op.output = arguments.activated_output(kMatmul);
  return make_planned(op, arguments);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("matmul", TORCH_FN((binary_op<kMatmul, matmul>))); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("matmul", TORCH_FN((binary_op<kMatmul, matmul_meta>)));
}

}  // namespace qnative::ops
