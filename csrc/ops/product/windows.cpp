#include "product/windows.h"

#include <algorithm>
#include <cstring>

#include "blocks.h"
#include "common/dispatch.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "product/rows.h"
#include "product/strip.h"

namespace qnative::ops {
namespace {

constexpr int64_t kTableRows = 16 * 1024;    // at most, where rows of x need a table of offsets
constexpr int64_t kBufferBytes = 64 * 1024;  // of y, where its rows cannot be written in place

// A 1 x 1 window over a whole image treats pixels alike: one image, one column. Returns whether it
// is that.
bool merge_pixels(Convolution& c) {
  const Window& w = c.window;
  const bool is_pointwise = w.taps() == 1 && w.stride_d == 1 && w.stride_h == 1 &&
                            w.stride_w == 1 && w.pad_front == 0 && w.pad_top == 0 &&
                            w.pad_left == 0 && w.out_d == c.x.depth && w.out_h == c.x.height &&
                            w.out_w == c.x.width;
  if (!is_pointwise || c.y_strides || c.x.channel_stride != 1) return false;
  if (c.x.row_stride != c.x.width * c.x.pixel_stride) return false;
  if (c.x.depth > 1 && c.x.slice_stride != c.x.height * c.x.row_stride) return false;
  const int64_t pixels = c.x.depth * c.x.height * c.x.width;
  if (c.x.images > 1 && c.x.image_stride != pixels * c.x.pixel_stride) return false;
  c.x.height = c.x.images * pixels;
  c.x.images = c.x.depth = c.x.width = 1;
  c.x.row_stride = c.x.pixel_stride;
  c.window.out_h = c.x.height;
  c.window.out_d = c.window.out_w = 1;
  return true;
}

class WindowProduct {
 public:
  explicit WindowProduct(const Convolution& convolution)
      : c_(convolution), x_(c_.x), w_(c_.window), args_(c_.product) {
    choose_layout();
    choose_output();
    choose_rows();
  }

  int64_t table_size() const { return w_.taps() + args_.segments + row_count(); }

  // Taps, segments and rows, one after the other.
  void fill_tables(int64_t* tables) const {
    fill_taps(tables);
    fill_segments(tables + w_.taps(), tables);
    if (row_count() > 0) fill_rows(tables + w_.taps() + args_.segments);
  }

  void run() {
    choose_tasks();
    const int64_t gathered = gathers_ ? strip_rows_ * w_.out_w * args_.x_stride + kSlack : 0;
    const int64_t strip = is_direct_ ? 0 : strip_bytes(strip_rows_) + kSlack;
    const int64_t output = is_in_place_ ? 0 : strip_rows_ * w_.out_w * pixel_bytes();
    const int64_t kernel = gemm::scratch_size(args_, strip_rows_ * w_.out_w);
    const int64_t task_bytes = Scratch::bytes<uint8_t>(gathered) + Scratch::bytes<uint8_t>(strip) +
                               Scratch::bytes<std::byte>(output) +
                               Scratch::bytes<std::byte>(kernel);
    const int64_t tasks = grid_.row_parts * grid_.column_parts;
    const int64_t table_bytes = c_.tables == nullptr ? Scratch::bytes<int64_t>(table_size()) : 0;
    Scratch scratch(table_bytes + tasks * task_bytes);
    if (c_.tables == nullptr) {
      auto* const tables = scratch.take<int64_t>(table_size());
      fill_tables(tables);
      use_tables(tables);
    } else {
      use_tables(c_.tables);
    }
    std::byte* const memory = scratch.take<std::byte>(tasks * task_bytes);
    run_tasks(tasks, [&](int64_t task) {
      std::byte* at = memory + task * task_bytes;
      Buffers buffers;
      buffers.kernel = at;
      buffers.output = at += Scratch::bytes<std::byte>(kernel);
      buffers.strip = reinterpret_cast<uint8_t*>(at += Scratch::bytes<std::byte>(output));
      buffers.gathered = reinterpret_cast<uint8_t*>(at + Scratch::bytes<uint8_t>(strip));
      run_task(task, buffers);
    });
  }

 private:
  struct Buffers {
    std::byte* kernel;
    std::byte* output;
    uint8_t* strip;
    uint8_t* gathered;
  };

  // Output rows [row, row + rows) of one slice of one image.
  struct Piece {
    int64_t image, slice, row, rows;
  };

