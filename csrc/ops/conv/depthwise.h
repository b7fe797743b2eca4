#pragma once

#include <ATen/ATen.h>

#include "product/windows.h"

// Depthwise convolution: every channel by itself.
namespace qnative::ops {

// x, dense in channels_last order with one channel for each output channel; `flip` and `pad_value`
// of Source apply. product: as in Convolution, of all channels; its weight is packed with
// kernel_d * kernel_h segments of kernel_w.
void run_depthwise(const Source& x, const Window& window, const OutputStrides& y_strides,
                   const gemm::Args& product);

// x [N, C, ...] in channels_last order, every channel `repeats` times.
at::Tensor repeat_channels(const at::Tensor& x, int64_t repeats);

}  // namespace qnative::ops
