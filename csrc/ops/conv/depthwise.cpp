#include "conv/depthwise.h"

#include <cstring>

#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "dwconv/dwconv.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 1 << 18;  // multiply-adds a task
constexpr int64_t kMinColumns = 64;  // of a task, where a row is shared out

dwconv::Args make_args(const Source& x, const Window& window, const OutputStrides& y_strides,
                       const gemm::Args& product) {
  return {.x = x.data,
          .depth = x.depth,
          .height = x.height,
          .width = x.width,
          .channels = x.channels,
          .pad_value = x.pad_value,
          .x_flip = x.flip,
          .kernel_d = window.kernel_d,
          .kernel_h = window.kernel_h,
          .kernel_w = window.kernel_w,
          .stride_h = window.stride_h,
          .stride_w = window.stride_w,
          .dilation_d = window.dilation_d,
          .dilation_h = window.dilation_h,
          .dilation_w = window.dilation_w,
          .first_slice = 0,
          .pad_top = window.pad_top,
          .pad_left = window.pad_left,
          .out_h = window.out_h,
          .out_w = window.out_w,
          .weight = product.weight,
          .start = product.start,
          .multiplier = product.multiplier,
          .bias = product.bias,
          .y = product.y,
          .y_row = y_strides.row,
          .y_pixel = y_strides.pixel,
          .float_output = product.float_output,
          .requantize = product.requantize,
          .float_lo = product.float_lo,
          .float_hi = product.float_hi,
          .small = product.small};
}

int64_t scratch_bytes(dwconv::Args args, int64_t columns) {
  args.out_w = columns;
  return Scratch::bytes<std::byte>(dwconv::scratch_size(args));
}

}  // namespace

void run_depthwise(const Source& x, const Window& window, const OutputStrides& y_strides,
                   const gemm::Args& product) {
  static auto& run = select(dwconv::kernels());
  const dwconv::Args args = make_args(x, window, y_strides, product);
  const int64_t rows = x.images * window.out_d * window.out_h;
  const int64_t work = rows * window.out_w * x.channels * std::max<int64_t>(window.taps(), 1);
  const int64_t wanted = count_tasks(work, kGrain);
  const int64_t row_parts = std::min(rows, wanted);
  // A signal of one dimension has one row.
  const int64_t column_parts =
      std::clamp<int64_t>(window.out_w / kMinColumns, 1, wanted / row_parts);
  const int64_t tasks = row_parts * column_parts;
  const int64_t task_bytes =
      std::max(scratch_bytes(args, window.out_w / column_parts),
               scratch_bytes(args, (window.out_w + column_parts - 1) / column_parts));
  Scratch scratch(tasks * task_bytes);
  std::byte* const memory = scratch.take<std::byte>(tasks * task_bytes);
  const int64_t y_bytes = product.float_output ? sizeof(float) : 1;
  run_tasks(tasks, [&](int64_t task) {
    const Part part = part_of(rows, row_parts, task / column_parts);
    const Part columns = part_of(window.out_w, column_parts, task % column_parts);
    for (int64_t row = part.begin; row < part.end;) {
      const int64_t slice = row / window.out_h, image = slice / window.out_d;
      const int64_t out_slice = slice % window.out_d, first_row = slice * window.out_h;
      const int64_t end = std::min(first_row + window.out_h, part.end);
      const int64_t at =
          image * y_strides.image + out_slice * y_strides.slice + columns.begin * y_strides.pixel;
      dwconv::Args of_slice = args;
      of_slice.x += image * x.image_stride;
      of_slice.first_slice = out_slice * window.stride_d - window.pad_front;
      of_slice.pad_left -= columns.begin * window.stride_w;
      of_slice.out_w = columns.end - columns.begin;
      of_slice.y = static_cast<std::byte*>(product.y) + at * y_bytes;
      run(of_slice, row - first_row, end - first_row, memory + task * task_bytes);
      row = end;
    }
  });
}

at::Tensor repeat_channels(const at::Tensor& x, int64_t repeats) {
  at::DimVector sizes(x.sizes());
  sizes[1] *= repeats;
  const auto format =
      x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
  const at::Tensor dense = x.contiguous(format);
  at::Tensor repeated = empty(sizes, x.scalar_type(), format);
  const uint8_t* from = static_cast<const uint8_t*>(dense.const_data_ptr());
  uint8_t* to = static_cast<uint8_t*>(repeated.mutable_data_ptr());
  for (int64_t i = 0; i < dense.numel(); ++i) std::memset(to + i * repeats, from[i], repeats);
  return repeated;
}

}  // namespace qnative::ops
