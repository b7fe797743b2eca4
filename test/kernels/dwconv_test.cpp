#include "dwconv/dwconv.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "common.h"
#include "dwconv_problem.h"

namespace qnative::dwconv {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::same_bits;

template <class T>
void run(const Kernel<Fn>& kernel, const Problem& p, const uint8_t* x, T* y, int64_t row_begin,
         int64_t row_end) {
  Args args = p.args(x, y);
  args.float_output = std::is_same_v<T, float>;
  test::Scratch scratch(scratch_size(args));
  kernel.run(args, row_begin, row_end, scratch.data());
  EXPECT_TRUE(scratch.intact()) << name(kernel.isa) << " writes outside of its scratch";
}

template <class T>
std::vector<T> scalar_output(const Problem& p) {
  std::vector<T> y(p.shape.y_size());
  run(kernels().back(), p, p.x.data(), y.data(), 0, p.shape.out_h());
  return y;
}

// Every row of the table gives the bits of scalar, with x against an unreadable page, with and
// without `small`.
template <class T>
void expect_equal(Problem p) {
  SCOPED_TRACE(to_string(p.shape));
  p.pack_weight();
  const std::vector<T> expected = scalar_output<T>(p);
  using Side = PageGuarded<uint8_t>::Side;
  for (const Kernel<Fn>& kernel : test::runnable(kernels())) {
    for (Side side : {Side::kBefore, Side::kAfter}) {
      p.small = side == Side::kAfter && p.is_small();
      const PageGuarded<uint8_t> x(p.x, side);
      Guarded<T> y(p.shape.y_size(), side == Side::kAfter ? 1 : 0);
      // As in scalar_output(), gaps keep their bytes.
      if (p.shape.has_gaps()) std::fill_n(y.data(), y.size(), T{});
      run(kernel, p, x.data(), y.data(), 0, p.shape.out_h());
      EXPECT_TRUE(same_bits(y.values(), std::span<const T>(expected))) << name(kernel.isa);
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << " writes outside of y";
    }
  }
}

// The same in int64 and double: the sum is exact, so r is rounded once, as fma rounds.
float formula(const Problem& p, int64_t oh, int64_t ow, int64_t c) {
  const Shape& s = p.shape;
  int64_t acc = p.start[c];
  for (int64_t tap = 0; tap < s.taps(); ++tap) {
    const int64_t kw = tap % s.kernel_w, kh = tap / s.kernel_w % s.kernel_h;
    const int64_t d = s.first_slice + tap / s.kernel_w / s.kernel_h * s.dilation_d;
    const int64_t h = oh * s.stride_h + kh * s.dilation_h - s.pad_top;
    const int64_t w = ow * s.stride_w + kw * s.dilation_w - s.pad_left;
    const bool inside = d >= 0 && d < s.depth && h >= 0 && h < s.height && w >= 0 && w < s.width;
    const int64_t at = ((d * s.height + h) * s.width + w) * s.channels + c;
    acc += (inside ? p.x[at] ^ p.x_flip : p.pad_value) * p.weight[c * s.taps() + tap];
  }
  return static_cast<float>(static_cast<double>(acc) * p.multiplier[c] + p.bias[c]);
}

uint8_t quantized(float r, const Requantize& q) {
  const double rounded = std::nearbyint(static_cast<double>(r)) + q.zero_point;
  return static_cast<uint8_t>(std::clamp<double>(rounded, q.lo, q.hi)) ^ q.flip;
}

void expect_formula(Problem p) {
  SCOPED_TRACE(to_string(p.shape));
  p.pack_weight();
  const std::vector<uint8_t> bytes = scalar_output<uint8_t>(p);
  const std::vector<float> floats = scalar_output<float>(p);
  for (int64_t i = 0; i < p.shape.y_size(); ++i) {
    const int64_t row = i / p.shape.y_row(), in_row = i % p.shape.y_row();
    const int64_t pixel = in_row / p.shape.y_pixel(), channel = in_row % p.shape.y_pixel();
    if (pixel >= p.shape.out_w() || channel >= p.shape.channels) {
      ASSERT_EQ(bytes[i], 0) << "a gap, element " << i;
      continue;
    }
    const float r = formula(p, row, pixel, channel);
    ASSERT_EQ(bytes[i], quantized(r, p.requantize)) << "element " << i;
    ASSERT_EQ(floats[i], std::clamp(r, p.float_lo, p.float_hi)) << "element " << i;
  }
}

constexpr int64_t kChannels[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,  12,  13,  14,  15,
                                 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 100, 127, 128, 129, 144};

// Kernels x strides x dilations x images, padded at random by 0 to 3 on every side.
std::vector<Shape> many_shapes(int64_t channels) {
  constexpr int64_t kKernels[][2] = {{1, 1}, {3, 3}, {5, 5}, {3, 1},
                                     {1, 5}, {7, 7}, {2, 2}, {4, 4}};
  constexpr int64_t kImages[][2] = {{1, 1}, {1, 13}, {11, 1},  {3, 3},
                                    {7, 7}, {8, 5},  {14, 14}, {17, 9}};
  Random random(1);
  std::vector<Shape> shapes;
  for (const auto& kernel : kKernels) {
    for (int64_t stride : {1, 2, 3}) {
      for (int64_t dilation : {1, 2}) {
        for (const auto& image : kImages) {
          const std::vector<int64_t> pads = random.vector<int64_t>(4, 0, 3);
          shapes.push_back({.channels = channels,
                            .height = image[0],
                            .width = image[1],
                            .kernel_h = kernel[0],
                            .kernel_w = kernel[1],
                            .stride_h = stride,
                            .stride_w = stride,
                            .dilation_h = dilation,
                            .dilation_w = dilation,
                            .pad_top = pads[0],
                            .pad_bottom = pads[1],
                            .pad_left = pads[2],
                            .pad_right = pads[3]});
        }
      }
    }
  }
  return shapes;
}

TEST(Dwconv, ScalarIsTheFormula) {
  for (const Shape& shape : many_shapes(3)) expect_formula(Problem(shape, 2));
  Problem flipped(square(5, 6, 3, 1), 3);
  flipped.x_flip = 0x80;
  flipped.requantize = {.zero_point = 7, .lo = 7, .hi = 90, .flip = 0x80};
  flipped.float_lo = -3.5F;
  flipped.float_hi = 12.25F;
  expect_formula(flipped);
}

TEST(Dwconv, EveryShape) {
  for (int64_t channels : {21, 75}) {
    for (const Shape& shape : many_shapes(channels)) expect_equal<uint8_t>(Problem(shape, 4));
  }
}

TEST(Dwconv, StridesAndDilationsThatDifferByAxis) {
  for (int64_t kernel : {3, 5}) {
    for (int64_t stride : {1, 2}) {
      Shape shape = square(18, 12, kernel, stride);
      shape.stride_w = 3 - stride;
      expect_equal<uint8_t>(Problem(shape, 5));
      shape.stride_w = stride;
      shape.dilation_h = 2;
      expect_equal<uint8_t>(Problem(shape, 6));
      shape.dilation_h = 1;
      shape.dilation_w = 3;
      expect_equal<uint8_t>(Problem(shape, 7));
    }
  }
}

TEST(Dwconv, EveryNumberOfChannels) {
  for (int64_t channels : kChannels) {
    for (int64_t kernel : {2, 3, 5}) {
      for (int64_t stride : {1, 2}) {
        expect_equal<uint8_t>(Problem(square(channels, 7, kernel, stride), channels));
      }
    }
  }
}

TEST(Dwconv, FloatOutput) {
  for (int64_t channels : {1, 8, 13, 16, 27, 64, 115}) {
    for (int64_t kernel : {3, 4, 5}) {
      for (int64_t stride : {1, 2}) {
        Problem p(square(channels, 9, kernel, stride), channels);
        expect_equal<float>(p);
        p.float_lo = -20.5F;
        p.float_hi = 20.5F;
        expect_equal<float>(p);
      }
    }
  }
}

TEST(Dwconv, ManyStripsAndGroups) {
  expect_equal<uint8_t>(Problem({.channels = 70, .height = 4, .width = 1500, .pad_left = 1}, 8));
  expect_equal<uint8_t>(Problem(
      {.channels = 20, .height = 3, .width = 2100, .stride_h = 2, .stride_w = 2, .pad_right = 2},
      9));
  expect_equal<uint8_t>(Problem({.channels = 17,
                                 .height = 1,
                                 .width = 2500,
                                 .kernel_h = 1,
                                 .kernel_w = 31,
                                 .pad_left = 15,
                                 .pad_right = 15},
                                10));
  expect_equal<uint8_t>(Problem({.channels = 17,
                                 .height = 40,
                                 .width = 150,
                                 .kernel_h = 31,
                                 .kernel_w = 31,
                                 .pad_left = 15,
                                 .pad_right = 15},
                                11));
  expect_equal<uint8_t>(Problem(square(1160, 7, 5, 1), 12));
  expect_equal<uint8_t>(Problem(square(900, 8, 3, 2), 13));
}

TEST(Dwconv, RowsInPieces) {
  for (int64_t kernel : {3, 4, 5}) {
    for (int64_t stride : {1, 2}) {
      Problem p(square(stride == 2 ? 68 : 35, 15, kernel, stride), 14);
      p.pack_weight();
      const std::vector<uint8_t> expected = scalar_output<uint8_t>(p);
      const int64_t rows = p.shape.out_h(), row_size = p.shape.out_w() * p.shape.channels;
      for (const Kernel<Fn>& kernel_row : test::runnable(kernels())) {
        for (int64_t piece : {1, 2, 3, 5}) {
          for (int64_t begin = 0; begin < rows; begin += piece) {
            const int64_t end = std::min(begin + piece, rows);
            // Only the requested rows may be written, so only they exist.
            Guarded<uint8_t> y((end - begin) * row_size);
            run(kernel_row, p, p.x.data(), y.data() - begin * row_size, begin, end);
            const std::span<const uint8_t> wanted(expected.data() + begin * row_size,
                                                  (end - begin) * row_size);
            EXPECT_TRUE(same_bits(y.values(), wanted)) << name(kernel_row.isa);
            EXPECT_TRUE(y.intact()) << name(kernel_row.isa);
          }
        }
      }
    }
  }
}

TEST(Dwconv, ZeroPointsFlipsAndClamps) {
  constexpr Requantize kRequantizes[] = {{0, 0, 255, 0},      {255, 0, 255, 0}, {128, 0, 255, 0x80},
                                         {5, 5, 255, 0x80},   {37, 40, 90, 0},  {200, 0, 0, 0},
                                         {12, 255, 255, 0x80}};
  for (const Requantize& requantize : kRequantizes) {
    for (int kernel : {3, 5, 7}) {
      for (uint8_t pad_value : {0, 255}) {
        for (int64_t channels : {20, 90}) {
          Problem p(square(channels, 6, kernel, channels == 90 || kernel == 5 ? 2 : 1), pad_value);
          p.requantize = requantize;
          p.pad_value = pad_value;
          p.x_flip = requantize.flip;
          expect_equal<uint8_t>(p);
        }
      }
    }
  }
}

// No intermediate sum may saturate.
TEST(Dwconv, ExtremeOperands) {
  for (int64_t kernel : {2, 3, 5, 7}) {
    for (int64_t stride : {1, 2}) {
      for (int x : {0, 255}) {
        for (int weight : {-128, 127}) {
          Problem p(square(66, 8, kernel, stride), 15);
          std::fill(p.x.begin(), p.x.end(), static_cast<uint8_t>(x));
          std::fill(p.weight.begin(), p.weight.end(), static_cast<int8_t>(weight));
          std::fill(p.start.begin(), p.start.end(), 0);
          p.pad_value = static_cast<uint8_t>(x);
          expect_equal<float>(p);
          const double sum = static_cast<double>(x) * weight * kernel * kernel;
          p.pack_weight();
          EXPECT_EQ(scalar_output<float>(p)[0],
                    static_cast<float>(sum * p.multiplier[0] + p.bias[0]));
        }
      }
    }
  }
}

TEST(Dwconv, ValuesBeyondInt32AndNaN) {
  constexpr float kMultipliers[] = {1e-30F, 1.0F, -1.0F, 1e6F, -1e6F, 3e38F, kInf, -kInf, kNaN};
  constexpr int32_t kStarts[] = {std::numeric_limits<int32_t>::min(),
                                 std::numeric_limits<int32_t>::max(), 1 << 24, -1};
  for (int64_t kernel : {3, 5, 6}) {
    for (int32_t start : kStarts) {
      const int64_t channels = kernel == 5 ? 9 : 36;
      Problem p(square(channels, 4, kernel, kernel == 3 ? 2 : 1), 16);
      for (int64_t c = 0; c < channels; ++c) p.multiplier[c] = kMultipliers[c % 9];
      std::fill(p.start.begin(), p.start.end(), start);
      expect_equal<uint8_t>(p);
      expect_equal<float>(p);
      p.requantize.lo = 30;
      p.requantize.hi = 200;
      p.float_lo = 0;
      p.float_hi = 6;
      expect_equal<uint8_t>(p);
      expect_equal<float>(p);
    }
  }
}

// Kernels x dilations x first slices, also outside the image.
std::vector<Shape> volumes(int64_t channels) {
  std::vector<Shape> shapes;
  for (int64_t kernel_d : {1, 2, 3}) {
    for (int64_t kernel : {1, 2, 3, 5}) {
      for (int64_t dilation_d : {1, 2}) {
        for (int64_t first_slice : {-3, -1, 0, 2, 4}) {
          shapes.push_back({.channels = channels,
                            .height = 6,
                            .width = 5,
                            .kernel_h = kernel,
                            .kernel_w = kernel,
                            .stride_h = first_slice < 0 ? 2 : 1,
                            .stride_w = first_slice < 0 ? 2 : 1,
                            .pad_top = 1,
                            .pad_bottom = 1,
                            .pad_left = 2,
                            .depth = 4,
                            .kernel_d = kernel_d,
                            .dilation_d = dilation_d,
                            .first_slice = first_slice});
        }
      }
    }
  }
  return shapes;
}

TEST(Dwconv, SlicesOfAVolume) {
  for (const Shape& shape : volumes(3)) expect_formula(Problem(shape, 20));
  for (int64_t channels : {21, 70}) {
    for (const Shape& shape : volumes(channels)) expect_equal<uint8_t>(Problem(shape, 21));
  }
}

TEST(Dwconv, GapsInYAndRowsLeftOutOfX) {
  for (int64_t kernel : {2, 3, 5}) {
    for (int64_t stride : {1, 2}) {
      Shape shape = square(19, 12, kernel, stride);
      shape.y_gap = 19;
      shape.y_row_gap = 7;
      expect_equal<uint8_t>(Problem(shape, 22));
      expect_equal<float>(Problem(shape, 23));
      shape.pad_top = -2;
      shape.pad_left = -3;
      expect_equal<uint8_t>(Problem(shape, 24));
      shape.channels = 83;
      expect_equal<uint8_t>(Problem(shape, 26));
      shape.channels = shape.y_gap = 3;
      expect_formula(Problem(shape, 25));
    }
  }
}

TEST(Dwconv, NothingToDo) {
  expect_equal<uint8_t>(Problem({.channels = 0, .height = 4, .width = 4}, 17));
  expect_equal<uint8_t>(Problem({.channels = 4, .height = 2, .width = 2}, 18));
  expect_equal<uint8_t>(Problem({.channels = 4,
                                 .height = 0,
                                 .width = 0,
                                 .pad_top = 2,
                                 .pad_bottom = 2,
                                 .pad_left = 3,
                                 .pad_right = 3},
                                19));
}

}  // namespace
}  // namespace qnative::dwconv
