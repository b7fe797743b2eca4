// Kernels of matrix products and convolutions.
#include <memory>

#include "fuzz/kernels.h"
#include "gemm_fp16/gemm_fp16.h"
#include "kernels/dwconv_problem.h"
#include "kernels/gemm_problem.h"

namespace qnative::fuzz {
namespace {

FloatActivation activation(Random& random) {
  const auto count = static_cast<int>(FloatActivation::kHardsigmoid) + 1;
  return random.uniform(0, 1) == 0 ? FloatActivation::kNone
                                   : static_cast<FloatActivation>(random.uniform(0, count - 1));
}

TEST(Fuzz, Gemm) {
  run_cases([](Random& random, uint64_t seed) {
    const bool is_dense = random.uniform(0, 1) == 0;
    const gemm::Shape shape{.m = 1 + length(random, 60),
                            .n = 1 + length(random, 150),
                            .segments = is_dense ? 1 : random.uniform<int64_t>(1, 9),
                            .segment_size = length(random, is_dense ? 600 : 80)};
    const auto rows = static_cast<gemm::Rows>(random.uniform(0, 3));
    gemm::Problem problem(shape, rows, seed, std::exp2(random.uniform(-3.0f, 3.0f)));
    if (is_dense && random.uniform(0, 1) == 0) problem.add_row_parameters();
    problem.requantize_ = requantization(random);
    problem.activation_ = activation(random);
    if (random.uniform(0, 3) == 0) problem.float_lo_ = -1.0f;
    const gemm::Range range{.m_begin = random.uniform<int64_t>(0, shape.m),
                            .m_end = shape.m,
                            .n_begin = 0,
                            .n_end = shape.n};
    for (const auto& kernel : gemm::tested_kernels()) {
      if (kernel.run == gemm::kernels().back().run) continue;
      gemm::expect_equals_scalar<uint8_t>(kernel, problem, range);
      gemm::expect_equals_scalar<float>(kernel, problem, range);
      gemm::expect_equals_scalar<int32_t>(kernel, problem, range);
    }
  });
}

TEST(Fuzz, Depthwise) {
  run_cases([](Random& random, uint64_t seed) {
    const auto small = [&](int64_t lo, int64_t hi) { return random.uniform(lo, hi); };
    const bool is_square = random.uniform(0, 1) == 0;
    const int64_t side = random.uniform(0, 3) == 0 ? small(1, 7) : 2 * small(1, 3) + 1;
    dwconv::Shape shape{.channels = 1 + length(random, 150),
                        .height = small(1, 14),
                        .width = small(1, 20),
                        .kernel_h = side,
                        .kernel_w = is_square ? side : small(1, 7),
                        .stride_h = small(1, 3),
                        .stride_w = small(1, 3),
                        .dilation_h = random.uniform(0, 3) == 0 ? small(1, 3) : 1,
                        .dilation_w = random.uniform(0, 3) == 0 ? small(1, 3) : 1,
                        .pad_top = small(0, 3),
                        .pad_bottom = small(0, 3),
                        .pad_left = small(0, 3),
                        .pad_right = small(0, 3)};
    if (random.uniform(0, 3) == 0) {
      shape.depth = small(1, 4);
      shape.kernel_d = small(1, 3);
      shape.dilation_d = small(1, 2);
      shape.first_slice = small(-2, 2);
    }
    dwconv::Problem problem(shape, seed);
    problem.requantize = requantization(random);
    problem.pad_value = static_cast<uint8_t>(random.uniform(0, 255));
    problem.x_flip = static_cast<uint8_t>(0x80 * random.uniform(0, 1));
    problem.pack_weight();
    problem.small = random.uniform(0, 1) == 0 && problem.is_small();
    const auto x = guarded(random, problem.x);
    const auto call = [&](auto& run, void* y, bool is_float) {
      dwconv::Args args = problem.args(x.data(), y);
      args.float_output = is_float;
      test::Scratch scratch(dwconv::scratch_size(args));
      run(args, 0, shape.out_h(), scratch.data());
      ASSERT_TRUE(scratch.intact());
    };
    expect_equal<uint8_t>(dwconv::kernels(), shape.y_size(),
                          [&](auto& run, uint8_t* y) { call(run, y, false); });
    expect_equal<float>(dwconv::kernels(), shape.y_size(),
                        [&](auto& run, float* y) { call(run, y, true); });
  });
}

TEST(Fuzz, GemmFp16) {
  run_cases([](Random& random, uint64_t) {
    const int64_t m = 1 + length(random, 20), n = 1 + length(random, 100), k = length(random, 150);
    const int64_t x_stride = k + random.uniform(0, 5), y_stride = n + random.uniform(0, 5);
    const auto x = guarded(random, floats(random, m * x_stride));
    const auto bias = guarded(random, floats(random, (n + 15) / 16 * 16));
    std::vector<uint16_t> packed(gemm_fp16::packed_size(n, k));
    gemm_fp16::pack(random.full_range<uint16_t>(n * k).data(), n, k, k, 1, packed.data());
    const auto weight = guarded(random, packed);
    gemm_fp16::Args args{.x = x.data(),
                         .x_stride = x_stride,
                         .k = k,
                         .weight = weight.data(),
                         .bias = bias.data(),
                         .n = n,
                         .y = nullptr,
                         .y_stride = y_stride,
                         .half_output = false,
                         .activation = activation(random),
                         .lo = random.uniform(0, 1) == 0 ? 0.0f : -gemm::kInf,
                         .hi = gemm::kInf};
    const auto call = [&](auto& run, void* y, bool is_half) {
      gemm_fp16::Args own = args;
      own.y = y;
      own.half_output = is_half;
      run(own, 0, m, 0, n);
    };
    expect_equal<float>(gemm_fp16::kernels(), m * y_stride,
                        [&](auto& run, float* y) { call(run, y, false); });
    expect_equal<uint16_t>(gemm_fp16::kernels(), m * y_stride,
                           [&](auto& run, uint16_t* y) { call(run, y, true); });
  });
}

}  // namespace
}  // namespace qnative::fuzz
