// Kernels of float32 and float16 numbers, and of tables.
#include "attention/attention.h"
#include "blocks.h"
#include "channel_params/channel_params.h"
#include "embedding/embedding.h"
#include "fp16/fp16.h"
#include "fuzz/kernels.h"
#include "interpolate/interpolate.h"
#include "rnn_cell/rnn_cell.h"

namespace qnative::fuzz {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Fuzz, Fp16) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    const auto a = guarded(random, random.full_range<uint16_t>(n));
    const auto b = guarded(random, random.full_range<uint16_t>(n));
    const float lo = random.uniform(0, 1) == 0 ? -kInf : 0;
    const fp16::BinaryArgs args{.alpha = floats(random, 1, true)[0], .lo = lo, .hi = kInf};
    expect_equal<uint16_t>(fp16::add_kernels(), n,
                           [&](auto& run, uint16_t* y) { run(args, a.data(), b.data(), y, n); });
    expect_equal<uint16_t>(fp16::mul_kernels(), n,
                           [&](auto& run, uint16_t* y) { run(args, a.data(), b.data(), y, n); });
    const auto last = static_cast<int>(FloatActivation::kHardsigmoid);
    const fp16::UnaryArgs unary{.function = static_cast<fp16::Function>(random.uniform(0, 2)),
                                .activation = static_cast<FloatActivation>(random.uniform(0, last)),
                                .a = floats(random, 1, true)[0],
                                .b = floats(random, 1, true)[0],
                                .lo = lo,
                                .hi = kInf};
    expect_equal<uint16_t>(fp16::unary_kernels(), n,
                           [&](auto& run, uint16_t* y) { run(unary, a.data(), y, n); });
    if (n == 0) return;
    std::vector<float> scratch(n + fp16::kLanes);
    expect_equal<uint16_t>(fp16::softmax_kernels(), n,
                           [&](auto& run, uint16_t* y) { run(a.data(), y, n, scratch.data()); });
  });
}

TEST(Fuzz, Fp16Pool) {
  run_cases([](Random& random, uint64_t) {
    const int64_t channels = 1 + length(random, 100), columns = random.uniform(1, 5);
    const int64_t rows = random.uniform(1, 4), outputs = random.uniform(1, 8);
    const int64_t pixel = 2 * (channels + random.uniform(0, 3)),
                  step = random.uniform(0, 3) * pixel;
    const int64_t row = columns * pixel + (outputs - 1) * step;
    const auto x = guarded(random, random.full_range<uint16_t>(rows * row / 2));
    const pool::Window window{.x = reinterpret_cast<const uint8_t*>(x.data()),
                              .row_stride = row,
                              .pixel_stride = pixel,
                              .rows = rows,
                              .columns = columns,
                              .channels = channels,
                              .outputs = outputs,
                              .output_stride = step};
    const int64_t size = outputs * channels;
    expect_equal<uint16_t>(fp16::max_kernels(), size,
                           [&](auto& run, uint16_t* y) { run(window, y); });
    expect_equal<uint16_t>(fp16::mean_kernels(), size, [&](auto& run, uint16_t* y) {
      run(window, static_cast<double>(rows * columns), y);
    });
  });
}

TEST(Fuzz, Embedding) {
  run_cases([](Random& random, uint64_t) {
    const int bits = random.uniform(0, 1) == 0 ? 8 : 4;
    const int64_t rows = random.uniform(1, 20), dim = length(random, 200), n = length(random, 40);
    const int64_t bytes = embedding::row_bytes(bits, dim);
    std::vector<uint8_t> contents = random.full_range<uint8_t>(rows * bytes);
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<float> params = floats(random, 2);
      memcpy(&contents[(r + 1) * bytes - embedding::kParamBytes], params.data(),
             embedding::kParamBytes);
    }
    const auto data = guarded(random, contents);
    const auto indices = guarded(random, random.vector<int64_t>(n, 0, rows - 1));
    const embedding::Table table{data.data(), dim};
    expect_equal<float>(bits == 8 ? embedding::rows_8bit_kernels() : embedding::rows_4bit_kernels(),
                        n * dim, [&](auto& run, float* y) { run(table, indices.data(), n, y); });
    std::vector<int64_t> offsets = {0};
    while (offsets.back() < n) {
      offsets.push_back(std::min<int64_t>(n, offsets.back() + random.uniform(0, 9)));
    }
    const auto mode = static_cast<embedding::Mode>(random.uniform(0, 2));
    const auto weights = guarded(random, floats(random, n));
    const bool is_weighted = mode == embedding::Mode::kSum && random.uniform(0, 1) == 0;
    const embedding::Bags bags{.indices = indices.data(),
                               .weights = is_weighted ? weights.data() : nullptr,
                               .offsets = offsets.data(),
                               .count = static_cast<int64_t>(offsets.size()) - 1,
                               .mode = mode};
    expect_equal<float>(bits == 8 ? embedding::bags_8bit_kernels() : embedding::bags_4bit_kernels(),
                        bags.count * dim, [&](auto& run, float* y) { run(table, bags, y); });
  });
}

