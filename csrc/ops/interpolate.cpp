#include "interpolate/interpolate.h"

#include <torch/library.h>

#include <cstring>

#include "dispatch.h"
#include "epilogue.h"
#include "lookup/lookup.h"
#include "parallel.h"
#include "qnative/ops.h"
#include "resample.h"
#include "scratch.h"

namespace qnative::ops {
namespace {

constexpr const char* kOp = "interpolate";
constexpr int64_t kGrain = 32 * 1024;  // output bytes a task

// x and y as images of pixels: channels_last ones of C values each, or N * C images of single
// values, so that no layout is converted.
struct Images {
  Triple<int64_t> in, out;
  int64_t count, channels;
  const uint8_t* x;
  uint8_t* y;

  int64_t rows() const { return count * out[0] * out[1]; }
  int64_t y_row_bytes() const { return out[2] * channels; }
  uint8_t* y_row(int64_t row) const { return y + row * y_row_bytes(); }
  // Number of the input row that lies at these depth and height of the image of an output row.
  int64_t x_row(int64_t row, int64_t depth, int64_t height) const {
    return (row / (out[0] * out[1]) * in[0] + depth) * in[1] + height;
  }
  const uint8_t* x_bytes(int64_t x_row) const { return x + x_row * in[2] * channels; }
};

void copy_pixels(const Images& images, const Taps& taps, const uint8_t* from, uint8_t* to) {
  if (images.channels == 1) {
    for (int64_t i = 0; i < images.out[2]; ++i) to[i] = from[taps.index[i]];
    return;
  }
  for (int64_t i = 0; i < images.out[2]; ++i) {
    std::memcpy(to + i * images.channels, from + taps.index[i] * images.channels, images.channels);
  }
}

// table: 256 bytes, or null for a copy.
void run_nearest(const Images& images, const Triple<Taps>& taps, const uint8_t* table) {
  static auto& run_lookup = select(lookup::kernels());
  const int64_t bytes = images.y_row_bytes();
  run_parts(images.rows(), bytes, kGrain, [&](int64_t begin, int64_t end) {
    int64_t last = -1;
    for (int64_t row = begin; row < end; ++row) {
      uint8_t* y = images.y_row(row);
      const int64_t x_row = images.x_row(row, taps[0].index[row / images.out[1] % images.out[0]],
                                         taps[1].index[row % images.out[1]]);
      if (x_row == last) {
        std::memcpy(y, y - bytes, bytes);
        continue;
      }
      last = x_row;
      copy_pixels(images, taps[2], images.x_bytes(x_row), y);
      if (table != nullptr) run_lookup(y, y, bytes, table);
    }
  });
}

// Input rows after the first step. An output row needs as many of them as there are slots, and its
// neighbour mostly the same ones.
class Rows {
 public:
  Rows(int slots, int64_t wide, int64_t length)
      : slots_(slots),
        scratch_(Scratch::bytes<float>(wide) + slots * Scratch::bytes<float>(length)),
        wide_(scratch_.take<float>(wide)) {
    for (int i = 0; i < slots; ++i) slot_[i] = {-1, -1, scratch_.take<float>(length)};
  }

  // make(wide, t) fills the slot of a row that is not there yet. `now` grows by output rows.
  template <class F>
  const float* get(int64_t x_row, int64_t now, const F& make) {
    Slot* oldest = slot_;
    for (Slot* slot = slot_; slot != slot_ + slots_; ++slot) {
      if (slot->x_row == x_row) {
        slot->used = now;
        return slot->t;
      }
      if (slot->used < oldest->used) oldest = slot;
    }
    make(wide_, oldest->t);
    oldest->x_row = x_row;
    oldest->used = now;
    return oldest->t;
  }

