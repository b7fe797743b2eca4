// Kernels of 8-bit and 16-bit numbers that are no products.
#include "blocks.h"
#include "elementwise/elementwise.h"
#include "fuzz/kernels.h"
#include "interleave/interleave.h"
#include "lookup/lookup.h"
#include "norm/norm.h"
#include "panels/panels.h"
#include "pool/pool.h"
#include "quantize/quantize.h"

namespace qnative::fuzz {
namespace {

uint8_t flip(Random& random) { return static_cast<uint8_t>(0x80 * random.uniform(0, 1)); }

// Bytes of n elements that are bytes or words.
PageGuarded<uint8_t> elements(Random& random, int64_t n, bool is_word) {
  return guarded(random, random.full_range<uint8_t>(is_word ? 2 * n : n));
}

Requantize requantization(Random& random, bool is_word) {
  if (!is_word) return fuzz::requantization(random);
  const int lo = random.uniform(0, 3) == 0 ? random.uniform(-32768, 32767) : -32768;
  return {.zero_point = 0, .lo = lo, .hi = 32767, .flip = 0};
}

TEST(Fuzz, Elementwise) {
  run_cases([](Random& random, uint64_t seed) {
    const int64_t n = length(random);
    elementwise::Args args{.a_zero_point = random.uniform(0, 255),
                           .b_zero_point = random.uniform(0, 255),
                           .a_multiplier = floats(random, 1, true)[0],
                           .b_multiplier = floats(random, 1, true)[0],
                           .a_flip = flip(random),
                           .b_flip = flip(random),
                           .requantize = {},
                           .a_is_word = random.uniform(0, 3) == 0,
                           .b_is_word = random.uniform(0, 3) == 0,
                           .y_is_word = random.uniform(0, 3) == 0};
    args.requantize = requantization(random, args.y_is_word);
    if (args.a_is_word) args.a_zero_point = args.a_flip = 0;
    if (args.b_is_word) args.b_zero_point = args.b_flip = 0;
    const auto a = elements(random, n, args.a_is_word), b = elements(random, n, args.b_is_word);
    const auto kernels = seed % 2 == 0 ? elementwise::add_kernels() : elementwise::mul_kernels();
    expect_equal<uint8_t>(kernels, args.y_is_word ? 2 * n : n,
                          [&](auto& run, uint8_t* y) { run(args, a.data(), b.data(), y, n); });
  });
}

TEST(Fuzz, Lookup) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random, 2000);
    const auto x = elements(random, n, false), table = elements(random, 256, false);
    expect_equal<uint8_t>(lookup::kernels(), n,
                          [&](auto& run, uint8_t* y) { run(x.data(), y, n, table.data()); });
  });
}

TEST(Fuzz, Quantize) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    const Requantize q = fuzz::requantization(random);
    const auto x = guarded(random, floats(random, n));
    const float inverse = floats(random, 1)[0];
    expect_equal<uint8_t>(quantize::quantize_kernels(), n,
                          [&](auto& run, uint8_t* y) { run(x.data(), y, n, inverse, q); });
    const auto inverses = guarded(random, floats(random, n));
    const auto zero_points = guarded(random, random.vector<int32_t>(n, 0, 255));
    expect_equal<uint8_t>(quantize::quantize_each_kernels(), n, [&](auto& run, uint8_t* y) {
      run(x.data(), y, n, inverses.data(), zero_points.data(), q.lo, q.hi, q.flip);
    });
  });
}

TEST(Fuzz, Dequantize) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    const auto x = elements(random, n, false);
    const auto scales = guarded(random, floats(random, n, true));
    const auto zero_points = guarded(random, random.vector<int32_t>(n, 0, 255));
    const float scale = floats(random, 1, true)[0];
    const int zero_point = random.uniform(0, 255);
    const uint8_t top = flip(random);
    expect_equal<float>(quantize::dequantize_kernels(), n,
                        [&](auto& run, float* y) { run(x.data(), y, n, scale, zero_point, top); });
    expect_equal<float>(quantize::dequantize_each_kernels(), n, [&](auto& run, float* y) {
      run(x.data(), y, n, scales.data(), zero_points.data(), top);
    });
  });
}