  // Where rows of the product are read: in x itself, in a padded copy of some input rows (a
  // strip), or gathered from a strip tap by tap, in that order of preference.
  void choose_layout() {
    group_channels_ = x_.channels / c_.groups;
    run_ = c_.segment_taps;
    // The taps of a segment lie side by side, but in windows of one column one below the other.
    const bool is_column = w_.kernel_w == 1;
    const int64_t run_dilation = run_ == 1 ? 1 : is_column ? w_.dilation_h : w_.dilation_w;
    // Segments of one pixel take groups and dilation as they are, but need whole groups of four
    // bytes where more of them are packed together; segments of several are contiguous only
    // without either.
    const bool plain = c_.groups == 1 && run_dilation == 1;
    by_pixel_ = run_ == 1 || (!plain && group_channels_ % 4 == 0);
    gathers_ = !by_pixel_ && run_dilation > 1;
    const int64_t segment_taps = by_pixel_ ? 1 : run_;
    args_.segments = w_.taps() / segment_taps;
    args_.segment_size = segment_taps * group_channels_;
    strip_channels_ = c_.groups == 1 || by_pixel_ ? x_.channels : group_channels_;
    const bool dense_runs = (is_column ? x_.row_stride : x_.pixel_stride) == x_.channels;
    is_direct_ = x_.flip == 0 && x_.channel_stride == 1 && !reads_padding() &&
                 args_.segment_size % 4 == 0 && (by_pixel_ || (plain && dense_runs));
    if (w_.taps() == 0) {
      is_direct_ = true;
      row_pitch_ = pixel_pitch_ = args_.x_stride = 0;
      return;
    }
    pixel_pitch_ = is_direct_ ? x_.pixel_stride : strip_channels_;
    row_pitch_ = is_direct_ ? x_.row_stride : w_.columns_read() * strip_channels_;
    if (gathers_) {
      args_.x_stride = args_.segments * round_up(args_.segment_size, 4);
    } else if (w_.out_w == 1) {
      args_.x_stride = w_.stride_h * row_pitch_;
    } else {
      args_.x_stride = w_.stride_w * pixel_pitch_;
    }
  }

  bool reads_padding() const {
    const auto outside = [](int64_t read, int64_t pad, int64_t size) {
      return pad > 0 || read - pad > size;
    };
    return outside(w_.slices_read(), w_.pad_front, x_.depth) ||
           outside(w_.rows_read(w_.out_h), w_.pad_top, x_.height) ||
           outside(w_.columns_read(), w_.pad_left, x_.width);
  }

  // Rows of the product are rows of y that lie at equal distances, or go through a buffer.
  void choose_output() {
    const int64_t pixel = c_.groups * args_.n, row = w_.out_w * pixel, slice = w_.out_h * row;
    y_ = c_.y_strides.value_or(OutputStrides{w_.out_d * slice, slice, row, pixel});
    is_in_place_ = w_.out_w == 1 || y_.row == w_.out_w * y_.pixel;
    args_.y_stride = !is_in_place_ ? pixel : w_.out_w == 1 ? y_.row : y_.pixel;
  }

  int64_t element_bytes() const { return gemm::y_bytes(args_); }
  int64_t pixel_bytes() const { return c_.groups * args_.n * element_bytes(); }

  // Whether rows of the product are x_stride apart, also from one output row to the next.
  bool uniform_stride() const {
    return gathers_ || w_.out_w == 1 || w_.out_h == 1 ||
           w_.stride_h * row_pitch_ == w_.out_w * args_.x_stride;
  }

  // Rows of the product that have an offset each.
  int64_t row_count() const { return uniform_stride() ? 0 : strip_rows_ * w_.out_w; }

  void use_tables(const int64_t* tables) {
    tap_offset_ = tables;
    args_.segment_offset = tables + w_.taps();
    args_.row_offset = row_count() > 0 ? args_.segment_offset + args_.segments : nullptr;
  }

  int64_t strip_bytes(int64_t out_rows) const {
    return w_.kernel_d * w_.rows_read(out_rows) * row_pitch_;
  }

  void choose_rows() {
    int64_t rows = w_.out_h;
    const auto limit = [&](int64_t fitting) {
      rows = std::min(rows, std::max(fitting, ceil_div(kStripRows, w_.out_w)));
    };
    if (!is_direct_) limit(kStripBytes / (w_.kernel_d * w_.stride_h * row_pitch_));
    if (!is_in_place_) limit(kBufferBytes / (w_.out_w * pixel_bytes()));
    if (!uniform_stride()) rows = std::max<int64_t>(std::min(rows, kTableRows / w_.out_w), 1);
    strip_rows_ = rows;
    // A strip has only those slices that are read.
    slice_pitch_ = is_direct_ ? w_.dilation_d * x_.slice_stride : w_.rows_read(rows) * row_pitch_;
  }

