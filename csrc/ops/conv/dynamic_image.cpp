#include "conv/dynamic_image.h"

#include "common/dispatch.h"
#include "common/empty.h"
#include "common/extremes.h"
#include "common/parallel.h"
#include "interleave/interleave.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr int64_t kImageGrain = 32 * 1024;  // floats a task
// Planes go through a block of bytes in the L1 cache.
constexpr int64_t kBlockPlanes = 64;
constexpr int64_t kBlockPixels = 256;

Requantize full_range(const DynamicQParams& qparams) {
  return {.zero_point = qparams.zero_point, .lo = 0, .hi = 255, .flip = 0};
}

}  // namespace

DynamicImages::DynamicImages(const at::Tensor& x)
    : format_(x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast),
      is_planes_(!x.is_contiguous(format_)),
      channels_(x.size(1)),
      pixels_(x.size(2) * x.size(3) * (x.dim() == 5 ? x.size(4) : 1)) {
  x_ = is_planes_ ? x.contiguous() : x;
}

at::Tensor DynamicImages::empty_image() const {
  at::DimVector sizes(x_.sizes());
  sizes[0] = 1;
  return empty(sizes, at::kByte, format_);
}

std::optional<DynamicQParams> DynamicImages::quantize(int64_t i, const at::Tensor& to) const {
  const float* const x = x_.const_data_ptr<float>() + i * size();
  const Extremes extremes = find_extremes(x, size());
  if (!std::isfinite(extremes.min) || !std::isfinite(extremes.max)) return std::nullopt;
  const DynamicQParams qparams =
      dynamic_qparams(std::min(extremes.min, 0.0f), std::max(extremes.max, 0.0f));
  auto* const y = to.mutable_data_ptr<uint8_t>();
  if (is_planes_) {
    quantize_planes(x, y, qparams);
  } else {
    static auto& quantize = select(quantize::quantize_kernels());
    run_parts(size(), 1, kImageGrain, [&](int64_t begin, int64_t end) {
      quantize(x + begin, y + begin, end - begin, qparams.inverse_scale, full_range(qparams));
    });
  }
  return qparams;
}

void DynamicImages::quantize_planes(const float* x, uint8_t* y,
                                    const DynamicQParams& qparams) const {
  static auto& quantize = select(quantize::quantize_kernels());
  static auto& transpose = select(interleave::transpose_kernels());
  const Requantize range = full_range(qparams);
  run_parts(pixels_, channels_, kImageGrain, [&](int64_t begin, int64_t end) {
    alignas(64) uint8_t block[kBlockPlanes * kBlockPixels];
    for (int64_t pixel = begin; pixel < end; pixel += kBlockPixels) {
      const int64_t n = std::min(kBlockPixels, end - pixel);
      for (int64_t channel = 0; channel < channels_; channel += kBlockPlanes) {
        const int64_t planes = std::min(kBlockPlanes, channels_ - channel);
        for (int64_t c = 0; c < planes; ++c) {
          quantize(x + (channel + c) * pixels_ + pixel, block + c * kBlockPixels, n,
                   qparams.inverse_scale, range);
        }
        transpose({.x = block, .planes = planes, .plane_stride = kBlockPixels, .n = n},
                  y + pixel * channels_ + channel, channels_);
      }
    }
  });
}

}  // namespace qnative::ops
