#include <cmath>

#include "blocks.h"
#include "dwconv.h"

namespace qnative::dwconv {
namespace {

int8_t weight_at(const Args& a, int64_t c, int64_t kd, int64_t kh, int64_t kw) {
  const int64_t groups = ceil_div(a.kernel_w, 4);
  const int64_t row = (c / kPanelColumns * a.kernel_d + kd) * a.kernel_h + kh;
  return a.weight[((row * groups + kw / 4) * kPanelColumns + c % kPanelColumns) * 4 + kw % 4];
}

int32_t x_at(const Args& a, int64_t id, int64_t ih, int64_t iw, int64_t c) {
  if (id < 0 || id >= a.depth || ih < 0 || ih >= a.height || iw < 0 || iw >= a.width) {
    return a.pad_value;
  }
  return a.x[((id * a.height + ih) * a.width + iw) * a.channels + c] ^ a.x_flip;
}

// Wraps around, as the vector instructions do.
int32_t accumulate(const Args& a, int64_t oh, int64_t ow, int64_t c) {
  uint32_t acc = static_cast<uint32_t>(a.start[c]);
  for (int64_t kd = 0; kd < a.kernel_d; ++kd) {
    for (int64_t kh = 0; kh < a.kernel_h; ++kh) {
      for (int64_t kw = 0; kw < a.kernel_w; ++kw) {
        const int64_t id = a.first_slice + kd * a.dilation_d;
        const int64_t ih = oh * a.stride_h - a.pad_top + kh * a.dilation_h;
        const int64_t iw = ow * a.stride_w - a.pad_left + kw * a.dilation_w;
        acc += static_cast<uint32_t>(x_at(a, id, ih, iw, c) * weight_at(a, c, kd, kh, kw));
      }
    }
  }
  return static_cast<int32_t>(acc);
}

}  // namespace

Fn scalar;
void scalar(const Args& a, int64_t row_begin, int64_t row_end, std::byte* /*scratch*/) {
  for (int64_t oh = row_begin; oh < row_end; ++oh) {
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      for (int64_t c = 0; c < a.channels; ++c) {
        const int64_t i = oh * a.y_row + ow * a.y_pixel + c;
        float r =
            std::fma(static_cast<float>(accumulate(a, oh, ow, c)), a.multiplier[c], a.bias[c]);
        if (a.float_output) {
          r = r < a.float_lo ? a.float_lo : r;
          static_cast<float*>(a.y)[i] = r > a.float_hi ? a.float_hi : r;
        } else {
          static_cast<uint8_t*>(a.y)[i] = requantize(r, a.requantize);
        }
      }
    }
  }
}

}  // namespace qnative::dwconv