  // A task is a range of output rows of all images times a range of columns: of groups, or of
  // panels of output channels.
  void choose_tasks() {
    const int64_t rows = x_.images * w_.out_d * w_.out_h;
    const int64_t k = std::max<int64_t>(args_.segments * args_.segment_size, 1);
    const int64_t tasks = count_tasks(rows * w_.out_w * k * args_.n * c_.groups, kProductGrain);
    units_ = column_units(args_.n, tasks);
    if (c_.groups > 1) units_.count = c_.groups;
    grid_ = divide(tasks, rows, w_.out_w, units_.count, units_.size);
  }

  // The offset of every tap from the first byte that a row of the product reads.
  void fill_taps(int64_t* offsets) const {
    int64_t* at = offsets;
    for (int64_t kd = 0; kd < w_.kernel_d; ++kd) {
      for (int64_t kh = 0; kh < w_.kernel_h; ++kh) {
        for (int64_t kw = 0; kw < w_.kernel_w; ++kw) {
          *at++ = kd * slice_pitch_ + kh * w_.dilation_h * row_pitch_ +
                  kw * w_.dilation_w * pixel_pitch_;
        }
      }
    }
  }

  void fill_segments(int64_t* offsets, const int64_t* tap_offset) const {
    for (int64_t s = 0; s < args_.segments; ++s) {
      offsets[s] =
          gathers_ ? s * round_up(args_.segment_size, 4) : tap_offset[by_pixel_ ? s : s * run_];
    }
  }

  void fill_rows(int64_t* offsets) const {
    int64_t* at = offsets;
    for (int64_t row = 0; row < strip_rows_; ++row) {
      const int64_t begin = row * w_.stride_h * row_pitch_;
      for (int64_t i = 0; i < w_.out_w; ++i) *at++ = begin + i * args_.x_stride;
    }
  }

  void run_task(int64_t task, const Buffers& buffers) const {
    const Part rows =
        part_of(x_.images * w_.out_d * w_.out_h, grid_.row_parts, task / grid_.column_parts);
    const Part columns = part_of(units_.count, grid_.column_parts, task % grid_.column_parts);
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t slice = row / w_.out_h;
      const int64_t slice_end = std::min((slice + 1) * w_.out_h, rows.end);
      const int64_t strips = ceil_div(slice_end - row, strip_rows_);
      for (int64_t i = 0; i < strips; ++i) {
        const Part strip = part_of(slice_end - row, strips, i);
        run_piece({.image = slice / w_.out_d,
                   .slice = slice % w_.out_d,
                   .row = row % w_.out_h + strip.begin,
                   .rows = strip.end - strip.begin},
                  columns, buffers);
      }
      row = slice_end;
    }
  }

  // Where a piece begins in x, which it reads in place.
  const uint8_t* source_of(const Piece& piece) const {
    if (w_.taps() == 0) return x_.data;
    return x_.data + piece.image * x_.image_stride +
           (piece.slice * w_.stride_d - w_.pad_front) * x_.slice_stride +
           (piece.row * w_.stride_h - w_.pad_top) * x_.row_stride - w_.pad_left * x_.pixel_stride;
  }

  // Where a piece of all channels begins in y, elements.
  int64_t target_of(const Piece& piece) const {
    return piece.image * y_.image + piece.slice * y_.slice + piece.row * y_.row;
  }

