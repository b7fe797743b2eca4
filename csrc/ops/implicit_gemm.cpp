#include "implicit_gemm.h"

#include <cstring>
#include <limits>

#include "dispatch.h"
#include "parallel.h"
#include "scratch.h"
#include "strip.h"

namespace qnative::ops {
namespace {

constexpr int64_t kStripBytes = 128 * 1024;  // stays in the L2 cache beside a panel of weights
constexpr int64_t kStripRows = 48;           // at least, so that weights are not read too often
constexpr int64_t kTableRows = 16 * 1024;    // at most, where rows of x need a table of offsets
constexpr int64_t kGrain = 1 << 20;          // multiply-adds a task
constexpr int64_t kSlack = 64;               // kernels read a few bytes past the end

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// A 1 x 1 window over a whole image treats pixels alike: one image, one column.
Convolution merge_pixels(Convolution c) {
  const Window& w = c.window;
  const bool is_pointwise = w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 &&
                            w.stride_w == 1 && w.out_h == c.x.height && w.out_w == c.x.width;
  if (!is_pointwise || c.x.channel_stride != 1 || c.x.row_stride != c.x.width * c.x.pixel_stride)
    return c;
  if (c.x.images > 1 && c.x.image_stride != c.x.height * c.x.row_stride) return c;
  const int64_t pixels = c.x.images * c.x.height * c.x.width;
  c.x.images = 1;
  c.x.height = pixels;
  c.x.width = 1;
  c.x.row_stride = c.x.pixel_stride;
  c.window.out_h = pixels;
  c.window.out_w = 1;
  return c;
}

class ImplicitGemm {
 public:
  explicit ImplicitGemm(const Convolution& convolution)
      : c_(merge_pixels(convolution)), x_(c_.x), w_(c_.window), args_(c_.product) {
    choose_layout();
    choose_rows();
    choose_tasks();
  }

  void run() {
    const int64_t gathered = gathers_ ? strip_rows_ * w_.out_w * args_.x_stride + kSlack : 0;
    const int64_t strip = is_direct_ ? 0 : strip_bytes(strip_rows_) + kSlack;
    const int64_t kernel = gemm::scratch_size(args_, strip_rows_ * w_.out_w);
    const int64_t table = uniform_stride() ? 0 : strip_rows_ * w_.out_w;
    const int64_t task_bytes = Scratch::bytes<uint8_t>(gathered) + Scratch::bytes<uint8_t>(strip) +
                               Scratch::bytes<std::byte>(kernel);
    const int64_t tasks = grid_.row_parts * grid_.column_parts;
    Scratch scratch(Scratch::bytes<int64_t>(args_.segments) + Scratch::bytes<int32_t>(table) +
                    tasks * task_bytes);
    args_.segment_offset = fill_segments(scratch.take<int64_t>(args_.segments));
    args_.row_offset = table > 0 ? fill_table(scratch.take<int32_t>(table)) : nullptr;
    std::byte* const memory = scratch.take<std::byte>(tasks * task_bytes);
    run_tasks(tasks, [&](int64_t task) {
      std::byte* at = memory + task * task_bytes;
      Buffers buffers;
      buffers.kernel = at;
      buffers.strip = reinterpret_cast<uint8_t*>(at += Scratch::bytes<std::byte>(kernel));
      buffers.gathered = reinterpret_cast<uint8_t*>(at + Scratch::bytes<uint8_t>(strip));
      run_task(task, buffers);
    });
  }

 private:
  struct Buffers {
    std::byte* kernel;
    uint8_t* strip;
    uint8_t* gathered;
  };

  // Where rows of the product are read: in x itself, in a padded copy of some input rows (a
  // strip), or gathered from a strip tap by tap, in that order of preference.
  void choose_layout() {
    group_channels_ = x_.channels / c_.groups;
    // Segments of one pixel take groups and dilation as they are, but need whole groups of four
    // bytes; segments of a window row are contiguous only without either.
    const bool plain = c_.groups == 1 && w_.dilation_w == 1;
    by_pixel_ = !plain && group_channels_ % 4 == 0;
    gathers_ = !by_pixel_ && w_.dilation_w > 1;
    args_.segments = by_pixel_ ? w_.kernel_h * w_.kernel_w : w_.kernel_h;
    args_.segment_size = by_pixel_ ? group_channels_ : w_.kernel_w * group_channels_;
    strip_channels_ = c_.groups == 1 || by_pixel_ ? x_.channels : group_channels_;
    const bool whole_rows = w_.kernel_w == 1 || x_.pixel_stride == x_.channels;
    is_direct_ = x_.flip == 0 && x_.channel_stride == 1 && !has_padding() &&
                 args_.segment_size % 4 == 0 && (by_pixel_ || (plain && whole_rows));
    pixel_pitch_ = is_direct_ ? x_.pixel_stride : strip_channels_;
    row_pitch_ = is_direct_ ? x_.row_stride : w_.columns_read() * strip_channels_;
    if (gathers_) {
      args_.x_stride = w_.kernel_h * round_up(args_.segment_size, 4);
    } else if (w_.out_w == 1) {
      args_.x_stride = w_.stride_h * row_pitch_;
    } else {
      args_.x_stride = w_.stride_w * pixel_pitch_;
    }
  }

