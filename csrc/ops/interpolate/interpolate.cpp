#include "interpolate/interpolate.h"

#include <torch/library.h>

#include <cstring>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "interpolate/resample.h"
#include "lookup/lookup.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/interpolate.h"

namespace qnative::ops {
namespace {

constexpr const char* kOp = "interpolate";
constexpr const char* kFp16 = "interpolate_fp16";
constexpr int64_t kGrain = 32 * 1024;  // output bytes a task

// x and y as images of pixels: channels_last ones of C values each, or N * C images of single
// values, so that no layout is converted.
struct Images {
  // y: from empty_image().
  Images(const at::Tensor& image, const Resample<int64_t>& resample, const at::Tensor& y)
      : in(image_size<int64_t>(image, resample.rank)), out(resample.out) {
    const at::Tensor batch = to_image(image, resample.rank);
    const at::MemoryFormat format = batch.suggest_memory_format();
    const bool by_channel = format == at::MemoryFormat::Contiguous;
    source = batch.contiguous(format);
    count = by_channel ? source.size(0) * source.size(1) : source.size(0);
    channels = by_channel ? 1 : source.size(1);
    pixel_bytes = channels * static_cast<int64_t>(source.element_size());
    x = static_cast<const uint8_t*>(source.const_data_ptr());
    this->y = static_cast<uint8_t*>(y.mutable_data_ptr());
  }

  at::Tensor source;  // owns x
  Spatial<int64_t> in, out;
  int64_t count, channels, pixel_bytes;
  const uint8_t* x;
  uint8_t* y;

  int64_t rows() const { return count * out[0] * out[1]; }
  int64_t y_row_bytes() const { return out[2] * pixel_bytes; }
  uint8_t* y_row(int64_t row) const { return y + row * y_row_bytes(); }
  // Number of the input row that lies at these depth and height of the image of an output row.
  int64_t x_row(int64_t row, int64_t depth, int64_t height) const {
    return (row / (out[0] * out[1]) * in[0] + depth) * in[1] + height;
  }
  const uint8_t* x_bytes(int64_t x_row) const { return x + x_row * in[2] * pixel_bytes; }
};

// bytes: of a pixel.
inline void copy_pixels(int64_t count, const Taps& taps, const uint8_t* from, uint8_t* to,
                        int64_t bytes) {
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * bytes, from + taps.index[i] * bytes, bytes);
  }
}

void copy_row(const Images& images, const Taps& taps, const uint8_t* from, uint8_t* to) {
  // A size that the compiler knows makes memcpy a move.
  if (images.pixel_bytes == 1) return copy_pixels(images.out[2], taps, from, to, 1);
  if (images.pixel_bytes == 2) return copy_pixels(images.out[2], taps, from, to, 2);
  copy_pixels(images.out[2], taps, from, to, images.pixel_bytes);
}

// table: 256 bytes, or null for a copy.
void run_nearest(const Images& images, const Spatial<Taps>& taps, const uint8_t* table) {
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
      copy_row(images, taps[2], images.x_bytes(x_row), y);
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

// run_row and run_column: the kernels for elements T. row_args and column_args: what they say of
// bytes; the rest is filled in here.
template <class T, class RowFn, class ColumnFn>
void run_weighted(const Images& images, const Spatial<Taps>& taps, RowFn& run_row,
                  ColumnFn& run_column, interpolate::RowArgs row_args,
                  const interpolate::ColumnArgs& column_args) {
  const auto& [deep, vertical, horizontal] = taps;
  row_args.pixels = images.in[2];
  row_args.outputs = images.out[2];
  row_args.channels = images.channels;
  row_args.taps = horizontal.count;
  row_args.index = horizontal.index.data();
  row_args.weight = horizontal.weight.data();
  const int64_t wide = images.in[2] * images.channels + interpolate::kSlack;
  const int64_t values = images.out[2] * images.channels;
  const int64_t length = values + interpolate::kSlack;
  run_parts(images.rows(), values * 4, kGrain, [&](int64_t begin, int64_t end) {
    Rows rows(deep.count * vertical.count, wide, length);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t d = row / images.out[1] % images.out[0], h = row % images.out[1];
      const float* t[4];
      for (int p = 0; p < deep.count; ++p) {
        for (int j = 0; j < vertical.count; ++j) {
          const int64_t x_row = images.x_row(row, deep.index[d * deep.count + p],
                                             vertical.index[h * vertical.count + j]);
          t[p * vertical.count + j] = rows.get(x_row, row, [&](float* scratch, float* target) {
            run_row(row_args, reinterpret_cast<const T*>(images.x_bytes(x_row)), scratch, target);
          });
        }
      }
      interpolate::ColumnArgs args = column_args;
      args.rows = vertical.count;
      args.planes = deep.count;
      args.t = t;
      args.row_weight = vertical.weight.data() + h * vertical.count;
      args.plane_weight = deep.weight.data() + d * deep.count;
      run_column(args, values, reinterpret_cast<T*>(images.y_row(row)));
    }
  });
}

