#include "interpolate/interpolate.h"

#include <algorithm>
#include <cmath>

#include "half.h"
#include "kernels/common.h"

namespace qnative::interpolate {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

// The product is exact in double, and the sum of both is rounded to odd there, so that rounding it
// to float is the rounding of the exact sum.
float fma_by_hand(float a, float b, float c) {
  const double product = double{a} * b, sum = product + c;
  const double added = sum - product, error = (product - (sum - added)) + (c - added);
  if (error == 0) return static_cast<float>(sum);
  int64_t bits;
  memcpy(&bits, &sum, sizeof(bits));
  if (bits % 2 == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
  double odd;
  memcpy(&odd, &bits, sizeof(odd));
  return static_cast<float>(odd);
}

struct RowCase {
  int64_t pixels, outputs, channels;
  int taps;
};

std::vector<RowCase> row_cases() {
  std::vector<RowCase> all;
  for (int taps : {1, 2, 4}) {
    for (int64_t channels = 1; channels <= 70; ++channels) all.push_back({5, 9, channels, taps});
    for (int64_t pixels : {1, 2, 7, 31, 32, 33, 63, 64, 65, 200}) {
      all.push_back({pixels, 2 * pixels, 1, taps});
      all.push_back({pixels, pixels + 1, 3, taps});
    }
  }
  return all;
}

TEST(InterpolateRow, EveryIsaGivesTheFormula) {
  Random random(1);
  for (const RowCase& shape : row_cases()) {
    const auto bytes = random.full_range<uint8_t>(shape.pixels * shape.channels);
    const PageGuarded<uint8_t> x(bytes, PageGuarded<uint8_t>::Side::kAfter);
    const auto index = random.vector<int32_t>(shape.outputs * shape.taps, 0,
                                              static_cast<int32_t>(shape.pixels - 1));
    const auto weight = random.vector<float>(shape.outputs * shape.taps, -1.0f, 1.0f);
    for (uint8_t flip : {0, 0x80}) {
      const int32_t zero_point = random.uniform(0, 255);
      const RowArgs args{.pixels = shape.pixels,
                         .outputs = shape.outputs,
                         .channels = shape.channels,
                         .zero_point = zero_point,
                         .flip = flip,
                         .taps = shape.taps,
                         .index = index.data(),
                         .weight = weight.data()};
      std::vector<float> expected;
      for (int64_t o = 0; o < shape.outputs; ++o) {
        for (int64_t c = 0; c < shape.channels; ++c) {
          float sum = 0;
          for (int k = 0; k < shape.taps; ++k) {
            const int64_t at = o * shape.taps + k;
            const int value = (bytes[index[at] * shape.channels + c] ^ flip) - zero_point;
            sum = k == 0 ? static_cast<float>(value) * weight[at]
                         : fma_by_hand(static_cast<float>(value), weight[at], sum);
          }
          expected.push_back(sum);
        }
      }
      const auto n = static_cast<int64_t>(expected.size());
      for (const auto& kernel : runnable(row_kernels())) {
        Guarded<float> wide(shape.pixels * shape.channels + kSlack), t(n + kSlack);
        kernel.run(args, x.data(), wide.data(), t.data());
        ASSERT_TRUE(same_bits<float>(t.values().first(n), expected))
            << name(kernel.isa) << ", " << shape.pixels << " pixels of " << shape.channels
            << " channels, " << shape.taps << " taps";
        ASSERT_TRUE(wide.intact() && t.intact()) << name(kernel.isa);
      }
    }
  }
}

TEST(InterpolateColumn, EveryIsaGivesTheFormula) {
  Random random(2);
  const Requantize outputs[] = {{0, 0, 255, 0}, {128, 0, 255, 0x80}, {77, 10, 200, 0}};
  for (const auto& [rows, planes] : {std::pair{1, 1}, {2, 1}, {4, 1}, {2, 2}}) {
    for (int64_t n = 1; n <= 200; n += n < 70 ? 1 : 13) {
      for (float multiplier : {0.37f, 30.0f, 1e30f, 1e-30f}) {
        const Requantize& q = outputs[n % 3];
        std::vector<std::vector<float>> values;
        std::vector<const float*> t;
        for (int i = 0; i < rows * planes; ++i) {
          values.push_back(random.vector<float>(n + kSlack, -255.0f, 255.0f));
        }
        for (const auto& row : values) t.push_back(row.data());
        const auto row_weight = random.vector<float>(rows, -1.0f, 1.0f);
        // The weight of a single plane is 1.
        const auto plane_weight =
            planes == 1 ? std::vector<float>{1.0f} : random.vector<float>(planes, 0.0f, 1.0f);
        const ColumnArgs args{.rows = rows,
                              .planes = planes,
                              .t = t.data(),
                              .row_weight = row_weight.data(),
                              .plane_weight = plane_weight.data(),
                              .multiplier = multiplier,
                              .requantize = q};
        std::vector<uint8_t> expected;
        for (int64_t i = 0; i < n; ++i) {
          float sum = 0;
          for (int p = 0; p < planes; ++p) {
            float plane = 0;
            for (int j = 0; j < rows; ++j)
              plane = fma_by_hand(t[p * rows + j][i], row_weight[j], plane);
            sum = fma_by_hand(plane, plane_weight[p], sum);
          }
          const double y = std::nearbyint(double{sum * multiplier}) + q.zero_point;
          expected.push_back(static_cast<uint8_t>(std::clamp<double>(y, q.lo, q.hi)) ^ q.flip);
        }
        for (const auto& kernel : runnable(column_kernels())) {
          Guarded<uint8_t> y(n, 1);
          kernel.run(args, n, y.data());
          ASSERT_TRUE(same_bits<uint8_t>(y.values(), expected))
              << name(kernel.isa) << ", " << planes << " x " << rows << " rows of " << n;
          ASSERT_TRUE(y.intact()) << name(kernel.isa) << ", " << n;
        }
      }
    }
  }
}

// The same sums as for bytes, of all kinds of halves.
TEST(InterpolateFp16, EveryIsaGivesTheBitsOfScalar) {
  Random random(3);
  for (const RowCase& shape : row_cases()) {
    std::vector<uint16_t> halves(shape.pixels * shape.channels);
    for (uint16_t& v : halves) {
      v = random.uniform(0, 9) ? float_to_half(random.uniform(-8.0f, 8.0f))
                               : random.uniform<uint16_t>(0, 0xffff);
    }
    const PageGuarded<uint16_t> x(halves, PageGuarded<uint16_t>::Side::kAfter);
    const auto index = random.vector<int32_t>(shape.outputs * shape.taps, 0,
                                              static_cast<int32_t>(shape.pixels - 1));
    const auto weight = random.vector<float>(shape.outputs * shape.taps, -1.0f, 1.0f);
    RowArgs args{};
    args.pixels = shape.pixels;
    args.outputs = shape.outputs;
    args.channels = shape.channels;
    args.taps = shape.taps;
    args.index = index.data();
    args.weight = weight.data();
    const int64_t n = shape.outputs * shape.channels;
    const float one = 1.0f;
    std::vector<uint16_t> expected(n);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t o = i / shape.channels, c = i % shape.channels;
      float sum = 0;
      for (int k = 0; k < shape.taps; ++k) {
        const int64_t at = o * shape.taps + k;
        const float value = half_to_float(halves[index[at] * shape.channels + c]);
        sum = k == 0 ? value * weight[at] : std::fma(value, weight[at], sum);
      }
      expected[i] = std::isnan(sum) ? uint16_t{0x7e00} : float_to_half(sum);
    }
    for (size_t i = 0; i < runnable(row_fp16_kernels()).size(); ++i) {
      const auto row = runnable(row_fp16_kernels())[i];
      const auto column = runnable(column_fp16_kernels())[i];
      Guarded<float> wide(shape.pixels * shape.channels + kSlack), t(n + kSlack);
      row.run(args, x.data(), wide.data(), t.data());
      Guarded<uint16_t> y(n, 1);
      const float* const sums = t.data();
      ColumnArgs columns{};
      columns.rows = columns.planes = 1;
      columns.t = &sums;
      columns.row_weight = columns.plane_weight = &one;
      column.run(columns, n, y.data());
      ASSERT_TRUE(same_bits<uint16_t>(y.values(), expected))
          << name(row.isa) << ", " << shape.pixels << " pixels of " << shape.channels
          << " channels, " << shape.taps << " taps";
      ASSERT_TRUE(wide.intact() && t.intact() && y.intact()) << name(row.isa);
    }
  }
}

TEST(InterpolateFp16, RowsAndPlanesAreSummedAsThoseOfBytes) {
  Random random(4);
  for (const auto& [rows, planes] : {std::pair{1, 1}, {2, 1}, {4, 1}, {2, 2}}) {
    for (int64_t n = 1; n <= 200; n += n < 70 ? 1 : 13) {
      std::vector<std::vector<float>> values;
      std::vector<const float*> t;
      for (int i = 0; i < rows * planes; ++i) {
        values.push_back(random.vector<float>(n + kSlack, -9.0f, 9.0f));
      }
      for (const auto& row : values) t.push_back(row.data());
      const auto row_weight = random.vector<float>(rows, -1.0f, 1.0f);
      const auto plane_weight =
          planes == 1 ? std::vector<float>{1.0f} : random.vector<float>(planes, 0.0f, 1.0f);
      ColumnArgs args{};
      args.rows = rows;
      args.planes = planes;
      args.t = t.data();
      args.row_weight = row_weight.data();
      args.plane_weight = plane_weight.data();
      std::vector<uint16_t> expected;
      for (int64_t i = 0; i < n; ++i) {
        float sum = 0;
        for (int p = 0; p < planes; ++p) {
          float plane = 0;
          for (int j = 0; j < rows; ++j) {
            plane = fma_by_hand(t[p * rows + j][i], row_weight[j], plane);
          }
          sum = fma_by_hand(plane, plane_weight[p], sum);
        }
        expected.push_back(float_to_half(sum));
      }
      for (const auto& kernel : runnable(column_fp16_kernels())) {
        Guarded<uint16_t> y(n, 1);
        kernel.run(args, n, y.data());
        ASSERT_TRUE(same_bits<uint16_t>(y.values(), expected)) << name(kernel.isa) << ", " << n;
        ASSERT_TRUE(y.intact()) << name(kernel.isa) << ", " << n;
      }
    }
  }
}

}  // namespace
}  // namespace qnative::interpolate