TEST(Fuzz, Words) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    const auto x = guarded(random, floats(random, n));
    const Requantize q = requantization(random, true);
    const float scale = floats(random, 1)[0];
    expect_equal<int16_t>(quantize::quantize_words_kernels(), n,
                          [&](auto& run, int16_t* y) { run(x.data(), y, n, scale, q); });
    const auto words = guarded(random, random.full_range<int16_t>(n));
    expect_equal<float>(quantize::dequantize_words_kernels(), n,
                        [&](auto& run, float* y) { run(words.data(), y, n, scale); });
    expect_equal<int64_t>(norm::sum_words_kernels(), 2, [&](auto& run, int64_t* y) {
      y[0] = y[1] = 3;
      run(words.data(), n, y, y + 1);
    });
  });
}

TEST(Fuzz, Summarize) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = 1 + length(random), limit = random.uniform(0, 8);
    const auto x = guarded(random, floats(random, n));
    expect_equal<float>(quantize::summarize_kernels(), 3, [&](auto& run, float* y) {
      const quantize::Summary summary = run(x.data(), n);
      y[0] = summary.min;
      y[1] = summary.max;
      y[2] = summary.magnitudes;
    });
    const float threshold = std::abs(floats(random, 1, true)[0]);
    expect_equal<int32_t>(quantize::find_above_kernels(), limit + 1, [&](auto& run, int32_t* y) {
      y[limit] = static_cast<int32_t>(run(x.data(), n, threshold, y, limit));
      // What lies behind the last position is unspecified.
      for (int64_t i = std::min<int64_t>(y[limit], limit); i < limit; ++i) y[i] = 0;
    });
  });
}

TEST(Fuzz, Pool) {
  run_cases([](Random& random, uint64_t) {
    const int64_t channels = 1 + length(random, 150), columns = random.uniform(1, 6);
    const int64_t rows = random.uniform(1, 6), planes = random.uniform(1, 3);
    const int64_t outputs = 1 + length(random, 20), gap = random.uniform(0, 9);
    const int64_t pixel = channels + gap, step = random.uniform(0, 4) * pixel;
    const int64_t row = columns * pixel + (outputs - 1) * step + random.uniform(0, 9);
    const int64_t plane = rows * row;
    const auto x = elements(random, planes * plane, false);
    const pool::Window window{.x = x.data(),
                              .row_stride = row,
                              .pixel_stride = pixel,
                              .rows = rows,
                              .columns = columns,
                              .channels = channels,
                              .outputs = outputs,
                              .output_stride = step,
                              .planes = planes,
                              .plane_stride = plane};
    const uint8_t top = flip(random);
    const Requantize q = fuzz::requantization(random);
    const float multiplier = floats(random, 1, true)[0];
    const int zero_point = random.uniform(0, 255);
    const int64_t size = outputs * channels;
    expect_equal<uint8_t>(pool::max_kernels(), size,
                          [&](auto& run, uint8_t* y) { run(window, top, y); });
    expect_equal<uint8_t>(pool::mean_kernels(), size, [&](auto& run, uint8_t* y) {
      run(window, top, zero_point, multiplier, q, y);
    });
  });
}

TEST(Fuzz, NormSums) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random), rows = random.uniform(0, 9),
                  stride = n + random.uniform(0, 9);
    const auto x = elements(random, std::max<int64_t>(n, rows * stride), false);
    const uint8_t top = flip(random);
    expect_equal<int64_t>(norm::sum_kernels(), 2, [&](auto& run, int64_t* y) {
      y[0] = y[1] = -5;
      run(x.data(), n, top, y, y + 1);
    });
    expect_equal<int64_t>(norm::sum_columns_kernels(), 2 * n, [&](auto& run, int64_t* y) {
      std::fill_n(y, 2 * n, 7);
      run(x.data(), rows, stride, n, top, y, y + n);
    });
  });
}

