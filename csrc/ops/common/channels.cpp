#include "common/channels.h"

#include <array>

#include "common/dispatch.h"
#include "common/empty.h"
#include "lookup/lookup.h"

namespace qnative::ops {

void check_channel_op(const char* op, const QTensor& x, at::DeviceType device) {
  check_qtensor(op, "x", x, device);
  TORCH_CHECK(x.data.dim() >= 2, "qnative::", op, ": x must be [N, C, ...], got ",
              x.data.sym_sizes());
}

ChannelTensors::ChannelTensors(const at::Tensor& x, at::ScalarType y_dtype) {
  const at::MemoryFormat format = x.suggest_memory_format();
  this->x = x.contiguous(format);
  y = empty(x.sizes(), y_dtype, format);
  images = x.dim() > 0 ? x.size(0) : 1;
  channels = x.dim() > 1 ? x.size(1) : 1;
  pixels = images * channels == 0 ? 0 : x.numel() / (images * channels);
  channels_innermost = format != at::MemoryFormat::Contiguous || pixels == 1;
}

void ChannelTensors::flatten() {
  images = channels = 1;
  pixels = x.numel();
  channels_innermost = false;
}

at::Tensor empty_channels_meta(const at::Tensor& x, at::ScalarType y_dtype) {
  return at::empty_symint(x.sym_sizes(),
                          x.options().dtype(y_dtype).memory_format(x.suggest_memory_format()));
}

void lookup_bytes(const uint8_t* x, uint8_t* y, int64_t n, const uint8_t* table) {
  static auto& run = select(lookup::kernels());
  run(x, y, n, table);
}

const uint8_t* all_bytes() {
  static constexpr auto kBytes = [] {
    std::array<uint8_t, 256> bytes{};
    for (int i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(i);
    return bytes;
  }();
  return kBytes.data();
}

void repeat_sets(const float* from, int64_t sets, int64_t n, int64_t repeat, float* to) {
  for (int64_t set = 0; set < sets; ++set, from += n) {
    for (int64_t i = 0; i < repeat; ++i, to += n) std::copy(from, from + n, to);
  }
}

}  // namespace qnative::ops
