#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "common/activation.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "matmul/shape.h"
#include "product/half_product.h"
#include "qnative/ops/fp16.h"

namespace qnative::ops {
namespace {

constexpr const char* kMatmulFp16 = "matmul_fp16";
constexpr int64_t kElementGrain = 32 * 1024;    // halves that a task packs or widens
constexpr int64_t kElements = 2 * 1024 * 1024;  // of either side that are converted at a time

// One call. Right matrices become packed weights and rows of left ones float32, a chunk of the
// batch at a time.
class MatmulFp16 {
 public:
  MatmulFp16(const at::Tensor& a, const at::Tensor& b, const MatmulShape<int64_t>& shape,
             const Activation& activation, const at::Tensor& y)
      : a_(a, shape.batch, true),
        b_(b, shape.batch, false),
        a_data_(static_cast<const uint16_t*>(a.const_data_ptr())),
        b_data_(static_cast<const uint16_t*>(b.const_data_ptr())),
        y_(static_cast<uint16_t*>(y.mutable_data_ptr())),
        m_(merge_rows(a, shape.m, shape.k, a_, b_)),
        n_(shape.n),
        k_(shape.k),
        packed_size_(gemm_fp16::packed_size(n_, k_)),
        activation_(activation) {}

  void run() {
    const auto batches = static_cast<int64_t>(a_.offsets.size());
    const int64_t largest = std::max(packed_size_, m_ * k_);
    const int64_t slots = std::min(batches, std::max<int64_t>(kElements / largest, 1));
    const int64_t block = std::min(m_, std::max<int64_t>(kElements / k_, 1));
    const int64_t padded_n = round_up(n_, kPanelColumns);
    Scratch scratch(Scratch::bytes<uint16_t>(slots * packed_size_) +
                    Scratch::bytes<float>(slots * block * k_) + Scratch::bytes<float>(padded_n));
    packed_ = scratch.take<uint16_t>(slots * packed_size_);
    wide_ = scratch.take<float>(slots * block * k_);
    bias_ = scratch.take<float>(padded_n);
    std::fill_n(bias_, padded_n, 0.0f);
    for (int64_t begin = 0; begin < batches; begin += slots) {
      const int64_t count = std::min(slots, batches - begin);
      pack(begin, count);
      for (int64_t row = 0; row < m_; row += block) {
        const int64_t rows = std::min(block, m_ - row);
        widen(begin, count, row, rows);
        multiply(begin, count, row, rows);
      }
    }
  }

 private:
  // A matrix that b repeats, being expanded, is packed once.
  void pack(int64_t begin, int64_t count) {
    slots_.resize(count);
    for (int64_t slot = 0; slot < count; ++slot) {
      const int64_t i = begin + slot;
      const bool repeats = slot > 0 && b_.offsets[i] == b_.offsets[i - 1];
      slots_[slot] = repeats ? slots_[slot - 1] : slot;
    }
    const int64_t panels = ceil_div(n_, kPanelColumns);
    run_parts(count * panels, 16 * k_, kElementGrain, [&](int64_t first, int64_t last) {
      for (int64_t at = first; at < last; ++at) {
        const int64_t slot = at / panels, column = at % panels * 16;
        if (slots_[slot] != slot) continue;
        gemm_fp16::pack(b_data_ + b_.offsets[begin + slot] + column * b_.column_stride,
                        std::min<int64_t>(n_ - column, 16), k_, b_.column_stride, b_.row_stride,
                        packed_ + slot * packed_size_ + column * k_);
      }
    });
  }

  void widen(int64_t begin, int64_t count, int64_t row, int64_t rows) const {
    static auto& run = select(gemm_fp16::widen_kernels());
    run_parts(count * rows, k_, kElementGrain, [&](int64_t first, int64_t last) {
      std::vector<uint16_t> copy(a_.column_stride == 1 ? 0 : k_);
      for (int64_t at = first; at < last; ++at) {
        const uint16_t* x =
            a_data_ + a_.offsets[begin + at / rows] + (row + at % rows) * a_.row_stride;
        if (a_.column_stride != 1) {
          for (int64_t k = 0; k < k_; ++k) copy[k] = x[k * a_.column_stride];
          x = copy.data();
        }
        run(x, wide_ + at * k_, k_);
      }
    });
  }

  void multiply(int64_t begin, int64_t count, int64_t row, int64_t rows) const {
    const auto one = [&](int64_t slot) {
      run_product({.x = wide_ + slot * rows * k_,
                   .x_stride = k_,
                   .k = k_,
                   .weight = packed_ + slots_[slot] * packed_size_,
                   .bias = bias_,
                   .n = n_,
                   .y = y_ + ((begin + slot) * m_ + row) * n_,
                   .y_stride = n_,
                   .half_output = true,
                   .activation = activation_.function,
                   .lo = static_cast<float>(activation_.min),
                   .hi = static_cast<float>(activation_.max)},
                  rows);
    };
    const int64_t tasks = count_tasks(count * rows * n_ * k_, kHalfProductGrain);
    if (count < tasks) {
      for (int64_t slot = 0; slot < count; ++slot) one(slot);
      return;
    }
    run_tasks(tasks, [&](int64_t task) {
      const Part part = part_of(count, tasks, task);
      for (int64_t slot = part.begin; slot < part.end; ++slot) one(slot);
    });
  }

  Matrices a_, b_;
  const uint16_t *a_data_, *b_data_;
  uint16_t* y_;
  int64_t m_, n_, k_, packed_size_;
  Activation activation_;
  std::vector<int64_t> slots_;  // where each matrix of the chunk is packed
  uint16_t* packed_ = nullptr;
  float *wide_ = nullptr, *bias_ = nullptr;
};

template <class Int>
MatmulShape<Int> plan_matmul(const at::Tensor& a, const at::Tensor& b, const Activation& activation,
                             at::DeviceType device) {
  check_half(kMatmulFp16, "a", a, device);
  check_half(kMatmulFp16, "b", b, device);
  check_activation(kMatmulFp16, activation, Functions::kAllowed);
  return matmul_shape<Int>(kMatmulFp16, a, b);
}

at::Tensor matmul_fp16_meta(const at::Tensor& a, const at::Tensor& b,
                            const Activation& activation) {
  return at::empty_symint(plan_matmul<c10::SymInt>(a, b, activation, at::kMeta).y, a.options());
}

}  // namespace

at::Tensor matmul_fp16(const at::Tensor& a, const at::Tensor& b, const Activation& activation) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto shape = plan_matmul<int64_t>(a, b, activation, at::kCPU);
  at::Tensor y = empty(shape.y, at::kHalf);
  if (y.numel() == 0) return y;
  // Without products every sum is 0: the activation of that.
  if (shape.k == 0) return pointwise_fp16(y.zero_(), activation);
  MatmulFp16(a, b, shape, activation, y).run();
  return y;
}

namespace {

// The op of the schema. kRun: matmul_fp16 or matmul_fp16_meta.
template <auto kRun>
at::Tensor matmul_fp16_op(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                          at::ArrayRef<double> activation_args) {
  return kRun(a, b,
              parse_activation(kMatmulFp16, activation, activation_args, Functions::kAllowed));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl(kMatmulFp16, TORCH_FN(matmul_fp16_op<matmul_fp16>)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl(kMatmulFp16, TORCH_FN(matmul_fp16_op<matmul_fp16_meta>));
}

}  // namespace qnative::ops
