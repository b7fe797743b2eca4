#include "pool/pool.h"

#include <algorithm>
#include <cmath>

#include "kernels/common.h"

namespace qnative::pool {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

struct Shape {
  int64_t rows, columns, channels;
  int64_t outputs = 1;
  int64_t pixel_gap = 0, row_gap = 0, output_stride = 0;  // bytes; gaps between pixels and rows
  int64_t planes = 1, plane_gap = 0;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (int64_t channels = 1; channels <= 70; ++channels) all.push_back({3, 3, channels});
  for (int64_t channels : {96, 127, 128, 129, 144, 257}) all.push_back({2, 2, channels});
  for (int64_t channels : {1, 3, 8, 17, 40, 64, 100}) {
    all.push_back({1, 1, channels});
    all.push_back({1, 7, channels});
    all.push_back({5, 1, channels, 1, 0, 9});
    all.push_back({7, 7, channels});
    all.push_back({3, 2, channels, 1, 5, 3});
    all.push_back({3, 3, channels, 4, 0, 2 * channels, 2 * channels});
    all.push_back({2, 3, channels, 3, 1, 7, 11});
    all.push_back({4, 100, channels, 2, 0, 3 * channels, 100 * channels});
  }
  // Short and long runs of overlapping windows.
  for (int64_t channels : {3, 8, 17, 32, 100}) {
    for (int64_t side : {2, 3, 5, 13, 40}) {
      for (int64_t step : {1, 2, 3}) {
        const int64_t outputs = side <= 5 ? 70 : 2;
        all.push_back({side, side, channels, outputs, 0, 70 * channels, step * channels});
        all.push_back({2, side, channels, 3, channels, 1, 2 * step * channels});
      }
    }
  }
  for (int64_t channels : {1, 3, 8, 17, 32, 64, 100}) {
    for (int64_t planes : {2, 3, 5}) {
      all.push_back({2, 2, channels, 1, 0, 0, 0, planes});
      all.push_back({3, 3, channels, 70, 0, 70 * channels, channels, planes, 11});
      all.push_back({3, 2, channels, 4, 1, 3, 2 * channels, planes, 7 * channels});
      all.push_back({1, 1, channels, 9, 0, 0, channels, planes, 9 * channels});
      all.push_back({1, 7, channels, 1, 0, 0, 0, planes, 5});
      all.push_back({4, 100, channels, 2, 0, 3 * channels, channels, planes, 3});
    }
  }
  for (int64_t channels : {1, 2, 3, 5, 8, 31, 33}) {
    for (int64_t columns : {255, 256, 257, 258, 1000}) {
      all.push_back({1, columns, channels});
      all.push_back({3, columns, channels, 1, channels % 2, 1});
    }
  }
  return all;
}

// The memory of a shape: from the first byte of the first window to the last of the last one.
struct Image {
  std::vector<uint8_t> data;
  Window window;

  Image(const Shape& shape, Random& random) {
    const int64_t pixel_stride = shape.channels + shape.pixel_gap;
    const int64_t row_stride = shape.columns * pixel_stride + shape.row_gap;
    const int64_t plane_stride = shape.rows * row_stride + shape.plane_gap;
    data = random.full_range<uint8_t>(
        (shape.outputs - 1) * shape.output_stride + (shape.planes - 1) * plane_stride +
        (shape.rows - 1) * row_stride + (shape.columns - 1) * pixel_stride + shape.channels);
    window = {.x = nullptr,
              .row_stride = row_stride,
              .pixel_stride = pixel_stride,
              .rows = shape.rows,
              .columns = shape.columns,
              .channels = shape.channels,
              .outputs = shape.outputs,
              .output_stride = shape.output_stride,
              .planes = shape.planes,
              .plane_stride = plane_stride};
  }

