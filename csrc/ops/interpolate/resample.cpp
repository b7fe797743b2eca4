#include "interpolate/resample.h"

#include <ATen/native/UpSample.h>

#include <cmath>

namespace qnative::ops {
namespace {

ResampleMode parse_mode(const char* op, std::string_view mode, int64_t rank) {
  struct Row {
    std::string_view name;
    ResampleMode mode;
    int64_t rank;  // 0: any
  };
  constexpr Row kModes[] = {
      {"nearest", ResampleMode::kNearest, 0},  {"nearest-exact", ResampleMode::kNearestExact, 0},
      {"linear", ResampleMode::kLinear, 1},    {"bilinear", ResampleMode::kLinear, 2},
      {"trilinear", ResampleMode::kLinear, 3}, {"bicubic", ResampleMode::kCubic, 2},
  };
  for (const Row& row : kModes) {
    if (row.name != mode) continue;
    TORCH_CHECK(row.rank == 0 || row.rank == rank, "qnative::", op, ": mode '", mode,
                "' needs x of ", row.rank + 2, " dimensions, got ", rank + 2);
    return row.mode;
  }
  TORCH_CHECK(false, "qnative::", op,
              ": mode must be one of nearest, nearest-exact, linear, bilinear, "
              "trilinear, bicubic, got '",
              mode, "'");
}

int64_t scaled(int64_t size, double scale) {
  // Far outside of int64 the conversion would be undefined.
  return static_cast<int64_t>(std::min(static_cast<double>(size) * scale, 1e18));
}

c10::SymInt scaled(const c10::SymInt& size, double scale) {
  if (const auto known = size.maybe_as_int()) return scaled(*known, scale);
  if (scale < 0x1p31 && scale == std::floor(scale)) return size * static_cast<int64_t>(scale);
  const c10::SymFloat result = static_cast<c10::SymFloat>(size) * c10::SymFloat(scale);
  return c10::SymInt(result.toSymNodeImpl()->floor());
}

// An index into an axis of `size`, which is less than 2^31.
int32_t clamp_index(int64_t index, int64_t size) {
  return static_cast<int32_t>(std::clamp<int64_t>(index, 0, size - 1));  // < 2^31
}

Taps nearest_taps(int64_t size, int64_t out, const std::optional<double>& scale, bool exact) {
  const auto index = exact ? at::native::nearest_exact_idx : at::native::nearest_idx;
  Taps taps{.count = 1, .index = std::vector<int32_t>(out), .weight = {}};
  for (int64_t i = 0; i < out; ++i) {
    taps.index[i] = clamp_index(index(i, size, out, scale), size);
  }
  return taps;
}

Taps linear_taps(int64_t size, int64_t out, const std::optional<double>& scale,
                 bool align_corners) {
  const float ratio = at::native::area_pixel_compute_scale<float>(size, out, align_corners, scale);
  Taps taps{.count = 2, .index = {}, .weight = std::vector<float>(2 * out)};
  taps.index.reserve(2 * out);
  for (int64_t i = 0; i < out; ++i) {
    int64_t first = 0, second = 0;
    float* weight = taps.weight.data() + 2 * i;
    at::native::compute_source_index_and_lambda(first, second, weight[0], weight[1], ratio, i, size,
                                                out, align_corners);
    taps.index.push_back(clamp_index(first, size));
    taps.index.push_back(clamp_index(second, size));
  }
  return taps;
}

Taps cubic_taps(int64_t size, int64_t out, const std::optional<double>& scale, bool align_corners) {
  const float ratio = at::native::area_pixel_compute_scale<float>(size, out, align_corners, scale);
  Taps taps{.count = 4, .index = {}, .weight = std::vector<float>(4 * out)};
  taps.index.reserve(4 * out);
  for (int64_t i = 0; i < out; ++i) {
    const float position =
        at::native::area_pixel_compute_source_index<float>(ratio, i, align_corners, true);
    int64_t index = 0;
    float lambda = 0;
    at::native::guard_index_and_lambda(position, size, index, lambda);
    at::native::get_cubic_upsample_coefficients<float>(taps.weight.data() + 4 * i, lambda);
    for (int64_t k = index - 1; k <= index + 2; ++k) {
      taps.index.push_back(clamp_index(k, size));
    }
  }
  return taps;
}

}  // namespace

template <class Int>
Resample<Int> plan_resample(const char* op, const at::Tensor& x,
                            const BasicInterpolation<Int>& interpolation) {
  const auto& [size, scale_factors, mode, align_corners] = interpolation;
  const int64_t rank = x.dim() - 2;
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  TORCH_CHECK(rank >= 1 && rank <= 3, "qnative::", op,
              ": x must be [N, C, L], [N, C, H, W] or [N, C, D, H, W], got ", sizes);
  check_image(op, sizes, rank);
  Resample<Int> resample{.rank = rank,
                         .mode = parse_mode(op, mode, rank),
                         .align_corners = align_corners.value_or(false),
                         .scale = {},
                         .out = {Int(1), Int(1), Int(1)}};
  TORCH_CHECK(!resample.is_nearest() || !align_corners, "qnative::", op, ": mode '", mode,
              "' takes no align_corners");
  TORCH_CHECK(size.has_value() != scale_factors.has_value(), "qnative::", op,
              ": either size or scale_factors must be given, got ", size ? "both" : "none");
  if (size) {
    resample.out = expand_triple<Int>(op, "size", at::ArrayRef<Int>(*size), rank, 1);
    return resample;
  }
  const at::ArrayRef<double> factors = *scale_factors;
  const auto given = static_cast<int64_t>(factors.size());
  TORCH_CHECK(given == 1 || given == rank, "qnative::", op, ": scale_factors must have 1 ",
              rank == 1 ? "value" : c10::str("or ", rank, " values"), ", got ", factors);
  for (int64_t i = 0; i < rank; ++i) {
    const double factor = given == 1 ? factors.front() : factors[i];
    TORCH_CHECK(factor > 0 && std::isfinite(factor), "qnative::", op,
                ": scale_factors must be positive and finite, got ", factors);
    const Int out = scaled(sizes[i + 2], factor);
    TORCH_CHECK(is_extent(out, 1), "qnative::", op, ": sizes of y must be in [1, 2^31), got ", out,
                " for size ", sizes[i + 2], " and scale factor ", factor);
    resample.out[3 - rank + i] = out;
    resample.scale[3 - rank + i] = factor;
  }
  return resample;
}

Spatial<Taps> make_taps(const Spatial<int64_t>& size, const Resample<int64_t>& resample) {
  Spatial<Taps> taps;
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t out = resample.out[i];
    const auto& scale = resample.scale[i];
    const bool is_missing = i < 3 - resample.rank;
    if (is_missing) {
      taps[i] = {.count = 1, .index = {0}, .weight = {1.0f}};
    } else if (resample.is_nearest()) {
      taps[i] = nearest_taps(size[i], out, scale, resample.mode == ResampleMode::kNearestExact);
    } else if (resample.mode == ResampleMode::kLinear) {
      taps[i] = linear_taps(size[i], out, scale, resample.align_corners);
    } else {
      taps[i] = cubic_taps(size[i], out, scale, resample.align_corners);
    }
  }
  return taps;
}

template Resample<int64_t> plan_resample(const char*, const at::Tensor&,
                                         const BasicInterpolation<int64_t>&);
template Resample<c10::SymInt> plan_resample(const char*, const at::Tensor&,
                                             const BasicInterpolation<c10::SymInt>&);

}  // namespace qnative::ops