TEST(Fuzz, Interpolate) {
  run_cases([](Random& random, uint64_t) {
    const int64_t pixels = random.uniform(1, 20), outputs = random.uniform(1, 20);
    const int64_t channels = 1 + length(random, 100), n = outputs * channels;
    const int taps = 1 << random.uniform(0, 2);
    const auto index = guarded(
        random, random.vector<int32_t>(outputs * taps, 0, static_cast<int32_t>(pixels) - 1));
    const auto weight = guarded(random, floats(random, outputs * taps, true));
    const auto x = guarded(random, random.full_range<uint8_t>(pixels * channels));
    const auto halves = guarded(random, random.full_range<uint16_t>(pixels * channels));
    const interpolate::RowArgs row{.pixels = pixels,
                                   .outputs = outputs,
                                   .channels = channels,
                                   .zero_point = random.uniform(0, 255),
                                   .flip = static_cast<uint8_t>(0x80 * random.uniform(0, 1)),
                                   .taps = taps,
                                   .index = index.data(),
                                   .weight = weight.data()};
    const auto compare = [&](auto kernels, const auto* from) {
      expect_equal<float>(kernels, n, [&](auto& run, float* y) {
        std::vector<float> wide(pixels * channels + interpolate::kSlack);
        std::vector<float> t(n + interpolate::kSlack);
        run(row, from, wide.data(), t.data());
        std::copy_n(t.data(), n, y);
      });
    };
    compare(interpolate::row_kernels(), x.data());
    compare(interpolate::row_fp16_kernels(), halves.data());
    constexpr int kShapes[][2] = {{1, 1}, {2, 1}, {4, 1}, {2, 2}};
    const auto [rows, planes] = kShapes[random.uniform(0, 3)];
    std::vector<std::vector<float>> sources(rows * planes);
    std::vector<const float*> t;
    for (std::vector<float>& source : sources) {
      source = floats(random, n + interpolate::kSlack);
      t.push_back(source.data());
    }
    const std::vector<float> row_weight = floats(random, rows, true);
    const std::vector<float> plane_weight = floats(random, planes, true);
    const interpolate::ColumnArgs column{.rows = rows,
                                         .planes = planes,
                                         .t = t.data(),
                                         .row_weight = row_weight.data(),
                                         .plane_weight = plane_weight.data(),
                                         .multiplier = floats(random, 1, true)[0],
                                         .requantize = requantization(random)};
    expect_equal<uint8_t>(interpolate::column_kernels(), n,
                          [&](auto& run, uint8_t* y) { run(column, n, y); });
    expect_equal<uint16_t>(interpolate::column_fp16_kernels(), n,
                           [&](auto& run, uint16_t* y) { run(column, n, y); });
  });
}

TEST(Fuzz, RnnCell) {
  run_cases([](Random& random, uint64_t) {
    const int64_t rows = random.uniform(1, 5), hidden = length(random, 100);
    const int64_t gate = hidden + random.uniform(0, 3), stride = 4 * gate + random.uniform(0, 3);
    const auto ih = guarded(random, floats(random, rows * stride));
    const auto hh = guarded(random, floats(random, rows * stride));
    const auto h = guarded(random, floats(random, rows * hidden));
    const std::vector<float> c = floats(random, rows * hidden);
    for (const auto kernels : {rnn_cell::lstm_kernels(), rnn_cell::gru_kernels(),
                               rnn_cell::rnn_tanh_kernels(), rnn_cell::rnn_relu_kernels()}) {
      expect_equal<float>(kernels, 2 * rows * hidden, [&](auto& run, float* y) {
        float* const own_c = y + rows * hidden;
        std::copy(c.begin(), c.end(), own_c);
        run({.ih = ih.data(),
             .hh = hh.data(),
             .c = own_c,
             .h = h.data(),
             .y = y,
             .ih_stride = stride,
             .hh_stride = stride,
             .c_stride = hidden,
             .h_stride = hidden,
             .y_stride = hidden,
             .gate_stride = gate,
             .hidden = hidden},
            0, rows);
      });
    }
  });
}