  // Calls f(value) for every value of channel c of window o.
  template <class F>
  void for_window(int64_t o, int64_t c, const F& f) const {
    for (int64_t p = 0; p < window.planes; ++p) {
      for (int64_t i = 0; i < window.rows; ++i) {
        for (int64_t j = 0; j < window.columns; ++j) {
          f(data[o * window.output_stride + p * window.plane_stride + i * window.row_stride +
                 j * window.pixel_stride + c]);
        }
      }
    }
  }
};

std::string describe(const Window& w) {
  return std::to_string(w.planes) + "x" + std::to_string(w.rows) + "x" + std::to_string(w.columns) +
         " windows of " + std::to_string(w.channels) + " channels, pixel stride " +
         std::to_string(w.pixel_stride) + ", row stride " + std::to_string(w.row_stride) + ", " +
         std::to_string(w.outputs) + " outputs";
}

TEST(MaxPool, EveryIsaGivesTheLargestValue) {
  Random random(1);
  for (const Shape& shape : shapes()) {
    Image image(shape, random);
    const PageGuarded<uint8_t> x(image.data, PageGuarded<uint8_t>::Side::kAfter);
    image.window.x = x.data();
    for (uint8_t flip : {0, 0x80}) {
      std::vector<uint8_t> expected;
      for (int64_t o = 0; o < shape.outputs; ++o) {
        for (int64_t c = 0; c < shape.channels; ++c) {
          int most = -1;
          image.for_window(o, c, [&](uint8_t v) { most = std::max<int>(most, v ^ flip); });
          expected.push_back(static_cast<uint8_t>(most) ^ flip);
        }
      }
      for (const auto& kernel : runnable(max_kernels())) {
        Guarded<uint8_t> y(expected.size(), 1);
        kernel.run(image.window, flip, y.data());
        ASSERT_TRUE(same_bits<uint8_t>(y.values(), expected))
            << name(kernel.isa) << ", " << describe(image.window);
        ASSERT_TRUE(y.intact()) << name(kernel.isa) << ", " << describe(image.window);
      }
    }
  }
}

struct MeanArgs {
  uint8_t x_flip;
  int32_t x_zero_point;
  float multiplier;  // times rows * columns
  Requantize requantize;
};

const MeanArgs kMeanArgs[] = {
    {0, 0, 1.0f, {0, 0, 255, 0}},
    {0x80, 128, 1.7f, {128, 0, 255, 0x80}},
    {0, 255, -0.9f, {3, 2, 250, 0x80}},
    {0x80, 0, 0.013f, {0, 0, 255, 0}},
    {0, 77, 1e12f, {100, 10, 90, 0}},
    {0, 77, -1e12f, {100, 10, 90, 0}},
    {0, 1, 1e-40f, {255, 0, 255, 0}},
    {0x80, 9, 5.0f, {131, 131, 255, 0x80}},
    {0, 5, std::numeric_limits<float>::quiet_NaN(), {9, 9, 99, 0}},
};

std::vector<uint8_t> expected_mean(const Image& image, const MeanArgs& args, float multiplier) {
  const Requantize& q = args.requantize;
  std::vector<uint8_t> expected;
  for (int64_t o = 0; o < image.window.outputs; ++o) {
    for (int64_t c = 0; c < image.window.channels; ++c) {
      int64_t sum = 0;
      image.for_window(o, c, [&](uint8_t v) { sum += (v ^ args.x_flip) - args.x_zero_point; });
      const float r = static_cast<float>(static_cast<double>(static_cast<float>(sum)) * multiplier);
      const double y = std::isnan(r) ? q.hi : std::nearbyint(double{r}) + q.zero_point;
      expected.push_back(static_cast<uint8_t>(std::clamp<double>(y, q.lo, q.hi)) ^ q.flip);
    }
  }
  return expected;
}

void expect_mean(const Image& image, const MeanArgs& args) {
  const float multiplier =
      args.multiplier /
      static_cast<float>(image.window.planes * image.window.rows * image.window.columns);
  const auto expected = expected_mean(image, args, multiplier);
  for (const auto& kernel : runnable(mean_kernels())) {
    Guarded<uint8_t> y(expected.size(), 1);
    kernel.run(image.window, args.x_flip, args.x_zero_point, multiplier, args.requantize, y.data());
    ASSERT_TRUE(same_bits<uint8_t>(y.values(), expected))
        << name(kernel.isa) << ", " << describe(image.window) << ", multiplier " << multiplier;
    ASSERT_TRUE(y.intact()) << name(kernel.isa) << ", " << describe(image.window);
  }
}

TEST(MeanPool, EveryIsaGivesTheFormula) {
  Random random(2);
  size_t next = 0;
  for (const Shape& shape : shapes()) {
    Image image(shape, random);
    const PageGuarded<uint8_t> x(image.data, PageGuarded<uint8_t>::Side::kAfter);
    image.window.x = x.data();
    for (int i = 0; i < 3; ++i) {
      expect_mean(image, kMeanArgs[next++ % std::size(kMeanArgs)]);
      if (HasFatalFailure()) return;
    }
  }
}

// Sums that overflow a word, and the largest window of the contract.
TEST(MeanPool, LongSumsAreExact) {
  Random random(3);
  for (const Shape& shape : {Shape{1, (1 << 23) - 1, 1}, Shape{300, 300, 33}, Shape{1000, 1, 64},
                             Shape{1000, 3, 2}, Shape{99, 101, 5}}) {
    Image image(shape, random);
    for (uint8_t fill : {0xff, 0x80, 0}) {
      if (fill != 0) std::fill(image.data.begin(), image.data.end(), fill);
      image.window.x = image.data.data();
      expect_mean(image, {0, 0, 1.0f, {0, 0, 255, 0}});
      expect_mean(image, {0x80, 255, -1.0f, {0, 0, 255, 0}});
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace qnative::pool