  void run_piece(const Piece& piece, const Part& columns, const Buffers& buffers) const {
    static auto& run_gemm = select(gemm::kernels());
    const bool shared = !is_direct_ && strip_channels_ == x_.channels;
    if (shared) fill_strip(piece, 0, buffers);
    const uint8_t* x = is_direct_ ? source_of(piece) : buffers.strip;
    std::byte* const y = is_in_place_
                             ? static_cast<std::byte*>(args_.y) + target_of(piece) * element_bytes()
                             : buffers.output;
    const bool has_groups = c_.groups > 1;
    const Part channels = has_groups ? Part{columns.begin * args_.n, columns.end * args_.n}
                                     : Part{columns.begin * units_.size,
                                            std::min(columns.end * units_.size, args_.n)};
    for (int64_t g = has_groups ? columns.begin : 0; g < (has_groups ? columns.end : 1); ++g) {
      if (!is_direct_ && !shared) fill_strip(piece, g, buffers);
      gemm::Args args = args_;
      args.x = gathers_ ? buffers.gathered : is_direct_ || shared ? x + g * group_channels_ : x;
      args.weight += g * c_.group_weight;
      args.start += g * c_.group_params;
      args.multiplier += g * c_.group_params;
      args.bias += g * c_.group_params;
      args.y = y + g * args.n * element_bytes();
      run_gemm(args, 0, piece.rows * w_.out_w, has_groups ? 0 : channels.begin,
               has_groups ? args.n : channels.end, buffers.kernel);
    }
    if (!is_in_place_) scatter(piece, channels, buffers.output);
  }

  // From the buffer to y.
  void scatter(const Piece& piece, const Part& channels, const std::byte* from) const {
    const int64_t skipped = channels.begin * element_bytes();
    const int64_t bytes = (channels.end - channels.begin) * element_bytes();
    std::byte* to = static_cast<std::byte*>(args_.y) + target_of(piece) * element_bytes() + skipped;
    from += skipped;
    for (int64_t row = 0; row < piece.rows; ++row) {
      std::byte* pixel = to + row * y_.row * element_bytes();
      for (int64_t i = 0; i < w_.out_w; ++i) {
        std::memcpy(pixel, from, bytes);
        pixel += y_.pixel * element_bytes();
        from += pixel_bytes();
      }
    }
  }

  void fill_strip(const Piece& piece, int64_t group, const Buffers& buffers) const {
    Strip strip = {.image = piece.image,
                   .slice = piece.slice * w_.stride_d - w_.pad_front,
                   .first_row = piece.row * w_.stride_h - w_.pad_top,
                   .rows = w_.rows_read(piece.rows),
                   .first_column = -w_.pad_left,
                   .columns = w_.columns_read(),
                   .first_channel = group * group_channels_,
                   .channels = strip_channels_};
    for (int64_t kd = 0; kd < w_.kernel_d; ++kd, strip.slice += w_.dilation_d) {
      copy_strip(x_, w_, strip, buffers.strip + kd * slice_pitch_);
    }
    if (gathers_) gather(piece.rows, buffers);
  }

  void gather(int64_t out_rows, const Buffers& buffers) const {
    const int64_t segment = round_up(args_.segment_size, 4);
    uint8_t* to = buffers.gathered;
    for (int64_t oh = 0; oh < out_rows; ++oh) {
      for (int64_t ow = 0; ow < w_.out_w; ++ow) {
        const uint8_t* from =
            buffers.strip + oh * w_.stride_h * row_pitch_ + ow * w_.stride_w * pixel_pitch_;
        const int64_t* tap = tap_offset_;
        for (int64_t s = 0; s < args_.segments; ++s, to += segment) {
          for (int64_t i = 0; i < run_; ++i) {
            std::memcpy(to + i * group_channels_, from + *tap++, group_channels_);
          }
        }
      }
    }
  }

  const Convolution& c_;
  const Source& x_;
  const Window& w_;
  gemm::Args args_;
  int64_t group_channels_, strip_channels_;
  int64_t run_;  // taps of a packed segment
  bool by_pixel_, gathers_, is_direct_, is_in_place_;
  OutputStrides y_;
  int64_t slice_pitch_, row_pitch_, pixel_pitch_;  // of what the kernel reads, bytes
  const int64_t* tap_offset_;
  int64_t strip_rows_;  // output rows of one call of the kernel, at most
  ColumnUnits units_;
  Grid grid_;  // tasks
};

}  // namespace

void run_windows(Convolution& c) {
  if (merge_pixels(c) && c.groups == 1) {
    return run_rows({.data = c.x.data,
                     .m = c.x.height,
                     .k = c.x.channels,
                     .row_stride = c.x.row_stride,
                     .k_stride = 1,
                     .flip = c.x.flip},
                    c.product);
  }
  WindowProduct(c).run();
}

std::vector<int64_t> window_tables(Convolution c) {
  if (merge_pixels(c) && c.groups == 1) return {};
  const WindowProduct product(c);
  std::vector<int64_t> tables(static_cast<size_t>(product.table_size()));
  product.fill_tables(tables.data());
  return tables;
}

}  // namespace qnative::ops