TEST(Fuzz, ChannelParams) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    const auto scale = guarded(random, floats(random, n));
    const auto bias = guarded(random, floats(random, n));
    const bool has_bias = random.uniform(0, 3) > 0;
    const double x_scale = std::abs(floats(random, 1, true)[0]) + 1e-6;
    const double y_scale = std::abs(floats(random, 1, true)[0]) + 1e-6;
    expect_equal<float>(channel_params::scale_kernels(), 2 * n + 2, [&](auto& run, float* y) {
      const channel_params::Summary summary = run({.weight_scale = scale.data(),
                                                   .real_bias = has_bias ? bias.data() : nullptr,
                                                   .n = n,
                                                   .x_scale = x_scale,
                                                   .y_scale = y_scale,
                                                   .multiplier = y,
                                                   .bias = y + n});
      y[2 * n] = summary.valid;
      y[2 * n + 1] = summary.valid && summary.small;
    });
  });
}

TEST(Fuzz, Probabilities) {
  run_cases([](Random& random, uint64_t) {
    const int64_t n = length(random);
    const int64_t width = round_up(n, attention::kBlock) + attention::kBlock * random.uniform(0, 1);
    const int32_t size = 1 << random.uniform(0, 24);
    const std::vector<int32_t> scores = random.vector<int32_t>(width, -size, size);
    const auto mask = guarded(random, floats(random, n));
    const bool has_mask = random.uniform(0, 1) == 0;
    const float scale = floats(random, 1)[0];
    expect_equal<int64_t>(
        attention::probabilities_kernels(), 1 + width / 4, [&](auto& run, int64_t* y) {
          std::vector<int32_t> x = scores;
          auto* const high = reinterpret_cast<uint8_t*>(y + 1);
          y[0] =
              run(x.data(), scale, has_mask ? mask.data() : nullptr, n, width, high, high + width);
        });
  });
}

TEST(Fuzz, QuantizedRowsAndColumns) {
  run_cases([](Random& random, uint64_t) {
    const int64_t rows = random.uniform(1, 9), n = 1 + length(random, 150);
    const int64_t stride = n + random.uniform(0, 5);
    const auto data = guarded(random, floats(random, rows * stride));
    const attention::Floats x{data.data(), rows, n, stride};
    expect_equal<float>(attention::measure_columns_kernels(), 4 * n,
                        [&](auto& run, float* y) { run(x, {y, y + n, y + 2 * n, y + 3 * n}); });
    std::vector<float> columns(4 * n);
    const attention::Columns measured{columns.data(), columns.data() + n, columns.data() + 2 * n,
                                      columns.data() + 3 * n};
    attention::measure_columns_kernels().back().run(x, measured);
    expect_equal<uint8_t>(attention::quantize_columns_kernels(), rows * n,
                          [&](auto& run, uint8_t* y) { run(x, measured, y, n); });
    const auto factor = guarded(random, floats(random, n));
    const int64_t words = rows * round_up(n, 4) / 4;
    expect_equal<float>(attention::quantize_rows_kernels(), 2 * rows + words,
                        [&](auto& run, float* y) {
                          std::vector<int32_t> zero_points(rows);
                          std::fill_n(y, 2 * rows + words, 0.0f);
                          run(x, factor.data(),
                              {.y = reinterpret_cast<uint8_t*>(y + 2 * rows),
                               .y_stride = round_up(n, 4),
                               .scale = y,
                               .zero_point = zero_points.data()});
                          std::copy_n(zero_points.data(), rows, y + rows);
                        });
  });
}

}  // namespace
}  // namespace qnative::fuzz