template <class Int>
Resample<Int> plan_interpolate(const QTensor& x, const BasicInterpolation<Int>& interpolation,
                               const OutputSpec& y) {
  check_qtensor(kOp, "x", x, kDevice<Int>);
  check_output(kOp, y);
  scale_ratio(kOp, x, y);
  return plan_resample(kOp, x.data, interpolation);
}

template <class Int>
Resample<Int> plan_interpolate_fp16(const at::Tensor& x,
                                    const BasicInterpolation<Int>& interpolation) {
  check_half(kFp16, "x", x, kDevice<Int>);
  return plan_resample(kFp16, x, interpolation);
}

// Taps take memory for each output of a row or column, which an empty batch may have any number of.
Spatial<Taps> taps_of(const Resample<int64_t>& plan, const at::Tensor& x) {
  const bool is_empty = x.numel() == 0 || c10::multiply_integers(plan.out) == 0;
  return is_empty ? Spatial<Taps>{} : make_taps(image_size<int64_t>(x, plan.rank), plan);
}

// What the eager and the planned op share.
struct InterpolateOp {
  struct Plan {
    Resample<int64_t> resample;
    Spatial<Taps> taps;
    std::optional<std::array<uint8_t, 256>> table;  // of the nearest modes; none: bytes stay
    float multiplier;
    Requantize requantize;
  };
  QParams x_qparams;
  Held<Interpolation> interpolation;
  OutputSpec output;

  Plan plan(Inputs inputs) const {
    const BorrowedQTensor borrowed(*inputs[0], x_qparams);
    const QTensor& x = borrowed;
    const auto resample = plan_interpolate(x, *interpolation, output);
    auto taps = taps_of(resample, x.data);
    return {resample, std::move(taps), rescale_table(kOp, x, output), scale_ratio(kOp, x, output),
            make_requantize(output)};
  }

  static Work work(const Plan& plan, Inputs /*x*/) {
    return {plan.resample.is_nearest() ? "" : "interpolate.row"};
  }
  at::Tensor run(const Plan& plan, Inputs inputs) const {
    static auto& run_row = select(interpolate::row_kernels());
    static auto& run_column = select(interpolate::column_kernels());
    const at::Tensor& x = *inputs[0];
    const at::Tensor y = empty_image(x, plan.resample.rank, plan.resample.out, output.dtype);
    if (y.numel() == 0) return y;
    const Images images(x, plan.resample, y);
    if (plan.resample.is_nearest()) {
      run_nearest(images, plan.taps, plan.table ? plan.table->data() : nullptr);
      return y;
    }
    interpolate::RowArgs row_args{};
    row_args.zero_point = unsigned_zero_point(x_qparams.zero_point, x.scalar_type());
    row_args.flip = flip_of(x.scalar_type());
    interpolate::ColumnArgs column_args{};
    column_args.multiplier = plan.multiplier;
    column_args.requantize = plan.requantize;
    run_weighted<uint8_t>(images, plan.taps, run_row, run_column, row_args, column_args);
    return y;
  }
};