  bool has_padding() const {
    return w_.pad_top > 0 || w_.pad_left > 0 || w_.rows_read(w_.out_h) > x_.height ||
           w_.columns_read() > x_.width;
  }

  // Whether rows of the product are x_stride apart, also from one output row to the next.
  bool uniform_stride() const {
    return gathers_ || w_.out_w == 1 || w_.out_h == 1 ||
           w_.stride_h * row_pitch_ == w_.out_w * args_.x_stride;
  }

  int64_t strip_bytes(int64_t out_rows) const { return w_.rows_read(out_rows) * row_pitch_; }

  void choose_rows() {
    int64_t rows = w_.out_h;
    if (!is_direct_) {
      const int64_t fitting = kStripBytes / (w_.stride_h * row_pitch_);
      rows = std::min(rows, std::max(fitting, ceil_div(kStripRows, w_.out_w)));
    }
    if (!uniform_stride()) {
      constexpr int64_t kMaxOffset = std::numeric_limits<int32_t>::max();
      const int64_t row_extent = w_.stride_h * row_pitch_ + 1;
      const int64_t column_extent = w_.out_w * args_.x_stride;
      const int64_t addressable = (kMaxOffset - column_extent) / row_extent;
      rows = std::min(rows, std::min(kTableRows / w_.out_w, addressable));
      rows = std::max<int64_t>(rows, 1);
    }
    strip_rows_ = rows;
  }

  // A task is a range of output rows of all images times a range of columns: of groups, or of
  // panels of output channels.
  void choose_tasks() {
    const int64_t rows = x_.images * w_.out_h;
    const int64_t k = args_.segments * args_.segment_size;
    const int64_t tasks = count_tasks(rows * w_.out_w * k * args_.n * c_.groups, kGrain);
    unit_ = args_.n >= 64 * tasks ? 64 : 16;
    units_ = c_.groups > 1 ? c_.groups : ceil_div(args_.n, unit_);
    grid_ = divide(tasks, rows, w_.out_w, units_, unit_);
  }

  const int64_t* fill_segments(int64_t* offsets) const {
    for (int64_t s = 0; s < args_.segments; ++s) {
      const int64_t kh = by_pixel_ ? s / w_.kernel_w : s;
      const int64_t kw = by_pixel_ ? s % w_.kernel_w : 0;
      offsets[s] = gathers_ ? s * round_up(args_.segment_size, 4)
                            : kh * w_.dilation_h * row_pitch_ + kw * w_.dilation_w * pixel_pitch_;
    }
    return offsets;
  }

  const int32_t* fill_table(int32_t* offsets) const {
    int32_t* at = offsets;
    for (int64_t row = 0; row < strip_rows_; ++row) {
      const int64_t begin = row * w_.stride_h * row_pitch_;
      for (int64_t i = 0; i < w_.out_w; ++i) {
        *at++ = static_cast<int32_t>(begin + i * args_.x_stride);
      }
    }
    return offsets;
  }

  void run_task(int64_t task, const Buffers& buffers) const {
    const Part rows = part_of(x_.images * w_.out_h, grid_.row_parts, task / grid_.column_parts);
    const Part columns = part_of(units_, grid_.column_parts, task % grid_.column_parts);
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t image = row / w_.out_h;
      const int64_t image_end = std::min((image + 1) * w_.out_h, rows.end);
      const int64_t strips = ceil_div(image_end - row, strip_rows_);
      for (int64_t i = 0; i < strips; ++i) {
        const Part strip = part_of(image_end - row, strips, i);
        run_strip(image, row % w_.out_h + strip.begin, strip.end - strip.begin, columns, buffers);
      }
      row = image_end;
    }
  }

