#include "pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace qnative::embedding {
namespace {

// real = q * scale + bias, q in 0..levels.
struct Line {
  float scale, bias;
};

int quantize(float x, Line line, int levels) {
  if (line.scale == 0) return 0;
  const double q = std::nearbyint((double{x} - line.bias) / line.scale);
  return static_cast<int>(std::clamp<double>(q, 0, levels));
}

struct Range {
  double min = 0, max = 0;
  bool finite = true;
};

Range range_of(const float* x, int64_t n) {
  Range range;
  if (n > 0) range.min = range.max = x[0];
  for (int64_t i = 0; i < n; ++i) {
    range.min = std::min<double>(range.min, x[i]);
    range.max = std::max<double>(range.max, x[i]);
    range.finite &= std::isfinite(x[i]);
  }
  return range;
}

// The line over the middle `share` of the range.
Line line_of(const Range& range, double share, int levels) {
  const double cut = (range.max - range.min) * (1 - share) / 2;
  const double width = (range.max - range.min) * share;
  return {static_cast<float>(width / levels), static_cast<float>(range.min + cut)};
}

struct Fit {
  double error;
  Line next;  // least-squares line for the q of `error`
};

Fit fit(const float* x, int64_t n, Line line, int levels) {
  double error = 0, sum_q = 0, sum_qq = 0, sum_x = 0, sum_qx = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double q = quantize(x[i], line, levels), v = x[i];
    const double e = v - (q * line.scale + line.bias);
    error += e * e;
    sum_q += q;
    sum_qq += q * q;
    sum_x += v;
    sum_qx += q * v;
  }
  const double count = static_cast<double>(n), det = count * sum_qq - sum_q * sum_q;
  if (det <= 0) return {error, line};
  const double scale = (count * sum_qx - sum_q * sum_x) / det;
  return {error, {static_cast<float>(scale), static_cast<float>((sum_x - scale * sum_q) / count)}};
}

Line search(const float* x, int64_t n, const Range& range, int levels) {
  constexpr int kSteps = 6;
  Line best = line_of(range, 1, levels);
  double min_error = fit(x, n, best, levels).error;
  for (double share : {1.0, 0.85, 0.7}) {
    Line line = line_of(range, share, levels);
    double before = HUGE_VAL;
    for (int step = 0; step < kSteps; ++step) {
      const Fit found = fit(x, n, line, levels);
      if (found.error < min_error) {
        min_error = found.error;
        best = line;
      }
      if (found.error >= before) break;
      before = found.error;
      line = found.next;
    }
  }
  return best;
}

void write_line(Line line, uint8_t* to) {
  std::memcpy(to, &line.scale, sizeof(float));
  std::memcpy(to + sizeof(float), &line.bias, sizeof(float));
}

}  // namespace

bool pack_row_8bit(const float* x, int64_t dim, uint8_t* row) {
  const Range range = range_of(x, dim);
  if (!range.finite) return false;
  const Line line = line_of(range, 1, 255);
  for (int64_t d = 0; d < dim; ++d) *row++ = static_cast<uint8_t>(quantize(x[d], line, 255));
  write_line(line, row);
  return true;
}

bool pack_row_4bit(const float* x, int64_t dim, uint8_t* row) {
  const Range range = range_of(x, dim);
  if (!range.finite) return false;
  const Line line = search(x, dim, range, 15);
  for (int64_t d = 0; d < dim; d += 2) {
    const int low = quantize(x[d], line, 15);
    const int high = d + 1 < dim ? quantize(x[d + 1], line, 15) : 0;
    *row++ = static_cast<uint8_t>(low | high << 4);
  }
  write_line(line, row);
  return true;
}

}  // namespace qnative::embedding