at::Tensor run_interpolate_fp16(const Resample<int64_t>& plan, const at::Tensor& x) {
  static auto& run_row = select(interpolate::row_fp16_kernels());
  static auto& run_column = select(interpolate::column_fp16_kernels());
  const at::Tensor y = empty_image(x, plan.rank, plan.out, at::kHalf);
  if (y.numel() == 0) return y;
  const Images images(x, plan, y);
  const Spatial<Taps> taps = make_taps(images.in, plan);
  if (plan.is_nearest()) {
    run_nearest(images, taps, nullptr);
  } else {
    run_weighted<uint16_t>(images, taps, run_row, run_column, {}, {});
  }
  return y;
}

using SymInterpolation = BasicInterpolation<c10::SymInt>;

QTensor interpolate_meta(const QTensor& x, const SymInterpolation& interpolation,
                         const OutputSpec& y) {
  const auto plan = plan_interpolate(x, interpolation, y);
  return {empty_image(x.data, plan.rank, plan.out, y.dtype), y.qparams};
}

at::Tensor interpolate_fp16_meta(const at::Tensor& x, const SymInterpolation& interpolation) {
  const auto plan = plan_interpolate_fp16(x, interpolation);
  return empty_image(x, plan.rank, plan.out, at::kHalf);
}

}  // namespace

QTensor interpolate(const QTensor& x, const Interpolation& interpolation, const OutputSpec& y) {
  const InterpolateOp op{x.qparams, Held<Interpolation>::borrow(interpolation), y};
  return {run_op(op, {&x.data}), y.qparams};
}

std::unique_ptr<PlannedOp> plan_interpolate_op(Arguments& arguments) {
  arguments.operand();
  const QParams x = arguments.qparams();
  Interpolation interpolation{.size = arguments.optional_ints()};
  if (const auto factors = arguments.optional<std::vector<double>>()) {
    interpolation.scale_factors = at::ArrayRef<double>(*factors);
  }
  interpolation.mode = arguments.text();
  interpolation.align_corners = arguments.optional<bool>();
  return make_planned(
      InterpolateOp{x, Held<Interpolation>::own(std::move(interpolation)), arguments.output()},
      arguments);
}

at::Tensor interpolate_fp16(const at::Tensor& x, const Interpolation& interpolation) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_interpolate_fp16(plan_interpolate_fp16(x, interpolation), x);
}

namespace {

template <class Int>
BasicInterpolation<Int> make_interpolation(at::OptionalArrayRef<Int> size,
                                           std::optional<at::ArrayRef<double>> scale_factors,
                                           std::string_view mode,
                                           std::optional<bool> align_corners) {
  BasicInterpolation<Int> interpolation{.mode = std::string(mode), .align_corners = align_corners};
  if (size) interpolation.size = *size;
  if (scale_factors) interpolation.scale_factors = *scale_factors;
  return interpolation;
}

// The ops of the schemas. kRun: interpolate, interpolate_fp16 or its Meta function.
template <auto kRun, class Int>
at::Tensor interpolate_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                          at::OptionalArrayRef<Int> size,
                          std::optional<at::ArrayRef<double>> scale_factors, std::string_view mode,
                          std::optional<bool> align_corners, double y_scale, int64_t y_zero_point,
                          at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}),
              make_interpolation(size, scale_factors, mode, align_corners),
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

template <auto kRun, class Int>
at::Tensor interpolate_fp16_op(const at::Tensor& x, at::OptionalArrayRef<Int> size,
                               std::optional<at::ArrayRef<double>> scale_factors,
                               std::string_view mode, std::optional<bool> align_corners) {
  return kRun(x, make_interpolation(size, scale_factors, mode, align_corners));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("interpolate", TORCH_FN((interpolate_op<interpolate, int64_t>)));
  m.impl("interpolate_fp16", TORCH_FN((interpolate_fp16_op<interpolate_fp16, int64_t>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("interpolate", TORCH_FN((interpolate_op<interpolate_meta, c10::SymInt>)));
  m.impl("interpolate_fp16", TORCH_FN((interpolate_fp16_op<interpolate_fp16_meta, c10::SymInt>)));
}

}  // namespace qnative::ops