  void run_strip(int64_t image, int64_t out_row, int64_t out_rows, const Part& columns,
                 const Buffers& buffers) const {
    static auto& run_gemm = select(gemm::kernels());
    const bool shared = !is_direct_ && strip_channels_ == x_.channels;
    if (shared) fill_strip(image, out_row, out_rows, 0, buffers);
    const uint8_t* x =
        is_direct_ ? x_.data + image * x_.image_stride + out_row * w_.stride_h * x_.row_stride
                   : buffers.strip;
    const int64_t m = out_rows * w_.out_w;
    const int64_t first_pixel = (image * w_.out_h + out_row) * w_.out_w;
    const bool has_groups = c_.groups > 1;
    for (int64_t g = has_groups ? columns.begin : 0; g < (has_groups ? columns.end : 1); ++g) {
      if (!is_direct_ && !shared) fill_strip(image, out_row, out_rows, g, buffers);
      gemm::Args args = args_;
      args.x = gathers_ ? buffers.gathered : is_direct_ || shared ? x + g * group_channels_ : x;
      args.weight += g * c_.group_weight;
      args.start += g * c_.group_params;
      args.multiplier += g * c_.group_params;
      args.bias += g * c_.group_params;
      args.y_stride = c_.groups * args.n;
      const int64_t y_begin = first_pixel * args.y_stride + g * args.n;
      args.y = static_cast<std::byte*>(args.y) + y_begin * (args.float_output ? 4 : 1);
      if (args.row_factor != nullptr) args.row_factor += first_pixel;
      if (args.row_multiplier != nullptr) args.row_multiplier += first_pixel;
      const int64_t n_begin = has_groups ? 0 : columns.begin * unit_;
      const int64_t n_end = has_groups ? args.n : std::min(columns.end * unit_, args.n);
      run_gemm(args, 0, m, n_begin, n_end, buffers.kernel);
    }
  }

  void fill_strip(int64_t image, int64_t out_row, int64_t out_rows, int64_t group,
                  const Buffers& buffers) const {
    const Strip strip = {.image = image,
                         .first_row = out_row * w_.stride_h - w_.pad_top,
                         .rows = w_.rows_read(out_rows),
                         .first_column = -w_.pad_left,
                         .columns = w_.columns_read(),
                         .first_channel = group * group_channels_,
                         .channels = strip_channels_};
    copy_strip(x_, w_, strip, buffers.strip);
    if (gathers_) gather(out_rows, buffers);
  }

  void gather(int64_t out_rows, const Buffers& buffers) const {
    const int64_t segment = round_up(args_.segment_size, 4);
    uint8_t* to = buffers.gathered;
    for (int64_t oh = 0; oh < out_rows; ++oh) {
      for (int64_t ow = 0; ow < w_.out_w; ++ow) {
        for (int64_t kh = 0; kh < w_.kernel_h; ++kh, to += segment) {
          const uint8_t* from = buffers.strip +
                                (oh * w_.stride_h + kh * w_.dilation_h) * row_pitch_ +
                                ow * w_.stride_w * pixel_pitch_;
          for (int64_t kw = 0; kw < w_.kernel_w; ++kw) {
            std::memcpy(to + kw * group_channels_, from + kw * w_.dilation_w * pixel_pitch_,
                        group_channels_);
          }
        }
      }
    }
  }

  const Convolution c_;
  const Source& x_;
  const Window& w_;
  gemm::Args args_;
  int64_t group_channels_, strip_channels_;
  bool by_pixel_, gathers_, is_direct_;
  int64_t row_pitch_, pixel_pitch_;  // of what the kernel reads, bytes
  int64_t strip_rows_;               // output rows of one call of the kernel, at most
  int64_t unit_, units_;             // output channels a column unit, column units
  Grid grid_;                        // tasks
};

}  // namespace

void run_convolution(const Convolution& convolution) { ImplicitGemm(convolution).run(); }

void run_rows(const Rows& x, const gemm::Args& product) {
  run_convolution({.x = {.data = x.data,
                         .images = 1,
                         .height = x.m,
                         .width = 1,
                         .channels = x.k,
                         .image_stride = x.m * x.row_stride,
                         .row_stride = x.row_stride,
                         .pixel_stride = x.row_stride,
                         .channel_stride = x.k_stride,
                         .flip = x.flip,
                         .pad_value = 0},
                   .window = {.kernel_h = 1,
                              .kernel_w = 1,
                              .stride_h = 1,
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .pad_top = 0,
                              .pad_left = 0,
                              .out_h = x.m,
                              .out_w = 1},
                   .groups = 1,
                   .group_weight = 0,
                   .group_params = 0,
                   .product = product});
}

}  // namespace qnative::ops