TEST(Fuzz, NormFunctions) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    norm::Args args{.x_zero_point = random.uniform(0, 255),
                    .x_flip = flip(random),
                    .requantize = fuzz::requantization(random)};
    const auto x = elements(random, n, false);
    const float scale = floats(random, 1, true)[0], shift = floats(random, 1, true)[0];
    const auto weight = guarded(random, floats(random, n, true));
    const auto bias = guarded(random, floats(random, n, true));
    expect_equal<uint8_t>(norm::scale_each_kernels(), n, [&](auto& run, uint8_t* y) {
      run(args, x.data(), y, n, weight.data(), bias.data());
    });
    expect_equal<uint8_t>(norm::prelu_kernels(), n, [&](auto& run, uint8_t* y) {
      run(args, x.data(), y, n, scale, weight.data());
    });
    args.x_is_word = random.uniform(0, 2) == 0;
    args.y_is_word = random.uniform(0, 2) == 0;
    args.requantize = requantization(random, args.y_is_word);
    if (args.x_is_word) args.x_zero_point = args.x_flip = 0;
    const auto words = elements(random, n, true);
    const uint8_t* const v = args.x_is_word ? words.data() : x.data();
    const int64_t bytes = args.y_is_word ? 2 * n : n;
    const norm::Affine affine{scale, shift, weight.data(), bias.data()};
    expect_equal<uint8_t>(norm::scale_kernels(), bytes,
                          [&](auto& run, uint8_t* y) { run(args, v, y, n, scale, shift); });
    expect_equal<uint8_t>(norm::affine_kernels(), bytes,
                          [&](auto& run, uint8_t* y) { run(args, v, y, n, affine); });
    expect_equal<float>(norm::affine_float_kernels(), n,
                        [&](auto& run, float* y) { run(args, v, y, n, affine); });
  });
}

TEST(Fuzz, Exponentials) {
  norm::Exponentials table;
  run_cases([&](Random& random, uint64_t) {
    norm::make_exponentials(std::exp2(random.uniform(-12.0, 4.0)), table);
    const int64_t n = 1 + length(random);
    const auto x = elements(random, n, false);
    const uint8_t top = flip(random);
    const float multiplier = floats(random, 1, true)[0];
    const uint8_t largest = norm::largest_kernels().back().run(x.data(), n, top);
    expect_equal<uint8_t>(norm::largest_kernels(), 1,
                          [&](auto& run, uint8_t* y) { *y = run(x.data(), n, top); });
    expect_equal<int64_t>(norm::sum_exponentials_kernels(), 1, [&](auto& run, int64_t* y) {
      *y = run(table, x.data(), n, top, largest);
    });
    expect_equal<float>(norm::exponentials_kernels(), n, [&](auto& run, float* y) {
      run(table, x.data(), y, n, top, largest, multiplier);
    });
  });
}

TEST(Fuzz, Interleave) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random), planes = 1 + length(random, 80);
    const int64_t stride = n + random.uniform(0, 9), pixel = planes + random.uniform(0, 5);
    const auto three = elements(random, 3 * stride, false);
    const auto many = elements(random, planes * stride, false);
    const uint8_t top = flip(random);
    expect_equal<uint8_t>(interleave::kernels(), 3 * n,
                          [&](auto& run, uint8_t* y) { run(three.data(), stride, y, n, top); });
    expect_equal<uint8_t>(interleave::transpose_kernels(), n * pixel, [&](auto& run, uint8_t* y) {
      run({.x = many.data(), .planes = planes, .plane_stride = stride, .n = n}, y, pixel);
    });
  });
}

TEST(Fuzz, Panels) {
  run_cases([](Random& random, uint64_t) {
    const int64_t k = length(random, 150), n = 1 + length(random, 100);
    const bool by_column = random.uniform(0, 1) == 0;
    const int64_t inner = random.uniform(1, 2), gap = random.uniform(0, 5);
    const int64_t outer = inner * (by_column ? k : n) + gap;
    const panels::Matrix shape{.data = nullptr,
                               .k = k,
                               .n = n,
                               .k_stride = by_column ? inner : outer,
                               .n_stride = by_column ? outer : inner,
                               .flip = flip(random)};
    const auto x = elements(random, outer * (by_column ? n : k) + inner, false);
    panels::Matrix matrix = shape;
    matrix.data = x.data();
    const int64_t count = ceil_div(n, kPanelColumns), begin = random.uniform<int64_t>(0, count - 1);
    const int64_t bytes = (count - begin) * 64 * ceil_div(k, 4);
    const int64_t sums = (count - begin) * kPanelColumns;
    expect_equal<int32_t>(panels::kernels(), bytes / 4 + sums, [&](auto& run, int32_t* y) {
      run(matrix, begin, count, reinterpret_cast<int8_t*>(y + sums), y);
    });
  });
}

}  // namespace
}  // namespace qnative::fuzz