 private:
  struct Slot {
    int64_t x_row, used;
    float* t;
  };
  int slots_;
  Scratch scratch_;
  float* wide_;
  Slot slot_[4];
};

struct Weighted {
  uint8_t flip;
  int32_t zero_point;
  float multiplier;
  Requantize requantize;
};

void run_weighted(const Images& images, const Triple<Taps>& taps, const Weighted& values) {
  static auto& run_row = select(interpolate::row_kernels());
  static auto& run_column = select(interpolate::column_kernels());
  const auto& [deep, vertical, horizontal] = taps;
  const interpolate::RowArgs row_args{.pixels = images.in[2],
                                      .outputs = images.out[2],
                                      .channels = images.channels,
                                      .zero_point = values.zero_point,
                                      .flip = values.flip,
                                      .taps = horizontal.count,
                                      .index = horizontal.index.data(),
                                      .weight = horizontal.weight.data()};
  const int64_t wide = images.in[2] * images.channels + interpolate::kSlack;
  const int64_t length = images.y_row_bytes() + interpolate::kSlack;
  run_parts(images.rows(), images.y_row_bytes() * 4, kGrain, [&](int64_t begin, int64_t end) {
    Rows rows(deep.count * vertical.count, wide, length);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t d = row / images.out[1] % images.out[0], h = row % images.out[1];
      const float* t[4];
      for (int p = 0; p < deep.count; ++p) {
        for (int j = 0; j < vertical.count; ++j) {
          const int64_t x_row = images.x_row(row, deep.index[d * deep.count + p],
                                             vertical.index[h * vertical.count + j]);
          t[p * vertical.count + j] = rows.get(x_row, row, [&](float* scratch, float* target) {
            run_row(row_args, images.x_bytes(x_row), scratch, target);
          });
        }
      }
      run_column({.rows = vertical.count,
                  .planes = deep.count,
                  .t = t,
                  .row_weight = vertical.weight.data() + h * vertical.count,
                  .plane_weight = deep.weight.data() + d * deep.count,
                  .multiplier = values.multiplier,
                  .requantize = values.requantize},
                 images.y_row_bytes(), images.y_row(row));
    }
  });
}

template <class Int>
Resample<Int> check_interpolate(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                at::OptionalArrayRef<Int> size,
                                std::optional<at::ArrayRef<double>> scale_factors,
                                std::string_view mode, std::optional<bool> align_corners,
                                at::DeviceType device) {
  check_8bit(kOp, "x", x, device);
  check_qparams(kOp, "x_", x_scale, x_zero_point, x.scalar_type());
  return check_resample<Int>(x, size, scale_factors, mode, align_corners);
}

at::Tensor interpolate_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                            at::OptionalSymIntArrayRef size,
                            std::optional<at::ArrayRef<double>> scale_factors,
                            std::string_view mode, std::optional<bool> align_corners,
                            double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  const auto resample = check_interpolate<c10::SymInt>(
      x, x_scale, x_zero_point, size, scale_factors, mode, align_corners, at::kMeta);
  make_output(kOp, y_scale, y_zero_point, y_dtype);
  return empty_image_meta(x, resample.rank, resample.out, y_dtype);
}

}  // namespace

at::Tensor interpolate(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                       at::OptionalIntArrayRef size,
                       std::optional<at::ArrayRef<double>> scale_factors, std::string_view mode,
                       std::optional<bool> align_corners, double y_scale, int64_t y_zero_point,
                       at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto resample = check_interpolate<int64_t>(x, x_scale, x_zero_point, size, scale_factors,
                                                   mode, align_corners, at::kCPU);
  const Output output = make_output(kOp, y_scale, y_zero_point, y_dtype);
  const auto table = rescale_table(kOp, x_scale, x_zero_point, x.scalar_type(), output);
  const at::Tensor y = empty_image(x, resample.rank, resample.out, y_dtype);
  if (y.numel() == 0) return y;
  const at::MemoryFormat format = image_format(x, resample.rank);
  const bool by_channel = format == at::MemoryFormat::Contiguous;
  const at::Tensor source = x.contiguous(format);
  const Images images{.in = image_size<int64_t>(x, resample.rank),
                      .out = resample.out,
                      .count = by_channel ? x.size(0) * x.size(1) : x.size(0),
                      .channels = by_channel ? 1 : x.size(1),
                      .x = static_cast<const uint8_t*>(source.const_data_ptr()),
                      .y = static_cast<uint8_t*>(y.mutable_data_ptr())};
  const Triple<Taps> taps = make_taps(images.in, resample);
  if (resample.is_nearest()) {
    run_nearest(images, taps, table ? table->data() : nullptr);
  } else {
    run_weighted(images, taps,
                 {.flip = flip_of(x.scalar_type()),
                  .zero_point = unsigned_zero_point(x_zero_point, x.scalar_type()),
                  .multiplier = finite_multiplier(kOp, x_scale / y_scale),
                  .requantize = make_requantize(output)});
  }
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("interpolate", TORCH_FN(interpolate)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("interpolate", TORCH_FN(interpolate_meta)); }

}  // namespace qnative::ops
